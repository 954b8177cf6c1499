//! Manifests that make no sense: refused by the API server, in a sentence that says what to change.

use crate::Outcome;
use crate::ensemble::NAME;
use crate::kube::{Kube, condition};
use crate::resource::manifest;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    suite.apply_example()?;
    let kube = &suite.kube;
    new_ones(kube)?;
    by_their_text(kube)?;
    changes(kube)?;
    what_no_rule_can_see(kube)
}

fn new_ones(kube: &Kube) -> Outcome {
    let config = |key: &str, value: Value| json!({"replicas": 3, "config": {key: value}});
    let size = |size: &str| json!({"replicas": 3, "storage": {"data": {"size": size}}});
    let cases = [
        (json!({"replicas": 0}), "set replicas to a number from 1 to"),
        (
            json!({"replicas": -3}),
            "set replicas to a number from 1 to",
        ),
        (
            json!({"replicas": 1000}),
            "set replicas to a number from 1 to",
        ),
        (
            json!({"replicas": 3, "firstServerId": 0}),
            "lower firstServerId",
        ),
        (
            json!({"replicas": 3, "firstServerId": 254}),
            "lower firstServerId",
        ),
        (
            size("lots"),
            "write the size as a Kubernetes quantity above zero",
        ),
        (
            size("0"),
            "write the size as a Kubernetes quantity above zero",
        ),
        (
            size("-1Gi"),
            "write the size as a Kubernetes quantity above zero",
        ),
        (
            config("clientPort", json!(2182)),
            "remove this key from config",
        ),
        (
            config("dataDir", json!("/tmp")),
            "remove this key from config",
        ),
        (
            config("DATADIR", json!("/tmp")),
            "remove this key from config",
        ),
        (
            config("server.4", json!("elsewhere:2888:3888")),
            "remove server.N",
        ),
        (
            config("zookeeper.snapCount", json!(5)),
            "write the key without 'zookeeper.'",
        ),
        (
            json!({"replicas": 3, "config": {"tickTime": 2000, "ticktime": 3000}}),
            "zoo.cfg keys are case-sensitive",
        ),
        (
            config("tickTime", json!(5)),
            "config.tickTime must be a whole number from 100",
        ),
        (
            config("tickTime", json!("soon")),
            "config.tickTime must be a whole number from 100",
        ),
        (
            config("initLimit", json!(0)),
            "config.initLimit must be a whole number from 1",
        ),
        (
            config("maxClientCnxns", json!("60\ndataDir=/tmp")),
            "is one line without a backslash",
        ),
        (
            json!({"replicas": 3, "replcias": 5}),
            "unknown field \"spec.replcias\"",
        ),
        (
            json!({"replicas": 3, "observers": -1}),
            "set observers to a number from 0 to",
        ),
        (
            json!({"replicas": 3, "observers": 3, "firstServerId": 251}),
            "lower firstServerId",
        ),
        (
            json!({"replicas": 3, "tls": {}}),
            "please remove tls: its place is kept",
        ),
        (
            config("secureClientPort", json!(2281)),
            "please remove this key of TLS from config",
        ),
        (
            config("sasl.user.alice", json!("secret")),
            "remove the password from config",
        ),
        (
            json!({"replicas": 3, "auth": {"requireAuthentication": true}}),
            "name users in auth.users",
        ),
        (
            json!({"replicas": 3, "auth": {"users": [{"name": "super", "secretName": "x"}]}}),
            "choose a user name of letters",
        ),
        (
            json!({"replicas": 3, "storage": {"ephemeral": true, "data": {"size": "1Gi"}}}),
            "data kept in the pods has no volumes",
        ),
        (json!({}), "spec.replicas: Required value"),
    ];
    for (spec, sentence) in cases {
        refused(kube, "refused", &spec, sentence)?;
    }
    refused(
        kube,
        &"n".repeat(41),
        &json!({"replicas": 3}),
        "choose a name of at most 40",
    )?;
    refused(kube, "7", &json!({"replicas": 3}), "begins with a letter")?;
    // That it is the fault that is refused, and not everything.
    let sound = manifest(
        "sound",
        &json!({"replicas": 3, "config": {"tickTime": "3000", "snapCount": 5}}),
    );
    kube.run_with(
        &["create", "--dry-run=server", "--filename=-"],
        &sound.to_string(),
    )
    .map(drop)
}

