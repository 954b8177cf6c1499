//! The operator killed at every boundary between two writes, in every turn that a life takes.
//!
//! A boundary is a write to the API server, Events and status included, or a change that the ensemble
//! is asked for: the operator dies before it, and another one, which knows nothing, takes over.

use super::users::{file, put};
use super::{CONFIG, CREATED, NAMESPACE, SET, Scene, nothing_is_broken, operator};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

/// One turn of a life.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Turn {
    Bootstrap,
    Roll,
    GrowVolumes,
    Upgrade,
    AddUsers,
    RotatePasswords,
    RecoverQuorum,
    ScaleUp,
    ScaleDown,
}

/// They are taken in this order, each from where the one before has ended.
const LIFE: [Turn; 9] = [
    Turn::Bootstrap,
    Turn::Roll,
    Turn::GrowVolumes,
    Turn::Upgrade,
    Turn::AddUsers,
    Turn::RotatePasswords,
    Turn::RecoverQuorum,
    Turn::ScaleUp,
    Turn::ScaleDown,
];

/// What a death costs at most, in passes of a second each: a leader that was asked to hand over by
/// one who died is left its time for it. A restart that was announced is carried on with at once.
const HAND_OVER_PASSES: usize = 12;

const CONSENT: &str = "zookeeper.ensemble.dev/recover-quorum";

fn born() -> Scene {
    Scene::new(json!({
        "replicas": 3, "image": "ensemble.dev/zookeeper:0.1.0", "storage": {"data": {"size": "1Gi"}}
    }))
}

impl Turn {
    /// What a person does, or what befalls the ensemble.
    fn begin(self, scene: &Scene) {
        let spec = |key: &str, value: Value| scene.edit(|cluster| cluster["spec"][key] = value);
        match self {
            Self::Bootstrap => {}
            Self::Roll => spec("config", json!({"snapCount": 5000})),
            Self::GrowVolumes => spec("storage", json!({"data": {"size": "2Gi"}})),
            Self::Upgrade => spec("image", json!("ensemble.dev/zookeeper:0.2.0")),
            Self::AddUsers => {
                put(scene, "alice-zk", "password", "first");
                let users = json!([{"name": "alice", "secretName": "alice-zk"}]);
                spec("auth", json!({"users": users}));
            }
            Self::RotatePasswords => {
                put(scene, "alice-zk", "password", "second");
                put(scene, "demo-superuser", "password", "rotated");
                scene.edit(|_| {});
            }
            Self::RecoverQuorum => {
                scene.world(|world| {
                    world.ensemble.empty = [1, 2].into();
                    world.unready("demo", CREATED);
                });
                scene.edit(|cluster| {
                    cluster["metadata"]["annotations"][CONSENT] = json!("accept-data-loss");
                });
            }
            Self::ScaleUp => scene.edit(|cluster| {
                cluster["spec"]["replicas"] = json!(5);
                cluster["spec"]["observers"] = json!(1);
            }),
            Self::ScaleDown => scene.edit(|cluster| {
                cluster["spec"]["replicas"] = json!(1);
                cluster["spec"]["observers"] = json!(0);
            }),
        }
    }

    /// Whether what was asked for is there.
    fn check(self, scene: &Scene) {
        assert_eq!(scene.condition("Ready").0, "True", "{self:?}");
        assert_eq!(scene.condition("Degraded").0, "False", "{self:?}");
        let spec = scene.object(super::CLUSTER)["spec"].clone();
        let number = |key: &str| spec[key].as_u64().unwrap_or(0);
        let pods = number("replicas") + number("observers");
        assert_eq!(scene.object(SET)["spec"]["replicas"], pods);
        let members = scene.world(|world| world.ensemble.roles.len());
        assert_eq!(members as u64, pods);
        assert_eq!(scene.object(CONFIG)["data"]["bootstrap"], "false\n");
        let every_pod = |look: &dyn Fn(&Value) -> bool| {
            (0..pods).all(|n| {
                look(&scene.object(&format!("/api/v1/namespaces/{NAMESPACE}/pods/demo-{n}")))
            })
        };
        match self {
            Self::Bootstrap | Self::ScaleUp | Self::ScaleDown => {}
            Self::Roll | Self::AddUsers => {
                let set = scene.object(SET);
                let key = "zookeeper.ensemble.dev/config-hash";
                let wanted = &set["spec"]["template"]["metadata"]["annotations"][key];
                assert!(every_pod(
                    &|pod| pod["metadata"]["annotations"][key] == *wanted
                ));
            }
            Self::GrowVolumes => {
                for n in 0..pods {
                    let path = format!(
                        "/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/data-demo-{n}"
                    );
                    let claim = scene.object(&path);
                    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "2Gi");
                }
                let template = scene.object(SET)["spec"]["volumeClaimTemplates"][0].clone();
                assert_eq!(template["spec"]["resources"]["requests"]["storage"], "2Gi");
            }
            Self::Upgrade => assert!(every_pod(
                &|pod| pod["spec"]["containers"][0]["image"] == "ensemble.dev/zookeeper:0.2.0"
            )),
            Self::RotatePasswords => {
                assert!(file(scene, "users").ends_with("\nalice=second\n"));
                let digest = STANDARD.encode(Sha1::digest("super:rotated"));
                assert_eq!(file(scene, "superDigest"), format!("super:{digest}"));
            }
            Self::RecoverQuorum => {
                assert!(scene.world(|world| world.ensemble.empty.is_empty()));
                assert_eq!(scene.condition("QuorumAvailable").0, "True");
            }
        }
    }

    /// The least number of boundaries it is known to have: fewer would be a test that tests less.
    fn boundaries_min(self) -> usize {
        match self {
            Self::Bootstrap => 16,
            Self::Roll | Self::Upgrade | Self::AddUsers => 18,
            Self::GrowVolumes => 15,
            Self::RotatePasswords => 3,
            Self::RecoverQuorum => 9,
            Self::ScaleUp => 20,
            Self::ScaleDown => 30,
        }
    }
}

