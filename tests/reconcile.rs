//! The operator against an API server in memory.

#[path = "reconcile/boundaries.rs"]
mod boundaries;
#[path = "reconcile/contract.rs"]
mod contract;
#[path = "reconcile/ending.rs"]
mod ending;
#[path = "reconcile/everyday.rs"]
mod everyday;
#[path = "reconcile/sizes.rs"]
mod sizes;
#[path = "reconcile/steady.rs"]
mod steady;
mod support;
#[path = "reconcile/users.rs"]
mod users;
#[path = "reconcile/volumes.rs"]
mod volumes;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use support::{CREATED, Fake, NAMESPACE, World};
use zookeeper_operator::controller::Operator;
use zookeeper_operator::crd::ZooKeeperCluster;
use zookeeper_operator::metrics::Metrics;
use zookeeper_operator::valid::Settings;

const CLUSTER: &str =
    "/apis/zookeeper.ensemble.dev/v1alpha1/namespaces/default/zookeeperclusters/demo";
const SET: &str = "/apis/apps/v1/namespaces/default/statefulsets/demo";
const CONFIG: &str = "/api/v1/namespaces/default/configmaps/demo-config";

fn size(voters: i32, observers: i32) -> Value {
    json!({"replicas": voters, "observers": observers})
}

struct Scene {
    fake: Fake,
    operator: Operator,
    /// Seconds since 1970; every pass takes one.
    now: Arc<AtomicI64>,
}

fn operator(fake: &Fake, now: &Arc<AtomicI64>) -> Operator {
    let settings = Settings {
        default_image: "ensemble.dev/zookeeper:test".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        operator_namespace: Some("operators".to_owned()),
    };
    let now = now.clone();
    Operator::new(
        fake.client(),
        settings,
        Arc::new(fake.clone()),
        Arc::new(fake.clone()),
        Arc::new(Metrics::default()),
        None,
        Arc::new(move || Timestamp::from_second(now.load(Ordering::Relaxed)).expect("in range")),
    )
}

impl Scene {
    fn new(spec: Value) -> Self {
        let fake = Fake::default();
        fake.0.lock().expect("unpoisoned").insert(
            CLUSTER,
            json!({
                "apiVersion": "zookeeper.ensemble.dev/v1alpha1", "kind": "ZooKeeperCluster",
                "metadata": {"name": "demo", "namespace": NAMESPACE, "generation": 1, "creationTimestamp": CREATED},
                "spec": spec,
            }),
        );
        let created: Timestamp = CREATED.parse().expect("a time");
        let now = Arc::new(AtomicI64::new(created.as_second() + 600));
        Self {
            operator: operator(&fake, &now),
            fake,
            now,
        }
    }

    /// The same world once more, with an operator that knows nothing of it.
    fn copy(&self) -> Self {
        let fake = Fake(Arc::new(Mutex::new(self.world(|world| world.clone()))));
        let now = Arc::new(AtomicI64::new(self.now.load(Ordering::Relaxed)));
        Self {
            operator: operator(&fake, &now),
            fake,
            now,
        }
    }

    fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.fake.0.lock().expect("unpoisoned"))
    }

    fn object(&self, path: &str) -> Value {
        self.world(|world| world.objects.get(path).cloned().unwrap_or(Value::Null))
    }

    /// Passes and controllers until nothing is written any more; how many it took.
    async fn settle(&mut self) -> usize {
        for pass in 0..400 {
            let before = self.world(|world| (world.writes.len(), world.writes_left));
            let done = self.operator.reconcile(&self.resource()).await;
            if done.is_err() && before.1.is_some() {
                // It died; the next one knows nothing of it.
                self.world(|world| world.writes_left = None);
                self.operator = operator(&self.fake, &self.now);
                continue;
            }
            let pause = done.expect("the pass succeeds");
            self.tick(&nothing_is_broken);
            let wrote = self.world(|world| world.writes.len()) > before.0;
            if !wrote && pause.as_secs() >= 30 {
                return pass;
            }
        }
        panic!("it never settles: {:#?}", self.resource().status);
    }

    fn tick(&self, broken: &dyn Fn(&Value) -> bool) {
        self.now.fetch_add(1, Ordering::Relaxed);
        self.world(|world| world.controllers("demo", broken));
    }

    fn resource(&self) -> ZooKeeperCluster {
        let world = self.fake.0.lock().expect("unpoisoned");
        serde_json::from_value(world.objects[CLUSTER].clone()).expect("a cluster")
    }

    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let mut world = self.fake.0.lock().expect("unpoisoned");
        let version = world.version();
        let object = world.objects.get_mut(CLUSTER).expect("the cluster");
        edit(object);
        object["metadata"]["resourceVersion"] = json!(version);
        object["metadata"]["generation"] =
            json!(object["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }

    /// `passes` passes, with Kubernetes' own controllers at work after each.
    async fn passes(&self, passes: usize, broken: &dyn Fn(&Value) -> bool) {
        for _ in 0..passes {
            self.operator
                .reconcile(&self.resource())
                .await
                .expect("the pass succeeds");
            self.tick(broken);
        }
    }

    fn condition(&self, type_: &str) -> (String, String) {
        let status = self.resource().status.expect("a status");
        let condition = status
            .conditions
            .into_iter()
            .flatten()
            .find(|c| c.type_ == type_)
            .expect("the condition");
        (condition.status, condition.reason)
    }

    fn restarts(&self) -> Vec<String> {
        let world = self.fake.0.lock().expect("unpoisoned");
        world
            .events
            .iter()
            .filter(|(reason, _)| reason == "RestartingMember")
            .map(|(_, note)| note.clone())
            .collect()
    }
}

fn nothing_is_broken(_: &Value) -> bool {
    false
}

#[tokio::test]
async fn a_cluster_becomes_ready_and_a_pass_without_changes_writes_nothing() {
    let scene = Scene::new(json!({"replicas": 3}));
    scene.passes(6, &nothing_is_broken).await;
    assert_eq!(
        scene.condition("Ready"),
        ("True".to_owned(), "AllMembersServing".to_owned())
    );
    assert_eq!(scene.condition("QuorumAvailable").0, "True");
    let status = scene.resource().status.expect("a status");
    assert_eq!(status.ready.as_deref(), Some("3/3"));
    assert_eq!(status.leader.as_deref(), Some("demo-2"));
    assert_eq!(
        status.client_endpoint.as_deref(),
        Some("demo-client.default.svc.cluster.local:2181")
    );
    assert!(status.cluster_id.is_some());
    let writes = || scene.fake.0.lock().expect("unpoisoned").writes.len();
    let before = writes();
    scene.passes(3, &nothing_is_broken).await;
    assert_eq!(writes(), before);
}

#[tokio::test]
async fn empty_disks_may_vote_until_the_first_quorum_and_never_after() {
    let scene = Scene::new(json!({"replicas": 3}));
    let flag = || {
        let world = scene.fake.0.lock().expect("unpoisoned");
        world.objects["/api/v1/namespaces/default/configmaps/demo-config"]["data"]["bootstrap"]
            .clone()
    };
    scene.passes(2, &nothing_is_broken).await;
    assert_eq!(flag(), "true\n");
    scene.passes(4, &nothing_is_broken).await;
    assert_eq!(flag(), "false\n");
    assert!(
        scene.restarts().is_empty(),
        "latching the flag restarts nobody"
    );
}

#[tokio::test]
async fn volumes_older_than_the_resource_forbid_empty_disks_to_vote() {
    let scene = Scene::new(json!({"replicas": 3}));
    let path = "/api/v1/namespaces/default/persistentvolumeclaims/data-demo-1";
    let claim =
        json!({"metadata": {"name": "data-demo-1", "creationTimestamp": "2025-01-01T00:00:00Z"}});
    scene.fake.0.lock().expect("unpoisoned").insert(path, claim);
    scene.passes(2, &nothing_is_broken).await;
    let world = scene.fake.0.lock().expect("unpoisoned");
    assert_eq!(
        world.objects["/api/v1/namespaces/default/configmaps/demo-config"]["data"]["bootstrap"],
        "false\n"
    );
}

#[tokio::test]
async fn a_changed_configuration_restarts_followers_first_and_the_leader_last() {
    let scene = Scene::new(json!({"replicas": 3}));
    scene.passes(6, &nothing_is_broken).await;
    scene.edit(|cluster| cluster["spec"]["config"] = json!({"snapCount": 5000}));
    scene.passes(20, &nothing_is_broken).await;
    let restarts = scene.restarts();
    assert_eq!(restarts.len(), 3, "{restarts:?}");
    // The highest id leads in this ensemble, also after its return.
    assert!(
        restarts[0]
            .starts_with("demo-1 (server 2, follower) restarts because its configuration changed")
    );
    assert!(restarts[1].starts_with("demo-0 (server 1, follower)"));
    // The leader goes last, and hands over first.
    assert!(restarts[2].starts_with("demo-2 (server 3, follower)"));
    assert_eq!(scene.world(|world| world.ensemble.handed_over.clone()), [3]);
    assert_eq!(scene.condition("Ready").0, "True");
}

#[tokio::test]
async fn a_roll_stops_at_a_member_that_does_not_come_back_and_says_so() {
    let scene = Scene::new(json!({"replicas": 3}));
    scene.passes(6, &nothing_is_broken).await;
    scene.edit(|cluster| cluster["spec"]["image"] = json!("no-such-image"));
    let broken = |pod: &Value| pod["spec"]["containers"][0]["image"] == "no-such-image";
    scene.passes(20, &broken).await;
    assert_eq!(scene.restarts().len(), 1);
    assert_eq!(
        scene.condition("Degraded"),
        ("True".to_owned(), "MemberCannotRun".to_owned())
    );
    assert_eq!(scene.condition("QuorumAvailable").0, "True");
    let blocked = scene
        .resource()
        .status
        .and_then(|status| status.blocked_by)
        .expect("a reason");
    assert!(
        blocked
            .iter()
            .any(|by| by.predicate == "RestartedMembersAreBack"),
        "{blocked:?}"
    );
    // Taking it back heals what was broken, though nothing can be spared.
    scene.edit(|cluster| cluster["spec"] = json!({"replicas": 3}));
    scene.passes(20, &broken).await;
    assert_eq!(scene.condition("Ready").0, "True");
}

#[tokio::test]
async fn a_member_that_ends_because_its_pod_is_deleted_is_no_trouble() {
    let scene = Scene::new(json!({"replicas": 3}));
    scene.passes(6, &nothing_is_broken).await;
    let moment = Timestamp::from_second(scene.now.load(Ordering::Relaxed)).expect("in range");
    {
        let mut world = scene.fake.0.lock().expect("unpoisoned");
        let pod = world
            .objects
            .get_mut("/api/v1/namespaces/default/pods/demo-0")
            .expect("the pod");
        pod["metadata"]["deletionTimestamp"] = json!(CREATED);
        pod["status"]["phase"] = json!("Succeeded");
        pod["status"]["conditions"][0]["status"] = json!("False");
        // Of a moment ago: for minutes it would be trouble.
        pod["status"]["conditions"][0]["lastTransitionTime"] = json!(moment.to_string());
        pod["status"]["containerStatuses"][0]["ready"] = json!(false);
    }
    scene.passes(1, &nothing_is_broken).await;
    assert_eq!(scene.condition("Ready").0, "False");
    assert_eq!(
        scene.condition("Degraded"),
        ("False".to_owned(), "AsExpected".to_owned())
    );
}

#[tokio::test]
async fn a_paused_cluster_is_reported_and_left_alone() {
    let scene = Scene::new(json!({"replicas": 3}));
    scene.passes(6, &nothing_is_broken).await;
    scene.edit(|cluster| {
        cluster["spec"] = json!({"replicas": 3, "paused": true, "config": {"snapCount": 9}})
    });
    scene.passes(5, &nothing_is_broken).await;
    assert!(scene.restarts().is_empty());
    assert_eq!(scene.condition("Paused").0, "True");
    assert_eq!(scene.condition("Ready").0, "True");
}

#[tokio::test]
async fn a_spec_that_got_past_the_api_server_is_a_condition_and_no_crash_loop() {
    let scene = Scene::new(json!({"replicas": 3, "config": {"Server.1": "elsewhere"}}));
    scene.passes(2, &nothing_is_broken).await;
    assert_eq!(
        scene.condition("Ready"),
        ("False".to_owned(), "InvalidSpec".to_owned())
    );
}

#[tokio::test]
async fn the_objects_are_as_recorded() {
    let scene = Scene::new(json!({"replicas": 3, "storage": {"log": {"size": "1Gi"}}}));
    scene.passes(2, &nothing_is_broken).await;
    let world = scene.fake.0.lock().expect("unpoisoned");
    let owned: Vec<&Value> = world
        .objects
        .iter()
        .filter(|(path, _)| path.as_str() != CLUSTER && !path.contains("/pods/"))
        .filter(|(path, _)| !path.contains("/persistentvolumeclaims/"))
        // Their values are drawn, or made from what is drawn.
        .filter(|(path, _)| !path.ends_with("-superuser") && !path.ends_with("-auth"))
        .map(|(_, object)| object)
        .collect();
    assert_eq!(owned.len(), 9);
    insta::assert_snapshot!(serde_norway::to_string(&owned).expect("YAML"));
}

#[tokio::test]
async fn a_secret_that_the_spec_names_and_nobody_made_is_a_clear_condition() {
    let mut scene =
        Scene::new(json!({"replicas": 3, "auth": {"superuser": {"secretName": "mine"}}}));
    scene.passes(8, &nothing_is_broken).await;
    assert_eq!(
        scene.condition("Degraded"),
        ("True".to_owned(), "SecretMissing".to_owned())
    );
    assert_eq!(scene.condition("QuorumAvailable").0, "True");
    scene.world(|world| {
        world.insert(
            "/api/v1/namespaces/default/secrets/mine",
            json!({"data": {"password": "c2VjcmV0"}}),
        );
    });
    scene.settle().await;
    assert_eq!(scene.condition("Ready").0, "True");
    let digest =
        scene.object("/api/v1/namespaces/default/secrets/demo-auth")["data"]["superDigest"].clone();
    assert!(digest.is_string());
    assert!(
        scene
            .object("/api/v1/namespaces/default/secrets/demo-superuser")
            .is_null()
    );
}

#[tokio::test]
async fn a_version_that_may_not_follow_is_refused_until_a_person_insists() {
    let image = |tag: &str| format!("ensemble.dev/zookeeper:{tag}");
    let mut scene = Scene::new(json!({"replicas": 3, "image": image("0.1.0")}));
    scene.settle().await;
    scene.edit(|cluster| cluster["spec"]["image"] = json!(image("0.3.0")));
    scene.passes(10, &nothing_is_broken).await;
    assert_eq!(
        scene.condition("Degraded"),
        ("True".to_owned(), "UnsupportedVersion".to_owned())
    );
    assert_eq!(scene.condition("Ready").0, "False");
    assert!(scene.restarts().is_empty());
    scene.edit(|cluster| {
        cluster["metadata"]["annotations"]["zookeeper.ensemble.dev/allow-version-change"] =
            json!("true");
    });
    scene.settle().await;
    assert_eq!(scene.restarts().len(), 3);
    let set = scene.object(SET);
    assert_eq!(
        set["spec"]["template"]["spec"]["containers"][0]["image"],
        image("0.3.0")
    );
}

#[tokio::test]
async fn a_restart_by_annotation_takes_every_member_once() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    scene.edit(|cluster| {
        cluster["metadata"]["annotations"]["zookeeper.ensemble.dev/restart"] = json!("now");
    });
    scene.settle().await;
    assert_eq!(scene.restarts().len(), 3);
    scene.settle().await;
    assert_eq!(scene.restarts().len(), 3);
}

