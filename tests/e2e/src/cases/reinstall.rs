//! The operator is no part of what it looks after.

use crate::Outcome;
use crate::ensemble::{self, NAME};
use crate::operator;
use crate::suite::Suite;
use crate::wait::ensure;
use crate::writer::now;
use std::time::Duration;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let before = suite.ensemble()?;
    suite.disturb();
    let announced = ensemble::restarts(&suite.kube)?.len();
    let mut writer = suite.writer(&before, "reinstall", 100)?;
    let began = now();
    let volumes = |suite: &Suite| {
        suite
            .kube
            .run(&["get", "pvc", "--output=jsonpath={.items[*].metadata.uid}"])
    };
    let volumes_before = volumes(suite)?;
    operator::uninstall(&suite.kube)?;
    writer.await_progress(100)?;
    suite
        .kube
        .run(&["get", "crd", "zookeeperclusters.zookeeper.ensemble.dev"])?;
    suite.kube.run(&["get", "zk", NAME])?;
    for member in &before.members {
        let pod = suite.kube.get(&["pod", &member.pod])?;
        ensure(
            pod["metadata"]["uid"] == member.uid && pod["metadata"]["deletionTimestamp"].is_null(),
            || format!("{} did not outlive the operator", member.pod),
        )?;
        let report = ensemble::report(&suite.environment, &member.address)?;
        ensure(report["serving"] == true, || {
            format!("{} does not serve: {report}", member.pod)
        })?;
    }
    let volumes_now = volumes(suite)?;
    ensure(
        !volumes_now.is_empty() && volumes_now == volumes_before,
        || format!("the volumes were {volumes_before}, now they are {volumes_now}"),
    )?;
    writer.verify(&before.members, Some(100))?;

    // The rights that it has in the namespaces that it looks after are all it needs.
    let namespaces = [suite.kube.namespace.as_str(), "default"];
    operator::install_for(&suite.kube, &suite.environment, &namespaces)?;
    let roles = suite.kube.list(&[
        "clusterroles",
        "--selector=app.kubernetes.io/name=zookeeper-operator",
    ])?;
    ensure(roles.is_empty(), || format!("{roles:?}"))?;
    // Its first pass finds everything as it is; a touch of the resource makes it look again.
    let passes = suite.await_passes(0, 1, Duration::from_secs(60))?;
    let touch = format!("e2e.ensemble.dev/touch={}", suite.kube.namespace);
    suite.kube.run(&["annotate", "zk", NAME, &touch])?;
    suite.await_passes(passes, 1, Duration::from_secs(60))?;
    let after = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
    ensure(after.members == before.members, || {
        format!(
            "a member was restarted: before {:?}, after {:?}",
            before.members, after.members
        )
    })?;
    let restarts = ensemble::restarts(&suite.kube)?.split_off(announced);
    ensure(restarts.is_empty(), || {
        format!("the new operator restarted {restarts:?}")
    })?;
    note!(
        "  longest gap between two writes {:.2} s",
        writer.longest_gap_since(began)
    );
    suite.finish(writer, &after)?;
    // Whoever runs cases on this cluster again does so in another namespace.
    operator::install(&suite.kube, &suite.environment)
}
