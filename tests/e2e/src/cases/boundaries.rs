//! The operator killed at each of its writes, in every turn of an ensemble's life, under a writer.

use crate::Outcome;
use crate::ensemble::{self, Ensemble, READY_MAX};
use crate::environment::Environment;
use crate::gate::{Gate, Side, Turn};
use crate::kube::Kube;
use crate::operator;
use crate::processes;
use crate::resource::manifest;
use crate::suite::Suite;
use crate::wait::{ensure, given_the_load, until};
use crate::writer::now;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

const NAME: &str = "bounds";
/// The longest time without an acknowledged write, in seconds: no operator is needed for any.
const GAP_MAX: f64 = 1.0;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    if !operator::is_installed(&suite.kube)? {
        operator::install(&suite.kube, &suite.environment)?;
    }
    let program = program(suite)?;
    let namespace = format!("{}-bounds", suite.kube.namespace);
    let kube = Kube::new(&suite.environment, &namespace);
    kube.make_namespace()?;
    // One that stops in order gives its Lease back.
    operator::scale(&suite.kube, 0)?;
    // Killed once it was done and before it is heard of is killed before the next one, but for what
    // the members are asked in between; the long form does both.
    let sides: &[Side] = if Environment::is_long() {
        &[Side::Before, Side::After]
    } else {
        &[Side::Before]
    };
    let outcome = Gate::open(
        &suite.environment,
        &namespace,
        &program,
        suite.folder(),
        sides,
    )
    .and_then(|gate| {
        let walked = Walk {
            suite,
            kube: &kube,
            gate: &gate,
        }
        .walk();
        // What no operator may do explains best why nobody got what he waited for.
        let sound = gate.is_sound();
        let closed = gate.close();
        let wrong: Vec<String> = [sound, walked, closed]
            .into_iter()
            .filter_map(Outcome::err)
            .collect();
        ensure(wrong.is_empty(), || wrong.join("\n"))
    });
    let _ = kube.run(&["delete", "namespace", &namespace, "--wait=false"]);
    operator::scale(&suite.kube, 1)?;
    outcome
}

/// The program that the operator's pod runs, to the last byte.
fn program(suite: &Suite) -> Outcome<PathBuf> {
    let pods = suite
        .kube
        .list(&["pods", "--namespace", operator::NAMESPACE])?;
    let uid = { pods.first() }
        .and_then(|pod| pod["metadata"]["uid"].as_str())
        .ok_or("there is no operator")?;
    let running = format!("/proc/{}/exe", processes::operator_of(uid)?);
    let program = suite.folder().join("zookeeper-operator");
    std::fs::copy(&running, &program).map_err(|error| format!("copy {running}: {error}"))?;
    Ok(program)
}

struct Walk<'a> {
    suite: &'a Suite,
    kube: &'a Kube,
    gate: &'a Gate,
}

