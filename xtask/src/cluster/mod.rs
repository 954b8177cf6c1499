//! The local cluster: three nodes of a real Kubernetes on one bare machine.
//!
//! ```text
//! host ── veth ──┐
//!                control: etcd, API server, controllers, scheduler, DNS
//!                │ bridge 198.18.i.0/24
//!        ┌───────┼───────┐
//!      node1   node2   node3: containerd, kubelet, kube-proxy, pods
//! ```
//! Each of the four machines is a network, mount and PID namespace; see `process` for why ending
//! one is ending all of it.

mod addresses;
mod cgroups;
mod config;
mod machines;
mod network;
mod pki;
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) use addresses::NODES;
use addresses::{Addresses, INSTANCES_MAX};
use network::Network;
use pki::Pki;
use process::{Process, Records};

use crate::progress::Progress;
use crate::project::Project;
use crate::tools::Tools;
use crate::{debian, run};

/// One instance of the local cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    name: String,
    dir: PathBuf,
    at: Addresses,
    network: Network,
    pki: Pki,
    records: Records,
    tools: Tools,
}

/// The folders of an instance.
#[derive(Debug)]
struct Place {
    /// The name that users see; a link where the data is in memory.
    link: PathBuf,
    /// Where the data is.
    dir: PathBuf,
}

impl Place {
    fn of(project: &Project, instance: &str, in_memory: bool) -> Place {
        let link = project.state.join(instance);
        let dir = match in_memory {
            true => memory_dir(instance),
            false => link.clone(),
        };
        Place { link, dir }
    }
}

fn memory_dir(instance: &str) -> PathBuf {
    Path::new("/dev/shm/zookeeper-ensemble").join(instance)
}

/// Refuses names that could not be part of a namespace's, a cgroup's and a file's name.
pub(crate) fn check_instance(name: &str) -> Result<String, String> {
    let valid = !name.is_empty()
        && name.len() <= 20
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.as_bytes()[0].is_ascii_lowercase();
    match valid {
        true => Ok(name.to_owned()),
        false => Err("1 to 20 of a–z, 0–9 and -, with a letter first".to_owned()),
    }
}

impl Cluster {
    /// Makes the cluster or what lacks of it, and waits until its nodes are Ready.
    pub(crate) fn up(
        project: &Project,
        progress: &Progress,
        instance: &str,
        in_memory: bool,
    ) -> Result<Cluster> {
        if !nix::unistd::geteuid().is_root() {
            bail!(
                "a local cluster needs root: run this as root, or name a cluster that kubectl \
                 reaches with --context"
            );
        }
        debian::require(project, progress, debian::FOR_CLUSTER)?;
        let tools = Tools::ready(project, progress)?;
        let _lock = project.lock(instance)?;
        let place = Place::of(project, instance, in_memory);
        if place.link.exists() && !still_whole(&place.link, instance) {
            progress.note("a cluster of this name did not end well; it is made anew");
            remove(project, instance)?;
        }
        make_place(project, &place)?;
        // What programs are told must hold in their mount namespace too, so links are resolved.
        let dir = place
            .link
            .canonicalize()
            .with_context(|| format!("find {}", place.link.display()))?;
        let cluster = Cluster::at(dir, instance, tools, take_index(project, instance)?)?;
        let started = std::time::Instant::now();
        progress.step("Start the control plane", |_| cluster.start_control())?;
        progress.step(&format!("Start {NODES} nodes"), |_| cluster.start_nodes())?;
        progress.step("Wait until every node is Ready", |step| {
            cluster.wait_for_nodes(step)
        })?;
        progress.note(&format!(
            "the cluster took {:.1} s",
            started.elapsed().as_secs_f32()
        ));
        Ok(cluster)
    }

    /// The instance, if it is up.
    pub(crate) fn existing(project: &Project, instance: &str) -> Result<Cluster> {
        let link = project.state.join(instance);
        let index = read_index(&link);
        let (Ok(dir), Some(index)) = (link.canonicalize(), index) else {
            bail!("no local cluster {instance}: `cargo xtask up` makes one");
        };
        let cluster = Cluster::at(dir, instance, Tools::in_cache(project)?, index)?;
        if !cluster.kubeconfig().exists() {
            bail!("the local cluster {instance} is not whole: `cargo xtask up` mends it");
        }
        Ok(cluster)
    }

    fn at(dir: PathBuf, instance: &str, tools: Tools, index: u8) -> Result<Cluster> {
        let at = Addresses::new(index).context("the instance's index is out of range")?;
        Ok(Cluster {
            name: instance.to_owned(),
            network: Network::new(instance, at),
            pki: Pki::new(dir.join("pki")),
            records: Records::new(dir.join("pids")),
            dir,
            at,
            tools,
        })
    }

