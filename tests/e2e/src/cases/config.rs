//! A configuration that the server refuses: one member is lost to it, and no more.

use crate::Outcome;
use crate::ensemble::{self, NAME, READY_MAX};
use crate::kube::condition;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use crate::writer::now;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let before = suite.ensemble()?;
    suite.disturb();
    let writer = suite.writer(&before, "config", 100)?;
    let began = now();
    // No rule of the API knows this key's values; the server does.
    patch(suite, r#"{"spec":{"config":{"snapCount":"many"}}}"#)?;
    let told = until("the conditions tell of the key", READY_MAX, || {
        let resource = suite.kube.get(&["zk", NAME])?;
        match condition(&resource, "Degraded") {
            Some((status, reason, message))
                if status == "True"
                    && reason == "MemberCannotRun"
                    && message.contains("snapCount") =>
            {
                Ok(message)
            }
            other => Err(format!("{other:?}")),
        }
    });
    let untouched = told.and_then(|message| {
        println!("  {message}");
        let mut replaced = 0;
        for member in &before.members {
            let pod = suite.kube.get(&["pod", &member.pod])?;
            replaced += u32::from(pod["metadata"]["uid"] != member.uid);
        }
        ensure(replaced == 1, || {
            format!("{replaced} members were restarted")
        })
    });
    patch(suite, r#"{"spec":{"config":null}}"#)?;
    untouched?;
    let after = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
    println!(
        "  longest gap between two writes {:.2} s",
        writer.longest_gap_since(began)
    );
    suite.finish(writer, &after).map(drop)
}

fn patch(suite: &Suite, patch: &str) -> Outcome {
    suite
        .kube
        .run(&["patch", "zk", NAME, "--type=merge", "--patch", patch])
        .map(drop)
}
