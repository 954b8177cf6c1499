//! What people do on an ordinary day: pause, restart one member, let applications find the ensemble.

use super::{NAMESPACE, Scene, nothing_is_broken, size};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

#[tokio::test]
async fn while_it_is_paused_nothing_but_status_is_written_and_afterwards_all_of_it_is_done() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    let writes = scene.world(|world| world.writes.len());
    scene.edit(|cluster| {
        cluster["spec"] = json!({"replicas": 5, "paused": true, "config": {"snapCount": 9},
            "services": {"members": {}}});
    });
    scene.passes(5, &nothing_is_broken).await;
    assert_eq!(scene.condition("Paused").0, "True");
    let written = scene.world(|world| world.writes[writes..].to_vec());
    assert!(
        written.iter().all(|write| write.ends_with("/status")),
        "{written:?}"
    );
    scene.edit(|cluster| cluster["spec"]["paused"] = json!(false));
    scene.settle().await;
    assert_eq!(scene.condition("Paused").0, "False");
    assert_eq!(scene.condition("Ready").0, "True");
    // Those that were there are restarted for the configuration; those that came have it already.
    assert_eq!(scene.restarts().len(), 3, "{:?}", scene.restarts());
    assert_eq!(scene.world(|world| world.ensemble.roles.len()), 5);
}

#[tokio::test]
async fn a_pod_that_is_annotated_is_restarted_alone_and_once() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    scene.world(|world| {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/demo-1");
        let pod = world.objects.get_mut(&path).expect("the pod");
        pod["metadata"]["annotations"]["zookeeper.ensemble.dev/restart-pod"] = json!("yes");
    });
    // The watch of pods would tell of it.
    scene.edit(|_| {});
    scene.settle().await;
    let restarts = scene.restarts();
    assert_eq!(restarts.len(), 1, "{restarts:?}");
    assert!(
        restarts[0]
            .starts_with("demo-1 (server 2, follower) restarts because a restart was requested"),
        "{restarts:?}"
    );
    assert_eq!(scene.condition("Ready").0, "True");
}

#[tokio::test]
async fn applications_find_every_member_by_the_binding_and_those_that_come_too() {
    let mut scene = Scene::new(size(3, 0));
    scene.settle().await;
    let status = scene.resource().status.expect("a status");
    assert_eq!(
        status.binding.map(|binding| binding.name).as_deref(),
        Some("demo-binding")
    );
    let entry = |scene: &Scene, key: &str| {
        let secret = scene.object(&format!(
            "/api/v1/namespaces/{NAMESPACE}/secrets/demo-binding"
        ));
        assert_eq!(secret["type"], "servicebinding.io/zookeeper");
        let text = secret["data"][key].as_str().unwrap_or_default();
        String::from_utf8(STANDARD.decode(text).expect("base64")).expect("UTF-8")
    };
    let service = "demo-client.default.svc.cluster.local";
    for (key, value) in [
        ("type", "zookeeper"),
        ("provider", "zookeeper-operator"),
        ("host", service),
        ("port", "2181"),
        ("uri", &format!("zookeeper://{service}:2181")),
    ] {
        assert_eq!(entry(&scene, key), value, "{key}");
    }
    let members = |count: u8| {
        let hosts: Vec<String> = (0..count)
            .map(|n| format!("demo-{n}.demo-headless.default.svc.cluster.local:2181"))
            .collect();
        hosts.join(",")
    };
    assert_eq!(entry(&scene, "connectString"), members(3));
    scene.edit(|cluster| cluster["spec"] = size(3, 1));
    scene.settle().await;
    assert_eq!(entry(&scene, "connectString"), members(4));
}

const DISCOVERY: &str = "/api/v1/namespaces/default/configmaps/demo";

#[tokio::test]
async fn applications_without_a_secret_find_every_member_by_the_config_map_named_as_the_cluster() {
    let mut scene = Scene::new(size(3, 0));
    scene.settle().await;
    let members = |count: u8| {
        let hosts: Vec<String> = (0..count)
            .map(|n| format!("demo-{n}.demo-headless.default.svc.cluster.local:2181"))
            .collect();
        hosts.join(",")
    };
    let wanted = |hosts: String| {
        json!({"ZOOKEEPER": hosts, "ZOOKEEPER_HOSTS": hosts, "ZOOKEEPER_CLIENT_PORT": "2181",
            "ZOOKEEPER_CHROOT": "/"})
    };
    assert_eq!(scene.object(DISCOVERY)["data"], wanted(members(3)));
    scene.edit(|cluster| cluster["spec"] = size(5, 1));
    scene.settle().await;
    assert_eq!(scene.object(DISCOVERY)["data"], wanted(members(6)));
}

#[tokio::test]
async fn a_config_map_of_somebody_else_with_the_clusters_name_stays_as_it_is_and_is_told_of() {
    let mut scene = Scene::new(size(3, 0));
    let foreign = json!({"metadata": {"name": "demo"}, "data": {"theirs": "yes"}});
    scene.world(|world| world.insert(DISCOVERY, foreign));
    let before = scene.object(DISCOVERY);
    scene.settle().await;
    assert_eq!(scene.object(DISCOVERY), before);
    assert_eq!(scene.condition("Ready").0, "True");
    let warnings = |scene: &Scene| {
        let status = scene.resource().status.expect("a status");
        status.warnings.unwrap_or_default()
    };
    assert!(
        warnings(&scene)[0].starts_with("the ConfigMap demo is somebody else's"),
        "{:?}",
        warnings(&scene)
    );
    // Once the name is free, it is taken.
    scene.world(|world| world.objects.remove(DISCOVERY));
    scene.edit(|_| {});
    scene.settle().await;
    assert!(scene.object(DISCOVERY)["data"]["ZOOKEEPER"].is_string());
    assert!(warnings(&scene).is_empty());
}
