//! A session that goes on through another member while a write of it is still on its way.

use histories::Outcome;
use histories::client::{Connection, Session, Welcome};
use histories::ensemble::{Ensemble, SESSION_TIMEOUT};
use histories::environment::Environment;
use histories::network::Cuts;
use histories::wire::{In, Out, code, op};
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

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
        let refused = late_write(&ensemble).map_err(|error| {
            format!("attempt {attempt}: {error}\n{}", ensemble.keep("sessions"))
        })?;
        if refused {
            return Ok(format!("the late write was refused, at attempt {attempt}"));
        }
        ensemble.wait_until_all_serve(Duration::from_secs(30))?;
    }
    Err(format!(
        "the late write never arrived in {ATTEMPTS} attempts"
    ))
}

/// Whether the late write arrived, and was refused.
fn late_write(ensemble: &Ensemble) -> Outcome<bool> {
    let leader = ensemble.leader_other_than(None)?;
    let (slow, quick) = ((leader + 1) % 3, (leader + 2) % 3);
    let said = |error: io::Error| error.to_string();
    let (mut old, session) = open(ensemble.address(slow), None).map_err(said)?;
    old.send(&[create()]).map_err(said)?;
    let created = old.receive().map_err(said)?;
    if !matches!(created.error, code::OK | code::NODE_EXISTS) {
        return Err(format!("the node could not be made: {}", created.error));
    }
    let cut = Cuts::from([(ensemble.network.host(slow), ensemble.network.host(leader))]);
    ensemble.network.cut(&cut)?;
    old.send(&[set(2, "older")]).map_err(said)?;
    let moved = open(ensemble.address(quick), Some(&session)).map_err(said);
    let written = moved.and_then(|(mut new, _)| {
        new.send(&[set(3, "newer")]).map_err(said)?;
        new.receive().map_err(said).map(|reply| (new, reply))
    });
    ensemble.network.heal()?;
    let (mut new, written) = written?;
    if written.error != code::OK {
        return Err(format!(
            "the session could not go on elsewhere: {}",
            written.error
        ));
    }
    let late = old.receive();
    new.send(&[get()]).map_err(said)?;
    let reply = new.receive().map_err(said)?;
    let value = In(&reply.body).string().map_err(said)?;
    if value != "newer" {
        return Err(format!("'{value}' is there, and 'newer' was written last"));
    }
    if let Ok(reply) = late {
        return match reply.error {
            code::SESSION_MOVED => Ok(true),
            error => Err(format!(
                "the late write came to error {error} at {:x}, behind {:x}",
                reply.zxid, written.zxid
            )),
        };
    }
    // The connection ended: because the write was refused, which takes a place in the order, or
    // because its member was given up before the write arrived.
    new.send(&[set(5, "newest"), close()]).map_err(said)?;
    let next = new.receive().map_err(said)?;
    let _closed = new.receive().map_err(said)?;
    Ok(next.zxid == written.zxid + 2)
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
