//! Leaders that are cut off one way or stand still, and ensembles that begin anew: what becomes of
//! the old leader, and that nobody waits for it in vain.

use super::scene::Scene;
use histories::Outcome;
use histories::ensemble::{Ensemble, SYNC_LIMIT, wait_for};
use histories::environment::Environment;
use histories::member::{PATIENCE, mode};
use histories::network::Cuts;
use std::time::{Duration, Instant};

/// Half of a leader's connection is gone; the others find another, and it comes to follow.
fn cut_one_way(
    environment: &Environment,
    name: &str,
    cut: impl Fn(&Ensemble, usize) -> Cuts,
) -> Outcome<String> {
    let mut scene = Scene::set(environment)?;
    let old = scene.ensemble.leader_other_than(None)?;
    let begun = Instant::now();
    scene.ensemble.network.cut(&cut(&scene.ensemble, old))?;
    let new = scene.ensemble.leader_other_than(Some(old))?;
    let elected = begun.elapsed();
    scene.writes_go_on()?;
    let wrote = begun.elapsed();
    wait_for("the old leader to stop serving", PATIENCE, || {
        (mode(scene.ensemble.address(old)).as_deref() != Some("leader")).then_some(())
    })?;
    scene.ensemble.network.heal()?;
    let healed = Instant::now();
    scene.follows(old)?;
    let back = healed.elapsed();
    let told = scene.end(environment, name)?;
    Ok(format!(
        "member {} led, then {}: after {:.1} s, the next write after {:.1} s; the old one followed \
         {:.1} s after the network was whole; {told}",
        old + 1,
        new + 1,
        elected.as_secs_f32(),
        wrote.as_secs_f32(),
        back.as_secs_f32()
    ))
}

/// Nothing that the leader says arrives, though it hears everything.
pub(crate) fn mute(environment: &Environment) -> Outcome<String> {
    cut_one_way(environment, "mute-leader", |ensemble, leader| {
        ensemble.isolate(leader, true, false)
    })
}

/// The leader hears nothing, though everything that it says arrives.
pub(crate) fn deaf(environment: &Environment) -> Outcome<String> {
    cut_one_way(environment, "deaf-leader", |ensemble, leader| {
        ensemble.isolate(leader, false, true)
    })
}

/// A leader stands still for longer than its followers wait, and goes on as if nothing had been.
pub(crate) fn paused(environment: &Environment) -> Outcome<String> {
    let mut scene = Scene::set(environment)?;
    let old = scene.ensemble.leader_other_than(None)?;
    scene.ensemble.members[old].pause()?;
    let begun = Instant::now();
    scene.ensemble.leader_other_than(Some(old))?;
    scene.writes_go_on()?;
    let wrote = begun.elapsed();
    std::thread::sleep((SYNC_LIMIT * 2).saturating_sub(begun.elapsed()));
    scene.ensemble.members[old].go_on()?;
    let went_on = Instant::now();
    scene.follows(old)?;
    let back = went_on.elapsed();
    let told = scene.end(environment, "paused-leader")?;
    Ok(format!(
        "the next write after {:.1} s; the old leader followed {:.1} s after it went on; {told}",
        wrote.as_secs_f32(),
        back.as_secs_f32()
    ))
}

/// All members are killed at once, and started again, several times.
pub(crate) fn restarted(environment: &Environment) -> Outcome<String> {
    let mut scene = Scene::set(environment)?;
    let mut waits = Vec::new();
    for _ in 0..3 {
        for member in &mut scene.ensemble.members {
            member.kill();
        }
        scene.ensemble.start_all()?;
        let wait = scene.writes_go_on()?;
        waits.push(format!("{:.1} s", wait.as_secs_f32()));
        std::thread::sleep(Duration::from_millis(300));
    }
    let told = scene.end(environment, "restarted")?;
    Ok(format!("writes went on after {}; {told}", waits.join(", ")))
}
