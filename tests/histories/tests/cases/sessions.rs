//! Sessions that go on through another member: while a write of theirs is still on its way, and while
//! a leader that stood still believes that it has not heard of them.

use super::scene::Scene;
use histories::Outcome;
use histories::client::{Connection, Session, Welcome};
use histories::ensemble::{Ensemble, SESSION_TIMEOUT, SYNC_LIMIT, TICK};
use histories::environment::Environment;
use histories::network::Cuts;
use histories::wire::{In, Out, code, op};
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Times that the write may miss its moment: its member may be given up, and its connection end.
const ATTEMPTS: usize = 12;
/// The node that is written to.
const PATH: &str = "/contended";
const PATIENCE: Duration = Duration::from_secs(5);

/// A follower holds a write back; its session goes on elsewhere and writes; then the first write
/// arrives at the leader. It must be refused, or it would undo the second.
pub(crate) fn run(environment: &Environment) -> Outcome<String> {
    let ensemble = Ensemble::start(environment, 3)?;
    for attempt in 1..=ATTEMPTS {
        ensemble.wait_until_all_serve(PATIENCE * 6)?;
        let leader = ensemble.leader_other_than(None)?;
        // A machine that stalls may cost a connection, and the attempt with it.
        match late_write(&ensemble, leader) {
            Ok(Late::Refused) => {
                return Ok(format!("the late write was refused, at attempt {attempt}"));
            }
            Ok(Late::Done(what)) => return Err(format!("{what}\n{}", ensemble.keep("sessions"))),
            Ok(Late::Missed) | Err(_) => ensemble.network.heal()?,
        }
    }
    Err(format!(
        "the late write never arrived in {ATTEMPTS} attempts"
    ))
}

/// Sessions that a leader wakes up to.
const SLEPT_THROUGH: usize = 8;

/// A leader stands still for longer than sessions live, which go on elsewhere. Awake again, and not
/// deposed yet, it must tell nobody that a session is over: the ensemble keeps it.
pub(crate) fn slept_through(environment: &Environment) -> Outcome<String> {
    let said = |error: io::Error| error.to_string();
    // Under writes: what the followers had said when the leader fell asleep is the first thing that
    // it hears, as if it had them still.
    let mut scene = Scene::set(environment)?;
    let ensemble = &mut scene.ensemble;
    let old = ensemble.leader_other_than(None)?;
    let sessions = (0..SLEPT_THROUGH)
        .map(|_| open(ensemble.address((old + 1) % 3), None).map(|(_, session)| session))
        .collect::<io::Result<Vec<_>>>()
        .map_err(said)?;
    ensemble.members[old].pause()?;
    let paused = Instant::now();
    let new = ensemble.leader_other_than(Some(old))?;
    while paused.elapsed() < SESSION_TIMEOUT + TICK * 3 {
        for session in &sessions {
            open(ensemble.address(new), Some(session))
                .map_err(|error| format!("a session can't go on: {error}"))?;
        }
        std::thread::sleep(TICK);
    }
    ensemble.members[old].go_on()?;
    let awake = Instant::now();
    let (mut asked, mut over) = (0, 0);
    while awake.elapsed() < SYNC_LIMIT {
        for session in &sessions {
            asked += 1;
            let told = Connection::open(
                ensemble.address(old),
                Some(session),
                0,
                SESSION_TIMEOUT,
                PATIENCE,
            );
            over += usize::from(matches!(told, Ok(Welcome::Expired)));
        }
    }
    for session in &sessions {
        open(ensemble.address(new), Some(session)).map_err(|error| {
            format!(
                "a session that went on is over: {error}\n{}",
                ensemble.keep("slept-through")
            )
        })?;
    }
    if over > 0 {
        return Err(format!(
            "of {asked} times that sessions came back to the leader that had stood still, it said \
             {over} times that they were over\n{}",
            ensemble.keep("slept-through")
        ));
    }
    Ok(format!(
        "sessions came back {asked} times, and none was over"
    ))
}

/// What became of the late write.
enum Late {
    /// It arrived, and was refused.
    Refused,
    /// It never arrived.
    Missed,
    /// It was done, which it must not be.
    Done(String),
}

fn late_write(ensemble: &Ensemble, leader: usize) -> io::Result<Late> {
    let (slow, quick) = ((leader + 1) % 3, (leader + 2) % 3);
    let (mut old, session) = open(ensemble.address(slow), None)?;
    old.send(&[create()])?;
    let created = old.receive()?;
    if !matches!(created.error, code::OK | code::NODE_EXISTS) {
        return Ok(Late::Missed);
    }
    let cut = Cuts::from([(ensemble.network.host(slow), ensemble.network.host(leader))]);
    ensemble.network.cut(&cut).map_err(io::Error::other)?;
    old.send(&[set(2, "older")])?;
    let (mut new, _) = open(ensemble.address(quick), Some(&session))?;
    new.send(&[set(3, "newer")])?;
    let written = new.receive()?;
    ensemble.network.heal().map_err(io::Error::other)?;
    if written.error != code::OK {
        return Ok(Late::Missed);
    }
    let late = old.receive();
    new.send(&[get()])?;
    let reply = new.receive()?;
    let value = In(&reply.body).string()?;
    if value != "newer" {
        return Ok(Late::Done(format!(
            "'{value}' is there, and 'newer' was written last"
        )));
    }
    if let Ok(reply) = late {
        return Ok(match reply.error {
            code::SESSION_MOVED => Late::Refused,
            error => Late::Done(format!(
                "the late write came to error {error} at {:x}, behind {:x}",
                reply.zxid, written.zxid
            )),
        });
    }
    // The connection ended: because the write was refused, which takes a place in the order, or
    // because its member was given up before the write arrived.
    new.send(&[set(5, "newest"), close()])?;
    let next = new.receive()?;
    let _closed = new.receive()?;
    Ok(if next.zxid == written.zxid + 2 {
        Late::Refused
    } else {
        Late::Missed
    })
}

fn open(address: Ipv4Addr, session: Option<&Session>) -> io::Result<(Connection, Session)> {
    match Connection::open(address, session, 0, SESSION_TIMEOUT, PATIENCE)? {
        Welcome::Open(connection, session) => Ok((connection, session)),
        Welcome::Expired => Err(io::Error::other("the session has expired")),
    }
}

fn create() -> Out {
    let mut out = Out::default();
    out.int(1).int(op::CREATE).string(PATH).buffer(b"");
    out.open_acl().int(0);
    out
}

/// Numbers go on from one connection to the next: members tell a session's requests apart by them.
fn set(xid: i32, value: &str) -> Out {
    let mut out = Out::default();
    out.int(xid).int(op::SET_DATA).string(PATH);
    out.buffer(value.as_bytes()).int(-1);
    out
}

fn close() -> Out {
    let mut out = Out::default();
    out.int(6).int(op::CLOSE_SESSION);
    out
}

fn get() -> Out {
    let mut out = Out::default();
    out.int(4).int(op::GET_DATA).string(PATH).boolean(false);
    out
}
