//! Members keep their names and get other addresses, as pods do.

use super::scene::Scene;
use histories::Outcome;
use histories::ensemble::wait_for;
use histories::environment::Environment;
use histories::member::{PATIENCE, mode};
use histories::network::Host;
use std::time::{Duration, Instant};

/// How far a name server lags behind.
const LAG: Duration = Duration::from_millis(1_500);

/// One member moves, then the leader while names lag behind, then all at once, two of them to where
/// others were.
pub(crate) fn run(environment: &Environment) -> Outcome<String> {
    let mut scene = Scene::set(environment)?;
    let leader = scene.ensemble.leader_other_than(None)?;
    let follower = (leader + 1) % 3;
    let mut told = Vec::new();

    scene.ensemble.members[follower].kill();
    let begun = Instant::now();
    rename(&mut scene, &[(follower, 20)])?;
    scene.ensemble.tell_all()?;
    scene.ensemble.start_all()?;
    serves(&scene, follower)?;
    told.push(format!(
        "a follower back after {:.1} s",
        begun.elapsed().as_secs_f32()
    ));

    scene.ensemble.members[leader].kill();
    let begun = Instant::now();
    rename(&mut scene, &[(leader, 21)])?;
    scene.ensemble.tell_itself(leader)?;
    scene.ensemble.start_all()?;
    scene.writes_go_on()?;
    std::thread::sleep(LAG.saturating_sub(begun.elapsed()));
    scene.ensemble.tell_all()?;
    serves(&scene, leader)?;
    told.push(format!(
        "a leader back after {:.1} s, of which names lagged {:.1} s",
        begun.elapsed().as_secs_f32(),
        LAG.as_secs_f32()
    ));

    for member in &mut scene.ensemble.members {
        member.kill();
    }
    let begun = Instant::now();
    // Two change places; by way of a third, since nobody can be where another still is.
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let at_other = scene.ensemble.network.host(other).0;
    rename(&mut scene, &[(other, 22), (leader, 23)])?;
    rename(&mut scene, &[(one, at_other)])?;
    rename(&mut scene, &[(other, 20)])?;
    scene.ensemble.tell_all()?;
    scene.ensemble.start_all()?;
    scene.writes_go_on()?;
    let wrote = begun.elapsed().as_secs_f32();
    for member in 0..3 {
        serves(&scene, member)?;
    }
    told.push(format!(
        "after {wrote:.1} s writes went on with all elsewhere, and after {:.1} s all served",
        begun.elapsed().as_secs_f32()
    ));

    let checked = scene.end(environment, "addresses")?;
    Ok(format!("{}; {checked}", told.join(", ")))
}

fn rename(scene: &mut Scene, moves: &[(usize, u8)]) -> Outcome {
    for (member, host) in moves {
        scene.ensemble.move_member(*member, Host(*host))?;
    }
    scene.workload.set_addresses(scene.ensemble.addresses());
    Ok(())
}

fn serves(scene: &Scene, member: usize) -> Outcome {
    let address = scene.ensemble.address(member);
    wait_for("the member to serve at its new address", PATIENCE, || {
        mode(address).map(drop)
    })
}
