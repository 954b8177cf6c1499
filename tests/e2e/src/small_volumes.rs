//! Volumes that really run out of room: small file systems in memory, spread over the nodes.

use crate::Outcome;
use crate::ensemble::Member;
use crate::environment::{Environment, NODES};
use crate::kube::output;
use crate::suite::Suite;
use serde_json::json;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;

const SIZE: &str = "16Mi";
/// The user of the server in its image.
const USER: u32 = 10_001;

/// Volumes that are bound by claims of a class that nobody provisions.
#[derive(Debug)]
pub(crate) struct SmallVolumes {
    environment: Environment,
    /// The class, and the beginning of the volumes' names: of this run alone.
    class: String,
    /// How many there are.
    count: u8,
}

/// What fills a volume.
#[derive(Debug)]
pub(crate) struct Filler(PathBuf);

impl SmallVolumes {
    /// One volume on each node.
    pub(crate) fn make(suite: &Suite) -> Outcome<Self> {
        let mut volumes = Self {
            environment: suite.environment.clone(),
            class: format!("{}-small", suite.kube.namespace),
            count: 0,
        };
        volumes.add(suite, NODES)?;
        Ok(volumes)
    }

    /// Makes that many more, a node after the other: the file systems, and the volumes that lead to
    /// them.
    pub(crate) fn add(&mut self, suite: &Suite, more: u8) -> Outcome {
        let mut list = Vec::new();
        for number in self.count + 1..=self.count + more {
            let path = self.path(number);
            fs::create_dir_all(&path)
                .map_err(|error| format!("make {}: {error}", path.display()))?;
            let options = format!("size={SIZE},uid={USER},gid={USER},mode=0750").replace("Mi", "m");
            self.on_node(number, &["mount", "-t", "tmpfs", "-o", &options, "tmpfs"])?;
            self.count = number;
            let node = format!("node{}", node_of(number));
            list.push(json!({
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": self.name(number)},
                "spec": {
                    "capacity": {"storage": SIZE},
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": self.class,
                    "local": {"path": path},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                        {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]},
                    ]}]}},
                },
            }));
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": list});
        suite
            .kube
            .run_with(&["create", "--filename=-"], &list.to_string())
            .map(drop)
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
        let number = (1..=self.count)
            .find(|number| self.name(*number) == member.volume.1)
            .ok_or_else(|| format!("{} has the volume {}", member.pod, member.volume.1))?;
        let holder = self.holder(number)?;
        let path = self.path(number);
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
        for number in 1..=self.count {
            suite.kube.run(&["delete", "pv", &self.name(number)])?;
            self.on_node(number, &["umount"])?;
            let path = self.path(number);
            fs::remove_dir(&path).map_err(|error| format!("remove {}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn name(&self, number: u8) -> String {
        format!("{}-{number}", self.class)
    }

    fn path(&self, number: u8) -> PathBuf {
        self.environment.cluster.join(self.name(number))
    }

    fn holder(&self, number: u8) -> Outcome<u32> {
        let node = node_of(number);
        self.environment.process(&format!("node{node}-holder"))
    }

    /// Runs a command about a file system, among its node's mounts.
    fn on_node(&self, number: u8, command: &[&str]) -> Outcome {
        let mut enter = Command::new("nsenter");
        enter
            .arg(format!("--target={}", self.holder(number)?))
            .args(["--mount", "--"])
            .args(command)
            .arg(self.path(number));
        let output = output(&mut enter, None)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?} on node{}: {said}", node_of(number)))
    }
}

/// Which node has the volume of this number.
fn node_of(number: u8) -> u8 {
    (number - 1) % NODES + 1
}

impl Filler {
    /// Makes room again.
    pub(crate) fn remove(self) -> Outcome {
        fs::remove_file(&self.0).map_err(|error| format!("remove {}: {error}", self.0.display()))
    }
}
