//! What a person would look at first when a case fails.

use crate::operator;
use crate::suite::Suite;

/// Prints resources, pods, Events and the last lines of the logs.
pub(crate) fn print(suite: &Suite) {
    let kube = &suite.kube;
    let show = |arguments: &[&str]| {
        eprintln!("--- kubectl {}", arguments.join(" "));
        match kube.run(arguments) {
            Ok(text) => eprintln!("{text}"),
            Err(error) => eprintln!("{error}"),
        }
    };
    show(&["get", "zk", "--output=yaml"]);
    show(&["get", "pods,statefulset,pvc", "--output=wide"]);
    show(&["get", "events", "--sort-by=.metadata.creationTimestamp"]);
    show(&[
        "get",
        "pods",
        "--namespace",
        operator::NAMESPACE,
        "--output=wide",
    ]);
    show(&[
        "logs",
        "--namespace",
        operator::NAMESPACE,
        "deployment/zookeeper-operator",
        "--tail=50",
    ]);
    let pods = kube
        .run(&["get", "pods", "--output=name"])
        .unwrap_or_default();
    for pod in pods.lines() {
        show(&["logs", pod, "--all-containers", "--tail=50"]);
        show(&[
            "logs",
            pod,
            "--container=zookeeper",
            "--previous",
            "--tail=20",
        ]);
    }
}
