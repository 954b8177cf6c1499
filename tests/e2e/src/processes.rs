//! The servers' processes on this machine: a pod's process is a process of its host.

use crate::Outcome;
use crate::kube::output;
use std::fs;
use std::process::Command;

/// What the kernel keeps of `zookeeper-server` as a process' name.
const SERVER: &str = "zookeeper-serve";
/// And of `zookeeper-operator`.
const OPERATOR: &str = "zookeeper-opera";

/// The process of a pod's server.
pub(crate) fn server_of(pod_uid: &str) -> Outcome<u32> {
    process_of(pod_uid, SERVER)
}

/// The process of the operator's pod.
pub(crate) fn operator_of(pod_uid: &str) -> Outcome<u32> {
    process_of(pod_uid, OPERATOR)
}

/// The one process of this name in a pod, found by the cgroup that carries the pod's UID.
fn process_of(pod_uid: &str, comm: &str) -> Outcome<u32> {
    let entries = fs::read_dir("/proc").map_err(|error| format!("read /proc: {error}"))?;
    // With the systemd driver, a cgroup's name has underscores for dashes.
    let names = [pod_uid.to_owned(), pod_uid.replace('-', "_")];
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // A process that ended in the meantime has no files.
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        if read("comm").trim() == comm && names.iter().any(|name| read("cgroup").contains(name)) {
            found.push(pid);
        }
    }
    match found.as_slice() {
        [pid] => Ok(*pid),
        other => Err(format!(
            "{} processes {comm} belong to pod {pod_uid}: {other:?}",
            other.len()
        )),
    }
}

/// `kill -9` of these processes, all in one call.
pub(crate) fn kill(pids: &[u32]) -> Outcome {
    signal("-9", pids)
}

/// Sends these processes a signal.
pub(crate) fn signal(signal: &str, pids: &[u32]) -> Outcome {
    let mut command = Command::new("kill");
    command.arg(signal).args(pids.iter().map(u32::to_string));
    let output = output(&mut command, None)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "kill {signal} {pids:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}
