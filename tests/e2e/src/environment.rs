//! What the tests are told of their cluster, by `cargo xtask test` or by hand.

use crate::Outcome;
use std::env;
use std::path::PathBuf;

/// How many nodes the local cluster has.
pub(crate) const NODES: u8 = 3;

/// The variables, each of which has to be there.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// The cluster's kubeconfig, with the rights of an administrator.
    pub(crate) kubeconfig: PathBuf,
    /// kubectl.
    pub(crate) kubectl: PathBuf,
    /// Helm.
    pub(crate) helm: PathBuf,
    /// A network namespace from which pods and services are reached.
    pub(crate) netns: PathBuf,
    /// Python with kazoo.
    pub(crate) python: PathBuf,
    /// The image of both programs, which every node has.
    pub(crate) image: String,
    /// `cargo xtask`, and its instance: it fails nodes and mends them.
    pub(crate) xtask: PathBuf,
    pub(crate) instance: String,
    /// The local cluster's folder.
    pub(crate) cluster: PathBuf,
    /// The project's folder.
    pub(crate) project: PathBuf,
}

impl Environment {
    /// Reads them. Without one the tests fail: what did not run is no success.
    pub(crate) fn read() -> Outcome<Self> {
        let variable = |name: &str| {
            env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
                format!("{name} is not set: these tests need a cluster; run `cargo xtask test --only e2e`")
            })
        };
        let project = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        Ok(Self {
            kubeconfig: variable("E2E_KUBECONFIG")?.into(),
            kubectl: variable("E2E_KUBECTL")?.into(),
            helm: variable("E2E_HELM")?.into(),
            netns: variable("E2E_NETNS")?.into(),
            python: variable("E2E_PYTHON")?.into(),
            image: variable("E2E_IMAGE")?,
            xtask: variable("E2E_XTASK")?.into(),
            instance: variable("E2E_INSTANCE")?,
            cluster: variable("E2E_NODE_DIR")?.into(),
            project: project
                .canonicalize()
                .map_err(|error| format!("find {}: {error}", project.display()))?,
        })
    }

    /// The id of one of the cluster's own processes, by its record.
    pub(crate) fn process(&self, name: &str) -> Outcome<u32> {
        let path = self.cluster.join("pids").join(name);
        let record = std::fs::read_to_string(&path)
            .map_err(|error| format!("read {}: {error}", path.display()))?;
        let id = record.split_whitespace().next().unwrap_or_default();
        id.parse()
            .map_err(|_| format!("{} names no process: {record}", path.display()))
    }

    /// Whether the cases that take minutes run, too.
    pub(crate) fn is_long() -> bool {
        env::var_os("E2E_LONG").is_some()
    }

    /// The chart under test.
    pub(crate) fn chart(&self) -> PathBuf {
        self.project.join("charts/zookeeper-operator")
    }

    /// The example that the README applies.
    pub(crate) fn small_example(&self) -> PathBuf {
        self.project.join("deploy/examples/small.yaml")
    }
}
