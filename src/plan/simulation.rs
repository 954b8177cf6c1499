//! The planner against a simulated ensemble: generated histories of faults,
//! stale observations, crashes between two writes and a second operator.
//!
//! Two properties. Safety: no restart that the planner asks for, and that its
//! preconditions let through, takes the quorum away, and the leader goes last.
//! Liveness: once faults stop and the spec can be satisfied, every member ends
//! up serving from the newest template.

use super::observed::{
    ContainerView, Learner, MemberReport, MemberState, Observed, PodView, Role, Silence,
};
use super::{Action, plan};
use crate::crd::names::{ANNOTATION_CONFIG_HASH, ANNOTATION_RESTARTING, ANNOTATION_TEMPLATE_HASH};
use crate::crd::{ZooKeeperCluster, ZooKeeperClusterSpec};
use crate::objects::Kind;
use crate::valid::{Settings, ValidCluster};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a process in a pod is at. Numbers count ticks, which are seconds.
#[derive(Clone, Debug, PartialEq)]
enum Run {
    Pending(u8),
    Starting(u8),
    Looking,
    Synced,
    Crashing,
}

#[derive(Clone, Debug)]
struct Pod {
    uid: u64,
    version: u64,
    config_hash: String,
    template_hash: String,
    created: i64,
    terminating: Option<u8>,
    requested: bool,
    run: Run,
    /// The kubelet's word, a tick behind the truth.
    ready: bool,
    unready_since: i64,
}

#[derive(Clone, Debug)]
struct World {
    now: i64,
    spec: ValidCluster,
    objects: BTreeMap<Kind, Value>,
    pods: Vec<Option<Pod>>,
    leader: Option<usize>,
    electing: u8,
    hidden: BTreeSet<usize>,
    bad: BTreeSet<String>,
    /// The StatefulSet controller sleeps for so many ticks.
    controller_asleep: u8,
    counter: u64,
    /// Everything that happened on its own so far: what an observation could not know.
    faults: u64,
}

/// One turn of a history.
#[derive(Clone, Debug)]
enum Turn {
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
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
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
    ];
    prop::collection::vec(turn, 1..120)
}

