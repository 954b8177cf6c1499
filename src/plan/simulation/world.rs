//! The simulated world: an API server, the StatefulSet controller, and an ensemble
//! with its disks, its membership and its faults.

use crate::crd::names::{
    ANNOTATION_CONFIG_HASH, ANNOTATION_HAND_OVER, ANNOTATION_RESTARTING, ANNOTATION_TEMPLATE_HASH,
};
use crate::crd::{ZooKeeperCluster, ZooKeeperClusterSpec};
use crate::objects::{Desired, Kind, Password};
use crate::plan::membership::written;
use crate::plan::observed::{
    ContainerView, Learner, MemberReport, MemberState, Observed, PodView, Secrets, Silence,
    Superuser,
};
use crate::plan::rollout::HandOver;
use crate::plan::scale::{Change, Reconfig};
use crate::plan::{Action, Restart, plan};
use crate::valid::{Role, ServerId, Settings, ValidCluster};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most pods there ever are.
const PODS_MAX: usize = 10;

/// Steps whose safety was checked, and those that no one could have judged.
pub(super) static JUDGED: AtomicUsize = AtomicUsize::new(0);
pub(super) static UNJUDGED: AtomicUsize = AtomicUsize::new(0);

/// What a process in a pod is at. Numbers count ticks, which are seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Run {
    Pending(u8),
    Starting(u8),
    Looking,
    Synced,
    Crashing,
}

#[derive(Clone, Debug)]
pub(super) struct Pod {
    uid: u64,
    version: u64,
    config_hash: String,
    pub(super) template_hash: String,
    created: i64,
    pub(super) terminating: Option<u8>,
    requested: bool,
    pub(super) run: Run,
    /// The kubelet's word, a tick behind the truth.
    ready: bool,
    unready_since: i64,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    now: i64,
    pub(super) spec: ValidCluster,
    size: (usize, usize),
    config: u64,
    objects: BTreeMap<Kind, Value>,
    pub(super) pods: Vec<Option<Pod>>,
    /// The committed membership by ordinal; empty until the first server list is written.
    pub(super) roles: BTreeMap<usize, Role>,
    version: i64,
    /// Whose disks have the ensemble's data: an empty one has no vote.
    data: BTreeSet<usize>,
    pub(super) leader: Option<usize>,
    electing: u8,
    hidden: BTreeSet<usize>,
    bad: BTreeSet<String>,
    /// The StatefulSet controller sleeps for so many ticks.
    controller_asleep: u8,
    counter: u64,
    /// Everything that happened on its own so far: what an observation could not know.
    pub(super) faults: u64,
}

/// One turn of a history.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    Tick(u8),
    /// An operator acts on what it saw `age` turns ago; it may crash between its two writes.
    Operate {
        age: u8,
        crash: bool,
    },
    KillPod(u8),
    CrashProcess(u8),
    Hide(u8),
    Show(u8),
    ChangeConfig {
        good: bool,
    },
    RequestRestart(u8),
    ControllerSleeps(u8),
    /// The spec asks for so many voters and observers.
    Scale(u8, u8),
    /// A disk is lost, together with the pod.
    LoseDisk(u8),
}

pub(super) fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        6 => (1_u8..15).prop_map(Turn::Tick),
        12 => (0_u8..2, prop::bool::weighted(0.1)).prop_map(|(age, crash)| Turn::Operate { age, crash }),
        3 => (0_u8..12, prop::bool::weighted(0.1)).prop_map(|(age, crash)| Turn::Operate { age, crash }),
        1 => any::<u8>().prop_map(Turn::KillPod),
        1 => any::<u8>().prop_map(Turn::CrashProcess),
        1 => any::<u8>().prop_map(Turn::Hide),
        1 => any::<u8>().prop_map(Turn::Show),
        2 => prop::bool::weighted(0.75).prop_map(|good| Turn::ChangeConfig { good }),
        1 => any::<u8>().prop_map(Turn::RequestRestart),
        1 => (1_u8..20).prop_map(Turn::ControllerSleeps),
        2 => (1_u8..8, 0_u8..3).prop_map(|(voters, observers)| Turn::Scale(voters, observers)),
        1 => any::<u8>().prop_map(Turn::LoseDisk),
    ];
    prop::collection::vec(turn, 1..120)
}

