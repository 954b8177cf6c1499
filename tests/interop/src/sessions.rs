//! Sessions that go from member to member, end, and expire.

use crate::Outcome;
use crate::client::{Intended, connect, connect_by, connector, ensure, open};
use crate::ensemble::Ensemble;
use crate::member::{Member, PATIENCE};
use crate::raw::Raw;
use crate::workload::wait_until_gone;
use std::time::{Duration, Instant};
use zookeeper_client::{Client, CreateMode, Error};

/// `KeeperException.java` SESSIONMOVED.
const SESSION_MOVED: i32 = -118;

/// Has the session make a node at the member that it is at. The client that it left behind ends in
/// its own time, and where its connection is closed before, it takes the session back for a moment:
/// then what is asked here is refused, as the session is elsewhere, and this connection ends.
async fn own(mut client: Client, at: &Member, path: &str) -> Outcome<Client> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.create(path, b"", &open(CreateMode::Ephemeral)).await {
            Ok(_) | Err(Error::NodeExists) => return Ok(client),
            Err(error) if Instant::now() >= deadline => {
                return Err(format!("{at}: create {path}: {error}"));
            }
            Err(_) => {
                let session = client.into_session();
                client = connect_by(
                    || connector().with_detached().with_session(session.clone()),
                    &at.address(),
                )
                .await?;
            }
        }
    }
}

/// Takes one session through all members and back to the first: everywhere it has to be the same
/// session, with its ephemerals. Says how often it moved.
pub(crate) async fn move_through_all(ensemble: &Ensemble) -> Outcome<usize> {
    let first = &ensemble.members[0];
    let mut client = detached(&first.address()).await?;
    ensure(&client, "/moved").await?;
    let owner = client.session_id().0;
    let ring = ensemble.members.iter().skip(1).chain([first]);
    let mut moves = 0;
    let mut nodes = Vec::new();
    let mut at = first;
    for member in ring {
        let path = format!("/moved/before-{moves}");
        client = own(client, at, &path).await?;
        nodes.push(path);
        at = member;
        let session = client.into_session();
        client = connect_by(
            || connector().with_detached().with_session(session.clone()),
            &member.address(),
        )
        .await?;
        moves += 1;
        if client.session_id().0 != owner {
            return Err(format!("{member} gave another session"));
        }
        client.sync("/").await.intended(member)?;
        for path in &nodes {
            let stat = client.check_stat(path).await.intended(member)?;
            if stat.map(|stat| stat.ephemeral_owner) != Some(owner) {
                return Err(format!("{path} did not come along to {member}: {stat:?}"));
            }
        }
    }
    // Closed where it is now, its nodes go everywhere.
    let session = client.into_session();
    let last = connect_by(
        || connector().with_session(session.clone()),
        &first.address(),
    )
    .await?;
    drop(last);
    for member in &ensemble.members {
        let watcher = connect(&member.address()).await?;
        for path in &nodes {
            wait_until_gone(&watcher, path).await.intended(member)?;
        }
    }
    Ok(moves)
}

/// A connection that its session has left can't write any more, and a session goes along with its
/// own password only: tried from each member to the next.
pub(crate) fn leave_connections_behind(ensemble: &Ensemble) -> Outcome {
    let members = &ensemble.members;
    for (index, from) in members.iter().enumerate() {
        let to = &members[(index + 1) % members.len()];
        let (mut left, session) = Raw::connect(from, None)?;
        let here = format!("/left-{}", from.id);
        expect_done(left.create(&here), &here, from)?;
        let mut forged = session.clone();
        forged.password[0] ^= 1;
        let (_refused, given) = Raw::connect(to, Some(&forged))?;
        if given.id != 0 {
            return Err(format!("{to} took {forged:?} with a wrong password"));
        }
        let (mut moved, given) = Raw::connect(to, Some(&session))?;
        if given != session {
            return Err(format!("{to} gave {given:?} for {session:?} of {from}"));
        }
        let there = format!("/came-{}", from.id);
        expect_done(moved.create(&there), &there, to)?;
        // Java closes it without an answer, or says so.
        match left.create("/never") {
            Ok(0) => return Err(format!("{from} wrote for a session that is at {to}")),
            Ok(SESSION_MOVED) | Err(_) => {}
            Ok(other) => return Err(format!("{from} answered {other} to a session that left")),
        }
        expect_done(moved.close(), "the end of the session", to)?;
    }
    Ok(())
}

fn expect_done(answer: std::io::Result<i32>, what: &str, member: &Member) -> Outcome {
    match answer {
        Ok(0) => Ok(()),
        other => Err(format!("{member} answered {other:?} to {what}")),
    }
}

/// Leaves a session with each member and waits until all of them have expired.
pub(crate) async fn expire_at_each(ensemble: &Ensemble) -> Outcome {
    let mut nodes = Vec::new();
    for member in &ensemble.members {
        let client = connect_by(
            || {
                connector()
                    .with_session_timeout(Duration::from_secs(1))
                    .with_detached()
            },
            &member.address(),
        )
        .await?;
        let path = format!("/expires-{}", member.id);
        client
            .create(&path, b"", &open(CreateMode::Ephemeral))
            .await
            .intended(format!("create {path}"))?;
        nodes.push(path);
    }
    for member in &ensemble.members {
        let watcher = connect(&member.address()).await?;
        for path in &nodes {
            wait_until_gone(&watcher, path).await.intended(member)?;
        }
    }
    Ok(())
}

async fn detached(address: &str) -> Outcome<Client> {
    connect_by(|| connector().with_detached(), address).await
}