/// The life before a turn, with nothing in its way.
async fn lived_until(turn: Turn) -> Scene {
    let mut scene = born();
    for earlier in LIFE.into_iter().take_while(|earlier| *earlier != turn) {
        earlier.begin(&scene);
        scene.settle().await;
        earlier.check(&scene);
    }
    scene
}

/// Kills the operator before each write of the turn, one after the other.
async fn killed_everywhere(turn: Turn) {
    let lived = lived_until(turn).await;
    let (mut boundaries, mut slowest) = (0, 0);
    for kill_after in 0.. {
        let mut scene = lived.copy();
        turn.begin(&scene);
        scene.world(|world| world.writes_left = Some(kill_after));
        let passes = scene.settle().await;
        turn.check(&scene);
        if scene
            .world(|world| world.writes_left.take())
            .is_some_and(|left| left > 0)
        {
            // Nobody died in this one.
            assert!(
                slowest <= passes + HAND_OVER_PASSES,
                "{turn:?} takes {passes} passes, and {slowest} where its operator dies"
            );
            break;
        }
        slowest = slowest.max(passes);
        boundaries += 1;
    }
    println!("{turn:?}: killed at each of {boundaries} boundaries");
    assert!(
        boundaries >= turn.boundaries_min(),
        "{turn:?} has only {boundaries} boundaries"
    );
}

#[tokio::test]
async fn an_operator_killed_at_any_write_while_an_ensemble_is_made_ends_right() {
    killed_everywhere(Turn::Bootstrap).await;
}

#[tokio::test]
async fn an_operator_killed_at_any_write_of_a_roll_ends_right() {
    killed_everywhere(Turn::Roll).await;
}

#[tokio::test]
async fn an_operator_killed_at_any_write_while_volumes_grow_ends_right() {
    killed_everywhere(Turn::GrowVolumes).await;
}

#[tokio::test]
async fn an_operator_killed_at_any_write_of_an_upgrade_ends_right() {
    killed_everywhere(Turn::Upgrade).await;
}

#[tokio::test]
async fn an_operator_killed_at_any_write_while_users_come_ends_right() {
    killed_everywhere(Turn::AddUsers).await;
}

#[tokio::test]
async fn an_operator_killed_at_any_write_while_passwords_change_ends_right() {
    killed_everywhere(Turn::RotatePasswords).await;
}

#[tokio::test]
async fn an_operator_killed_at_any_write_of_a_recovery_of_the_quorum_ends_right() {
    killed_everywhere(Turn::RecoverQuorum).await;
}

#[tokio::test]
async fn an_operator_killed_at_any_write_while_members_come_ends_right() {
    killed_everywhere(Turn::ScaleUp).await;
}

#[tokio::test]
async fn an_operator_killed_at_any_write_while_members_go_ends_right() {
    killed_everywhere(Turn::ScaleDown).await;
}

#[tokio::test]
async fn an_operator_that_dies_after_every_few_writes_gets_there_all_the_same() {
    for every in [2, 3, 5] {
        let mut scene = born();
        for turn in LIFE {
            turn.begin(&scene);
            for _ in 0..200 {
                scene.world(|world| world.writes_left = Some(every));
                let done = scene.operator.reconcile(&scene.resource()).await;
                if done.is_err() {
                    scene.operator = operator(&scene.fake, &scene.now);
                }
                scene.tick(&nothing_is_broken);
                if done.is_ok_and(|pause| pause.as_secs() >= 30) {
                    break;
                }
            }
            scene.world(|world| world.writes_left = None);
            scene.settle().await;
            turn.check(&scene);
        }
    }
}