fn cluster(replicas: usize, config: u64) -> ValidCluster {
    let mut resource = ZooKeeperCluster::new(
        "demo",
        ZooKeeperClusterSpec {
            replicas: i32::try_from(replicas).expect("few"),
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
    fn new(replicas: usize) -> Self {
        Self {
            now: 1_700_000_000,
            spec: cluster(replicas, 0),
            objects: BTreeMap::new(),
            pods: vec![None; replicas],
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

    fn majority(&self) -> usize {
        self.pods.len() / 2 + 1
    }

    fn is(&self, index: usize, run: &Run) -> bool {
        self.pods[index]
            .as_ref()
            .is_some_and(|pod| pod.terminating.is_none() && pod.run == *run)
    }

    /// The truth: who serves in sync, and only if they are a quorum.
    fn synced(&self) -> BTreeSet<usize> {
        let synced: BTreeSet<usize> = (0..self.pods.len())
            .filter(|i| self.is(*i, &Run::Synced))
            .collect();
        let led = self.leader.is_some_and(|leader| synced.contains(&leader));
        if led && synced.len() >= self.majority() {
            synced
        } else {
            BTreeSet::new()
        }
    }

    fn tick(&mut self) {
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
        for index in 0..self.pods.len() {
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
        if self.synced().is_empty() {
            // Quorum is lost: everyone looks again.
            self.leader = None;
            for pod in self.pods.iter_mut().flatten() {
                if pod.run == Run::Synced {
                    pod.run = Run::Looking;
                }
            }
            let able: Vec<usize> = (0..self.pods.len())
                .filter(|i| self.is(*i, &Run::Looking))
                .collect();
            if able.len() < self.majority() {
                self.electing = 3;
            } else if self.electing > 0 {
                self.electing -= 1;
            } else {
                self.leader = able
                    .get(usize::try_from(self.counter).unwrap_or(0) % able.len())
                    .copied();
                for index in able {
                    if let Some(pod) = self.pods[index].as_mut() {
                        pod.run = Run::Synced;
                    }
                }
            }
        } else if let Some(index) =
            (0..self.pods.len()).find(|index| self.is(*index, &Run::Looking))
            && let Some(pod) = self.pods[index].as_mut()
        {
            // One newcomer a tick catches up with the leader.
            pod.run = Run::Synced;
        }
    }

    fn time(&self, seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    fn observe(&self) -> Observed {
        let synced = self.synced();
        let pod_view = |pod: &Pod| PodView {
            uid: pod.uid.to_string(),
            resource_version: pod.version.to_string(),
            ip: Some("10.0.0.1".to_owned()),
            revision: Some(pod.template_hash.clone()),
            config_hash: Some(pod.config_hash.clone()),
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
            let id = |index: usize| u8::try_from(index + 1).expect("few");
            let learners = synced
                .iter()
                .filter(|other| **other != index)
                .map(|other| Learner {
                    id: id(*other),
                    role: Role::Participant,
                    synced: true,
                });
            Ok(MemberReport {
                server_id: id(index),
                state,
                role: Role::Participant,
                serving: synced.contains(&index),
                leader_id: self.leader.map(id),
                version: "1".to_owned(),
                last_zxid: "0x0".to_owned(),
                config_version: "0x0".to_owned(),
                cluster_id: None,
                voters: (0..self.pods.len()).map(id).collect(),
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
            pods: self
                .spec
                .members
                .iter()
                .filter_map(|m| {
                    Some((
                        m.pod.clone(),
                        pod_view(self.pods[m.ordinal as usize].as_ref()?),
                    ))
                })
                .collect(),
            claims: BTreeMap::new(),
            members: self
                .spec
                .members
                .iter()
                .map(|m| (m.id, report(m.ordinal as usize)))
                .collect(),
        }
    }

    /// What the API server does with an action; `seen_faults` is what its author could know.
    fn carry_out(&mut self, action: &Action, crash: bool, seen_faults: u64) -> Result<(), String> {
        match action {
            Action::Apply(objects) => {
                for object in objects {
                    let mut body = object.body.clone().expect("nothing is deleted here");
                    if let Some(old) = self.objects.get(&object.kind) {
                        let same = old["spec"] == body["spec"];
                        let generation =
                            old["metadata"]["generation"].as_i64().unwrap_or(0) + i64::from(!same);
                        body["metadata"]["generation"] = json!(generation);
                        body["status"] = old["status"].clone();
                        if let Some(kept) =
                            old["metadata"]["annotations"].get(ANNOTATION_RESTARTING)
                        {
                            body["metadata"]["annotations"][ANNOTATION_RESTARTING] = kept.clone();
                        }
                    } else {
                        body["metadata"]["generation"] = json!(1);
                    }
                    self.objects.insert(object.kind, body);
                    if object.kind == Kind::StatefulSet {
                        self.touch_set();
                    }
                    if crash {
                        return Ok(());
                    }
                }
                Ok(())
            }
            Action::Restart(restart) => {
                let set = &self.objects[&Kind::StatefulSet];
                if set["metadata"]["resourceVersion"] != json!(restart.stateful_set_version) {
                    return Ok(());
                }
                let announcement = format!("{} {}", restart.uid, self.time(self.now));
                self.touch_set();
                if let Some(set) = self.objects.get_mut(&Kind::StatefulSet) {
                    set["metadata"]["annotations"][ANNOTATION_RESTARTING] = json!(announcement);
                }
                if crash {
                    return Ok(());
                }
                let index = usize::from(restart.id.0) - 1;
                let Some(pod) = self.pods[index].as_ref() else {
                    return Ok(());
                };
                if pod.uid.to_string() != restart.uid
                    || pod.version.to_string() != restart.resource_version
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
            Action::Nothing | Action::Paused | Action::Grow(_) | Action::Wait(_) => Ok(()),
        }
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
        if synced.contains(&index) && without < self.majority() && !self.spec.spares_nobody() {
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

    fn change_config(&mut self, good: bool) {
        let config = self.next();
        self.spec = cluster(self.pods.len(), config);
        if !good {
            let text = crate::objects::zoo_cfg(&self.spec);
            self.bad.insert(crate::objects::short_hash(text.as_bytes()));
        }
    }

    fn happens(&mut self, turn: &Turn) {
        let count = self.pods.len();
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
            Turn::Operate { .. } => {}
        }
    }

    fn is_done(&self) -> bool {
        let newest = self.newest_hash();
        self.synced().len() == self.pods.len()
            && self
                .pods
                .iter()
                .flatten()
                .all(|pod| Some(&pod.template_hash) == newest.as_ref() && !pod.requested)
            && plan(&self.spec, &self.observe()).action == Action::Nothing
    }
}

/// Restarts whose safety was checked, and those that no one could have judged.
static JUDGED: AtomicUsize = AtomicUsize::new(0);
static UNJUDGED: AtomicUsize = AtomicUsize::new(0);

/// Plays one history, then lets the world heal.
fn play(replicas: usize, turns: &[Turn]) -> Result<(), String> {
    let mut world = World::new(replicas);
    // What was seen, how much had broken by then, and for which spec.
    let mut seen: Vec<(Observed, u64, ValidCluster)> = Vec::new();
    for turn in turns {
        seen.push((world.observe(), world.faults, world.spec.clone()));
        if let Turn::Operate { age, crash } = turn {
            let (observed, faults, spec) =
                &seen[seen.len() - 1 - usize::from(*age).min(seen.len() - 1)];
            let decided = plan(spec, observed);
            world.carry_out(&decided.action, *crash, *faults)?;
        } else {
            world.happens(turn);
        }
    }
    world.hidden.clear();
    world.change_config(true);
    for _ in 0..3000 {
        if world.is_done() {
            return Ok(());
        }
        let decided = plan(&world.spec, &world.observe());
        world.carry_out(&decided.action, false, world.faults)?;
        world.tick();
    }
    let last = plan(&world.spec, &world.observe());
    Err(format!(
        "it never ends: {:?}, {:?}, {:?}\n{world:#?}",
        last.action, last.refusals, last.stale
    ))
}

/// How many histories are generated: a few in everyday tests, as many as
/// PROPTEST_CASES says where there is time. 1,500 and more have passed.
fn histories() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(100)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: histories(), ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_faults_makes_the_planner_take_the_quorum_away_and_every_one_ends_well(
        replicas in 1_usize..8,
        turns in turns(),
    ) {
        if let Err(fault) = play(replicas, &turns) {
            return Err(TestCaseError::fail(fault));
        }
    }
}

#[test]
fn a_quiet_roll_restarts_followers_before_the_leader_and_each_member_once() {
    for replicas in 1..8 {
        let mut world = World::new(replicas);
        let settle = |world: &mut World| {
            let mut restarted = Vec::new();
            for _ in 0..3000 {
                if world.is_done() {
                    return restarted;
                }
                let decided = plan(&world.spec, &world.observe());
                if let Action::Restart(restart) = &decided.action {
                    restarted.push((restart.pod.clone(), restart.role));
                }
                world
                    .carry_out(&decided.action, false, world.faults)
                    .expect("safe");
                world.tick();
            }
            panic!("{replicas} members never settled");
        };
        assert_eq!(
            settle(&mut world),
            Vec::new(),
            "a fresh ensemble restarts nobody"
        );
        world.change_config(true);
        let restarted = settle(&mut world);
        assert_eq!(restarted.len(), replicas, "{restarted:?}");
        let pods: BTreeSet<&String> = restarted.iter().map(|(pod, _)| pod).collect();
        assert_eq!(pods.len(), replicas);
        assert_eq!(
            restarted.last().map(|(_, role)| *role),
            Some("leader"),
            "{restarted:?}"
        );
        assert!(
            restarted[..replicas - 1]
                .iter()
                .all(|(_, role)| *role == "follower"),
            "{restarted:?}"
        );
    }
}

#[test]
fn a_bad_configuration_costs_one_member_and_its_correction_brings_it_back() {
    let mut world = World::new(3);
    let operate = |world: &mut World, ticks: usize| {
        for _ in 0..ticks {
            let decided = plan(&world.spec, &world.observe());
            world
                .carry_out(&decided.action, false, world.faults)
                .expect("safe");
            world.tick();
        }
    };
    operate(&mut world, 60);
    assert!(world.is_done());
    world.change_config(false);
    operate(&mut world, 600);
    let crashing = world
        .pods
        .iter()
        .flatten()
        .filter(|pod| pod.run == Run::Crashing)
        .count();
    assert_eq!(
        crashing, 1,
        "the roll stops at the first member that does not come back"
    );
    assert_eq!(world.synced().len(), 2);
    let stopped = plan(&world.spec, &world.observe());
    assert!(
        stopped
            .refusals
            .iter()
            .any(|refusal| { refusal.predicate == super::Predicate::RestartedMembersAreBack }),
        "{:?}",
        stopped.refusals
    );
    world.change_config(true);
    operate(&mut world, 200);
    assert!(world.is_done());
}

#[test]
fn the_simulation_judges_most_restarts() {
    // Its own check: a history with many restarts in it must be judged, or the
    // property above would hold of anything.
    let before = JUDGED.load(Ordering::Relaxed);
    let mut turns = Vec::new();
    for round in 0..40 {
        turns.push(Turn::Operate {
            age: 0,
            crash: false,
        });
        turns.push(Turn::Tick(5));
        if round == 20 {
            turns.push(Turn::ChangeConfig { good: true });
        }
    }
    play(5, &turns).expect("safe");
    assert!(JUDGED.load(Ordering::Relaxed) >= before + 5);
}
