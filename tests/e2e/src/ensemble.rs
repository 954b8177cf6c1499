//! The ensemble as Kubernetes and the members themselves describe it.

use crate::Outcome;
use crate::environment::Environment;
use crate::kube::{Kube, condition};
use crate::network::{get, inside};
use crate::wait::until;
use serde_json::Value;
use std::time::Duration;

/// The resource that the small example makes.
pub(crate) const NAME: &str = "demo";
/// How long an ensemble may take to be Ready: a laden machine is slow, a broken ensemble never ends.
pub(crate) const READY_MAX: Duration = Duration::from_secs(180);

/// A member's pod, and where its data is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    /// The pod's name.
    pub(crate) pod: String,
    /// The pod's UID: another one is another pod.
    pub(crate) uid: String,
    /// The pod's address.
    pub(crate) address: String,
    /// The node it runs on.
    pub(crate) node: String,
    /// The server id it reports.
    pub(crate) id: u64,
    /// The UID of its data volume's claim, and the volume's name.
    pub(crate) volume: (String, String),
    /// How often its server was started again within the pod.
    pub(crate) restarts: u64,
}

/// The members of a Ready ensemble, and its front door.
#[derive(Clone, Debug)]
pub(crate) struct Ensemble {
    /// In the order of their ordinals.
    pub(crate) members: Vec<Member>,
    /// The leader's pod, by status.
    pub(crate) leader: String,
    /// host:port of the client service.
    pub(crate) service: String,
}

impl Ensemble {
    /// The member of this pod.
    pub(crate) fn member(&self, pod: &str) -> Outcome<&Member> {
        self.members
            .iter()
            .find(|member| member.pod == pod)
            .ok_or_else(|| format!("no member has the pod {pod}"))
    }
}

/// Everything that tells how an ensemble is, read in one call.
struct Seen {
    name: String,
    objects: Vec<Value>,
}

impl Seen {
    fn read(kube: &Kube, name: &str) -> Outcome<Self> {
        Ok(Self {
            name: name.to_owned(),
            objects: kube.list(&["zk,service,pods,pvc"])?,
        })
    }

    fn object(&self, kind: &str, name: &str) -> Outcome<&Value> {
        self.objects
            .iter()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
            .ok_or_else(|| format!("there is no {kind} {name}"))
    }

    /// The resource, if it says that this very generation is Ready.
    fn ready(&self) -> Outcome<&Value> {
        let resource = self.object("ZooKeeperCluster", &self.name)?;
        if resource["status"]["observedGeneration"] != resource["metadata"]["generation"] {
            return Err(format!(
                "status describes generation {}",
                resource["status"]["observedGeneration"]
            ));
        }
        match condition(resource, "Ready") {
            Some((status, ..)) if status == "True" => Ok(resource),
            Some((_, reason, message)) => Err(format!("{reason}: {message}")),
            None => Err("it has no condition yet".to_owned()),
        }
    }

    /// The ensemble, if it is Ready and every member serves by its own word.
    fn ensemble(&self, environment: &Environment) -> Outcome<Ensemble> {
        let resource = self.ready()?;
        let voters = resource["spec"]["replicas"]
            .as_u64()
            .ok_or("the resource has no replicas")?;
        let wanted = voters + resource["spec"]["observers"].as_u64().unwrap_or(0);
        let leader = resource["status"]["leader"]
            .as_str()
            .ok_or("status names no leader")?
            .to_owned();
        let service = self.object("Service", &format!("{}-client", self.name))?;
        let cluster_ip = service["spec"]["clusterIP"]
            .as_str()
            .ok_or("the client service has no address")?;
        let mut members = Vec::new();
        for ordinal in 0..wanted {
            members.push(self.member(environment, &format!("{}-{ordinal}", self.name))?);
        }
        Ok(Ensemble {
            members,
            leader,
            service: format!("{cluster_ip}:2181"),
        })
    }

