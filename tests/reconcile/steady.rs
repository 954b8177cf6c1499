//! What a cluster costs with which nothing is to be done, and what an API server that fails changes.

use super::{Scene, nothing_is_broken};
use serde_json::json;

#[tokio::test]
async fn a_steady_cluster_is_not_read_again_until_something_changes() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    let (reads, asked) = scene.world(|world| (world.reads, world.asked));
    scene.passes(5, &nothing_is_broken).await;
    assert_eq!(scene.world(|world| world.reads), reads);
    // The leader speaks for those who follow it.
    assert_eq!(scene.world(|world| world.asked), asked + 5);
    // A follower that is no longer in sync shows in what the leader says.
    scene.world(|world| world.ensemble.lagging = [1].into());
    scene.passes(1, &nothing_is_broken).await;
    assert_eq!(scene.condition("Ready").0, "False");
    scene.world(|world| world.ensemble.lagging.clear());
    scene.settle().await;
    let reads = scene.world(|world| world.reads);
    // A member that says something else is reason enough to look at everything.
    scene.world(|world| world.ensemble.leader = Some(1));
    scene.passes(1, &nothing_is_broken).await;
    assert!(scene.world(|world| world.reads) > reads);
    assert_eq!(
        scene
            .resource()
            .status
            .and_then(|status| status.leader)
            .as_deref(),
        Some("demo-0")
    );
}

#[tokio::test]
async fn what_the_operator_itself_says_is_no_reason_to_read_everything_again() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    // It looks at all of it, tells that it saw this generation, and has nothing else to do.
    scene.edit(|_| {});
    let (reads, version) = (scene.world(|world| world.reads), scene.resource().metadata);
    scene.passes(1, &nothing_is_broken).await;
    let after = scene.resource().metadata;
    assert_ne!(after.resource_version, version.resource_version);
    let once = scene.world(|world| world.reads);
    assert!(once > reads);
    // Its own word wakes it.
    scene.passes(2, &nothing_is_broken).await;
    assert_eq!(scene.world(|world| world.reads), once);
    // What somebody else asks for at the same time is not overlooked.
    scene.edit(|cluster| cluster["metadata"]["annotations"]["e2e"] = json!("yes"));
    scene.passes(1, &nothing_is_broken).await;
    assert!(scene.world(|world| world.reads) > once);
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_changes_nothing_and_is_told() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    scene.edit(|cluster| cluster["spec"]["config"] = json!({"snapCount": 5000}));
    let restarts = scene.restarts().len();
    scene.world(|world| world.writes_left = Some(0));
    for _ in 0..5 {
        assert!(scene.operator.reconcile(&scene.resource()).await.is_err());
    }
    scene.world(|world| world.writes_left = None);
    assert_eq!(scene.restarts().len(), restarts);
    scene.settle().await;
    assert_eq!(scene.condition("Ready").0, "True");
}
