//! Volumes grow, and are lost.

use super::{CONFIG, CREATED, SET, Scene, nothing_is_broken};
use serde_json::json;

#[tokio::test]
async fn a_grown_volume_is_asked_for_and_the_statefulset_is_made_again_around_its_pods() {
    let spec = |size: &str| json!({"replicas": 3, "storage": {"data": {"size": size}}});
    let mut scene = Scene::new(spec("1Gi"));
    scene.settle().await;
    let pods = |scene: &Scene| {
        [0, 1, 2].map(|n| scene.object(&format!("/api/v1/namespaces/default/pods/demo-{n}"))["metadata"]["uid"].clone())
    };
    let (before, old) = (pods(&scene), scene.object(SET)["metadata"]["uid"].clone());
    scene.edit(|cluster| cluster["spec"] = spec("2Gi"));
    scene.settle().await;
    for n in 0..3 {
        let claim = scene.object(&format!(
            "/api/v1/namespaces/default/persistentvolumeclaims/data-demo-{n}"
        ));
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "2Gi");
    }
    let set = scene.object(SET);
    assert_ne!(set["metadata"]["uid"], old);
    assert_eq!(
        set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"],
        "2Gi"
    );
    assert_eq!(pods(&scene), before);
    assert!(scene.restarts().is_empty());
    assert_eq!(scene.condition("Ready").0, "True");
}

#[tokio::test]
async fn a_volume_whose_class_does_not_let_it_grow_is_a_clear_condition() {
    let spec = |size: &str| json!({"replicas": 3, "storage": {"data": {"size": size}}});
    let mut scene = Scene::new(spec("1Gi"));
    scene.settle().await;
    let class = json!({"metadata": {"name": "standard"}, "provisioner": "none", "allowVolumeExpansion": false});
    scene.world(|world| world.insert("/apis/storage.k8s.io/v1/storageclasses/standard", class));
    scene.edit(|cluster| cluster["spec"] = spec("2Gi"));
    scene.passes(5, &nothing_is_broken).await;
    assert_eq!(
        scene.condition("Degraded"),
        ("True".to_owned(), "VolumeCannotGrow".to_owned())
    );
    assert_eq!(scene.condition("QuorumAvailable").0, "True");
    scene.edit(|cluster| cluster["spec"] = spec("1Gi"));
    scene.settle().await;
    assert_eq!(scene.condition("Ready").0, "True");
}

#[tokio::test]
async fn a_lost_majority_of_disks_is_said_honestly_and_recovered_only_with_consent() {
    let mut scene = Scene::new(json!({"replicas": 5}));
    scene.settle().await;
    let looking = |scene: &Scene| scene.world(|world| world.unready("demo", CREATED));
    scene.world(|world| world.ensemble.empty = [1, 2, 3].into());
    looking(&scene);
    scene.passes(2, &nothing_is_broken).await;
    assert_eq!(
        scene.condition("Degraded"),
        ("True".to_owned(), "QuorumLost".to_owned())
    );
    assert_eq!(
        scene.condition("QuorumAvailable"),
        ("False".to_owned(), "NoLeader".to_owned())
    );
    assert_eq!(
        scene.object(CONFIG)["data"]["bootstrap"],
        "false\n",
        "nobody consented"
    );
    scene.edit(|cluster| {
        cluster["metadata"]["annotations"]["zookeeper.ensemble.dev/recover-quorum"] =
            json!("accept-data-loss");
    });
    scene.passes(1, &nothing_is_broken).await;
    // Two have data, three are a majority: one empty disk makes up for what is missing, and no more.
    assert_eq!(scene.object(CONFIG)["data"]["bootstrap"], "1\n");
    scene.passes(3, &nothing_is_broken).await;
    let restarts = scene.restarts();
    assert_eq!(restarts.len(), 1, "{:#?}", scene.resource().status);
    assert!(restarts[0].starts_with("demo-0 "), "{restarts:?}");
    scene.world(|world| world.ensemble.empty.clear());
    for n in 0..5 {
        scene.world(|world| {
            world
                .objects
                .remove(&format!("/api/v1/namespaces/default/pods/demo-{n}"))
        });
    }
    scene.settle().await;
    assert_eq!(scene.condition("Ready").0, "True");
    assert_eq!(scene.object(CONFIG)["data"]["bootstrap"], "false\n");
    // The same consent does not count a second time.
    scene.world(|world| world.ensemble.empty = [1, 2, 3].into());
    looking(&scene);
    scene.passes(3, &nothing_is_broken).await;
    assert_eq!(scene.object(CONFIG)["data"]["bootstrap"], "false\n");
}
