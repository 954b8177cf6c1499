//! The resource as a person changes it.

use crate::Outcome;
use crate::kube::Kube;
use serde_json::{Value, json};

/// A resource of this name.
pub(crate) fn manifest(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "zookeeper.ensemble.dev/v1alpha1",
        "kind": "ZooKeeperCluster",
        "metadata": {"name": name},
        "spec": spec,
    })
}

impl Kube {
    /// Makes its namespace, where only what meets Pod Security `restricted` may run.
    pub(crate) fn make_namespace(&self) -> Outcome {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": self.namespace,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        });
        self.run_with(&["create", "--filename=-"], &namespace.to_string())
            .map(drop)
    }

    /// `kubectl apply` of any object.
    pub(crate) fn apply(&self, object: &Value) -> Outcome {
        self.run_with(&["apply", "--filename=-"], &object.to_string())
            .map(drop)
    }

    /// Merges `spec` into a resource's.
    pub(crate) fn change(&self, name: &str, spec: &Value) -> Outcome {
        let patch = json!({"spec": spec}).to_string();
        self.run(&["patch", "zk", name, "--type=merge", "--patch", &patch])
            .map(drop)
    }

    /// `kubectl scale`.
    pub(crate) fn scale(&self, name: &str, voters: usize) -> Outcome {
        let replicas = format!("--replicas={voters}");
        self.run(&["scale", &format!("zk/{name}"), &replicas])
            .map(drop)
    }

    /// Asks for a restart of every member, by an annotation that no other case has written.
    pub(crate) fn roll(&self, name: &str, why: &str) -> Outcome {
        let restart = format!("zookeeper.ensemble.dev/restart={why}-{}", self.namespace);
        self.run(&["annotate", "zk", name, "--overwrite", &restart])
            .map(drop)
    }
}
