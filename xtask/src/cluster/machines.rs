//! Starting what runs on the control plane and on the nodes, and waiting for it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::addresses::NODES;
use super::config::{self, CONTROLLER_USER, NodePaths, PAUSE_IMAGE, VOLUMES};
use super::process::{self, Process, Program};
use super::{Cluster, cgroups};
use crate::progress::Step;
use crate::{image, run};

/// Seen to take 5 s on a quiet machine; a shared one may stall.
const API_SERVER_MAX: Duration = Duration::from_secs(120);

/// Seen to take 10 s.
const NODES_MAX: Duration = Duration::from_secs(180);

/// Kernel settings that kubelet changes, and what it wants them to be (kubelet's
/// `container_manager_linux.go` setupKernelTunables). A node gets files of its own in their
/// place, so that the settings of the whole machine stay as they are.
const TUNABLES: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

impl Cluster {
    /// Starts what lacks of the control plane and waits until the API server serves.
    pub(super) fn start_control(&self) -> Result<()> {
        if !self.network.complete() {
            self.network.make()?;
        }
        self.pki.make(self.at)?;
        self.make_volumes_dir()?;
        self.make_node_dirs()?;
        let holder = self.start_holder("control", &self.network.control(), Vec::new())?;
        let corefile = self.dir.join("Corefile");
        write(&corefile, &config::corefile(self.at, &self.pki))?;
        let etcd = run::find("etcd").context("etcd is missing: install etcd-server")?;
        self.ensure(&holder, "etcd", etcd, config::etcd())?;
        let apiserver = config::apiserver(self.at, &self.pki);
        self.ensure_tool(&holder, "kube-apiserver", apiserver)?;
        // Nodes need nothing of the API server to start their container runtimes.
        for node in 1..=NODES {
            self.start_containerd(node)?;
        }
        self.wait_for_api_server()?;
        let manager = config::controller_manager(&self.pki);
        let setpriv = run::find("setpriv").context("setpriv is missing: install util-linux")?;
        let arguments = config::as_controller_user(&self.tool("kube-controller-manager"), manager);
        self.ensure(&holder, "kube-controller-manager", setpriv, arguments)?;
        self.ensure_tool(&holder, "kube-scheduler", config::scheduler(&self.pki))?;
        let dns = vec![format!("-conf={}", corefile.display())];
        self.ensure_tool(&holder, "coredns", dns)?;
        // Stands where node1 does; what counts is that services are reached from here, by the API
        // server's webhooks and by tests.
        let proxy = config::proxy(self.at, &self.pki, 1);
        self.ensure_tool(&holder, "kube-proxy", proxy)
    }

    /// Starts what lacks of the nodes.
    pub(super) fn start_nodes(&self) -> Result<()> {
        let pause = self.dir.join("pause.tar");
        if !pause.exists() {
            image::single(&self.tool("pause"), "pause", &pause, PAUSE_IMAGE)?;
        }
        let manifests = config::manifests(self.at);
        thread::scope(|scope| {
            let applied = scope.spawn(|| {
                run::run_with_input(self.kubectl().args(["apply", "--filename=-"]), &manifests)
            });
            for node in 1..=NODES {
                self.start_node(node, &pause)?;
            }
            applied
                .join()
                .unwrap_or_else(|_| bail!("the thread that applies manifests panicked"))
        })
    }

    /// Starts what lacks of one node.
    pub(crate) fn start_node(&self, node: u8, pause: &Path) -> Result<()> {
        let holder = self.start_containerd(node)?;
        let paths = self.node_paths(node);
        self.wait_for_containerd(node, &holder)?;
        let imported = Path::new(&paths.dir).join("pause-imported");
        if !imported.exists() {
            self.import_on(node, pause)?;
            write(&imported, "")?;
        }
        let flags = config::kubelet_flags(self.at, &self.pki, node, &paths);
        self.ensure(
            &holder,
            &format!("node{node}-kubelet"),
            self.tool("kubelet"),
            flags,
        )?;
        let flags = config::proxy(self.at, &self.pki, node);
        self.ensure(
            &holder,
            &format!("node{node}-kube-proxy"),
            self.tool("kube-proxy"),
            flags,
        )
    }

    /// Starts one node again after [`Cluster::stop_node`].
    pub(crate) fn restart_node(&self, node: u8) -> Result<()> {
        self.start_node(node, &self.dir.join("pause.tar"))
    }

    fn start_containerd(&self, node: u8) -> Result<Process> {
        let machine = format!("node{node}");
        let paths = self.node_paths(node);
        let dir = PathBuf::from(&paths.dir);
        cgroups::make(&paths.cgroup)?;
        for (name, text) in [
            ("containerd.toml", config::containerd(&paths)),
            ("kubelet.json", config::kubelet(self.at, &self.pki, &paths)),
            (
                "cni/net.d/10-pods.conflist",
                config::cni(self.at, node, &paths),
            ),
            ("resolv.conf", String::new()),
        ] {
            write(&dir.join(name), &text)?;
        }
        let mut binds = Vec::new();
        for (name, value) in TUNABLES {
            let file = dir.join("sysctl").join(name);
            let real = Path::new("/proc/sys").join(name);
            if real.exists() {
                write(&file, &format!("{value}\n"))?;
                binds.push((file, real));
            }
        }
        let holder = self.start_holder(&machine, &self.network.node(node), binds)?;
        let containerd = run::find("containerd").context("containerd is missing: install it")?;
        let arguments = vec![format!("--config={}/containerd.toml", paths.dir)];
        self.ensure(
            &holder,
            &format!("{machine}-containerd"),
            containerd,
            arguments,
        )?;
        Ok(holder)
    }