#[tokio::test]
async fn overrides_add_a_sidecar_and_members_get_services_of_their_own() {
    let spec = json!({
        "replicas": 2, "observers": 1,
        "services": {"members": {"type": "LoadBalancer", "host": "{pod}.example.com", "annotations": {"dns": "{ordinal}"}}},
        "pod": {
            "priorityClassName": "high",
            "overrides": {"metadata": {"labels": {"zookeeper.ensemble.dev/cluster": "other"}},
                "spec": {"containers": [{"name": "exporter", "image": "x"}]}}
        }
    });
    let mut scene = Scene::new(spec);
    scene.settle().await;
    let template = scene.object(SET)["spec"]["template"].clone();
    let names: Vec<&Value> = template["spec"]["containers"]
        .as_array()
        .expect("some")
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["zookeeper", "exporter"]);
    assert_eq!(
        template["metadata"]["labels"]["zookeeper.ensemble.dev/cluster"],
        "demo"
    );
    assert_eq!(template["spec"]["priorityClassName"], "high");
    let service = |n: u8| scene.object(&format!("/api/v1/namespaces/default/services/demo-{n}"));
    assert_eq!(
        service(2)["spec"]["selector"]["statefulset.kubernetes.io/pod-name"],
        "demo-2"
    );
    assert_eq!(service(1)["metadata"]["annotations"]["dns"], "1");
    let members = scene
        .resource()
        .status
        .and_then(|status| status.members)
        .expect("members");
    assert_eq!(
        members[2].client_address.as_deref(),
        Some("demo-2.example.com:2181")
    );
    assert_eq!(members[2].role, "observer");
    let binding = scene.object("/api/v1/namespaces/default/secrets/demo-binding");
    assert!(binding["data"]["externalConnectString"].is_string());
    scene.edit(|cluster| cluster["spec"]["services"] = Value::Null);
    scene.settle().await;
    assert!(
        scene
            .object("/api/v1/namespaces/default/services/demo-0")
            .is_null()
    );
}
