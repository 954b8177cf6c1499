//! Sessions that only their own member knows, and how they become the ensemble's: the same at a
//! member of Java's and at ours, whoever leads.

use super::Case;
use crate::Outcome;
use crate::ensemble::{Ensemble, wait_for};
use crate::environment::Environment;
use crate::member::Member;
use crate::raw::{EPHEMERAL, PERSISTENT, Raw};

/// `KeeperException.java` EPHEMERALONLOCALSESSION and NONODE.
const EPHEMERAL_ON_LOCAL_SESSION: i32 = -120;
const NO_NODE: i32 = -101;

/// The last voter leads.
const LAYOUTS: [(&str, bool, bool); 4] = [
    ("JSJ", false, true),
    ("SJS", false, false),
    ("JSJ", true, false),
    ("SJS", true, true),
];

pub(super) fn cases() -> Vec<Case> {
    LAYOUTS
        .into_iter()
        .map(|(layout, may_upgrade, short)| {
            let what = if may_upgrade {
                "that may upgrade"
            } else {
                "that stay"
            };
            let name = format!("local sessions {what} in {layout}");
            Case::new(name, short, move |environment| {
                run(environment, layout, may_upgrade)
            })
        })
        .collect()
}

/// Goes through all members of a layout.
async fn run(environment: Environment, layout: &'static str, may_upgrade: bool) -> Outcome<String> {
    let extra = format!("localSessionsEnabled=true\nlocalSessionsUpgradingEnabled={may_upgrade}\n");
    let ensemble = Ensemble::start(&environment, layout, &extra)?;
    let members = &ensemble.members;
    for (at, member) in members.iter().enumerate() {
        let other = &members[(at + 1) % members.len()];
        stays_at_home(member, other)?;
        if may_upgrade {
            becomes_the_ensembles(member, other)?;
        } else {
            owns_nothing(member, other)?;
        }
        expires(member)?;
    }
    Ok(format!("{} members", members.len()))
}

fn expect(what: &str, member: &Member, answer: std::io::Result<i32>, expected: i32) -> Outcome {
    match answer {
        Ok(code) if code == expected => Ok(()),
        other => Err(format!(
            "{member} answered {other:?} to {what}, not {expected}"
        )),
    }
}

/// It makes nodes, costs the ensemble nothing, and nobody else knows it.
fn stays_at_home(member: &Member, other: &Member) -> Outcome {
    let global = member.figure("zk_global_sessions")?;
    let local = member.figure("zk_local_sessions")?;
    let (mut raw, session) = Raw::connect(member, None)?;
    let path = format!("/made-{}", member.id);
    expect(&path, member, raw.create_as(&path, PERSISTENT), 0)?;
    if member.figure("zk_global_sessions")? > global {
        return Err(format!("{member} gave a session that all know"));
    }
    wait_for("the member to count its session", || {
        (member.figure("zk_local_sessions").ok()? > local).then_some(())
    })?;
    let (_refused, given) = Raw::connect(other, Some(&session))?;
    if given.id != 0 {
        return Err(format!("{other} took a session that only {member} knows"));
    }
    // At its own member it goes on.
    let (mut again, given) = Raw::connect(member, Some(&session))?;
    if given != session {
        return Err(format!("{member} gave {given:?} for {session:?}"));
    }
    expect("the session's end", member, again.close(), 0)?;
    let (_gone, given) = Raw::connect(member, Some(&session))?;
    if given.id != 0 {
        return Err(format!("{member} goes on with a session that was closed"));
    }
    Ok(())
}

fn owns_nothing(member: &Member, other: &Member) -> Outcome {
    let (mut raw, _) = Raw::connect(member, None)?;
    let path = format!("/never-{}", member.id);
    let refused = EPHEMERAL_ON_LOCAL_SESSION;
    expect(&path, member, raw.create_as(&path, EPHEMERAL), refused)?;
    let deep = format!("/never-{}/deep", member.id);
    expect(&deep, member, raw.create_as(&deep, EPHEMERAL), refused)?;
    // The session is none the worse for it.
    let path = format!("/still-{}", member.id);
    expect(&path, member, raw.create_as(&path, PERSISTENT), 0)?;
    expect("the session's end", member, raw.close(), 0)?;
    let (mut looker, _) = Raw::connect(other, None)?;
    expect("sync", other, looker.sync("/"), 0)?;
    let never = format!("/never-{}", member.id);
    expect("a look", other, looker.exists(&never), NO_NODE)?;
    expect("the looker's end", other, looker.close(), 0)
}

fn becomes_the_ensembles(member: &Member, other: &Member) -> Outcome {
    let (mut raw, session) = Raw::connect(member, None)?;
    let path = format!("/owned-{}", member.id);
    expect(&path, member, raw.create_as(&path, EPHEMERAL), 0)?;
    let (mut looker, _) = Raw::connect(other, None)?;
    expect("sync", other, looker.sync("/"), 0)?;
    expect("a look", other, looker.exists(&path), 0)?;
    // From now on it goes where it likes.
    let (mut moved, given) = Raw::connect(other, Some(&session))?;
    if given != session {
        return Err(format!(
            "{other} gave {given:?} for {session:?}, now the ensemble's"
        ));
    }
    let more = format!("/owned-{}-elsewhere", member.id);
    expect(&more, other, moved.create_as(&more, EPHEMERAL), 0)?;
    expect("the session's end", other, moved.close(), 0)?;
    expect("sync", other, looker.sync("/"), 0)?;
    for path in [&path, &more] {
        expect("a look", other, looker.exists(path), NO_NODE)?;
    }
    expect("the looker's end", other, looker.close(), 0)
}

/// Left alone, it ends, and only then.
fn expires(member: &Member) -> Outcome {
    let (raw, session) = Raw::connect(member, None)?;
    drop(raw);
    let (kept, given) = Raw::connect_for(member, Some(&session), 1000)?;
    if given != session {
        return Err(format!("{member} forgot {session:?} at once"));
    }
    drop(kept);
    // Asking for it would keep it alive; the count does not.
    wait_for("a session left alone to end", || {
        (member.figure("zk_local_sessions").ok()? == 0).then_some(())
    })?;
    let (_gone, given) = Raw::connect(member, Some(&session))?;
    if given.id != 0 {
        return Err(format!("{member} goes on with a session that expired"));
    }
    Ok(())
}
