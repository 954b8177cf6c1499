//! Clusters whose namespace is being deleted.

use super::{NAMESPACE, Scene, nothing_is_broken};
use serde_json::json;

#[tokio::test]
async fn in_a_namespace_that_is_being_deleted_nothing_is_tried_again_and_again() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    // The namespace's controller deletes what is in it, a kind after another.
    scene.world(|world| {
        world.ending = true;
        world.objects.retain(|path, _| !path.contains("/services/"));
        world.writes.clear();
    });
    scene.edit(|_| {});
    let pass = async |scene: &Scene| scene.operator.reconcile(&scene.resource()).await;
    let pause = pass(&scene).await.expect("it is no failure");
    assert_eq!(pause.as_secs(), 30);
    let refused = |scene: &Scene| {
        scene.world(|world| {
            let refused = |write: &&String| write.starts_with("refused ");
            world.writes.iter().filter(refused).count()
        })
    };
    assert_eq!(refused(&scene), 1);
    // Every pod and volume that goes is told by a watch, and each of them is a pass.
    let seen = scene.world(|world| (world.writes.len(), world.reads));
    for ordinal in 0..3 {
        let pod = format!("/api/v1/namespaces/{NAMESPACE}/pods/demo-{ordinal}");
        scene.world(|world| world.objects.remove(&pod));
        let pause = pass(&scene).await.expect("it is no failure");
        assert_eq!(pause.as_secs(), 30);
    }
    assert_eq!(
        scene.world(|world| (world.writes.len(), world.reads)),
        seen,
        "nothing is read or written"
    );
    let status = scene.resource().status.expect("a status");
    assert_ne!(status.observed_generation, None);
    // A resource of the same name in a namespace of the same name is another one.
    scene.world(|world| world.ending = false);
    scene.edit(|cluster| cluster["metadata"]["uid"] = json!("another"));
    scene.passes(2, &nothing_is_broken).await;
    assert!(scene.world(|world| world.reads) > seen.1);
    scene.settle().await;
    assert_eq!(scene.condition("Ready").0, "True");
}

#[tokio::test]
async fn a_refusal_for_another_cause_is_a_failure_that_is_told() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    scene.world(|world| {
        world.forbidden = true;
        world.objects.retain(|path, _| !path.contains("/services/"));
    });
    scene.edit(|_| {});
    let told = |scene: &Scene| {
        scene.world(|world| {
            let status = |write: &&String| write.ends_with("/status");
            let failed = |(reason, _): &&(String, String)| reason == "ReconcileFailed";
            (
                world.writes.iter().filter(status).count(),
                world.events.iter().filter(failed).count(),
            )
        })
    };
    let mut before = None;
    for _ in 0..5 {
        let failed = scene.operator.reconcile(&scene.resource()).await;
        assert!(failed.is_err());
        assert_eq!(
            scene.condition("Degraded"),
            ("True".to_owned(), "ReconcileFailed".to_owned())
        );
        // What is written is told by a watch, and would be another pass at once.
        let now = told(&scene);
        assert_eq!(*before.get_or_insert(now), now, "said once");
    }
    assert_eq!(told(&scene).1, 1, "one Event");
    scene.world(|world| world.forbidden = false);
    scene.settle().await;
    assert_eq!(scene.condition("Degraded").0, "False");
    assert_eq!(scene.condition("Ready").0, "True");
}
