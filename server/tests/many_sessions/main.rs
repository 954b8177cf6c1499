//! Twenty thousand sessions at an ensemble of three, each with an ephemeral node and watches, half
//! of them killed at once: all of these expire, all watches fire, the others feel nothing, and the
//! memory comes back. Members are processes of their own, so that their memory is their own, and
//! the clients are two more, for one process may not have as many open files everywhere.
//!
//! `MANY_SESSIONS=N` changes the number.

// A test that unwraps what is not there has failed, which is what it is for.
#![allow(clippy::unwrap_used)]

mod client;
mod control;
mod server;

use control::Workers;
use server::Ensemble;
use std::time::{Duration, Instant};

/// Sessions in all.
const SESSIONS: usize = 20_000;
/// The timeout of those that live on, pinged every third of it.
const SURVIVORS_TIMEOUT: Duration = Duration::from_secs(30);
/// The timeout of those that die.
const DYING_TIMEOUT: Duration = Duration::from_secs(24);
/// tickTime of the servers; a session's timeout is at most twenty.
const TICK: Duration = Duration::from_millis(1500);
/// The longest that anything here may take: machines that run tests stall.
const PATIENCE: Duration = Duration::from_secs(90);

/// Descriptors for the sockets of the fullest process and a few files. Children inherit the limit.
fn raise_descriptor_limit(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum.map(|maximum| maximum.max(wanted)),
    };
    setrlimit(Resource::Nofile, raised).unwrap_or_else(|error| {
        panic!("{wanted} open files are needed (run as root, or raise `ulimit -n`): {error}")
    });
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    began.elapsed()
}

#[test]
fn half_of_twenty_thousand_sessions_die_at_once_and_the_others_feel_nothing() {
    if let Ok(task) = std::env::var(control::WORKER) {
        client::work(&task);
        return;
    }
    let count = std::env::var("MANY_SESSIONS").map_or(SESSIONS, |n| n.parse().unwrap());
    assert!(count >= 8 && count.is_multiple_of(4));
    raise_descriptor_limit(count as u64 / 2 + 1000);
    let ensemble = Ensemble::start(TICK);
    let waves = std::env::var("MANY_SESSIONS_WAVES").map_or(1, |n| n.parse().unwrap());
    for _ in 0..waves {
        wave(&ensemble, count);
    }
}

fn wave(ensemble: &Ensemble, count: usize) {
    let mut workers = Workers::start(&ensemble.addresses(), count);
    workers.tell("parents");
    wait_until("the parents are there", || workers.tally().parents == 1);
    let before_kb = ensemble.resident_kb();
    let half = count / 2;

    let began = Instant::now();
    workers.tell("survivors");
    wait_until("half the sessions stand", || workers.tally().opened == half);
    workers.tell("dying");
    wait_until("all sessions stand", || workers.tally().opened == count);
    wait_until("every member has all ephemeral nodes", || {
        let counts = ensemble.monitor("zk_ephemerals_count");
        counts.iter().all(|seen| *seen == count as u64)
    });
    let opened_in = began.elapsed();
    workers.tell("watch");
    let watched_in = wait_until("all watches are set", || workers.tally().watching == count);
    let tally = workers.tally();
    assert_eq!(
        (tally.deleted, tally.changed),
        (0, 0),
        "nothing has happened yet"
    );
    let full_kb = ensemble.resident_kb();

    workers.tell("die");
    let expired_in = wait_until("every watch fires", || {
        let tally = workers.tally();
        (tally.deleted, tally.changed) == (half, half)
    });
    wait_until("those with an open socket are sent away", || {
        workers.tally().sent_away == half / 2
    });
    wait_until("the dead are forgotten", || {
        let left: u64 = ensemble.monitor("zk_num_alive_connections").iter().sum();
        left == half as u64 + ensemble.own_connections()
    });
    // A member that is behind gets there.
    wait_until("every member has the survivors' nodes alone", || {
        let counts = ensemble.monitor("zk_ephemerals_count");
        counts.iter().all(|seen| *seen == half as u64)
    });
    // Every survivor's are used up, every dead one's are gone with it.
    assert_eq!(ensemble.monitor("zk_watch_count"), [0, 0, 0]);
    let tally = workers.tally();
    assert_eq!((tally.deleted, tally.changed), (half, half), "each once");

    workers.tell("close");
    let pings = workers.finish();
    wait_until("all are gone", || {
        let left: u64 = ensemble.monitor("zk_num_alive_connections").iter().sum();
        left == ensemble.own_connections()
    });
    wait_until("no member has a node of theirs", || {
        ensemble.monitor("zk_ephemerals_count") == [0, 0, 0]
    });
    let grown_kb = full_kb.saturating_sub(before_kb);
    let may_stay_kb = before_kb + grown_kb * 3 / 10;
    let mut empty_kb = 0;
    let returned_in = wait_until("the system has the memory back", || {
        empty_kb = ensemble.resident_kb();
        empty_kb <= may_stay_kb
    });
    println!(
        "{count} sessions opened in {:.1} s, watches set in {:.1} s, {half} killed, all expired and told in {:.1} s \
         (timeout {} s); of {} pings since then the median took {:.1} ms, the 99th percentile {:.1} ms, the \
         slowest {:.1} ms; memory of the three members {} MB before, {} MB with all ({:.1} kB a session), {} MB \
         {:.1} s after the last had gone",
        opened_in.as_secs_f64(),
        watched_in.as_secs_f64(),
        expired_in.as_secs_f64(),
        DYING_TIMEOUT.as_secs(),
        pings.len(),
        at(&pings, 0.5),
        at(&pings, 0.99),
        at(&pings, 1.0),
        before_kb >> 10,
        full_kb >> 10,
        grown_kb as f64 / count as f64,
        empty_kb >> 10,
        returned_in.as_secs_f64(),
    );
    // A client gives a server up after two thirds of the timeout, and pings every third.
    let patience_ms = DYING_TIMEOUT.as_millis() as f64 / 3.0;
    assert!(pings.len() >= half, "not every survivor pinged");
    assert!(
        at(&pings, 1.0) < patience_ms,
        "a ping took {} ms",
        at(&pings, 1.0)
    );
}

/// The time at a share of the sorted pings, in milliseconds.
fn at(pings_us: &[u32], share: f64) -> f64 {
    let index = (pings_us.len().saturating_sub(1) as f64 * share) as usize;
    pings_us
        .get(index)
        .map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
}
