//! Names that people and other programs may rely on: labels, annotations, ports.

/// The API group, and the prefix of every label and annotation of ours.
pub const GROUP: &str = "zookeeper.ensemble.dev";
/// The field manager of every server-side apply, and the reporter of Events.
pub const OPERATOR: &str = "zookeeper-operator";

/// Label on every object and volume of a cluster; its value is the cluster's name.
///
/// Selectors use this label alone: the well-known `app.kubernetes.io` labels
/// could be shared with another chart's ZooKeeper of the same name.
pub const LABEL_CLUSTER: &str = "zookeeper.ensemble.dev/cluster";

/// On a pod template: the hash of the zoo.cfg its server was to start with.
pub const ANNOTATION_CONFIG_HASH: &str = "zookeeper.ensemble.dev/config-hash";
/// On a pod template: the hash of the certificates its server was to start with. Nothing writes
/// certificates yet; the planner restarts members by it already.
pub const ANNOTATION_CERTIFICATES_HASH: &str = "zookeeper.ensemble.dev/certificates-hash";
/// On a pod template: the hash of the template itself, without this annotation.
pub const ANNOTATION_TEMPLATE_HASH: &str = "zookeeper.ensemble.dev/template-hash";
/// On every owned object: the hash of what the operator last applied to it.
pub const ANNOTATION_APPLIED_HASH: &str = "zookeeper.ensemble.dev/applied-hash";
/// On a cluster: change its value to restart every member in order.
pub const ANNOTATION_RESTART: &str = "zookeeper.ensemble.dev/restart";
/// On a pod: any value restarts that member alone, when it is safe.
pub const ANNOTATION_RESTART_POD: &str = "zookeeper.ensemble.dev/restart-pod";
/// On a cluster: `"true"` lets empty disks found an ensemble although volumes
/// older than the resource exist. It is heard only before the first quorum.
pub const ANNOTATION_BOOTSTRAP: &str = "zookeeper.ensemble.dev/bootstrap";
/// On a StatefulSet: which pod is about to be deleted, and since when. It is
/// written against the resourceVersion that the decision was made on, so of two
/// operators, or of two decisions, only one can be carried out.
pub const ANNOTATION_RESTARTING: &str = "zookeeper.ensemble.dev/restarting";
/// On a StatefulSet: which leader's pod was asked to hand over, and when.
pub const ANNOTATION_HAND_OVER: &str = "zookeeper.ensemble.dev/hand-over";
/// On a cluster that lost its quorum for good: [`RECOVERY_CONSENT`] lets as many
/// empty disks vote as it takes beside the members that still have data. A value
/// counts once; for another time, put anything behind it.
pub const ANNOTATION_RECOVER: &str = "zookeeper.ensemble.dev/recover-quorum";
/// What the value begins with.
pub const RECOVERY_CONSENT: &str = "accept-data-loss";
/// On a cluster: `"true"` lets an image in whose version the path check refuses.
pub const ANNOTATION_ALLOW_VERSION: &str = "zookeeper.ensemble.dev/allow-version-change";
/// Set by the StatefulSet controller on each pod: its own name.
pub const LABEL_POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// Set by the StatefulSet controller on each pod: the revision it was made from.
pub const LABEL_REVISION: &str = "controller-revision-hash";

/// Where clients connect.
pub const PORT_CLIENT: i32 = 2181;
/// Where followers connect to the leader.
pub const PORT_QUORUM: i32 = 2888;
/// Where members hold elections.
pub const PORT_ELECTION: i32 = 3888;
/// The AdminServer: probes and `/member`.
pub const PORT_ADMIN: u16 = 8080;
/// Metrics in Prometheus' text format.
pub const PORT_METRICS: i32 = 7000;
