//! The case that takes many minutes: it runs where `E2E_LONG` is set, and its last result is in the docs.

use crate::Outcome;
use crate::environment::Environment;
use crate::kube::{condition, output};
use crate::network::inside;
use crate::operator;
use crate::processes;
use crate::resource::manifest;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use serde_json::json;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How many clusters are to lie idle.
const CLUSTERS: usize = 1000;
/// In how many namespaces.
const NAMESPACES: usize = 100;
/// The most memory the operator may have for them.
const MEMORY_BYTES_MAX: u64 = 150 << 20;
/// The most of a core that it may use: what it costs to live at all, such as renewing its lease.
const CORE_MAX: f64 = 0.005;
/// How often each is looked at while that is measured: every 100 s, as there are so many.
const ROUNDS: u64 = 4;
/// How long a thousand may take to be made.
const SETTLED_MAX: Duration = Duration::from_secs(1200);

/// A thousand clusters lie idle: next to no memory, no measurable work, no writes. Their objects are
/// real and their members answer, but for three thousand servers this machine has no room.
pub(super) fn a_thousand_clusters(suite: &mut Suite) -> Outcome {
    suite.ensemble()?;
    operator::install(&suite.kube, &suite.environment)?;
    let hollow = Hollow::start(suite)?;
    let namespace = |n: usize| format!("{}-idle-{}", suite.kube.namespace, n % NAMESPACES);
    let namespaces = (0..NAMESPACES).map(|n| {
        json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace(n), "labels": {"e2e": "idle"}},
        })
    });
    let spec = json!({
        "replicas": 3,
        "storage": {"ephemeral": true},
        "pod": {"overrides": {"spec": {"nodeName": "hollow"}}},
    });
    let clusters = (0..CLUSTERS).map(|n| {
        let mut cluster = manifest(&format!("idle-{n}"), &spec);
        cluster["metadata"]["namespace"] = json!(namespace(n));
        cluster["metadata"]["labels"] = json!({"e2e": "idle"});
        cluster
    });
    let items: Vec<_> = namespaces.chain(clusters).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    // Each in the namespace that it names.
    let create = ["create", "--filename=-", "--namespace="];
    suite.kube.run_with(&create, &list.to_string())?;
    let outcome = measure(suite);
    let delete = ["delete", "namespace", "--selector=e2e=idle", "--wait=false"];
    suite.kube.run(&delete)?;
    drop(hollow);
    // Pods of a node that is no more go by themselves.
    let delete = ["delete", "node", "hollow", "--ignore-not-found"];
    suite.kube.run(&delete)?;
    outcome
}

fn measure(suite: &Suite) -> Outcome {
    let started = Instant::now();
    let versions = || {
        let all = suite
            .kube
            .list(&["zk", "--all-namespaces", "--selector=e2e=idle"])?;
        let ready = all
            .iter()
            .filter(|one| condition(one, "Ready").is_some_and(|(status, ..)| status == "True"))
            .count();
        ensure(ready == CLUSTERS, || format!("{ready} of them are Ready"))?;
        Ok::<_, String>(
            all.iter()
                .map(|one| one["metadata"]["resourceVersion"].to_string())
                .collect::<Vec<_>>(),
        )
    };
    until("every cluster is Ready", SETTLED_MAX, || {
        versions().inspect_err(|_| {
            // A thousand resources are much to read: the API server has better to do.
            thread::sleep(Duration::from_secs(5));
        })
    })?;
    let passes = operator::passes(&suite.kube, &suite.environment)?;
    note!(
        "  all Ready after {} s and {passes} passes",
        started.elapsed().as_secs()
    );
    let round = CLUSTERS as u64;
    // Whatever was still to be done is done by the time that each was looked at again.
    let passes = suite.await_passes(passes, round, SETTLED_MAX)?;
    let before = versions()?;
    let pods = suite
        .kube
        .list(&["pods", "--namespace", operator::NAMESPACE])?;
    let uid = pods[0]["metadata"]["uid"].as_str().ok_or("no operator")?;
    let pid = processes::operator_of(uid)?;
    let (began, ticks) = (Instant::now(), cpu_ticks(pid)?);
    suite.await_passes(passes, ROUNDS * round, SETTLED_MAX * 2)?;
    let took = began.elapsed();
    let spent = (cpu_ticks(pid)? - ticks) as f64 / 100.0 / took.as_secs_f64();
    let memory = memory_bytes(pid)?;
    note!(
        "  {CLUSTERS} clusters: {} MB, {:.2} % of a core over {} s",
        memory >> 20,
        spent * 100.0,
        took.as_secs()
    );
    ensure(memory < MEMORY_BYTES_MAX, || format!("{memory} bytes"))?;
    ensure(spent < CORE_MAX, || format!("{spent} of a core"))?;
    ensure(versions()? == before, || "something was written".to_owned())
}

/// `hollow.py`, and what leads to it.
struct Hollow {
    environment: Environment,
    network: String,
    children: Vec<Child>,
}

impl Hollow {
    fn start(suite: &Suite) -> Outcome<Self> {
        let environment = &suite.environment;
        let pods = suite
            .kube
            .list(&["pods", "--namespace", operator::NAMESPACE])?;
        let address = pods[0]["status"]["podIP"].as_str().ok_or("no operator")?;
        // The upper half of the pods' network, of which no node has a part.
        let pods = address.split('.').take(2).collect::<Vec<_>>().join(".");
        let mut hollow = Self {
            environment: environment.clone(),
            network: format!("{pods}.128.0"),
            children: Vec::new(),
        };
        hollow.route("add")?;
        let proxy = [
            environment.kubectl.as_os_str(),
            "--kubeconfig".as_ref(),
            environment.kubeconfig.as_os_str(),
            "proxy".as_ref(),
            "--port=8001".as_ref(),
        ];
        hollow.spawn(&proxy)?;
        let script = environment.project.join("tests/e2e/hollow.py");
        let python = [
            environment.python.as_os_str(),
            script.as_os_str(),
            "--api=http://127.0.0.1:8001".as_ref(),
            "--network".as_ref(),
            hollow.network.as_ref(),
        ]
        .map(OsString::from);
        // It needs the proxy at once.
        until("kubectl proxies", Duration::from_secs(30), || {
            inside(environment, || {
                crate::network::get("127.0.0.1:8001", "/version")
            })
        })?;
        hollow.spawn(&python.each_ref().map(OsString::as_os_str))?;
        Ok(hollow)
    }

    fn spawn(&mut self, command: &[&OsStr]) -> Outcome {
        let mut netns = OsString::from("--net=");
        netns.push(&self.environment.netns);
        let child = Command::new("nsenter")
            .arg(netns)
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("start {command:?}: {error}"))?;
        self.children.push(child);
        Ok(())
    }

    /// Addresses of hollow pods lead to the control plane's network, where the script listens.
    fn route(&self, action: &str) -> Outcome {
        let mut netns = OsString::from("--net=");
        netns.push(&self.environment.netns);
        let mut command = Command::new("nsenter");
        let network = format!("{}/17", self.network);
        command
            .arg(netns)
            .args(["ip", "route", action, "local", &network, "dev", "lo"]);
        let output = output(&mut command, None)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure(output.status.success(), || format!("ip route: {said}"))
    }
}

impl Drop for Hollow {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = self.route("delete");
    }
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
