//! Cases that take minutes: they run where `E2E_LONG` is set, and their last result is in the docs.

use crate::Outcome;
use crate::kube::condition;
use crate::operator;
use crate::processes;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

/// How many clusters are to lie idle.
const CLUSTERS: usize = 1000;
/// The most memory the operator may have for them.
const MEMORY_BYTES_MAX: u64 = 150 << 20;

/// A thousand clusters lie idle: next to no memory, no measurable work, no writes.
pub(super) fn a_thousand_clusters(suite: &mut Suite) -> Outcome {
    suite.ensemble()?;
    let items: Vec<_> = (0..CLUSTERS)
        .map(|n| {
            json!({
                "apiVersion": "zookeeper.ensemble.dev/v1alpha1",
                "kind": "ZooKeeperCluster",
                "metadata": {"name": format!("idle-{n}"), "labels": {"e2e": "idle"}},
                // Without pods: those of a thousand have no room on this machine.
                "spec": {"replicas": 3, "paused": true},
            })
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    suite
        .kube
        .run_with(&["create", "--filename=-"], &list.to_string())?;
    let outcome = measure(suite);
    suite
        .kube
        .run(&["delete", "zk", "--selector=e2e=idle", "--wait=false"])?;
    outcome
}

fn measure(suite: &Suite) -> Outcome {
    let versions = || {
        let all = suite.kube.list(&["zk", "--selector=e2e=idle"])?;
        let paused = all
            .iter()
            .filter(|one| condition(one, "Paused").is_some_and(|(status, ..)| status == "True"));
        ensure(paused.count() == CLUSTERS, || {
            "not all are reported".to_owned()
        })?;
        Ok::<_, String>(
            all.iter()
                .map(|one| one["metadata"]["resourceVersion"].to_string())
                .collect::<Vec<_>>(),
        )
    };
    let before = until(
        "every cluster is reported",
        Duration::from_secs(300),
        versions,
    )?;
    let pods = suite
        .kube
        .list(&["pods", "--namespace", operator::NAMESPACE])?;
    let uid = pods[0]["metadata"]["uid"].as_str().ok_or("no operator")?;
    let pid = processes::operator_of(uid)?;
    let (began, ticks) = (Instant::now(), cpu_ticks(pid)?);
    let passes = operator::passes(&suite.kube, &suite.environment)?;
    suite.await_passes(passes, 2 * CLUSTERS as u64, Duration::from_secs(180))?;
    let spent = (cpu_ticks(pid)? - ticks) as f64 / 100.0 / began.elapsed().as_secs_f64();
    let memory = memory_bytes(pid)?;
    println!(
        "  {CLUSTERS} clusters: {} MB, {:.1} % of a core",
        memory >> 20,
        spent * 100.0
    );
    ensure(memory < MEMORY_BYTES_MAX, || format!("{memory} bytes"))?;
    ensure(spent < 0.05, || format!("{spent} of a core"))?;
    ensure(versions()? == before, || "something was written".to_owned())
}

fn cpu_ticks(pid: u32) -> Outcome<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| e.to_string())?;
    let rest = stat.rsplit_once(')').ok_or("no stat")?.1;
    // utime and stime, fields 14 and 15 of proc(5).
    let words: Vec<&str> = rest.split_whitespace().collect();
    let tick = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
    match (tick(11), tick(12)) {
        (Some(user), Some(system)) => Ok(user + system),
        _ => Err(format!("no times in {stat}")),
    }
}

fn memory_bytes(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| e.to_string())?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    let kilobytes = line.trim().trim_end_matches(" kB").trim().parse::<u64>();
    kilobytes.map(|kb| kb << 10).map_err(|e| e.to_string())
}
