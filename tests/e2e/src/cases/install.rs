//! From a bare cluster to a Ready ensemble, by what the README says and nothing else.

use crate::Outcome;
use crate::ensemble::{self, NAME};
use crate::operator;
use crate::suite::Suite;
use crate::wait::{ensure, given_the_load, until};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long after `kubectl apply` the ensemble may take to be Ready, in seconds, the image being there.
const READY_MAX: f64 = 15.0;
const CRD: &str = "zookeeperclusters.zookeeper.ensemble.dev";

pub(super) fn case(suite: &mut Suite) -> Outcome {
    take_away_an_earlier_install(suite)?;
    suite.make_namespace()?;
    let started = Instant::now();
    operator::install(&suite.kube, &suite.environment)?;
    let installed = started.elapsed();
    let example = suite.environment.small_example();
    suite
        .kube
        .run(&["apply", "--filename", &example.to_string_lossy()])?;
    suite.kube.run(&[
        "wait",
        "--for=condition=Ready",
        &format!("zk/{NAME}"),
        "--timeout=180s",
    ])?;
    let took = (started.elapsed() - installed).as_secs_f64();
    note!(
        "  operator ready in {:.1} s, ensemble {took:.1} s later",
        installed.as_secs_f32()
    );
    ensure(took < given_the_load(READY_MAX), || {
        format!("the ensemble took {took:.1} s to be Ready")
    })?;
    let ensemble = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
    let nodes: BTreeSet<&str> = ensemble
        .members
        .iter()
        .map(|member| member.node.as_str())
        .collect();
    ensure(nodes.len() == 3, || {
        format!("the three members share nodes: {nodes:?}")
    })?;
    let ids: Vec<u64> = ensemble.members.iter().map(|member| member.id).collect();
    ensure(ids == [1, 2, 3], || format!("the server ids are {ids:?}"))?;
    suite.leave_in_peace()
}

/// What an earlier run or `cargo xtask up` left of the operator would stand in the way of "nothing else".
fn take_away_an_earlier_install(suite: &mut Suite) -> Outcome {
    let kube = suite.kube.clone();
    let has_crd = || {
        Ok::<bool, String>(
            !kube
                .run(&["get", "crd", CRD, "--ignore-not-found"])?
                .is_empty(),
        )
    };
    if has_crd()? {
        // An earlier run's namespace may be on its way out.
        until(
            "no ZooKeeperCluster is left from earlier",
            Duration::from_secs(120),
            || {
                let all = kube.list(&["zk", "--all-namespaces"])?;
                let names: Vec<String> = all
                    .iter()
                    .map(|one| {
                        format!(
                            "{}/{}",
                            one["metadata"]["namespace"], one["metadata"]["name"]
                        )
                    })
                    .collect();
                if all.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{names:?}; delete them, or use another cluster"))
                }
            },
        )?;
    }
    if operator::is_installed(&kube)? {
        operator::uninstall(&kube)?;
    }
    // It loses its rights together with its life, so it cannot give its lease back; a bare
    // cluster has none to wait for.
    let namespace = ["--namespace", operator::NAMESPACE];
    let lease = ["delete", "lease", operator::RELEASE, "--ignore-not-found"];
    kube.run(&[lease.as_slice(), &namespace].concat())?;
    if has_crd()? {
        kube.run(&["delete", "crd", CRD, "--timeout=60s"])?;
    }
    Ok(())
}
