//! What GitOps tools do all day: apply the same again, and look for differences.

use crate::Outcome;
use crate::ensemble::NAME;
use crate::objects;
use crate::suite::Suite;
use crate::wait::ensure;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    suite.ensemble()?;
    // The second manager writes the resource itself.
    suite.disturb();
    let example = suite.environment.small_example();
    let example = example.to_string_lossy();
    let kube = &suite.kube;
    let before = objects::owned(kube, NAME)?;
    for round in 1..=3 {
        let said = kube.run(&["apply", "--filename", &example])?;
        ensure(said.contains("unchanged"), || {
            format!("round {round} changed something: {said}")
        })?;
        // It ends with 1 where there is a difference, which is an error here.
        let difference = kube.run(&["diff", "--filename", &example])?;
        ensure(difference.is_empty(), || difference.clone())?;
    }
    let dry = kube.run(&["apply", "--dry-run=server", "--filename", &example])?;
    ensure(dry.contains("unchanged (server dry run)"), || dry.clone())?;
    // As another manager, which would take over every field that it names.
    for _ in 0..2 {
        kube.run(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=gitops",
            "--filename",
            &example,
        ])?;
    }
    let after = objects::owned(kube, NAME)?;
    let mut written = objects::written(&before, &after);
    // The second manager itself wrote the resource: that it owns fields stands in there.
    written.retain(|what| !what.starts_with(&format!("ZooKeeperCluster {NAME}")));
    ensure(written.is_empty(), || {
        format!("applying the same again led to writes: {written:?}")
    })?;
    let resource = kube.get(&["zk", NAME])?;
    ensure(resource["metadata"]["generation"] == 1, || {
        format!(
            "the generation is {}, though nothing was changed",
            resource["metadata"]["generation"]
        )
    })?;
    // The fields that a second manager took are the first one's again.
    kube.run(&["apply", "--filename", &example])?;
    suite.leave_in_peace()
}
