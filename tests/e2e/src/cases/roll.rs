//! A changed configuration is carried to every member without an interruption that a client minds.

use crate::Outcome;
use crate::cases::deletion::same_disks;
use crate::ensemble::{self, NAME};
use crate::environment::Environment;
use crate::network::{get, inside};
use crate::suite::Suite;
use crate::wait::{ensure, given_the_load};
use crate::writer::now;
use serde_json::{Value, json};
use std::time::Instant;

/// The longest time without an acknowledged write, in seconds.
const GAP_MAX: f64 = 1.0;
/// How long the whole roll may take, in seconds.
const ROLL_MAX: f64 = 30.0;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let before = suite.ensemble()?;
    suite.disturb();
    let writer = suite.writer(&before, "roll", 150)?;
    let announced = ensemble::restarts(&suite.kube)?.len();
    let warned = ensemble::warnings(&suite.kube)?;
    let (began, started) = (now(), Instant::now());
    // A value no other run has left behind.
    let limit = 100 + u64::from(std::process::id() % 900);
    for member in &before.members {
        let config = configuration(&suite.environment, &member.address)?;
        ensure(config["max_client_cnxns"] != limit, || {
            format!("{} has the new value already", member.pod)
        })?;
    }
    let config = json!({"config": {"maxClientCnxns": limit}});
    suite.kube.change(NAME, &config)?;
    let gone: Vec<&str> = before
        .members
        .iter()
        .map(|member| member.uid.as_str())
        .collect();
    let after = ensemble::await_replaced(&suite.kube, &suite.environment, &gone)?;
    let (gap, took) = (
        writer.longest_gap_since(began),
        started.elapsed().as_secs_f64(),
    );
    note!("  rolled in {took:.1} s; longest gap between two writes {gap:.2} s");

    let restarts = ensemble::restarts(&suite.kube)?.split_off(announced);
    let pods: Vec<&str> = restarts.iter().map(|(pod, _)| pod.as_str()).collect();
    note!("  order {pods:?}, {} led", before.leader);
    let mut sorted = pods.clone();
    sorted.sort_unstable();
    let members: Vec<&str> = before
        .members
        .iter()
        .map(|member| member.pod.as_str())
        .collect();
    ensure(sorted == members, || {
        format!("not every member was restarted exactly once: {restarts:?}")
    })?;
    ensure(pods.last() == Some(&before.leader.as_str()), || {
        format!(
            "the leader {} was not the last: {restarts:?}",
            before.leader
        )
    })?;
    ensure(
        restarts
            .iter()
            .all(|(_, note)| note.contains("its configuration changed")),
        || format!("an Event does not tell why: {restarts:?}"),
    )?;
    for member in &after.members {
        let config = configuration(&suite.environment, &member.address)?;
        ensure(config["max_client_cnxns"] == limit, || {
            format!("{} runs with {config}", member.pod)
        })?;
    }
    same_disks(&before, &after)?;
    ensure(gap < given_the_load(GAP_MAX), || {
        format!("no write was acknowledged for {gap:.1} s")
    })?;
    ensure(took < given_the_load(ROLL_MAX), || {
        format!("the roll took {took:.1} s")
    })?;
    ensemble::no_warning_since(&suite.kube, &warned)?;
    suite.finish(writer, &after).map(drop)
}

/// The AdminServer's `/commands/configuration`.
fn configuration(environment: &Environment, address: &str) -> Outcome<Value> {
    let admin = format!("{address}:8080");
    let page = inside(environment, move || get(&admin, "/commands/configuration"))?;
    serde_json::from_str(&page)
        .map_err(|error| format!("/commands/configuration is no JSON: {error}: {page}"))
}
