//! Disks that take their time: one of them, the leader's or a follower's, holds nobody up; where no
//! quorum of quick ones is left, writes wait, and go on.

use super::scene::Scene;
use histories::Outcome;
use histories::ensemble::{Ensemble, SYNC_LIMIT};
use histories::environment::Environment;
use histories::member::PATIENCE;
use std::time::Duration;

/// Slow, and far from syncLimit.
const SLOW: Duration = Duration::from_millis(150);
/// A disk that is as good as dead, for one fsync.
const STUCK: Duration = Duration::from_millis(1_800);
/// How long a state of the disks lasts.
const STAGE: Duration = Duration::from_millis(1_200);

/// A state of the disks: what it is called, how slow the slow ones are, and which these are, given
/// a member and the leader.
type Stage = (&'static str, Duration, fn(usize, usize) -> bool);

/// Each state in turn, and how many writes were acknowledged in it.
pub(crate) fn run(environment: &Environment) -> Outcome<String> {
    let mut ensemble = Ensemble::new(environment, 3)?;
    ensemble.slow_down_disks(environment);
    ensemble.start_all()?;
    ensemble.wait_until_all_serve(PATIENCE)?;
    let mut scene = Scene::of(ensemble)?;
    assert!(
        STUCK > SYNC_LIMIT,
        "a disk that is stuck is so for longer than members wait"
    );
    let mut told = Vec::new();
    let stages: [Stage; 5] = [
        ("all quick", SLOW, |_, _| false),
        ("the leader's slow", SLOW, |member, leader| member == leader),
        ("a follower's slow", SLOW, |member, leader| {
            member == (leader + 1) % 3
        }),
        ("all slow", SLOW, |_, _| true),
        ("the leader's stuck", STUCK, |member, leader| {
            member == leader
        }),
    ];
    for (name, delay, is_slow) in stages {
        let leader = scene.ensemble.leader_other_than(None)?;
        for member in 0..3 {
            let delay = if is_slow(member, leader) {
                delay
            } else {
                Duration::ZERO
            };
            scene.ensemble.set_disk_delay(member, delay)?;
        }
        let before = scene.workload.acknowledged();
        std::thread::sleep(STAGE);
        scene.writes_go_on()?;
        told.push(format!("{name} {}", scene.workload.acknowledged() - before));
    }
    for member in 0..3 {
        scene.ensemble.set_disk_delay(member, Duration::ZERO)?;
    }
    let checked = scene.end(environment, "disks")?;
    Ok(format!("writes with {}; {checked}", told.join(", ")))
}
