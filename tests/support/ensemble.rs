//! What surrounds the operator: a StatefulSet controller, a kubelet, and an ensemble.

use super::{CREATED, Fake, NAMESPACE, World};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use zookeeper_operator::ensemble::{ChangeEnsemble, MembershipChange, Refused};
use zookeeper_operator::objects::Password;
use zookeeper_operator::observe::ReadMembers;
use zookeeper_operator::plan::membership::Membership;
use zookeeper_operator::plan::observed::{Learner, MemberReport, MemberState, Silence};
use zookeeper_operator::plan::scale::Change;
use zookeeper_operator::valid::{Member, Role};

/// The members' common mind.
#[derive(Clone, Debug, Default)]
pub struct Ensemble {
    /// The committed membership; empty before the first quorum.
    pub roles: BTreeMap<u8, Role>,
    /// Its version.
    pub version: i64,
    /// Every membership there was, in order.
    pub history: Vec<BTreeMap<u8, Role>>,
    /// Who leads, while it can.
    pub leader: Option<u8>,
    /// Who handed over, in order.
    pub handed_over: Vec<u8>,
    /// Members without data; they have no vote.
    pub empty: BTreeSet<u8>,
    /// Followers that the leader does not hear in time, whatever they say themselves.
    pub lagging: BTreeSet<u8>,
}

impl Ensemble {
    fn voters(&self) -> Vec<u8> {
        let voters = self
            .roles
            .iter()
            .filter(|(_, role)| **role == Role::Participant);
        voters.map(|(id, _)| *id).collect()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (id, role) in &self.roles {
            text += &format!(
                "server.{id}=host:2888:3888:{};0.0.0.0:2181\n",
                role.as_str()
            );
        }
        text + &format!("version={:x}", self.version)
    }
}

impl World {
    fn text(&self, path: &str, field: &str) -> Option<String> {
        Some(self.objects.get(path)?["data"][field].as_str()?.to_owned())
    }

    /// Ids of the pods whose server runs.
    fn running(&self) -> BTreeSet<u8> {
        let prefix = format!("/api/v1/namespaces/{NAMESPACE}/pods/");
        self.objects
            .iter()
            .filter(|(path, pod)| {
                path.starts_with(&prefix)
                    && !pod["status"]["containerStatuses"][0]["state"]["running"].is_null()
                    && pod["metadata"]["deletionTimestamp"].is_null()
            })
            .filter_map(|(path, _)| path.rsplit('-').next()?.parse::<u8>().ok())
            .map(|ordinal| ordinal + 1)
            .collect()
    }

    /// Who serves, and who leads them: only with a quorum.
    pub fn serving(&self) -> (BTreeSet<u8>, Option<u8>) {
        let mut running = self.running();
        let voters = self.ensemble.voters();
        let up: Vec<u8> = voters
            .iter()
            .copied()
            .filter(|id| running.contains(id) && !self.ensemble.empty.contains(id))
            .collect();
        if voters.is_empty() || up.len() < voters.len() / 2 + 1 {
            return (BTreeSet::new(), None);
        }
        // Who was taken out serves no longer, and who joins does.
        let joining: BTreeSet<u8> = self.listed().into_keys().collect();
        running.retain(|id| self.ensemble.roles.contains_key(id) || joining.contains(id));
        let leader = self.ensemble.leader.filter(|leader| up.contains(leader));
        (running, leader.or(up.last().copied()))
    }

