//! Faults that come while one ensemble is in the middle of a roll, and another one in the middle of a
//! change of size: each fault is met by both.

pub(super) mod drain;
pub(super) mod full;
pub(super) mod nodes;
pub(super) mod silence;
pub(super) mod spec;

use crate::Outcome;
use crate::cases::deletion::same_disks;
use crate::ensemble::{self, Ensemble, Member, NAME, READY_MAX};
use crate::kube::{Kube, condition};
use crate::suite::Suite;
use crate::wait::{ensure, given_the_load, until};
use crate::writer::{Writer, now};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::thread;

/// How many vote before a change of size, and after it.
const FEW: usize = 3;
const MANY: usize = 5;

/// An ensemble under a change, as it was before, and its writer.
struct Under<'a> {
    suite: &'a Suite,
    name: &'static str,
    before: Ensemble,
    writer: Writer,
    began: f64,
}

/// One ensemble of which some members were restarted and some not, and one that has one of two new
/// voters.
struct Middle<'a> {
    roll: Under<'a>,
    size: Under<'a>,
    hold: Hold,
}

/// The volume of the last newcomer is on its way out, and lingers: the growth waits for its end.
struct Hold {
    kube: Kube,
    is_released: Cell<bool>,
}

/// Both ensembles are there, and no longer left in peace.
fn disturb(rolling: &mut Suite, sizing: &mut Suite) -> Outcome {
    for suite in [rolling, sizing] {
        suite.apply_example()?;
        suite.disturb();
    }
    Ok(())
}

/// Does one thing to each of two ensembles at once.
fn at_once<T: Send>(
    one: impl FnOnce() -> Outcome<T> + Send,
    other: impl FnOnce() -> Outcome<T> + Send,
) -> Outcome<(T, T)> {
    thread::scope(|scope| {
        let one = scope.spawn(move || {
            let outcome = one();
            (outcome, crate::notes::take())
        });
        let other = (other(), String::new());
        let one = one
            .join()
            .unwrap_or_else(|_| (Err("a thread panicked".to_owned()), String::new()));
        crate::notes::add(one.1.trim_end());
        Ok((one.0?, other.0?))
    })
}

impl<'a> Under<'a> {
    fn begin(suite: &'a Suite, name: &'static str, before: Ensemble, root: &str) -> Outcome<Self> {
        let writer = suite.writer(&before, root, 100)?;
        Ok(Self {
            suite,
            name,
            before,
            writer,
            began: now(),
        })
    }

    /// The resource.
    fn resource(&self) -> Outcome<Value> {
        self.suite.kube.get(&["zk", self.name])
    }

    /// Its pods.
    fn pods(&self) -> Outcome<Vec<Value>> {
        pods_of(&self.suite.kube, self.name)
    }

    /// Whose pods of before are not there any more, or on their way out.
    fn replaced(&self, pods: &[Value]) -> BTreeSet<String> {
        let stays = |member: &&Member| {
            !pods.iter().any(|pod| {
                pod["metadata"]["uid"] == member.uid.as_str()
                    && pod["metadata"]["deletionTimestamp"].is_null()
            })
        };
        let members = self.before.members.iter();
        members
            .filter(stays)
            .map(|member| member.pod.clone())
            .collect()
    }

    /// Everything is as it should be: ends the writer and checks all it was promised, and that it
    /// was never kept waiting for longer than that.
    fn end(self, what: &str, after: &Ensemble, gap_max: f64) -> Outcome {
        let gap = self.writer.longest_gap_since(self.began);
        note!("  {what}: longest gap between two writes {gap:.2} s");
        ensure(gap < given_the_load(gap_max), || {
            format!("{what}: no write was acknowledged for {gap:.1} s")
        })?;
        self.suite.finish(self.writer, after).map(drop)
    }
}