impl Walk<'_> {
    fn walk(&self) -> Outcome {
        let spec = json!({
            "replicas": 3,
            "storage": {"data": {"size": "1Gi"}},
            "pod": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
        });
        self.kube.apply(&manifest(NAME, &spec))?;
        let (first, _) = self.turn("three are made", 16, || {
            let made = self.serving()?;
            let config = self.kube.get(&["configmap", "bounds-config"])?;
            ensure(config["data"]["bootstrap"] == "false\n", || {
                "empty disks may still vote".to_owned()
            })?;
            Ok(made)
        })?;
        let writer = self.suite.writer(&first, "boundaries", 100)?;
        let began = now();

        self.kube
            .change(NAME, &json!({"storage": {"data": {"size": "2Gi"}}}))?;
        let (grown, _) = self.turn("volumes grow", 8, || self.grown(3, &first))?;
        self.kube
            .change(NAME, &json!({"config": {"snapCount": 5000}}))?;
        let (rolled, turn) = self.turn("a configuration is rolled", 16, || {
            let seen = self.serving()?;
            let same = { seen.members.iter() }.find(|now| grown.members.contains(now));
            ensure(same.is_none(), || format!("{same:?} is as it was"))?;
            Ok(seen)
        })?;
        let deleted: BTreeSet<&String> = turn.deleted.iter().collect();
        ensure(turn.deleted.len() == 3 && deleted.len() == 3, || {
            format!("not each of three was restarted once: {:?}", turn.deleted)
        })?;
        self.kube.change(NAME, &json!({"replicas": 5}))?;
        let (five, _) = self.turn("three become five", 14, || self.voters(5, &rolled))?;
        self.kube.change(NAME, &json!({"replicas": 3}))?;
        let (three, _) = self.turn("five become three", 14, || self.voters(3, &five))?;

        let gap = writer.longest_gap_since(began);
        note!("  longest gap between two writes {gap:.2} s");
        ensure(gap < given_the_load(GAP_MAX), || {
            format!("no write was acknowledged for {gap:.2} s")
        })?;
        self.suite.finish(writer, &three)?;
        self.kube.run(&["delete", "zk", NAME, "--timeout=60s"])?;
        self.turn("it is deleted", 0, || {
            let left = self.kube.list(&[
                "statefulset,configmap,service,poddisruptionbudget,networkpolicy,pod",
                &format!("--selector=zookeeper.ensemble.dev/cluster={NAME}"),
            ])?;
            ensure(left.is_empty(), || format!("{} objects", left.len()))
        })
        .map(drop)
    }

    /// Waits for the end of a turn, and tells at how many boundaries an operator died in it.
    fn turn<T>(
        &self,
        what: &str,
        boundaries_min: usize,
        reached: impl FnMut() -> Outcome<T>,
    ) -> Outcome<(T, Turn)> {
        let started = Instant::now();
        let seen = until(what, READY_MAX, reached)
            .map_err(|error| format!("{error}\n{}", self.gate.tail()))?;
        let turn = self.gate.next_turn()?;
        let before = turn.killed(Side::Before);
        note!(
            "  {what}: {before} operators killed before a write, {} after one, {} writes in {:.1} s",
            turn.killed(Side::After),
            turn.writes,
            started.elapsed().as_secs_f32()
        );
        ensure(before >= boundaries_min, || {
            format!("{what}: only {before} boundaries, where there are {boundaries_min}")
        })?;
        Ok((seen, turn))
    }

    /// The ensemble, if it serves as the resource wants it now.
    fn serving(&self) -> Outcome<Ensemble> {
        self.gate.is_sound()?;
        ensemble::look(self.kube, &self.suite.environment, NAME)
    }

    fn grown(&self, members: usize, before: &Ensemble) -> Outcome<Ensemble> {
        let seen = self.serving()?;
        let is_asked_for = |claim: &Value| claim["resources"]["requests"]["storage"] == "2Gi";
        let set = self.kube.get(&["statefulset", NAME])?;
        ensure(
            is_asked_for(&set["spec"]["volumeClaimTemplates"][0]["spec"]),
            || "the template has the old size".to_owned(),
        )?;
        let claims = self.kube.list(&["pvc"])?;
        let grown = { claims.iter() }.filter(|claim| is_asked_for(&claim["spec"]));
        let grown = grown.count();
        ensure(grown == members, || format!("{grown} volumes grew"))?;
        same_pods(before, &seen)?;
        Ok(seen)
    }

    fn voters(&self, voters: u64, before: &Ensemble) -> Outcome<Ensemble> {
        let seen = self.serving()?;
        for member in &seen.members {
            let report = ensemble::report(&self.suite.environment, &member.address)?;
            let said = report["voters"].as_array().map(Vec::len);
            ensure(said == usize::try_from(voters).ok(), || {
                format!("{} says that {said:?} vote", member.pod)
            })?;
        }
        let pods = self.kube.list(&["pods"])?.len();
        ensure(u64::try_from(pods) == Ok(voters), || format!("{pods} pods"))?;
        same_pods(before, &seen)?;
        Ok(seen)
    }
}

/// Nobody was restarted who is in both.
fn same_pods(before: &Ensemble, after: &Ensemble) -> Outcome {
    for member in &after.members {
        let old = before.members.iter().find(|old| old.pod == member.pod);
        ensure(old.is_none_or(|old| old.uid == member.uid), || {
            format!("{} was restarted", member.pod)
        })?;
    }
    Ok(())
}