    fn listed(&self) -> BTreeMap<u8, Role> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/demo-config");
        let list = self.text(&path, "zoo.cfg").unwrap_or_default();
        let list = Membership::parse(&list).unwrap_or_default();
        list.roles
            .into_iter()
            .map(|(id, role)| (id.0, role))
            .collect()
    }

    /// The StatefulSet controller and the kubelet: every missing pod is made and
    /// gets ready, those too many go. Those in `broken` cannot run.
    pub fn controllers(&mut self, name: &str, broken: &dyn Fn(&Value) -> bool) {
        let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{name}");
        let Some(set) = self.objects.get_mut(&path) else {
            return;
        };
        let revision = set["spec"]["template"]["metadata"]["annotations"]["zookeeper.ensemble.dev/template-hash"].clone();
        let status = json!({"observedGeneration": set["metadata"]["generation"], "updateRevision": revision});
        set["status"] = status;
        let set = set.clone();
        let replicas = set["spec"]["replicas"].as_u64().unwrap_or(0);
        for ordinal in 0..replicas {
            self.make_claims(&set, name, ordinal);
            self.make_pod(&set, name, ordinal, broken);
        }
        let deletes = set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Delete";
        for ordinal in replicas..70 {
            let pod = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}-{ordinal}");
            if self.objects.remove(&pod).is_some() && deletes {
                let claim = format!(
                    "/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/data-{name}-{ordinal}"
                );
                self.objects.remove(&claim);
            }
        }
        self.catch_up(name);
        if self.ensemble.roles.is_empty() {
            let listed = self.listed();
            let running = self.running();
            let voters: Vec<&u8> = listed
                .iter()
                .filter(|(_, r)| **r == Role::Participant)
                .map(|(id, _)| id)
                .collect();
            if !voters.is_empty()
                && voters.iter().filter(|id| running.contains(id)).count() > voters.len() / 2
            {
                self.ensemble.history.push(listed.clone());
                self.ensemble.roles = listed;
            }
        }
    }

    /// Where a leader serves, disks without data get it from there, and the kubelet finds who serves
    /// to be ready.
    fn catch_up(&mut self, name: &str) {
        let (serving, leader) = self.serving();
        if leader.is_none() {
            return;
        }
        self.ensemble.empty.clear();
        for id in serving {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}-{}", id - 1);
            if let Some(pod) = self.objects.get_mut(&path) {
                pod["status"]["containerStatuses"][0]["ready"] = json!(true);
                pod["status"]["conditions"][0]["status"] = json!("True");
            }
        }
    }

    /// No pod is ready any more, since then.
    pub fn unready(&mut self, name: &str, since: &str) {
        let prefix = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}-");
        for (path, pod) in &mut self.objects {
            if path.starts_with(&prefix) {
                pod["status"]["containerStatuses"][0]["ready"] = json!(false);
                pod["status"]["conditions"][0] =
                    json!({"type": "Ready", "status": "False", "lastTransitionTime": since});
            }
        }
    }

    /// What `init` does when a pod starts: an empty disk may vote where the ConfigMap says so.
    fn initialize(&mut self, id: u8) {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/demo-config");
        let flag = self.text(&path, "bootstrap").unwrap_or_default();
        let may = flag.trim() == "true" || flag.trim().split(',').any(|may| may == id.to_string());
        if may {
            self.ensemble.empty.remove(&id);
        }
    }

    fn make_claims(&mut self, set: &Value, name: &str, ordinal: u64) {
        for template in set["spec"]["volumeClaimTemplates"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let claim = format!(
                "{}-{name}-{ordinal}",
                template["metadata"]["name"].as_str().expect("a name")
            );
            let path = format!("/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/{claim}");
            if !self.objects.contains_key(&path) {
                let mut object = template.clone();
                object["metadata"]["name"] = json!(claim);
                object["metadata"]["creationTimestamp"] = json!(CREATED);
                object["spec"]["storageClassName"] = json!("standard");
                self.insert(&path, object);
            }
        }
    }

    fn make_pod(&mut self, set: &Value, name: &str, ordinal: u64, broken: &dyn Fn(&Value) -> bool) {
        let template = &set["spec"]["template"];
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}-{ordinal}");
        if self.objects.contains_key(&path) {
            return;
        }
        let mut pod = json!({"metadata": template["metadata"], "spec": template["spec"]});
        pod["metadata"]["name"] = json!(format!("{name}-{ordinal}"));
        pod["metadata"]["namespace"] = json!(NAMESPACE);
        pod["metadata"]["creationTimestamp"] = json!(CREATED);
        pod["metadata"]["labels"]["controller-revision-hash"] =
            set["status"]["updateRevision"].clone();
        self.initialize(u8::try_from(ordinal + 1).expect("few"));
        let state = if broken(&pod) {
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}})
        } else {
            json!({"running": {"startedAt": CREATED}})
        };
        let ready = !broken(&pod);
        pod["status"] = json!({
            "phase": "Running", "podIP": format!("127.0.0.{}", ordinal + 1), "hostIP": "192.0.2.1",
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": CREATED}],
            "containerStatuses": [{
                "name": "zookeeper", "ready": ready, "restartCount": 0, "image": "", "imageID": "", "state": state
            }]
        });
        self.insert(&path, pod);
    }

    fn knows(&self, password: &Password) -> bool {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/demo-superuser");
        self.text(&path, "password") == Some(STANDARD.encode(&password.0))
    }
}

