//! How long an ensemble is without a leader.

use super::*;

/// From the leader's death to the next one that serves, in simulated milliseconds: median and p99.
fn failover_ms(voters: usize, silent: bool) -> (u64, u64) {
    let mut times = (0..200)
        .map(|seed| {
            let mut world = running(voters, 1_000 + seed);
            let old = leader(&world);
            let died = world.now;
            world.crash(old, silent);
            let replaced = |world: &World| world.leader().is_some();
            assert!(world.run_while(60_000, replaced).expect("no fault"));
            world.led_at - died
        })
        .collect::<Vec<_>>();
    times.sort_unstable();
    (times[100], times[198])
}

#[test]
fn a_lost_leader_is_replaced_in_no_time() {
    for voters in [3, 5] {
        let (median, p99) = failover_ms(voters, false);
        println!("{voters} members, leader's process dies: median {median} ms, p99 {p99} ms");
        // No vote of the dead is waited for.
        assert!(median < 60 && p99 < 120);
        let (median, p99) = failover_ms(voters, true);
        println!("{voters} members, leader's machine dies: median {median} ms, p99 {p99} ms");
        // syncLimit until they notice.
        assert!(p99 < 10_000 + 500);
    }
}
