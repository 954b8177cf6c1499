//! A spec that no member can run by: an image that does not exist, a configuration that the server
//! refuses. One member is lost to it, and no more.

use super::{Middle, Under, at_once, disturb, is_ready};
use crate::Outcome;
use crate::ensemble::{NAME, READY_MAX};
use crate::kube::condition;
use crate::operator;
use crate::registry::Registry;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The longest time without an acknowledged write, in seconds: members leave in order, or take no
/// part.
const GAP_MAX: f64 = 5.0;

/// What is wrong with a spec, and what has to be said of it.
struct Fault {
    wrong: Value,
    right: Value,
    words: [&'static str; 2],
}

pub(crate) fn image(rolling: &mut Suite, sizing: &mut Suite) -> Outcome {
    let registry = Registry::start(&rolling.environment)?;
    let fault = Fault {
        wrong: json!({"image": Registry::image()}),
        right: json!({"image": null}),
        words: ["Image", "does-not-exist"],
    };
    let outcome = case(rolling, sizing, "image", &fault);
    drop(registry);
    outcome
}

pub(crate) fn config(rolling: &mut Suite, sizing: &mut Suite) -> Outcome {
    let fault = Fault {
        // No rule of the API knows this key's values; the server does.
        wrong: json!({"config": {"snapCount": "many"}}),
        right: json!({"config": {"snapCount": null}}),
        words: ["CrashLoopBackOff", "snapCount"],
    };
    case(rolling, sizing, "config", &fault)
}

fn case(rolling: &mut Suite, sizing: &mut Suite, root: &str, fault: &Fault) -> Outcome {
    disturb(rolling, sizing)?;
    let middle = Middle::reach(rolling, sizing, root, None)?;
    let suffered = at_once(
        || suffer(&middle.roll, fault),
        || suffer(&middle.size, fault),
    );
    // Whatever was seen: the cases after this one are about something else.
    let healing = Instant::now();
    at_once(
        || middle.roll.suite.kube.change(NAME, &fault.right),
        || middle.size.suite.kube.change(NAME, &fault.right),
    )?;
    suffered?;
    middle.end((GAP_MAX, GAP_MAX))?;
    note!(
        "  both are as they should be {:.1} s after the correction",
        healing.elapsed().as_secs_f32()
    );
    Ok(())
}

/// The change goes wrong: the conditions say so, one member is lost to it, and nothing else happens
/// however often the operator looks.
fn suffer(under: &Under<'_>, fault: &Fault) -> Outcome {
    let (suite, kube) = (under.suite, &under.suite.kube);
    kube.change(NAME, &fault.wrong)?;
    let told = || {
        let resource = under.resource()?;
        match condition(&resource, "Degraded") {
            Some((status, reason, message))
                if status == "True"
                    && reason == "MemberCannotRun"
                    && fault.words.iter().all(|word| message.contains(word)) =>
            {
                Ok((resource, message))
            }
            other => Err(format!("{other:?}")),
        }
    };
    let (_, message) = until("the conditions tell of it", READY_MAX, told)?;
    note!("  {message}");
    until("one member is lost to it", READY_MAX, || only_one(under))?;
    // It had more chances to go on, and did not take them.
    let passes = operator::passes(kube, &suite.environment)?;
    suite.await_passes(passes, 6, Duration::from_secs(60))?;
    let (resource, _) = until("the conditions still tell of it", READY_MAX, told)?;
    for (type_, wanted) in [
        ("Ready", "False"),
        ("Progressing", "True"),
        ("QuorumAvailable", "True"),
    ] {
        let found = condition(&resource, type_);
        ensure(
            found.as_ref().is_some_and(|(status, ..)| status == wanted),
            || format!("{type_} is {found:?}"),
        )?;
    }
    only_one(under)
}

/// One member does not run, and the leader was left alone.
fn only_one(under: &Under<'_>) -> Outcome {
    let pods = under.pods()?;
    let lost: Vec<&Value> = pods
        .iter()
        .filter(|pod| !is_ready(pod))
        .map(|pod| &pod["metadata"]["name"])
        .collect();
    ensure(lost.len() == 1, || format!("{lost:?} do not run"))?;
    let replaced = under.replaced(&pods);
    ensure(!replaced.contains(&under.before.leader), || {
        format!(
            "{replaced:?} were restarted, while {} led",
            under.before.leader
        )
    })
}