fn cluster((replicas, observers): (usize, usize), config: u64) -> ValidCluster {
    let mut resource = ZooKeeperCluster::new(
        "demo",
        ZooKeeperClusterSpec {
            replicas: i32::try_from(replicas).expect("few"),
            observers: Some(i32::try_from(observers).expect("few")),
            config: Some(
                [(
                    "snapCount".to_owned(),
                    IntOrString::String(config.to_string()),
                )]
                .into(),
            ),
            ..Default::default()
        },
    );
    resource.metadata.namespace = Some("default".to_owned());
    resource.metadata.uid = Some("uid".to_owned());
    let settings = Settings {
        default_image: "image".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        operator_namespace: None,
    };
    ValidCluster::parse(&resource, &settings).expect("a valid spec")
}

impl World {
    pub(super) fn new(voters: usize, observers: usize) -> Self {
        Self {
            now: 1_700_000_000,
            spec: cluster((voters, observers), 0),
            size: (voters, observers),
            config: 0,
            objects: BTreeMap::new(),
            pods: vec![None; PODS_MAX],
            roles: BTreeMap::new(),
            version: 0,
            data: (0..PODS_MAX).collect(),
            leader: None,
            electing: 3,
            hidden: BTreeSet::new(),
            bad: BTreeSet::new(),
            controller_asleep: 0,
            counter: 0,
            faults: 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn voters(&self) -> BTreeSet<usize> {
        let voters = self
            .roles
            .iter()
            .filter(|(_, role)| **role == Role::Participant);
        voters.map(|(index, _)| *index).collect()
    }

    fn majority(&self) -> usize {
        self.voters().len() / 2 + 1
    }

    fn is(&self, index: usize, run: &Run) -> bool {
        self.pods[index]
            .as_ref()
            .is_some_and(|pod| pod.terminating.is_none() && pod.run == *run)
    }

    /// The truth: who serves in sync, with a vote or without, and only if the voters are a quorum.
    fn followers(&self) -> BTreeSet<usize> {
        let all: BTreeSet<usize> = (0..PODS_MAX)
            .filter(|i| self.is(*i, &Run::Synced))
            .collect();
        let voters = all.intersection(&self.voters()).count();
        let led = self.leader.is_some_and(|leader| all.contains(&leader));
        if led && voters >= self.majority() {
            all
        } else {
            BTreeSet::new()
        }
    }

    /// The voters among them.
    pub(super) fn synced(&self) -> BTreeSet<usize> {
        self.followers()
            .intersection(&self.voters())
            .copied()
            .collect()
    }

    pub(super) fn tick(&mut self) {
        self.now += 1;
        self.controller();
        for index in 0..self.pods.len() {
            self.run(index);
        }
        self.elect();
        let now = self.now;
        let mut changed = false;
        for pod in self.pods.iter_mut().flatten() {
            let ready = pod.run == Run::Synced;
            if pod.ready != ready {
                pod.ready = ready;
                pod.unready_since = now;
                self.counter += 1;
                pod.version = self.counter;
                changed = true;
            }
        }
        if changed {
            self.touch_set();
        }
    }

    fn controller(&mut self) {
        if self.controller_asleep > 0 {
            self.controller_asleep -= 1;
            return;
        }
        let Some(set) = self.objects.get_mut(&Kind::StatefulSet) else {
            return;
        };
        let annotations = &set["spec"]["template"]["metadata"]["annotations"];
        let hash = |key: &str| annotations[key].as_str().unwrap_or_default().to_owned();
        let (config_hash, template_hash) =
            (hash(ANNOTATION_CONFIG_HASH), hash(ANNOTATION_TEMPLATE_HASH));
        let generation = set["metadata"]["generation"].clone();
        if set["status"]["observedGeneration"] != generation {
            set["status"] =
                json!({"observedGeneration": generation, "updateRevision": template_hash});
            self.touch_set();
        }
        let replicas = self.replicas();
        for index in replicas..PODS_MAX {
            // Too many: it goes, and its volume with it.
            if let Some(pod) = self.pods[index].as_mut() {
                pod.terminating.get_or_insert(1);
                self.data.remove(&index);
            }
        }
        for index in 0..replicas {
            if self.pods[index].is_none() {
                let (uid, version) = (self.next(), self.next());
                self.pods[index] = Some(Pod {
                    uid,
                    version,
                    config_hash: config_hash.clone(),
                    template_hash: template_hash.clone(),
                    created: self.now,
                    terminating: None,
                    requested: false,
                    run: Run::Pending(2),
                    ready: false,
                    unready_since: self.now,
                });
                self.touch_set();
            }
        }
    }

    /// How many pods the StatefulSet asks for.
    fn replicas(&self) -> usize {
        let set = self.objects.get(&Kind::StatefulSet);
        let replicas = set.and_then(|set| set["spec"]["replicas"].as_u64());
        usize::try_from(replicas.unwrap_or(0)).expect("few")
    }

    fn touch_set(&mut self) {
        let version = self.next();
        if let Some(set) = self.objects.get_mut(&Kind::StatefulSet) {
            set["metadata"]["resourceVersion"] = json!(version.to_string());
        }
    }

    fn run(&mut self, index: usize) {
        let crashes = |pod: &Pod, bad: &BTreeSet<String>| bad.contains(&pod.config_hash);
        let Some(pod) = self.pods[index].as_mut() else {
            return;
        };
        if let Some(left) = pod.terminating {
            if left > 0 {
                pod.terminating = Some(left - 1);
                return;
            }
            self.pods[index] = None;
            return self.touch_set();
        }
        let before = pod.run.clone();
        pod.run = match &pod.run {
            Run::Pending(0) => Run::Starting(3),
            Run::Pending(left) => Run::Pending(left - 1),
            Run::Starting(0) if crashes(pod, &self.bad) => Run::Crashing,
            Run::Starting(0) => Run::Looking,
            Run::Starting(left) => Run::Starting(left - 1),
            other => other.clone(),
        };
        if before != pod.run {
            let version = self.counter + 1;
            self.counter = version;
            pod.version = version;
        }
    }

    fn elect(&mut self) {
        if self.followers().is_empty() {
            // Quorum is lost: everyone looks again.
            self.leader = None;
            for pod in self.pods.iter_mut().flatten() {
                if pod.run == Run::Synced {
                    pod.run = Run::Looking;
                }
            }
            let able: Vec<usize> = self
                .voters()
                .into_iter()
                .filter(|i| self.is(*i, &Run::Looking) && self.data.contains(i))
                .collect();
            if able.len() < self.majority() {
                self.electing = 3;
            } else if self.electing > 0 {
                self.electing -= 1;
            } else {
                let chosen = usize::try_from(self.counter).unwrap_or(0) % able.len();
                self.leader = Some(able[chosen]);
                for index in able {
                    if let Some(pod) = self.pods[index].as_mut() {
                        pod.run = Run::Synced;
                    }
                }
            }
        } else if let Some(index) = (0..PODS_MAX).find(|index| self.is(*index, &Run::Looking))
            && let Some(pod) = self.pods[index].as_mut()
        {
            // One newcomer a tick catches up with the leader.
            pod.run = Run::Synced;
            self.data.insert(index);
        }
    }

    fn time(&self, seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    pub(super) fn observe(&self) -> Observed {
        let synced = self.followers();
        let pod_view = |pod: &Pod| PodView {
            uid: pod.uid.to_string(),
            resource_version: pod.version.to_string(),
            ip: Some("10.0.0.1".to_owned()),
            node_ip: None,
            revision: Some(pod.template_hash.clone()),
            config_hash: Some(pod.config_hash.clone()),
            certificates_hash: None,
            template_hash: Some(pod.template_hash.clone()),
            restart_requested: pod.requested,
            created: self.time(pod.created),
            terminating: pod.terminating.is_some(),
            container: match pod.run {
                Run::Pending(_) => ContainerView::Starting,
                Run::Crashing => ContainerView::Stuck {
                    reason: "CrashLoopBackOff".to_owned(),
                    message: String::new(),
                },
                Run::Starting(_) | Run::Looking | Run::Synced => {
                    ContainerView::Running { ready: pod.ready }
                }
            },
            unready_since: (!pod.ready).then(|| self.time(pod.unready_since)),
        };
        let report = |index: usize| {
            if self.hidden.contains(&index) {
                return Err(Silence::Unreachable("hidden".to_owned()));
            }
            let runs = self.pods[index]
                .as_ref()
                .filter(|pod| pod.terminating.is_none());
            let state = match runs.map(|pod| &pod.run) {
                Some(Run::Synced) if self.leader == Some(index) => MemberState::Leading,
                Some(Run::Synced) => MemberState::Following,
                Some(Run::Looking) => MemberState::Looking,
                Some(Run::Starting(_)) => MemberState::Starting,
                Some(Run::Pending(_) | Run::Crashing) | None => return Err(Silence::NoAddress),
            };
            let role = |index: usize| {
                let wanted = if index < self.size.0 {
                    Role::Participant
                } else {
                    Role::Observer
                };
                self.roles.get(&index).copied().unwrap_or(wanted)
            };
            let state = match state {
                MemberState::Following if role(index) == Role::Observer => MemberState::Observing,
                state => state,
            };
            let learners = synced
                .iter()
                .filter(|other| **other != index)
                .map(|other| Learner {
                    id: id(*other),
                    role: role(*other),
                    synced: true,
                });
            Ok(MemberReport {
                server_id: id(index),
                state,
                role: role(index),
                serving: synced.contains(&index),
                leader_id: self.leader.map(id),
                version: "1".to_owned(),
                last_zxid: "0x0".to_owned(),
                config_version: format!("{:#x}", self.version),
                config: (!self.roles.is_empty()).then(|| self.config_text()),
                fault: None,
                cluster_id: None,
                voters: self.voters().into_iter().map(id).collect(),
                learners: if state == MemberState::Leading {
                    learners.collect()
                } else {
                    Vec::new()
                },
            })
        };
        Observed {
            now: self.time(self.now),
            cluster_id: Some(self.spec.cluster_id.clone()),
            objects: self.objects.clone(),
            pods: (0..PODS_MAX)
                .filter_map(|i| Some((format!("demo-{i}"), pod_view(self.pods[i].as_ref()?))))
                .collect(),
            claims: BTreeMap::new(),
            members: (0..PODS_MAX)
                .filter(|i| *i < self.size.0 + self.size.1 || self.pods[*i].is_some())
                .map(|i| (ServerId(id(i)), report(i)))
                .collect(),
            secrets: Secrets {
                superuser: Superuser::Known(Password("secret".to_owned())),
                ..Secrets::default()
            },
        }
    }

    fn config_text(&self) -> String {
        let mut text = String::new();
        for (index, role) in &self.roles {
            let line = format!("server.{}=h:1:2:{};3\n", id(*index), role.as_str());
            text.push_str(&line);
        }
        text + &format!("version={:x}", self.version)
    }

    /// What the API server and the ensemble do with an action; `seen_faults` is what its author
    /// could know.
    pub(super) fn carry_out(
        &mut self,
        action: &Action,
        crash: bool,
        seen_faults: u64,
    ) -> Result<(), String> {
        match action {
            Action::Apply(objects) => {
                for object in objects {
                    if !self.write(object, seen_faults)? || crash {
                        return Ok(());
                    }
                }
                Ok(())
            }
            Action::Restart(restart) => self.restart(restart, crash, seen_faults),
            Action::HandOver(asking) => {
                self.hand_over(asking, crash);
                Ok(())
            }
            Action::Reconfig(reconfig) => self.reconfigure(reconfig, seen_faults),
            Action::Nothing
            | Action::Paused
            | Action::DrawSuperuser
            | Action::Grow(_)
            | Action::Recreate(_)
            | Action::Wait(_) => Ok(()),
        }
    }

    /// Writes an object; false where it has changed since it was seen.
    fn write(&mut self, object: &Desired, seen_faults: u64) -> Result<bool, String> {
        let version = self.next().to_string();
        let Some(mut body) = object.body.clone() else {
            return Err(format!("{} was to be deleted", object.name));
        };
        if let Some(old) = self.objects.get(&object.kind) {
            let is = &old["metadata"]["resourceVersion"];
            if object.new
                || object
                    .resource_version
                    .as_ref()
                    .is_some_and(|want| is != want)
            {
                return Ok(false);
            }
            let same = old["spec"] == body["spec"];
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + i64::from(!same);
            body["metadata"]["generation"] = json!(generation);
            body["status"] = old["status"].clone();
            for key in [ANNOTATION_RESTARTING, ANNOTATION_HAND_OVER] {
                let kept = &old["metadata"]["annotations"][key];
                if !kept.is_null() {
                    body["metadata"]["annotations"][key] = kept.clone();
                }
            }
        } else {
            body["metadata"]["generation"] = json!(1);
        }
        body["metadata"]["resourceVersion"] = json!(version);
        if object.kind == Kind::StatefulSet {
            let pods =
                usize::try_from(body["spec"]["replicas"].as_u64().unwrap_or(0)).expect("few");
            self.judge_removal(pods, seen_faults)?;
        }
        self.objects.insert(object.kind, body);
        if object.kind == Kind::ConfigMap && self.roles.is_empty() {
            // The ensemble begins with what its first members are told.
            let list = written(&self.observe()).ok_or("the server list is empty")?;
            self.roles = list
                .roles
                .into_iter()
                .map(|(id, role)| (usize::from(id.0) - 1, role))
                .collect();
            // Those that come later begin with empty disks.
            self.data = self.roles.keys().copied().collect();
        }
        Ok(true)
    }

    /// A pod goes only after its member has left the ensemble.
    fn judge_removal(&self, pods: usize, _: u64) -> Result<(), String> {
        match self.roles.keys().find(|index| **index >= pods) {
            Some(member) => Err(format!(
                "the pod of member {member} goes while it belongs to the ensemble: {self:#?}"
            )),
            None => Ok(()),
        }
    }

    fn restart(&mut self, restart: &Restart, crash: bool, seen_faults: u64) -> Result<(), String> {
        if !self.announce(
            ANNOTATION_RESTARTING,
            &restart.uid,
            &restart.stateful_set_version,
        ) || crash
        {
            return Ok(());
        }
        let index = usize::from(restart.id.0) - 1;
        let Some(pod) = self.pods[index].as_ref() else {
            return Ok(());
        };
        if pod.uid.to_string() != restart.uid || pod.version.to_string() != restart.resource_version
        {
            return Ok(());
        }
        self.judge(index, seen_faults)?;
        let version = self.next();
        if let Some(pod) = self.pods[index].as_mut() {
            pod.terminating.get_or_insert(2);
            pod.version = version;
        }
        self.elect_after_loss();
        Ok(())
    }

    /// Annotates the StatefulSet, if it still is as it was seen.
    fn announce(&mut self, annotation: &str, uid: &str, resource_version: &str) -> bool {
        let set = &self.objects[&Kind::StatefulSet];
        if set["metadata"]["resourceVersion"] != json!(resource_version) {
            return false;
        }
        let announcement = format!("{uid} {}", self.time(self.now));
        self.touch_set();
        if let Some(set) = self.objects.get_mut(&Kind::StatefulSet) {
            set["metadata"]["annotations"][annotation] = json!(announcement);
        }
        true
    }

    fn hand_over(&mut self, asking: &HandOver, crash: bool) {
        let index = usize::from(asking.member.id.0) - 1;
        if !self.announce(
            ANNOTATION_HAND_OVER,
            &asking.uid,
            &asking.stateful_set_version,
        ) || crash
            || self.leader != Some(index)
        {
            return;
        }
        let mut others = self.synced();
        others.remove(&index);
        // Now and then one refuses.
        if !self.counter.is_multiple_of(4)
            && let Some(next) = others.last()
        {
            self.leader = Some(*next);
        }
    }

    /// The ensemble changes its membership, if the leader sees a quorum of the new one.
    fn reconfigure(&mut self, reconfig: &Reconfig, seen_faults: u64) -> Result<(), String> {
        let leader = usize::from(reconfig.leader.0.id.0) - 1;
        if reconfig.from_version != self.version
            || self.leader != Some(leader)
            || self.synced().is_empty()
        {
            return Ok(());
        }
        let index = usize::from(reconfig.member.id.0) - 1;
        let mut roles = self.roles.clone();
        match reconfig.change {
            Change::Join(role) => drop(roles.insert(index, role)),
            Change::Leave => drop(roles.remove(&index)),
        }
        let voters: BTreeSet<usize> = roles
            .iter()
            .filter(|(_, role)| **role == Role::Participant)
            .map(|(index, _)| *index)
            .collect();
        let acknowledges = |index: &&usize| self.roles.get(index) != Some(&Role::Observer);
        let followers = self.followers();
        let synced = voters.intersection(&followers).filter(acknowledges).count();
        if synced <= voters.len() / 2 {
            // The server would refuse it as well; that the planner asks for it is a fault of its own.
            if seen_faults != self.faults {
                UNJUDGED.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            return Err(format!(
                "{reconfig:?} would take the quorum away: {self:#?}"
            ));
        }
        JUDGED.fetch_add(1, Ordering::Relaxed);
        let changed = voters.symmetric_difference(&self.voters()).count();
        if changed > 1 {
            return Err(format!("{reconfig:?} changes {changed} votes at once"));
        }
        self.roles = roles;
        self.version += 1;
        if !voters.contains(&leader) {
            self.leader = None;
            self.electing = 3;
        }
        Ok(())
    }

    fn elect_after_loss(&mut self) {
        if self
            .leader
            .is_some_and(|leader| !self.is(leader, &Run::Synced))
        {
            self.leader = None;
            self.electing = 3;
        }
    }

    /// The safety property, at the moment a pod goes.
    fn judge(&self, index: usize, seen_faults: u64) -> Result<(), String> {
        // Nobody can know what broke after they looked.
        if seen_faults != self.faults {
            UNJUDGED.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        JUDGED.fetch_add(1, Ordering::Relaxed);
        let synced = self.synced();
        let without = synced.iter().filter(|other| **other != index).count();
        let spares_nobody = self.voters().len() <= self.majority();
        if synced.contains(&index) && without < self.majority() && !spares_nobody {
            return Err(format!(
                "member {index} was restarted though only {without} others serve: {self:#?}"
            ));
        }
        if self.leader == Some(index) && synced.contains(&index) {
            let newest = self.newest_hash();
            let others: Vec<usize> = synced
                .iter()
                .copied()
                .filter(|other| *other != index)
                .filter(|other| {
                    self.pods[*other]
                        .as_ref()
                        .is_some_and(|pod| Some(&pod.template_hash) != newest.as_ref())
                })
                .collect();
            if !others.is_empty() {
                return Err(format!(
                    "the leader {index} was restarted before {others:?}"
                ));
            }
        }
        Ok(())
    }

    fn newest_hash(&self) -> Option<String> {
        let set = self.objects.get(&Kind::StatefulSet)?;
        set["spec"]["template"]["metadata"]["annotations"][ANNOTATION_TEMPLATE_HASH]
            .as_str()
            .map(str::to_owned)
    }

    pub(super) fn change_config(&mut self, good: bool) {
        self.config = self.next();
        self.spec = cluster(self.size, self.config);
        if !good {
            let text = crate::objects::zoo_cfg(&self.spec);
            self.bad.insert(crate::objects::short_hash(text.as_bytes()));
        }
    }

    pub(super) fn scale(&mut self, voters: usize, observers: usize) {
        self.size = (voters, observers);
        self.spec = cluster(self.size, self.config);
    }

    /// Everyone is seen again, the configuration is right, and a majority has its data.
    pub(super) fn heal(&mut self) {
        self.hidden.clear();
        self.data.extend(self.roles.keys());
        self.change_config(true);
    }

    pub(super) fn happens(&mut self, turn: &Turn) {
        let count = self.replicas().max(1);
        match turn {
            Turn::Tick(ticks) => (0..*ticks).for_each(|_| self.tick()),
            Turn::KillPod(index) => {
                let version = self.next();
                if let Some(pod) = self.pods[*index as usize % count].as_mut() {
                    pod.terminating.get_or_insert(1);
                    pod.version = version;
                    self.faults += 1;
                    self.elect_after_loss();
                }
            }
            Turn::CrashProcess(index) => {
                let version = self.next();
                if let Some(pod) = self.pods[*index as usize % count].as_mut()
                    && matches!(pod.run, Run::Synced | Run::Looking)
                {
                    pod.run = Run::Starting(3);
                    pod.version = version;
                    self.faults += 1;
                    self.elect_after_loss();
                }
            }
            Turn::Hide(index) => drop(self.hidden.insert(*index as usize % count)),
            Turn::Show(index) => drop(self.hidden.remove(&(*index as usize % count))),
            Turn::ChangeConfig { good } => self.change_config(*good),
            Turn::RequestRestart(index) => {
                let version = self.next();
                if let Some(pod) = self.pods[*index as usize % count].as_mut() {
                    pod.requested = true;
                    pod.version = version;
                }
            }
            Turn::ControllerSleeps(ticks) => self.controller_asleep = *ticks,
            Turn::Scale(voters, observers) => {
                self.scale(usize::from(*voters), usize::from(*observers));
            }
            Turn::LoseDisk(index) => {
                let index = *index as usize % count;
                // A majority of lost disks is a matter for a person, not for the planner.
                let lost = self.voters().difference(&self.data).count();
                if lost == 0 && self.majority() > 1 {
                    self.data.remove(&index);
                    self.happens(&Turn::KillPod(u8::try_from(index).expect("few")));
                }
            }
            Turn::Operate { .. } => {}
        }
    }

    pub(super) fn is_done(&self) -> bool {
        let newest = self.newest_hash();
        let (voters, observers) = self.size;
        let wanted = voters + observers;
        let roles: Vec<Role> = self.roles.values().copied().collect();
        let as_asked = self.roles.keys().copied().eq(0..wanted)
            && roles
                .iter()
                .filter(|role| **role == Role::Participant)
                .count()
                == voters
            && roles[..voters]
                .iter()
                .all(|role| *role == Role::Participant);
        as_asked
            && self.followers().len() == wanted
            && self.pods.iter().flatten().count() == wanted
            && self
                .pods
                .iter()
                .flatten()
                .all(|pod| Some(&pod.template_hash) == newest.as_ref() && !pod.requested)
            && plan(&self.spec, &self.observe()).action == Action::Nothing
    }
}

fn id(index: usize) -> u8 {
    u8::try_from(index + 1).expect("few")
}
