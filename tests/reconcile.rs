//! The operator against an API server in memory.

mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use support::{CREATED, Fake, NAMESPACE};
use zookeeper_operator::controller::Operator;
use zookeeper_operator::crd::ZooKeeperCluster;
use zookeeper_operator::metrics::Metrics;
use zookeeper_operator::valid::Settings;

const CLUSTER: &str =
    "/apis/zookeeper.ensemble.dev/v1alpha1/namespaces/default/zookeeperclusters/demo";

struct Scene {
    fake: Fake,
    operator: Operator,
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
        let settings = Settings {
            default_image: "ensemble.dev/zookeeper:test".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            operator_namespace: Some("operators".to_owned()),
        };
        let members = Arc::new(fake.clone());
        let operator = Operator::new(
            fake.client(),
            settings,
            members,
            Arc::new(Metrics::default()),
            None,
        );
        Self { fake, operator }
    }

    fn resource(&self) -> ZooKeeperCluster {
        let world = self.fake.0.lock().expect("unpoisoned");
        serde_json::from_value(world.objects[CLUSTER].clone()).expect("a cluster")
    }

    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let mut world = self.fake.0.lock().expect("unpoisoned");
        let object = world.objects.get_mut(CLUSTER).expect("the cluster");
        edit(object);
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
            self.fake
                .0
                .lock()
                .expect("unpoisoned")
                .controllers("demo", broken);
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
    scene.passes(1, &nothing_is_broken).await;
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
    scene.passes(1, &nothing_is_broken).await;
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
    assert!(restarts[2].starts_with("demo-2 (server 3, leader)"));
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
        pod["status"]["conditions"][0]["lastTransitionTime"] =
            json!(k8s_openapi::jiff::Timestamp::now().to_string());
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
    scene.passes(1, &nothing_is_broken).await;
    let world = scene.fake.0.lock().expect("unpoisoned");
    let owned: Vec<&Value> = world
        .objects
        .iter()
        .filter(|(path, _)| path.as_str() != CLUSTER && !path.contains("/pods/"))
        .map(|(_, object)| object)
        .collect();
    assert_eq!(owned.len(), 7);
    insta::assert_snapshot!(serde_norway::to_string(&owned).expect("YAML"));
}