impl<'a> Middle<'a> {
    /// Both ensembles are brought into the middle of their change. The first newcomer keeps off a node.
    fn reach(
        rolling: &'a Suite,
        sizing: &'a Suite,
        root: &str,
        off: Option<&str>,
    ) -> Outcome<Self> {
        let (roll, size) = at_once(
            || {
                let before = ensemble::await_ensemble(&rolling.kube, &rolling.environment)?;
                Under::begin(rolling, NAME, before, &format!("{root}-roll"))
            },
            || {
                let before = few(sizing)?;
                Under::begin(sizing, NAME, before, &format!("{root}-size"))
            },
        )?;
        let hold = Hold::take(&sizing.kube)?;
        grow(&sizing.kube, off)?;
        // It stays there, while a roll does not stay in its middle.
        until("one of two has its vote", READY_MAX, || growing(&size))?;
        rolling.kube.roll(NAME, root)?;
        until("the first member is back", READY_MAX, || {
            begun(&roll).map(drop)
        })?;
        let middle = Self { roll, size, hold };
        middle.is()?;
        Ok(middle)
    }

    /// Some of each change is done, and some is not.
    fn is(&self) -> Outcome {
        note!("  the roll: {}", begun(&self.roll)?.told);
        note!("  the size: {}", growing(&self.size)?);
        Ok(())
    }

    /// Both come to their end: every member was restarted, and five vote, of whom nobody was.
    fn end(self, gaps_max: (f64, f64)) -> Outcome {
        let Self { roll, size, hold } = self;
        hold.release()?;
        at_once(
            || {
                let gone: Vec<&str> = roll.before.members.iter().map(|m| m.uid.as_str()).collect();
                let suite = roll.suite;
                let after = ensemble::await_replaced(&suite.kube, &suite.environment, &gone)?;
                ensure(after.members.len() == FEW, || {
                    format!("{:?}", after.members)
                })?;
                same_disks(&roll.before, &after)?;
                roll.end("the roll", &after, gaps_max.0)
            },
            || {
                let suite = size.suite;
                let after = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
                ensure(after.members.len() == MANY, || {
                    format!("{:?}", after.members)
                })?;
                same_disks(&size.before, &after)?;
                size.end("the size", &after, gaps_max.1)
            },
        )
        .map(drop)
    }
}

impl Hold {
    fn claim() -> String {
        format!("data-{NAME}-{}", MANY - 1)
    }

    fn take(kube: &Kube) -> Outcome<Self> {
        const LINGERS: &str = "e2e.ensemble.dev/lingers";
        let claim = Self::claim();
        let claims = kube.list(&["pvc"])?;
        let named = |name: &str| {
            let mut claims = claims.iter();
            claims.find(|claim| claim["metadata"]["name"] == name)
        };
        match named(&claim) {
            // It grew before.
            Some(_) => {
                let lingers = json!({"metadata": {"finalizers": [LINGERS]}}).to_string();
                kube.run(&["patch", "pvc", &claim, "--type=merge", "--patch", &lingers])?;
            }
            None => {
                let first = named(&format!("data-{NAME}-0")).ok_or("nobody has a volume")?;
                kube.apply(&json!({
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {
                        "name": claim,
                        "labels": first["metadata"]["labels"],
                        "finalizers": [LINGERS],
                    },
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "storageClassName": "",
                        "resources": {"requests": {"storage": "1Gi"}},
                    },
                }))?;
            }
        }
        let hold = Self {
            kube: kube.clone(),
            is_released: Cell::new(false),
        };
        kube.run(&["delete", "pvc", &claim, "--wait=false"])?;
        Ok(hold)
    }

    /// The growth goes on.
    fn release(&self) -> Outcome {
        if self.is_released.replace(true) {
            return Ok(());
        }
        let ends = r#"{"metadata": {"finalizers": null}}"#;
        let patch = ["patch", "pvc", &Self::claim(), "--type=merge", "--patch"];
        self.kube
            .run(&[patch.as_slice(), &[ends]].concat())
            .map(drop)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Otherwise the namespace could never go.
        let _ = self.release();
    }
}

