//! Members come and go.

use super::{CREATED, SET, Scene, nothing_is_broken, operator, size};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_member_gets_its_vote_only_once_it_is_in_sync_and_one_at_a_time() {
    let mut scene = Scene::new(json!({"replicas": 1}));
    scene.settle().await;
    for (voters, observers) in [(3, 0), (5, 0), (3, 1), (4, 2), (1, 0)] {
        scene.edit(|cluster| cluster["spec"] = size(voters, observers));
        scene.settle().await;
        assert_eq!(scene.condition("Ready").0, "True", "{voters}");
        let ensemble = scene.world(|world| world.ensemble.clone());
        assert_eq!(
            ensemble.roles.len(),
            usize::try_from(voters + observers).expect("few")
        );
        assert_eq!(scene.object(SET)["spec"]["replicas"], voters + observers);
    }
    let history = scene.world(|world| world.ensemble.history.clone());
    for step in history.windows(2) {
        let changed = (1..=9)
            .filter(|id| step[0].get(id) != step[1].get(id))
            .count();
        assert_eq!(changed, 1, "{step:?}");
    }
    assert!(scene.restarts().is_empty(), "{:?}", scene.restarts());
}

#[tokio::test]
async fn shrinking_removes_the_member_before_its_pod_and_its_volume_goes_by_policy() {
    for (retention, kept) in [("Retain", true), ("Delete", false)] {
        let spec = |voters: i32| json!({"replicas": voters, "storage": {"retention": retention}});
        let mut scene = Scene::new(spec(5));
        scene.settle().await;
        scene.edit(|cluster| cluster["spec"] = spec(3));
        // The fake API panics where a membership has no quorum; pods go only after their members.
        for _ in 0..30 {
            scene.passes(1, &nothing_is_broken).await;
            let pods = scene.object(SET)["spec"]["replicas"]
                .as_u64()
                .expect("a number");
            let members = scene.world(|world| world.ensemble.roles.len());
            assert!(pods >= members as u64, "{pods} pods for {members} members");
        }
        scene.settle().await;
        assert_eq!(scene.object(SET)["spec"]["replicas"], 3);
        let claim = scene.object("/api/v1/namespaces/default/persistentvolumeclaims/data-demo-4");
        assert_eq!(!claim.is_null(), kept, "{retention}");
    }
}

#[tokio::test]
async fn a_leader_that_is_to_lose_its_vote_hands_over_first() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    scene.edit(|cluster| cluster["spec"] = size(1, 0));
    scene.settle().await;
    // The highest id leads in this ensemble until it hands over.
    assert_eq!(scene.world(|world| world.ensemble.handed_over.clone()), [3]);
    assert_eq!(scene.condition("Ready").0, "True");
}

#[tokio::test]
async fn a_change_that_would_lose_the_quorum_is_refused_and_said_so() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    // Two of three serve: four voters would need three.
    let sick =
        |pod: &Value| pod["metadata"]["name"] == "demo-0" || pod["metadata"]["name"] == "demo-3";
    scene.world(|world| {
        world
            .objects
            .remove("/api/v1/namespaces/default/pods/demo-0")
    });
    scene.tick(&sick);
    scene.edit(|cluster| cluster["spec"] = size(1, 0));
    scene.passes(30, &sick).await;
    let blocked = scene
        .resource()
        .status
        .and_then(|status| status.blocked_by)
        .unwrap_or_default();
    assert!(
        blocked
            .iter()
            .any(|by| by.predicate == "NewVotersAreQuorum"),
        "{blocked:?}"
    );
    let roles = scene.world(|world| world.ensemble.roles.len());
    assert_eq!(
        roles, 3,
        "two voters with one of them in sync are no quorum"
    );
    assert_eq!(scene.condition("QuorumAvailable").0, "True");
}

#[tokio::test]
async fn a_member_that_comes_back_waits_until_its_old_volume_is_gone() {
    let spec = |voters: i32| json!({"replicas": voters, "storage": {"retention": "Retain"}});
    let mut scene = Scene::new(spec(3));
    scene.settle().await;
    let path = "/api/v1/namespaces/default/persistentvolumeclaims/data-demo-3";
    let mut claim = scene.object("/api/v1/namespaces/default/persistentvolumeclaims/data-demo-0");
    claim["metadata"]["name"] = json!("data-demo-3");
    claim["metadata"]["deletionTimestamp"] = json!(CREATED);
    scene.world(|world| world.insert(path, claim));
    scene.edit(|cluster| cluster["spec"] = spec(4));
    scene.passes(10, &nothing_is_broken).await;
    assert_eq!(scene.object(SET)["spec"]["replicas"], 3);
    let blocked = scene
        .resource()
        .status
        .and_then(|status| status.blocked_by)
        .expect("a reason");
    assert_eq!(blocked[0].predicate, "VolumeIsSettled");
    scene.world(|world| world.objects.remove(path));
    scene.settle().await;
    assert_eq!(scene.object(SET)["spec"]["replicas"], 4);
}

#[tokio::test]
async fn even_sizes_are_warned_about() {
    let mut scene = Scene::new(json!({"replicas": 4}));
    scene.settle().await;
    let status = scene.resource().status.expect("a status");
    let warnings = status.warnings.expect("a warning");
    assert!(
        warnings[0].contains("survive the loss of 1, as 3 do"),
        "{warnings:?}"
    );
    assert_eq!(scene.condition("Ready").0, "True");
}

#[tokio::test]
async fn two_operators_at_once_restart_and_change_one_member_at_a_time() {
    let mut scene = Scene::new(json!({"replicas": 3}));
    scene.settle().await;
    let other = operator(&scene.fake, &scene.now);
    scene.edit(|cluster| cluster["spec"] = json!({"replicas": 5, "config": {"snapCount": 5000}}));
    for _ in 0..60 {
        let resource = scene.resource();
        let (one, two) = tokio::join!(
            scene.operator.reconcile(&resource),
            other.reconcile(&resource)
        );
        // What one of them did makes the other's decision an old one, and no more than that.
        drop((one, two));
        scene.tick(&nothing_is_broken);
    }
    scene.settle().await;
    assert_eq!(scene.condition("Ready").0, "True");
    assert_eq!(scene.restarts().len(), 3, "{:?}", scene.restarts());
    let history = scene.world(|world| world.ensemble.history.clone());
    assert_eq!(history.len(), 3, "{history:?}");
}
