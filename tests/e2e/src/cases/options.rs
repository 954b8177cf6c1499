//! What a resource can ask for beside its members: a second, small ensemble that has all of it.

use crate::Outcome;
use crate::kube::condition;
use crate::resource::manifest;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use serde_json::{Value, json};
use std::time::Duration;

const NAME: &str = "options";
/// The sidecar is a server, too. The containers of a pod share its ports.
const SIDECAR: &str = "clientPort=2191\nclientPortAddress=127.0.0.1\ndataDir=/scratch/data\nadmin.enableServer=false\n";

pub(super) fn case(suite: &mut Suite) -> Outcome {
    suite.apply_example()?;
    let resource = manifest(
        NAME,
        &json!({
            "replicas": 1,
            "storage": {"data": {"size": "1Gi"}},
            "services": {"members": {"type": "NodePort", "annotations": {"e2e.ensemble.dev/of": "{pod}"}}},
            "pod": {
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
                "terminationGracePeriodSeconds": 20,
                "overrides": {"spec": {
                    "containers": [
                        {"name": "zookeeper", "env": [{"name": "E2E", "value": "yes"}]},
                        {
                            "name": "sidecar",
                            "image": suite.environment.image,
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["/zookeeper-server", "run", "/sidecar/zoo.cfg"],
                            "volumeMounts": [
                                {"name": "scratch", "mountPath": "/scratch"},
                                {"name": "sidecar", "mountPath": "/sidecar"}
                            ],
                            "securityContext": {
                                "allowPrivilegeEscalation": false,
                                "readOnlyRootFilesystem": true,
                                "capabilities": {"drop": ["ALL"]}
                            }
                        }
                    ],
                    "volumes": [
                        {"name": "scratch", "emptyDir": {"sizeLimit": "1024Mi"}},
                        {"name": "sidecar", "configMap": {"name": "sidecar"}}
                    ]
                }}
            }
        }),
    );
    let sidecar = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "sidecar"},
        "data": {"zoo.cfg": SIDECAR}
    });
    suite.kube.apply(&sidecar)?;
    suite.kube.apply(&resource)?;
    let outcome = look(suite, &resource);
    suite.kube.run(&["delete", "zk", NAME, "--timeout=60s"])?;
    outcome
}

fn look(suite: &Suite, resource: &Value) -> Outcome {
    let kube = &suite.kube;
    ready(suite)?;
    let pod = kube.get(&["pod", "options-0"])?;
    let containers = pod["spec"]["containers"]
        .as_array()
        .ok_or("no containers")?;
    ensure(containers.len() == 2, || format!("{containers:?}"))?;
    ensure(containers[0]["env"][0]["value"] == "yes", || {
        format!("{}", containers[0])
    })?;
    ensure(pod["spec"]["terminationGracePeriodSeconds"] == 20, || {
        format!("{}", pod["spec"])
    })?;

    let started = pod["status"]["containerStatuses"].as_array();
    ensure(
        started.is_some_and(|all| all.iter().all(|one| one["restartCount"] == 0)),
        || format!("a container ended: {}", pod["status"]),
    )?;

    // Outside clients are told a node's address and the service's port.
    let service = kube.get(&["service", "options-0"])?;
    let port = &service["spec"]["ports"][0]["nodePort"];
    ensure(
        service["metadata"]["annotations"]["e2e.ensemble.dev/of"] == "options-0",
        || format!("{}", service["metadata"]),
    )?;
    let wanted = format!("{}:{port}", pod["status"]["hostIP"].as_str().unwrap_or(""));
    let status = kube.get(&["zk", NAME])?["status"].clone();
    ensure(status["members"][0]["clientAddress"] == wanted, || {
        format!("{} instead of {wanted}", status["members"][0])
    })?;
    // kube-proxy hears of a service a moment after everybody else.
    until(
        "a node leads to the member",
        Duration::from_secs(60),
        || {
            let address = wanted.clone();
            let said = crate::network::inside(&suite.environment, move || {
                crate::network::ask(&address, b"srvr")
            })?;
            ensure(said.contains("Mode:") || said.contains("whitelist"), || {
                format!("{wanted} answers {said}")
            })
        },
    )?;

    let binding = status["binding"]["name"].as_str().ok_or("no binding")?;
    let secret = kube.get(&["secret", binding])?;
    ensure(secret["type"] == "servicebinding.io/zookeeper", || {
        format!("{secret}")
    })?;
    for key in [
        "type",
        "host",
        "port",
        "uri",
        "connectString",
        "externalConnectString",
    ] {
        ensure(secret["data"][key].is_string(), || format!("no {key}"))?;
    }

    // Applications without a Secret are told the same by a ConfigMap.
    let discovery = kube.get(&["configmap", NAME])?;
    let hosts = discovery["data"]["ZOOKEEPER_HOSTS"].as_str().unwrap_or("");
    ensure(
        hosts.starts_with("options-0.options-headless.") && hosts.ends_with(":2181"),
        || format!("{discovery}"),
    )?;

    // A volume grows where its class allows it: the claim asks for more, and so does the template,
    // around a pod that does not notice.
    let mut grown = resource.clone();
    grown["spec"]["storage"]["data"]["size"] = json!("2Gi");
    kube.apply(&grown)?;
    until(
        "the StatefulSet has the new size",
        Duration::from_secs(60),
        || {
            let set = kube.get(&["statefulset", NAME])?;
            let size =
                &set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"];
            ensure(size == "2Gi", || format!("it says {size}"))?;
            let claim = kube.get(&["pvc", "data-options-0"])?;
            let asked = &claim["spec"]["resources"]["requests"]["storage"];
            ensure(asked == "2Gi", || format!("the claim asks for {asked}"))
        },
    )?;
    ready(suite)?;
    let same = kube.get(&["pod", "options-0"])?;
    ensure(same["metadata"]["uid"] == pod["metadata"]["uid"], || {
        "the pod was replaced for it".to_owned()
    })?;

    // Versions go forward, one minor version at a time.
    let image = suite.environment.image.rsplit_once(':').ok_or("no tag")?.0;
    kube.change(NAME, &json!({"image": format!("{image}:99.0.0")}))?;
    until("the version is refused", Duration::from_secs(30), || {
        let resource = kube.get(&["zk", NAME])?;
        match condition(&resource, "Degraded") {
            Some((status, reason, _)) if status == "True" && reason == "UnsupportedVersion" => {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
}

fn ready(suite: &Suite) -> Outcome {
    until("it is Ready", Duration::from_secs(120), || {
        let resource = suite.kube.get(&["zk", NAME])?;
        let current =
            resource["status"]["observedGeneration"] == resource["metadata"]["generation"];
        match condition(&resource, "Ready") {
            Some((status, ..)) if status == "True" && current => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}