fn refused(kube: &Kube, name: &str, spec: &Value, sentence: &str) -> Outcome {
    let said = kube.refused(
        &["create", "--dry-run=server", "--filename=-"],
        &manifest(name, spec).to_string(),
    )?;
    ensure(said.contains(sentence), || {
        format!("{spec} is refused without '{sentence}': {said}")
    })
}

/// A key written twice: the API server refuses it. (kubectl's own reading of YAML keeps the last
/// of the two before anything else sees them, so the text is sent as it is.)
fn by_their_text(kube: &Kube) -> Outcome {
    let text = r#"{"apiVersion": "zookeeper.ensemble.dev/v1alpha1", "kind": "ZooKeeperCluster",
        "metadata": {"name": "twice"},
        "spec": {"replicas": 3, "config": {"tickTime": 2000, "tickTime": 3000}}}"#;
    let path = format!(
        "/apis/zookeeper.ensemble.dev/v1alpha1/namespaces/{}/zookeeperclusters?fieldValidation=Strict&dryRun=All",
        kube.namespace
    );
    let said = kube.refused(&["create", "--raw", &path, "--filename=-"], text)?;
    ensure(
        said.contains("duplicate field \"spec.config.tickTime\""),
        || format!("a doubled key is refused without naming it: {said}"),
    )
}

fn changes(kube: &Kube) -> Outcome {
    let storage = |value: Value| json!({"spec": {"storage": value}});
    let cases = [
        (
            storage(json!({"ephemeral": true})),
            "storage.ephemeral is immutable",
        ),
        (
            storage(json!({"data": {"size": "512Mi"}})),
            "storage.data.size cannot shrink",
        ),
        (
            storage(json!({"data": {"storageClassName": "other"}})),
            "storage.data.storageClassName is immutable",
        ),
        (
            storage(json!({"log": {"size": "1Gi"}})),
            "storage.log can be neither added nor removed",
        ),
        (
            json!({"spec": {"firstServerId": 10}}),
            "firstServerId is immutable",
        ),
    ];
    for (change, sentence) in cases {
        let patch = change.to_string();
        let said = kube.refused(
            &[
                "patch",
                "zk",
                NAME,
                "--type=merge",
                "--dry-run=server",
                "--patch",
                &patch,
            ],
            "",
        )?;
        ensure(said.contains(sentence), || {
            format!("{change} is refused without '{sentence}': {said}")
        })?;
    }
    let sound = storage(json!({"data": {"size": "2Gi"}})).to_string();
    kube.run(&[
        "patch",
        "zk",
        NAME,
        "--type=merge",
        "--dry-run=server",
        "--patch",
        &sound,
    ])
    .map(drop)
}

/// Two spellings that no rule of the API server can afford to look for: the operator says so in
/// a condition, and makes nothing.
fn what_no_rule_can_see(kube: &Kube) -> Outcome {
    let spec = json!({"replicas": 3, "config": {"snapCount": 5, "snapcOunt": 6}});
    kube.run_with(
        &["create", "--filename=-"],
        &manifest("spelling", &spec).to_string(),
    )?;
    let found = until(
        "the operator refuses two spellings of one key",
        Duration::from_secs(30),
        || {
            let resource = kube.get(&["zk", "spelling"])?;
            condition(&resource, "Degraded").ok_or_else(|| "no condition yet".to_owned())
        },
    )?;
    let (status, reason, message) = &found;
    ensure(
        status == "True" && reason == "InvalidSpec" && message.contains("twice, in two spellings"),
        || format!("the condition is {found:?}"),
    )?;
    let made = kube.run(&[
        "get",
        "statefulset,configmap,service",
        "--selector=zookeeper.ensemble.dev/cluster=spelling",
        "--output=name",
    ])?;
    ensure(made.is_empty(), || {
        format!("objects were made for it: {made}")
    })?;
    kube.run(&["delete", "zk", "spelling", "--timeout=30s"])
        .map(drop)
}
