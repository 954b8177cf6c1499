//! Two of three disks are lost for good: said honestly, and recovered only with a person's consent.

use crate::Outcome;
use crate::ensemble::{self, NAME, READY_MAX};
use crate::kube::condition;
use crate::suite::Suite;
use crate::wait::{ensure, until};

const CONSENT: &str = "zookeeper.ensemble.dev/recover-quorum";

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let before = suite.ensemble()?;
    suite.disturb();
    let writer = suite.writer(&before, "recovery", 100)?;
    // Nothing is written any more when the disks go, so the survivor has all there is.
    let journal = writer.journal.clone();
    suite.finish(writer, &before)?;
    let lost: Vec<String> = ["demo-0", "demo-1"].map(str::to_owned).into();
    for pod in &lost {
        let claim = format!("data-{pod}");
        suite.kube.run(&["delete", "pvc", &claim, "--wait=false"])?;
    }
    // With time to stop in order, the second would wait for the first, which would learn all there is
    // from the others. Machines that fail ask nobody.
    suite.kube.run(&[
        "delete",
        "pod",
        &lost[0],
        &lost[1],
        "--grace-period=1",
        "--wait=false",
    ])?;
    let message = until("the conditions tell what is lost", READY_MAX, || {
        let resource = suite.kube.get(&["zk", NAME])?;
        match condition(&resource, "Degraded") {
            Some((status, reason, message))
                if status == "True" && reason == "QuorumLost" && message.contains(CONSENT) =>
            {
                Ok(message)
            }
            other => Err(format!("{other:?}")),
        }
    })?;
    note!("  {message}");
    suite.kube.run(&[
        "annotate",
        "zk",
        NAME,
        &format!("{CONSENT}=accept-data-loss"),
    ])?;
    let after = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
    ensure(
        after.member("demo-2")?.uid == before.member("demo-2")?.uid,
        || "the survivor was restarted".to_owned(),
    )?;
    crate::writer::verify(&suite.environment, &journal, &after.members, None)?;
    // The consent counts once: an empty disk has no vote again.
    let flag = suite.kube.run(&[
        "get",
        "configmap",
        &format!("{NAME}-config"),
        "--output=jsonpath={.data.bootstrap}",
    ])?;
    ensure(flag.trim() == "false", || format!("the flag says {flag}"))?;
    suite
        .kube
        .run(&["annotate", "zk", NAME, &format!("{CONSENT}-")])
        .map(drop)
}