/// Three vote, and nobody else is there.
fn few(suite: &Suite) -> Outcome<Ensemble> {
    let kube = &suite.kube;
    let resource = kube.get(&["zk", NAME])?;
    if resource["spec"]["replicas"] != FEW {
        kube.scale(NAME, FEW)?;
    }
    until("three are left", READY_MAX, || {
        let pods = pods_of(kube, NAME)?;
        ensure(pods.len() == FEW, || format!("{} pods", pods.len()))
    })?;
    ensemble::await_ensemble(kube, &suite.environment)
}

/// Three become five, and the first newcomer is on its way. It keeps off a node: of four voters, one
/// with two would take the quorum along.
fn grow(kube: &Kube, off: Option<&str>) -> Outcome {
    if let Some(node) = off {
        kube.run(&["cordon", node])?;
    }
    let placed = kube.scale(NAME, MANY).and_then(|()| {
        until("the first newcomer has a node", READY_MAX, || {
            let pod = kube.get(&["pod", &format!("{NAME}-{FEW}")])?;
            ensure(pod["spec"]["nodeName"].is_string(), || "none".to_owned())
        })
    });
    if let Some(node) = off {
        kube.run(&["uncordon", node])?;
    }
    placed
}

/// A roll in its middle.
struct Begun {
    /// Who was restarted and serves again.
    back: Vec<String>,
    /// What the status says of it.
    told: String,
}

/// How far a roll is, where at least one member is back and at least one was not restarted yet.
fn begun(roll: &Under<'_>) -> Outcome<Begun> {
    let (resource, pods) = (roll.resource()?, roll.pods()?);
    let replaced = roll.replaced(&pods);
    let back = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        replaced.contains(name)
            && roll
                .before
                .members
                .iter()
                .all(|member| pod["metadata"]["uid"] != member.uid)
            && is_ready(pod)
    };
    let name = |pod: &Value| pod["metadata"]["name"].as_str().map(str::to_owned);
    let back: Vec<String> = pods
        .iter()
        .filter(|pod| back(pod))
        .filter_map(name)
        .collect();
    let (reason, message) = progressing(&resource)?;
    ensure(
        !back.is_empty()
            && replaced.len() < roll.before.members.len()
            && ["RollingRestart", "HandingOver"].contains(&reason.as_str()),
        || format!("{back:?} are back, {replaced:?} were restarted; {reason}: {message}"),
    )?;
    let told = format!("{reason}: {message}");
    Ok(Begun { back, told })
}

/// How far a growth is, where one of the two newcomers votes.
fn growing(size: &Under<'_>) -> Outcome<String> {
    let resource = size.resource()?;
    let (reason, message) = progressing(&resource)?;
    let voters = &resource["status"]["replicas"];
    ensure(
        resource["spec"]["replicas"] == MANY && *voters == FEW + 1,
        || format!("{voters} vote; {reason}: {message}"),
    )?;
    Ok(format!("{voters} vote; {reason}: {message}"))
}

fn pods_of(kube: &Kube, name: &str) -> Outcome<Vec<Value>> {
    kube.list(&[
        "pods",
        &format!("--selector=zookeeper.ensemble.dev/cluster={name}"),
    ])
}

fn progressing(resource: &Value) -> Outcome<(String, String)> {
    match condition(resource, "Progressing") {
        Some((status, reason, message)) if status == "True" => Ok((reason, message)),
        other => Err(format!("it does not progress: {other:?}")),
    }
}

/// Whether a pod serves, and stays.
fn is_ready(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && condition(pod, "Ready").is_some_and(|(status, ..)| status == "True")
}

/// Nobody of these was restarted.
fn untouched(kube: &Kube, members: &[&Member]) -> Outcome {
    for member in members {
        let pod = kube.get(&["pod", &member.pod])?;
        ensure(pod["metadata"]["uid"] == member.uid, || {
            format!("{} was restarted", member.pod)
        })?;
    }
    Ok(())
}
