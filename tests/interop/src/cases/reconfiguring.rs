//! Mixed ensembles that grow, shrink and change roles under load, and live on with the files of the
//! configuration that the other flavor wrote.

use super::Case;
use crate::Outcome;
use crate::client::{Intended, connect};
use crate::ensemble::{Ensemble, wait_for};
use crate::environment::Environment;
use crate::load::Writer;
use crate::member::{Member, PATIENCE};
use crate::tree::assert_equal_everywhere;
use std::fs;
use std::time::{Duration, Instant};
use zookeeper_client::{EnsembleUpdate, Error};

/// What the client has no name for: the new members have not caught up, or another change is under
/// way.
const NOT_YET: [i32; 2] = [-13, -14];
/// The member that joins; those before it begin.
const JOINER: usize = 3;

pub(super) fn cases() -> Vec<Case> {
    [
        ("JSJS", true),
        ("SJSJ", true),
        ("JJSJ", false),
        ("SSJS", false),
    ]
    .into_iter()
    .map(|(layout, short)| {
        Case::new(
            format!("reconfigured, {layout}"),
            short,
            move |environment| run(environment, layout),
        )
    })
    .collect()
}

async fn run(environment: Environment, layout: &'static str) -> Outcome<String> {
    let extra = "reconfigEnabled=true\nskipACL=yes\n";
    let mut ensemble = Ensemble::configure(&environment, layout, extra)?;
    let told = exercise(&mut ensemble).await;
    if told.is_err() {
        ensemble.explain();
    }
    told
}

/// A member as a reconfiguration names it, its ports taken from the joiner's own list.
struct Named {
    id: usize,
    peer: String,
    client_port: u16,
}

impl Named {
    fn by_role(&self, role: &str) -> String {
        format!(
            "server.{}={}:{role};127.0.0.1:{}",
            self.id, self.peer, self.client_port
        )
    }
}

fn names(ensemble: &Ensemble) -> Outcome<Vec<Named>> {
    let path = ensemble.members[JOINER].dir.join("zoo.cfg");
    let text = fs::read_to_string(&path).intended("the joiner's zoo.cfg")?;
    let named = ensemble.members.iter().map(|member| {
        let key = format!("server.{}=", member.id);
        let peer = text.lines().find_map(|line| line.strip_prefix(&key))?;
        Some(Named {
            id: member.id,
            peer: peer.to_owned(),
            client_port: member.client_port,
        })
    });
    named
        .collect::<Option<_>>()
        .ok_or("a member is not listed".into())
}

/// Those that begin don't know of the joiner.
fn unlist_joiner(member: &Member) -> Outcome {
    let path = member.dir.join("zoo.cfg");
    let text = fs::read_to_string(&path).intended(member)?;
    let key = format!("server.{}=", JOINER + 1);
    let lines = text.lines().filter(|line| !line.starts_with(&key));
    fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n").intended(member)
}

/// Changes the ensemble, and says what it is then.
async fn reconfig(cluster: &str, joining: &[String], leaving: &[String]) -> Outcome<String> {
    let mut client = connect(cluster).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let update = EnsembleUpdate::Incremental {
            joinings: joining.iter().map(String::as_str),
            leavings: leaving.iter().map(String::as_str),
        };
        let error = match client.update_ensemble(update, None).await {
            Ok((config, _)) => return Ok(String::from_utf8_lossy(&config).into_owned()),
            Err(error) => error,
        };
        let passing = match &error {
            Error::UnexpectedErrorCode(code) => NOT_YET.contains(code),
            Error::ConnectionLoss | Error::SessionExpired | Error::SessionMoved => true,
            _ => false,
        };
        if !passing || Instant::now() >= deadline {
            return Err(format!("reconfig +{joining:?} -{leaving:?}: {error}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        if client.state().is_terminated() {
            client = connect(cluster).await?;
        }
    }
}

async fn exercise(ensemble: &mut Ensemble) -> Outcome<String> {
    let named = names(ensemble)?;
    for member in &mut ensemble.members[..JOINER] {
        unlist_joiner(member)?;
        member.start()?;
    }
    ensemble.wait_until_all_serve()?;
    let cluster = ensemble.connect_string();
    let writer = Writer::start(cluster.clone(), "/load", Duration::from_millis(5));

    ensemble.members[JOINER].start()?;
    reconfig(&cluster, &[named[JOINER].by_role("participant")], &[]).await?;
    ensemble.wait_until_all_serve()?;

    // A follower observes for a while.
    let leader = ensemble.leader()?;
    let other = (0..JOINER).find(|index| *index != leader).unwrap_or(0);
    reconfig(&cluster, &[named[other].by_role("observer")], &[]).await?;
    wait_for("the follower to observe", || {
        (ensemble.members[other].mode()? == "observer").then_some(())
    })?;
    reconfig(&cluster, &[named[other].by_role("participant")], &[]).await?;
    wait_for("the observer to follow", || {
        (ensemble.members[other].mode()? != "observer").then_some(())
    })?;

    // Whoever leads goes, and names its successor.
    let leader = ensemble.leader()?;
    let gone = ensemble.members[leader].id.to_string();
    let config = reconfig(&cluster, &[], &[gone]).await?;
    ensemble.members[leader].terminate()?;
    ensemble.wait_until_all_serve()?;
    let next = ensemble.leader()?;
    let report = writer.stop().await?;
    for member in ensemble.members.iter().filter(|member| member.is_running()) {
        report.assert_kept(member).await?;
    }
    let nodes = assert_equal_everywhere(ensemble).await?;

    // Each goes on from the files that the other flavor left.
    let members = (0..ensemble.members.len()).filter(|index| *index != leader);
    for index in members {
        let member = &mut ensemble.members[index];
        member.terminate()?;
        member.flavor = member.flavor.other();
        member.start()?;
        ensemble.wait_until_all_serve()?;
    }
    for member in ensemble.members.iter().filter(|member| member.is_running()) {
        report.assert_kept(member).await?;
    }
    let again = assert_equal_everywhere(ensemble).await?;
    let voters = config
        .lines()
        .filter(|line| line.contains(":participant"))
        .count();
    if voters != JOINER {
        return Err(format!("{voters} vote after all: {config}"));
    }
    Ok(format!(
        "{} writes acknowledged, none lost, longest pause {:.1} s; member {} followed {} as the leader; {nodes} nodes equal, {again} after each ran on the other's files",
        report.acknowledged.len(),
        report.longest_gap.as_secs_f32(),
        next + 1,
        leader + 1,
    ))
}
