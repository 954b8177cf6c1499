//! What a person reads.

use crate::Outcome;
use crate::ensemble::NAME;
use crate::suite::Suite;
use crate::wait::ensure;
use serde_json::Value;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let ensemble = suite.ensemble()?;
    let kube = &suite.kube;
    let table = kube.run(&["get", "zk", NAME])?;
    let mut rows = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let header = rows.next().unwrap_or_default();
    let row = rows.next().unwrap_or_default();
    ensure(
        header == ["NAME", "READY", "LEADER", "VERSION", "STATUS", "AGE"],
        || table.clone(),
    )?;
    ensure(
        row.get(..3) == Some(&[NAME, "3/3", ensemble.leader.as_str()]),
        || table.clone(),
    )?;
    ensure(row.get(4) == Some(&"AllMembersServing"), || table.clone())?;

    kube.run(&[
        "wait",
        "--for=condition=QuorumAvailable",
        &format!("zk/{NAME}"),
        "--timeout=5s",
    ])?;
    let scale = kube.run(&[
        "get",
        "--raw",
        &format!(
            "/apis/zookeeper.ensemble.dev/v1alpha1/namespaces/{}/zookeeperclusters/{NAME}/scale",
            kube.namespace
        ),
    ])?;
    let scale: Value =
        serde_json::from_str(&scale).map_err(|error| format!("/scale is no JSON: {error}"))?;
    ensure(scale["status"]["replicas"] == 3, || {
        format!("/scale says {scale}")
    })?;

    for field in [
        "zk",
        "zk.spec",
        "zk.spec.replicas",
        "zk.spec.config",
        "zk.spec.storage.data.size",
        "zk.status",
    ] {
        let text = kube.run(&["explain", field])?;
        let (_, described) = text
            .split_once("DESCRIPTION:")
            .ok_or_else(|| format!("explain {field}: {text}"))?;
        ensure(!described.contains("<empty>"), || {
            format!("explain {field} has no text: {text}")
        })?;
    }
    // Every field directly below spec is explained: a field's text stands indented below its line.
    let text = kube.run(&["explain", "zk.spec"])?;
    let (_, fields) = text
        .split_once("FIELDS:")
        .ok_or_else(|| format!("explain zk.spec: {text}"))?;
    for block in fields
        .split("\n\n")
        .filter(|block| !block.trim().is_empty())
    {
        ensure(block.trim().lines().count() >= 2, || {
            format!("a field of zk.spec has no text: {block}")
        })?;
    }
    suite.leave_in_peace()
}
