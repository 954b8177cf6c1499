//! The operator by its chart: installed, asked, taken away.

use crate::Outcome;
use crate::environment::Environment;
use crate::kube::{Kube, condition};
use crate::network::{self, get};
use crate::wait::{ensure, until};
use serde_json::Value;
use std::time::Duration;

/// Where the chart is installed.
pub(crate) const NAMESPACE: &str = "zookeeper-operator-system";
/// The release, and the Deployment it makes.
pub(crate) const RELEASE: &str = "zookeeper-operator";

/// Whether the release is there.
pub(crate) fn is_installed(kube: &Kube) -> Outcome<bool> {
    Ok(kube
        .helm(&["list", "--short"])?
        .lines()
        .any(|line| line.trim() == RELEASE))
}

/// `helm upgrade --install` and nothing else, with this project's image.
pub(crate) fn install(kube: &Kube, environment: &Environment) -> Outcome {
    install_for(kube, environment, &[])
}

/// The same for these namespaces alone; for all where none is named.
pub(crate) fn install_for(kube: &Kube, environment: &Environment, namespaces: &[&str]) -> Outcome {
    let (repository, tag) = environment
        .image
        .rsplit_once(':')
        .ok_or("E2E_IMAGE has no tag: name it as repository:tag")?;
    let chart = environment.chart();
    kube.helm(&[
        "upgrade",
        "--install",
        RELEASE,
        &chart.to_string_lossy(),
        "--create-namespace",
        "--set-string",
        &format!("image.repository={repository}"),
        "--set-string",
        &format!("image.tag={tag}"),
        "--set-json",
        &format!("watchNamespaces={}", serde_json::json!(namespaces)),
    ])?;
    kube.run(&[
        "rollout",
        "status",
        "deployment",
        RELEASE,
        "--namespace",
        NAMESPACE,
        "--timeout=120s",
    ])?;
    Ok(())
}

/// `helm uninstall`; returns when its pods are gone.
pub(crate) fn uninstall(kube: &Kube) -> Outcome {
    kube.helm(&["uninstall", RELEASE])?;
    until("the operator's pods go", Duration::from_secs(60), || {
        let left = pods(kube)?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.join(", "))
        }
    })
}

/// As many operators as this; returns when it is so.
pub(crate) fn scale(kube: &Kube, replicas: usize) -> Outcome {
    let replicas_wanted = format!("--replicas={replicas}");
    let deployment = format!("deployment/{RELEASE}");
    let scale = [
        "scale",
        &deployment,
        &replicas_wanted,
        "--namespace",
        NAMESPACE,
    ];
    kube.run(&scale)?;
    until(
        "the operator's pods are as wanted",
        Duration::from_secs(60),
        || {
            let pods = kube.list(&["pods", "--namespace", NAMESPACE])?;
            let ready =
                |pod: &&Value| condition(pod, "Ready").is_some_and(|(status, ..)| status == "True");
            let (all, ready) = (pods.len(), pods.iter().filter(ready).count());
            ensure(all == replicas && ready == replicas, || {
                format!("{ready} of {all} are ready")
            })
        },
    )
}

/// The names of its pods.
pub(crate) fn pods(kube: &Kube) -> Outcome<Vec<String>> {
    let pods = kube.list(&["pods", "--namespace", NAMESPACE])?;
    Ok(pods
        .iter()
        .filter_map(|pod| pod["metadata"]["name"].as_str())
        .map(str::to_owned)
        .collect())
}

/// How many passes have succeeded since its process began.
pub(crate) fn passes(kube: &Kube, environment: &Environment) -> Outcome<u64> {
    let pods = kube.list(&["pods", "--namespace", NAMESPACE])?;
    let [pod] = pods.as_slice() else {
        return Err(format!("{} operator pods instead of one", pods.len()));
    };
    let address = pod["status"]["podIP"]
        .as_str()
        .ok_or("the operator's pod has no address")?
        .to_owned();
    let page = network::inside(environment, move || {
        get(&format!("{address}:8080"), "/metrics")
    })?;
    let prefix = "zookeeper_operator_reconciles_total{outcome=\"success\"} ";
    page.lines()
        .find_map(|line| line.strip_prefix(prefix)?.trim().parse().ok())
        .ok_or_else(|| format!("no line begins with {prefix}:\n{page}"))
}