    /// The kubeconfig with every right.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.pki.kubeconfig("admin").into()
    }

    /// A program of the cluster's release.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.tools.path(name)
    }

    /// The namespace from which pods and services are reached.
    pub(crate) fn netns(&self) -> PathBuf {
        self.network.control()
    }

    /// The folder with `volumes/`, `logs/` and `pids/`.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// kubectl, set up for this cluster.
    pub(crate) fn kubectl(&self) -> Command {
        let mut kubectl = Command::new(self.tool("kubectl"));
        kubectl.arg("--kubeconfig").arg(self.kubeconfig());
        kubectl
    }

    /// Makes an image of a docker-archive known to every node.
    pub(crate) fn import(&self, tar: &Path) -> Result<()> {
        std::thread::scope(|scope| {
            let imports: Vec<_> = (1..=NODES)
                .map(|node| scope.spawn(move || self.import_on(node, tar)))
                .collect();
            imports.into_iter().try_for_each(|import| {
                import
                    .join()
                    .unwrap_or_else(|_| bail!("the thread of an import panicked"))
            })
        })
    }

    fn import_on(&self, node: u8, tar: &Path) -> Result<()> {
        let holder = self.holder(&format!("node{node}"))?;
        let tar = std::path::absolute(tar).with_context(|| format!("find {}", tar.display()))?;
        let ctr = run::find("ctr").context("ctr is missing: install containerd")?;
        process::run_on(
            &holder,
            &ctr.to_string_lossy(),
            &[
                "--namespace=k8s.io",
                "images",
                "import",
                &tar.to_string_lossy(),
            ],
        )
        .with_context(|| format!("import {} on node{node}", tar.display()))
    }

    fn holder(&self, machine: &str) -> Result<Process> {
        self.records
            .running(&format!("{machine}-holder"))
            .with_context(|| {
                format!("{machine} of the local cluster is down: `cargo xtask up` starts it")
            })
    }

    /// Ends all of one node at once, as when its power fails.
    pub(crate) fn stop_node(&self, node: u8) -> Result<()> {
        process::end(&[self.holder(&format!("node{node}"))?])
    }

    /// Cuts a node off from the others, or joins it again.
    pub(crate) fn connect_node(&self, node: u8, up: bool) -> Result<()> {
        self.network.connect(node, up)
    }
}

/// Whether what holds the cluster together is there: after a reboot none of it is.
fn still_whole(link: &Path, instance: &str) -> bool {
    let Some(at) = read_index(link).and_then(Addresses::new) else {
        return false;
    };
    Network::new(instance, at).complete()
        && Records::new(link.join("pids"))
            .running("control-holder")
            .is_some()
}

fn make_place(project: &Project, place: &Place) -> Result<()> {
    if place.link.exists() {
        return Ok(());
    }
    for dir in [&project.state, &place.dir] {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    }
    if place.link != place.dir {
        std::os::unix::fs::symlink(&place.dir, &place.link)
            .with_context(|| format!("link {}", place.link.display()))?;
    }
    Ok(())
}

fn read_index(dir: &Path) -> Option<u8> {
    fs::read_to_string(dir.join("index"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// The instance's index, the lowest that no other instance has when it is new.
fn take_index(project: &Project, instance: &str) -> Result<u8> {
    let own = project.state.join(instance);
    if let Some(index) = read_index(&own) {
        return Ok(index);
    }
    let entries = fs::read_dir(&project.state)
        .with_context(|| format!("list {}", project.state.display()))?;
    let taken: Vec<u8> = entries
        .flatten()
        .filter_map(|entry| read_index(&entry.path()))
        .collect();
    let free = (0..INSTANCES_MAX)
        .find(|index| !taken.contains(index) && !link_taken(*index))
        .with_context(|| format!("{INSTANCES_MAX} instances are up: `cargo xtask down` one"))?;
    let path = own.join("index");
    fs::write(&path, format!("{free}\n")).with_context(|| format!("write {}", path.display()))?;
    Ok(free)
}

/// Another user's instance leaves no file here, but its link is seen by all.
fn link_taken(index: u8) -> bool {
    Addresses::new(index)
        .is_some_and(|at| Path::new("/sys/class/net").join(at.host_link()).exists())
}

/// Takes the instance away, whatever of it is there. Caches stay.
pub(crate) fn down(project: &Project, progress: &Progress, instance: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("taking a local cluster away needs root");
    }
    let _lock = project.lock(instance)?;
    progress.step(&format!("Take the local cluster {instance} away"), |_| {
        remove(project, instance)
    })?;
    // Other instances are the reason why these may stay.
    let _ = fs::remove_dir(&project.state);
    let _ = fs::remove_dir("/dev/shm/zookeeper-ensemble");
    Ok(())
}

fn remove(project: &Project, instance: &str) -> Result<()> {
    let link = project.state.join(instance);
    process::end(&Records::new(link.join("pids")).all_running())?;
    // A crash between a start and its record leaves processes that only their namespace tells.
    for name in network::existing(instance) {
        process::end(&process::in_network_namespace(&network::path_of(&name))?)?;
    }
    network::delete(instance, read_index(&link).and_then(Addresses::new))?;
    cgroups::remove(&cgroups::of_instance(instance))?;
    cgroups::remove_empty_parent();
    for dir in [link.clone(), memory_dir(instance)] {
        remove_place(&dir)?;
    }
    // Only the mount point; what was in it is in the state that is gone. Removing it would take
    // the mount away from the nodes of any other instance too.
    if !(0..INSTANCES_MAX).any(link_taken) {
        let _ = fs::remove_dir(config::VOLUMES);
    }
    Ok(())
}

fn remove_place(dir: &Path) -> Result<()> {
    let context = || format!("remove {}", dir.display());
    match fs::symlink_metadata(dir) {
        Err(_) => Ok(()),
        Ok(meta) if meta.is_symlink() => fs::remove_file(dir).with_context(context),
        Ok(_) => fs::remove_dir_all(dir).with_context(context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_s_name_is_safe_in_a_path() {
        for good in ["main", "test", "a-1"] {
            assert!(check_instance(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "..",
            "a/b",
            "A",
            "1a",
            "-a",
            "a-very-long-name-of-an-instance",
        ] {
            assert!(check_instance(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_new_instance_takes_an_index_that_no_other_has() {
        let dir = tempfile::tempdir().expect("a folder");
        let project = Project {
            root: dir.path().into(),
            target: dir.path().into(),
            cache: dir.path().into(),
            state: dir.path().into(),
        };
        for name in ["a", "b"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        let first = take_index(&project, "a").expect("free");
        let second = take_index(&project, "b").expect("free");
        assert_ne!(first, second);
        assert_eq!(take_index(&project, "a").expect("kept"), first);
    }
}
