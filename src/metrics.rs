//! The operator's own metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Cluster {
    namespace: String,
    name: String,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    passes: Family<Outcome, Counter>,
    duration: Histogram,
    restarts: Family<Cluster, Counter>,
    changes: Family<Cluster, Counter>,
    degraded: Family<Cluster, Gauge>,
    quorum: Family<Cluster, Gauge>,
    serving: Family<Cluster, Gauge>,
    wanted: Family<Cluster, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("zookeeper_operator");
        let passes = Family::default();
        let duration = Histogram::new(exponential_buckets(0.005, 2.0, 12));
        let (restarts, changes) = (Family::default(), Family::default());
        let (degraded, quorum) = (Family::default(), Family::default());
        let (serving, wanted) = (Family::default(), Family::default());
        registry.register(
            "reconciles",
            "Passes over a cluster, by how they ended",
            passes.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "How long a pass took",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register(
            "member_restarts",
            "Members the operator restarted",
            restarts.clone(),
        );
        registry.register(
            "membership_changes",
            "Changes of the membership that ensembles made for the operator",
            Clone::clone(&changes),
        );
        registry.register(
            "cluster_degraded",
            "1 while something needs a person",
            Clone::clone(&degraded),
        );
        registry.register(
            "cluster_quorum_available",
            "1 while a synced majority serves",
            quorum.clone(),
        );
        registry.register(
            "cluster_members_serving",
            "Members that serve",
            serving.clone(),
        );
        registry.register(
            "cluster_members_wanted",
            "Members the spec asks for",
            wanted.clone(),
        );
        Self {
            registry,
            passes,
            duration,
            restarts,
            changes,
            degraded,
            quorum,
            serving,
            wanted,
        }
    }
}

impl Metrics {
    /// Counts a pass.
    pub fn pass(&self, succeeded: bool, took: Duration) {
        let outcome = if succeeded { "success" } else { "error" };
        self.passes.get_or_create(&Outcome { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a restart.
    pub fn restarted(&self, namespace: &str, name: &str) {
        self.restarts.get_or_create(&cluster(namespace, name)).inc();
    }

    /// Counts a change of the membership.
    pub fn membership_changed(&self, namespace: &str, name: &str) {
        self.changes.get_or_create(&cluster(namespace, name)).inc();
    }

    /// Notes whether something needs a person.
    pub fn degraded(&self, namespace: &str, name: &str, degraded: bool) {
        let gauge = self.degraded.get_or_create(&cluster(namespace, name));
        gauge.set(i64::from(degraded));
    }

    /// Notes how a cluster is.
    pub fn seen(&self, namespace: &str, name: &str, quorum: bool, serving: i64, wanted: i64) {
        let cluster = cluster(namespace, name);
        self.quorum.get_or_create(&cluster).set(i64::from(quorum));
        self.serving.get_or_create(&cluster).set(serving);
        self.wanted.get_or_create(&cluster).set(wanted);
    }

    /// Forgets a cluster that is gone.
    pub fn gone(&self, namespace: &str, name: &str) {
        let cluster = cluster(namespace, name);
        self.restarts.remove(&cluster);
        self.changes.remove(&cluster);
        self.degraded.remove(&cluster);
        self.quorum.remove(&cluster);
        self.serving.remove(&cluster);
        self.wanted.remove(&cluster);
    }

    /// All of it, in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }
}

fn cluster(namespace: &str, name: &str) -> Cluster {
    Cluster {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}
