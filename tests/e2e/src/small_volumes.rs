//! Volumes that really run out of room: a small file system in memory on each node.

use crate::Outcome;
use crate::ensemble::Member;
use crate::environment::Environment;
use crate::kube::output;
use crate::suite::Suite;
use serde_json::json;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;

/// How many nodes the local cluster has.
const NODES: u8 = 3;
const SIZE: &str = "16Mi";
/// The user of the server in its image.
const USER: u32 = 10_001;

/// One volume on each node, bound by claims of a class that nobody provisions.
#[derive(Debug)]
pub(crate) struct SmallVolumes {
    environment: Environment,
    /// The class, and the beginning of the volumes' names: of this run alone.
    class: String,
}

/// What fills a volume.
#[derive(Debug)]
pub(crate) struct Filler(PathBuf);

impl SmallVolumes {
    /// Makes the file systems, and the volumes that lead to them.
    pub(crate) fn make(suite: &Suite) -> Outcome<Self> {
        let volumes = Self {
            environment: suite.environment.clone(),
            class: format!("{}-small", suite.kube.namespace),
        };
        let mut list = Vec::new();
        for node in 1..=NODES {
            let path = volumes.path(node);
            fs::create_dir_all(&path)
                .map_err(|error| format!("make {}: {error}", path.display()))?;
            let options = format!("size={SIZE},uid={USER},gid={USER},mode=0750").replace("Mi", "m");
            volumes.on_node(node, &["mount", "-t", "tmpfs", "-o", &options, "tmpfs"])?;
            list.push(json!({
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": format!("{}-{node}", volumes.class)},
                "spec": {
                    "capacity": {"storage": SIZE},
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": volumes.class,
                    "local": {"path": path},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                        {"key": "kubernetes.io/hostname", "operator": "In", "values": [format!("node{node}")]},
                    ]}]}},
                },
            }));
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": list});
        suite
            .kube
            .run_with(&["create", "--filename=-"], &list.to_string())?;
        Ok(volumes)
    }

    /// The class that a claim names.
    pub(crate) fn class(&self) -> &str {
        &self.class
    }

    /// The size that a claim asks for.
    pub(crate) fn size(&self) -> &'static str {
        SIZE
    }

    /// Leaves no room in a member's volume.
    pub(crate) fn fill(&self, member: &Member) -> Outcome<Filler> {
        let digits = member
            .node
            .trim_start_matches(|c: char| !c.is_ascii_digit());
        let node: u8 = digits
            .parse()
            .map_err(|_| format!("{} has no number", member.node))?;
        let holder = self.holder(node)?;
        let path = self.path(node);
        let relative = path.strip_prefix("/").unwrap_or(&path);
        // The node's own view: its mounts are nobody else's.
        let filler = PathBuf::from(format!("/proc/{holder}/root"))
            .join(relative)
            .join("filler");
        let failed = |error: std::io::Error| format!("fill {}: {error}", filler.display());
        let mut file = fs::File::create(&filler).map_err(failed)?;
        loop {
            match file.write_all(&[0x5a; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(Filler(filler)),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Takes all of it away. Nothing of an ensemble may be left that uses it.
    pub(crate) fn remove(&self, suite: &Suite) -> Outcome {
        let claims = suite.kube.list(&["pvc"])?;
        let names: Vec<&str> = claims
            .iter()
            .filter(|claim| claim["spec"]["storageClassName"] == self.class)
            .filter_map(|claim| claim["metadata"]["name"].as_str())
            .collect();
        if !names.is_empty() {
            // A claim goes only after the last pod that uses it.
            let delete = ["delete", "pvc", "--timeout=120s"];
            suite.kube.run(&[&delete, names.as_slice()].concat())?;
        }
        for node in 1..=NODES {
            let volume = format!("{}-{node}", self.class);
            suite.kube.run(&["delete", "pv", &volume])?;
            self.on_node(node, &["umount"])?;
            let path = self.path(node);
            fs::remove_dir(&path).map_err(|error| format!("remove {}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn path(&self, node: u8) -> PathBuf {
        self.environment
            .cluster
            .join(format!("{}-{node}", self.class))
    }

    fn holder(&self, node: u8) -> Outcome<u32> {
        self.environment.process(&format!("node{node}-holder"))
    }

    /// Runs a command about the node's file system, among the node's mounts.
    fn on_node(&self, node: u8, command: &[&str]) -> Outcome {
        let mut enter = Command::new("nsenter");
        enter
            .arg(format!("--target={}", self.holder(node)?))
            .args(["--mount", "--"])
            .args(command)
            .arg(self.path(node));
        let output = output(&mut enter, None)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?} on node{node}: {said}"))
    }
}

impl Filler {
    /// Makes room again.
    pub(crate) fn remove(self) -> Outcome {
        fs::remove_file(&self.0).map_err(|error| format!("remove {}: {error}", self.0.display()))
    }
}