    fn start_holder(
        &self,
        machine: &str,
        netns: &Path,
        mut binds: Vec<(PathBuf, PathBuf)>,
    ) -> Result<Process> {
        let name = format!("{machine}-holder");
        if let Some(holder) = self.records.running(&name) {
            return Ok(holder);
        }
        // The pods that had these addresses ended with the machine's last holder.
        let leases = self.dir.join(machine).join("cni/addresses");
        if leases.exists() {
            fs::remove_dir_all(&leases).with_context(|| format!("remove {}", leases.display()))?;
        }
        fs::create_dir_all(VOLUMES).with_context(|| format!("make {VOLUMES}"))?;
        binds.push((self.dir.join("volumes"), PathBuf::from(VOLUMES)));
        process::start_holder(&self.records, &name, &self.tool("pause"), netns, &binds)
            .with_context(|| format!("start {machine}"))
    }

    fn ensure_tool(&self, holder: &Process, name: &str, arguments: Vec<String>) -> Result<()> {
        self.ensure(holder, name, self.tool(name), arguments)
    }

    /// Starts the program unless it runs.
    fn ensure(
        &self,
        holder: &Process,
        name: &str,
        path: PathBuf,
        arguments: Vec<String>,
    ) -> Result<()> {
        if self.records.running(name).is_some() {
            return Ok(());
        }
        let program = Program {
            name,
            path,
            arguments,
        };
        process::start(&self.records, holder, &program, &self.log(name)).map(drop)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    fn node_paths(&self, node: u8) -> NodePaths {
        NodePaths {
            dir: self
                .dir
                .join(format!("node{node}"))
                .to_string_lossy()
                .into_owned(),
            cgroup: cgroups::of_node(&self.name, node),
            cni_plugins: "/usr/lib/cni".to_owned(),
        }
    }

    fn make_node_dirs(&self) -> Result<()> {
        for node in 1..=NODES {
            for part in [
                "containerd",
                "kubelet",
                "kubelet-pki",
                "cni/net.d",
                "pod-logs",
                "volume-plugins",
            ] {
                let path = self.dir.join(format!("node{node}")).join(part);
                fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn make_volumes_dir(&self) -> Result<()> {
        let volumes = self.dir.join("volumes");
        fs::create_dir_all(&volumes).with_context(|| format!("make {}", volumes.display()))?;
        let protect = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
                .with_context(|| format!("set the mode of {}", path.display()))
        };
        chown(&volumes, Some(CONTROLLER_USER), Some(CONTROLLER_USER))
            .with_context(|| format!("hand over {}", volumes.display()))?;
        protect(&volumes, 0o755)?;
        Ok(())
    }

    fn wait_for_api_server(&self) -> Result<()> {
        let ready = || {
            run::succeeds(
                self.kubectl()
                    .args(["get", "--raw=/readyz", "--request-timeout=5s"]),
            )
        };
        self.wait(
            "kube-apiserver",
            API_SERVER_MAX,
            &["etcd", "kube-apiserver"],
            ready,
        )
    }

    fn wait_for_containerd(&self, node: u8, holder: &Process) -> Result<()> {
        let name = format!("node{node}-containerd");
        let socket = format!("/proc/{}/root/run/containerd/containerd.sock", holder.pid());
        self.wait(&name, API_SERVER_MAX, &[&name], || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })
    }

    /// Waits until `ready`, as long as the named programs run.
    fn wait(
        &self,
        what: &str,
        max: Duration,
        programs: &[&str],
        ready: impl Fn() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + max;
        while !ready() {
            let ended = programs
                .iter()
                .find(|name| self.records.running(name).is_none());
            if let Some(ended) = ended {
                bail!("{ended} ended:\n{}", self.log_tail(ended));
            }
            if Instant::now() > deadline {
                bail!(
                    "{what} is not ready after {} s:\n{}",
                    max.as_secs(),
                    self.log_tail(what)
                );
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn log_tail(&self, name: &str) -> String {
        let path = self.log(name);
        let text = fs::read(&path).unwrap_or_default();
        format!(
            "{} ends:\n{}",
            path.display(),
            run::tail(&String::from_utf8_lossy(&text), 15)
        )
    }

    pub(super) fn wait_for_nodes(&self, step: &Step) -> Result<()> {
        let deadline = Instant::now() + NODES_MAX;
        loop {
            let ready = ready_nodes(&mut self.kubectl())?;
            if ready == usize::from(NODES) {
                return Ok(());
            }
            step.detail(&format!("{ready} of {NODES}"));
            for node in 1..=NODES {
                let name = format!("node{node}-kubelet");
                if self.records.running(&name).is_none() {
                    bail!("{name} ended:\n{}", self.log_tail(&name));
                }
            }
            if Instant::now() > deadline {
                bail!(
                    "{ready} of {NODES} nodes are Ready:\n{}",
                    self.log_tail("node1-kubelet")
                );
            }
            thread::sleep(Duration::from_millis(300));
        }
    }
}

fn ready_nodes(kubectl: &mut Command) -> Result<usize> {
    let template = r#"--output=jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#;
    let text = run::output(kubectl.args(["get", "nodes", template]))?;
    Ok(text.lines().filter(|line| line.trim() == "True").count())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