impl ReadMembers for Fake {
    fn read<'a>(
        &'a self,
        member: &'a Member,
        _: &'a str,
    ) -> BoxFuture<'a, Result<MemberReport, Silence>> {
        let mut world = self.0.lock().expect("unpoisoned");
        world.asked += 1;
        let (serving, leader) = world.serving();
        let (id, ensemble) = (member.id.0, &world.ensemble);
        let listed = world.listed();
        let role = |id: u8| ensemble.roles.get(&id).or(listed.get(&id)).copied();
        let serves = serving.contains(&id);
        let report = if world.running().contains(&id) {
            let observes = role(id).unwrap_or(member.role) == Role::Observer;
            Ok(MemberReport {
                server_id: id,
                state: match leader {
                    Some(leader) if leader == id => MemberState::Leading,
                    Some(_) if serves && observes => MemberState::Observing,
                    Some(_) if serves => MemberState::Following,
                    _ => MemberState::Looking,
                },
                role: role(id).unwrap_or(member.role),
                serving: serves,
                leader_id: leader,
                version: "3.9.5-0.1.0".to_owned(),
                last_zxid: if ensemble.empty.contains(&id) {
                    "0xffffffffffffffff"
                } else {
                    "0x100000001"
                }
                .to_owned(),
                config_version: format!("{:#x}", ensemble.version),
                config: Some(ensemble.text()),
                fault: None,
                cluster_id: None,
                voters: ensemble.voters(),
                learners: serving
                    .iter()
                    .filter(|other| leader == Some(id) && **other != id)
                    .map(|other| Learner {
                        id: *other,
                        role: role(*other).unwrap_or(Role::Participant),
                        synced: !ensemble.lagging.contains(other),
                    })
                    .collect(),
            })
        } else {
            Err(Silence::Unreachable("connection refused".to_owned()))
        };
        std::future::ready(report).boxed()
    }
}

impl ChangeEnsemble for Fake {
    fn reconfigure<'a>(
        &'a self,
        leader_ip: &'a str,
        password: &'a Password,
        change: &'a MembershipChange,
    ) -> BoxFuture<'a, Result<(), Refused>> {
        let mut world = self.0.lock().expect("unpoisoned");
        if !world.lives(true) {
            return std::future::ready(Err(Refused::Unanswered("dead".to_owned()))).boxed();
        }
        let (serving, leader) = world.serving();
        let knows = world.knows(password);
        world
            .writes
            .push(format!("reconfig {:?} {}", change.change, change.id));
        let ensemble = &mut world.ensemble;
        let answer = if leader.map(|id| format!("127.0.0.{id}")).as_deref() != Some(leader_ip) {
            Err(Refused::Unanswered("this is no leader".to_owned()))
        } else if !knows {
            Err(Refused::Refused("NoAuth".to_owned()))
        } else if change.from_version != ensemble.version {
            Err(Refused::Outdated)
        } else {
            match change.change {
                Change::Join(role) => drop(ensemble.roles.insert(change.id, role)),
                Change::Leave => drop(ensemble.roles.remove(&change.id)),
            }
            ensemble.version += 1;
            let roles = ensemble.roles.clone();
            ensemble.history.push(roles);
            let voters = ensemble.voters();
            let synced = voters.iter().filter(|id| serving.contains(id)).count();
            assert!(
                synced > voters.len() / 2,
                "the membership {:?} has no quorum among {serving:?}",
                ensemble.roles
            );
            Ok(())
        };
        std::future::ready(answer).boxed()
    }

    fn hand_over<'a>(
        &'a self,
        leader_ip: &'a str,
        password: &'a Password,
    ) -> BoxFuture<'a, Result<(), Refused>> {
        let mut world = self.0.lock().expect("unpoisoned");
        if !world.lives(true) {
            return std::future::ready(Err(Refused::Unanswered("dead".to_owned()))).boxed();
        }
        let (serving, leader) = world.serving();
        let answer = match leader {
            Some(leader) if world.knows(password) && leader_ip == format!("127.0.0.{leader}") => {
                let next = world
                    .ensemble
                    .voters()
                    .into_iter()
                    .find(|id| serving.contains(id) && *id != leader);
                world.ensemble.handed_over.push(leader);
                world.ensemble.leader = next;
                Ok(())
            }
            _ => Err(Refused::Refused(
                "not the leader, or not the password".to_owned(),
            )),
        };
        std::future::ready(answer).boxed()
    }
}