    fn member(&self, environment: &Environment, name: &str) -> Outcome<Member> {
        let pod = self.object("Pod", name)?;
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            return Err(format!("{name} is being deleted"));
        }
        let ready = condition(pod, "Ready").is_some_and(|(status, ..)| status == "True");
        let claim = self.object("PersistentVolumeClaim", &format!("data-{name}"))?;
        let text = |value: &Value, what: &str| {
            value
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("{name} has no {what} yet"))
        };
        let address = text(&pod["status"]["podIP"], "address")?;
        let report = report(environment, &address)?;
        if !ready || report["serving"] != true {
            return Err(format!("{name} does not serve yet: {}", report["state"]));
        }
        Ok(Member {
            uid: text(&pod["metadata"]["uid"], "UID")?,
            node: text(&pod["spec"]["nodeName"], "node")?,
            id: report["serverId"]
                .as_u64()
                .ok_or_else(|| format!("{name} reports no serverId: {report}"))?,
            volume: (
                text(&claim["metadata"]["uid"], "claim")?,
                text(&claim["spec"]["volumeName"], "volume")?,
            ),
            restarts: pod["status"]["containerStatuses"][0]["restartCount"]
                .as_u64()
                .unwrap_or(0),
            pod: name.to_owned(),
            address,
        })
    }
}

/// The shared ensemble, once it is Ready and every member serves by its own word.
pub(crate) fn await_ensemble(kube: &Kube, environment: &Environment) -> Outcome<Ensemble> {
    await_named(kube, environment, NAME)
}

/// The ensemble of this name, the same way.
pub(crate) fn await_named(kube: &Kube, environment: &Environment, name: &str) -> Outcome<Ensemble> {
    until("every member serves", READY_MAX, || {
        look(kube, environment, name)
    })
}

/// The same, if it is so now.
pub(crate) fn look(kube: &Kube, environment: &Environment, name: &str) -> Outcome<Ensemble> {
    Seen::read(kube, name)?.ensemble(environment)
}

/// The shared ensemble, once none of these pods is there any more: a status from before their end
/// says nothing.
pub(crate) fn await_replaced(
    kube: &Kube,
    environment: &Environment,
    gone: &[&str],
) -> Outcome<Ensemble> {
    until(
        "the pods are replaced and every member serves",
        READY_MAX,
        || {
            let seen = Seen::read(kube, NAME)?;
            let left = seen
                .objects
                .iter()
                .filter_map(|object| object["metadata"]["uid"].as_str())
                .find(|uid| gone.contains(uid));
            if let Some(uid) = left {
                return Err(format!("pod {uid} is still there"));
            }
            seen.ensemble(environment)
        },
    )
}

/// `GET /member`.
pub(crate) fn report(environment: &Environment, address: &str) -> Outcome<Value> {
    let admin = format!("{address}:8080");
    let body = inside(environment, move || get(&admin, "/member"))?;
    serde_json::from_str(&body)
        .map_err(|error| format!("/member of {address} is no JSON: {error}: {body}"))
}

/// Every restart the operator announced in this run's namespace, in order: the pod, and the Event's note.
pub(crate) fn restarts(kube: &Kube) -> Outcome<Vec<(String, String)>> {
    let events = kube.list(&["events.events.k8s.io"])?;
    let mut restarts = Vec::new();
    for event in events
        .iter()
        .filter(|event| event["reason"] == "RestartingMember")
    {
        let text = |value: &Value, what: &str| {
            value
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("an Event has no {what}: {event}"))
        };
        let pod = text(&event["related"]["name"], "pod")?;
        restarts.push((
            text(&event["eventTime"], "time")?,
            pod,
            text(&event["note"], "note")?,
        ));
    }
    // The API server writes these times in UTC with microseconds, so their text sorts.
    restarts.sort();
    Ok(restarts
        .into_iter()
        .map(|(_, pod, note)| (pod, note))
        .collect())
}

/// Everything the operator has warned of in this run's namespace.
pub(crate) fn warnings(kube: &Kube) -> Outcome<Vec<String>> {
    let events = kube.list(&["events.events.k8s.io"])?;
    let mut warnings: Vec<String> = events
        .iter()
        .filter(|event| {
            event["type"] == "Warning" && event["regarding"]["kind"] == "ZooKeeperCluster"
        })
        // One that is repeated only counts on.
        .map(|event| {
            format!(
                "{} {} {}",
                event["reason"], event["note"], event["series"]["count"]
            )
        })
        .collect();
    warnings.sort();
    Ok(warnings)
}

/// The operator has warned of nothing since it had warned of `before`.
pub(crate) fn no_warning_since(kube: &Kube, before: &[String]) -> Outcome {
    let mut now = warnings(kube)?;
    now.retain(|warning| !before.contains(warning));
    crate::wait::ensure(now.is_empty(), || {
        format!("the operator warned although nothing needed a person: {now:?}")
    })
}
