//! `cargo xtask test`: every check and test, in stages.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::cluster::Cluster;
use crate::progress::Progress;
use crate::project::{IMAGE, Project, VERSION};
use crate::tools::Tools;
use crate::{DEFAULT_INSTANCE, chart, debian, fuzz, java, python, run};

/// Stages that run one after the other, beside those of other lanes. On a machine with two cores most
/// of the time goes to waiting for elections, clocks and pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    /// Before all others: what is wrong here is quickly told.
    First,
    /// Kubernetes, whose cases have the tightest limits.
    Cluster,
    /// The server's own tests and suites.
    Server,
    /// What only computes.
    Patient,
}

impl Lane {
    /// How far its stages stand back.
    fn niceness(self) -> i32 {
        match self {
            Lane::First | Lane::Cluster => 0,
            Lane::Server => 5,
            Lane::Patient => 10,
        }
    }
}

/// The instance that tests use, so that a person's own cluster stays as it is.
const TEST_INSTANCE: &str = "test";

/// What `test` is asked for.
#[derive(Debug, Clone, Args)]
pub(crate) struct TestOptions {
    /// Which tests; `fast` needs no Kubernetes and no Java
    #[arg(default_value = "all")]
    set: Set,
    /// Only these stages
    #[arg(long, value_delimiter = ',')]
    only: Vec<Stage>,
    /// All but these stages
    #[arg(long, value_delimiter = ',')]
    skip: Vec<Stage>,
    /// Leave the tests' cluster up, to look at it
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Set {
    /// The inner loop
    Fast,
    /// Everything
    All,
}

/// One part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Stage {
    /// Formatting
    Fmt,
    /// Pure rooms name no I/O
    Layers,
    /// Lints, with warnings denied
    Clippy,
    /// Tests of every crate but the end-to-end ones
    Unit,
    /// The committed CRD is the types'
    Crds,
    /// Mixed ensembles with Apache ZooKeeper's own server
    Interop,
    /// Real ensembles under faults, their histories checked
    Histories,
    /// The same random requests to Apache ZooKeeper's server and to ours
    Conformance,
    /// The suites of kazoo and go-zookeeper, unchanged
    Suites,
    /// Curator's recipes and the C client, with a leader killed in the middle
    Applications,
    /// Every decoder with bytes that libFuzzer makes up, for a short while
    Fuzz,
    /// The chart is valid and renders
    Helm,
    /// The README's first command, on a cluster of its own
    Up,
    /// A local cluster with the image and the operator
    Cluster,
    /// End to end on that cluster
    E2e,
}

impl Stage {
    const ALL: [Stage; 15] = [
        Stage::Fmt,
        Stage::Layers,
        Stage::Clippy,
        Stage::Unit,
        Stage::Crds,
        Stage::Conformance,
        Stage::Fuzz,
        Stage::Interop,
        Stage::Histories,
        Stage::Suites,
        Stage::Applications,
        Stage::Helm,
        Stage::Up,
        Stage::Cluster,
        Stage::E2e,
    ];

    fn lane(self) -> Lane {
        match self {
            Stage::Fmt | Stage::Layers | Stage::Clippy => Lane::First,
            Stage::Up | Stage::Cluster | Stage::E2e => Lane::Cluster,
            Stage::Conformance | Stage::Fuzz => Lane::Patient,
            Stage::Unit
            | Stage::Crds
            | Stage::Interop
            | Stage::Histories
            | Stage::Suites
            | Stage::Applications
            | Stage::Helm => Lane::Server,
        }
    }

    fn in_fast(self) -> bool {
        match self {
            Stage::Fmt | Stage::Layers | Stage::Clippy | Stage::Unit | Stage::Crds => true,
            Stage::Interop
            | Stage::Histories
            | Stage::Conformance
            | Stage::Suites
            | Stage::Applications
            | Stage::Fuzz
            | Stage::Helm
            | Stage::Up
            | Stage::Cluster
            | Stage::E2e => false,
        }
    }

    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// How a stage went.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    stage: String,
    passed: bool,
    took: Duration,
}

/// The stages that were asked for, in their order. The end-to-end tests bring their cluster.
fn chosen(options: &TestOptions) -> Vec<Stage> {
    let wanted = |stage: &Stage| match (options.only.is_empty(), options.set) {
        (false, _) => {
            options.only.contains(stage)
                || (*stage == Stage::Cluster && options.only.contains(&Stage::E2e))
        }
        (true, Set::Fast) => stage.in_fast(),
        (true, Set::All) => true,
    };
    Stage::ALL
        .into_iter()
        .filter(|stage| wanted(stage) && !options.skip.contains(stage))
        .collect()
}

/// Runs the stages, each to its end, and fails if one of them did.
pub(crate) fn test(
    project: &Project,
    progress: &Progress,
    instance: &str,
    options: &TestOptions,
) -> Result<()> {
    let instance = if instance == DEFAULT_INSTANCE {
        TEST_INSTANCE
    } else {
        instance
    };
    let stages = chosen(options);
    if stages.is_empty() {
        bail!("no stage is left: see `cargo xtask test --help`");
    }
    let session = Session {
        project,
        progress,
        instance,
    };
    let started = Instant::now();
    let mut outcomes = session.run_all(&stages);
    let made_cluster = stages.contains(&Stage::Cluster) || stages.contains(&Stage::Up);
    if made_cluster && !options.keep {
        outcomes.push(session.measure("down", |log| {
            run::run_logged(&mut session.xtask(&["down"])?, log)
        }));
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    print!("{}", summary(&outcomes, started.elapsed()));
    if failed > 0 {
        bail!(
            "{failed} of {} stages failed; their logs are in {}",
            outcomes.len(),
            project.logs().display()
        );
    }
    Ok(())
}

/// `total` is less than the sum where stages ran beside others.
fn summary(outcomes: &[Outcome], total: Duration) -> String {
    let mut text = String::from("\n");
    for outcome in outcomes {
        let result = if outcome.passed { "passed" } else { "FAILED" };
        text.push_str(&format!(
            "{:<10}{result:<8}{:>7.1} s\n",
            outcome.stage,
            outcome.took.as_secs_f32()
        ));
    }
    let passed = outcomes.iter().filter(|outcome| outcome.passed).count();
    text.push_str(&format!(
        "{:<18}{:>7.1} s\n\n",
        "in all",
        total.as_secs_f32()
    ));
    text.push_str(&format!(
        "{passed} passed, {} failed\n",
        outcomes.len() - passed
    ));
    text
}

/// What the stages share.
struct Session<'a> {
    project: &'a Project,
    progress: &'a Progress,
    instance: &'a str,
}

impl Session<'_> {
    /// Runs the stages, those of each lane in their order.
    fn run_all(&self, stages: &[Stage]) -> Vec<Outcome> {
        let of = |lane: Lane| {
            let stages = stages.iter().copied();
            stages.filter(move |stage| stage.lane() == lane).collect()
        };
        let first: Vec<Stage> = of(Lane::First);
        let mut outcomes = self.run_in_order(&first);
        std::thread::scope(|scope| {
            let lanes = [Lane::Server, Lane::Cluster, Lane::Patient].map(|lane| {
                let stages: Vec<Stage> = of(lane);
                scope.spawn(move || {
                    // Of this thread and what it starts, on Linux. Elsewhere they run all the same.
                    let _ = rustix::process::setpriority_process(None, lane.niceness());
                    self.run_in_order(&stages)
                })
            });
            for lane in lanes {
                outcomes.extend(lane.join().expect("stages report, they don't panic"));
            }
        });
        outcomes
    }

    fn run_in_order(&self, stages: &[Stage]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut cluster_failed = false;
        for stage in stages {
            if *stage == Stage::E2e && cluster_failed {
                // Without their cluster they can't pass, and a stage that did not run is no success.
                outcomes.push(Outcome {
                    stage: "e2e".into(),
                    passed: false,
                    took: Duration::ZERO,
                });
                continue;
            }
            let outcome = self.measure(&stage.name(), |log| self.run(*stage, log));
            cluster_failed |= *stage == Stage::Cluster && !outcome.passed;
            outcomes.push(outcome);
        }
        outcomes
    }

    fn measure(&self, name: &str, work: impl FnOnce(&Path) -> Result<()>) -> Outcome {
        let started = Instant::now();
        let log = self.project.logs().join(format!("{name}.log"));
        let result = self.progress.step(name, |_| {
            if log.exists() {
                fs::remove_file(&log).with_context(|| format!("remove {}", log.display()))?;
            }
            work(&log)
        });
        if let Err(error) = &result {
            eprintln!("{error:#}");
        }
        Outcome {
            stage: name.to_owned(),
            passed: result.is_ok(),
            took: started.elapsed(),
        }
    }

    fn run(&self, stage: Stage, log: &Path) -> Result<()> {
        let cargo = |arguments: &[&str]| run::run_logged(&mut self.cargo(arguments), log);
        match stage {
            Stage::Fmt => cargo(&["fmt", "--all", "--check", "--", "--color=never"]),
            Stage::Layers => run::run_logged(&mut self.xtask(&["layers"])?, log),
            Stage::Clippy => cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]),
            Stage::Unit => cargo(&[
                "test",
                "--workspace",
                "--exclude",
                "e2e",
                "--exclude",
                "histories",
                "--exclude",
                "interop",
                "--exclude",
                "conformance",
                "--locked",
                "--no-fail-fast",
            ]),
            Stage::Interop => self.interop(log),
            Stage::Histories => self.histories(log),
            Stage::Conformance => self.conformance(log),
            Stage::Suites => self.suites(log),
            Stage::Applications => self.applications(log),
            Stage::Fuzz => fuzz::short(self.project, self.progress, log),
            Stage::Up => self.up(log),
            Stage::Crds => run::run_logged(&mut self.xtask(&["crds", "--check"])?, log),
            Stage::Helm => self.helm(log),
            Stage::Cluster => {
                // Whatever the stage before left would make this one something else than fresh.
                run::run_logged(&mut self.xtask(&["down"])?, log)?;
                run::run_logged(&mut self.xtask(&["up", "--memory", "--no-example"])?, log)
            }
            Stage::E2e => self.e2e(log),
        }
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(arguments)
            .current_dir(&self.project.root)
            .env("CARGO_TARGET_DIR", &self.project.target);
        cargo
    }

    /// This program again, so that a stage's output has a log of its own.
    fn xtask(&self, arguments: &[&str]) -> Result<Command> {
        let program = env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command
            .args(["--instance", self.instance])
            .args(arguments)
            .env("CARGO_MANIFEST_DIR", self.project.root.join("xtask"))
            .env("CARGO_TARGET_DIR", &self.project.target);
        Ok(command)
    }

    fn helm(&self, log: &Path) -> Result<()> {
        let helm = Tools::ready(self.project, self.progress)?.path("helm");
        chart::check(&helm, &self.project.chart(), log)
    }

    /// The server as the other tests built it.
    fn server(&self, log: &Path) -> Result<PathBuf> {
        let build = ["build", "--package", "zookeeper-server", "--locked"];
        run::run_logged(&mut self.cargo(&build), log)?;
        Ok(self.project.target.join("debug/zookeeper-server"))
    }

    fn interop(&self, log: &Path) -> Result<()> {
        let classpath = java::classpath(self.project, self.progress)?;
        let server = self.server(log)?;
        // These are ignored elsewhere, since they need Java.
        let mut disks = self.cargo(&["test", "--package", "zookeeper-server", "--locked"]);
        disks
            .args(["--test", "java_reads_ours", "--test", "java_swaps_disks"])
            .args(["--", "--ignored"])
            .env("ZOOKEEPER_CLASSPATH", &classpath);
        run::run_logged(&mut disks, log)?;
        let mut cargo = self.cargo(&["test", "--package", "interop", "--locked"]);
        cargo
            .env("INTEROP_JAVA_CLASSPATH", classpath)
            .env("INTEROP_SERVER", server);
        run::run_logged(&mut cargo, log)
    }

    fn histories(&self, log: &Path) -> Result<()> {
        debian::require(self.project, self.progress, debian::FOR_TOOLS)?;
        debian::require(self.project, self.progress, debian::FOR_HISTORIES)?;
        let server = self.server(log)?;
        let checker = self.project.target.join("debug/histories-checker");
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-mod=readonly", "-o"])
            .arg(&checker)
            .arg(".")
            .current_dir(self.project.root.join("tests/histories/checker"))
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "")
            .env("GOWORK", "off");
        run::run_logged(&mut go, log)?;
        let slow_disk = ["build", "--package", "slow-disk", "--locked"];
        run::run_logged(&mut self.cargo(&slow_disk), log)?;
        let mut cargo = self.cargo(&["test", "--package", "histories", "--locked"]);
        cargo
            .env("HISTORIES_SERVER", server)
            .env(
                "HISTORIES_SLOW_DISK",
                self.project.target.join("debug/libslow_disk.so"),
            )
            .env("HISTORIES_CHECKER", checker);
        // The long form beside Apache's servers.
        if env::var_os("HISTORIES_MIXED").is_some() {
            let classpath = java::classpath(self.project, self.progress)?;
            cargo.env("HISTORIES_JAVA_CLASSPATH", classpath);
        }
        run::run_logged(&mut cargo, log)
    }

    fn conformance(&self, log: &Path) -> Result<()> {
        let classpath = java::classpath(self.project, self.progress)?;
        let server = self.server(log)?;
        let mut cargo = self.cargo(&["test", "--package", "conformance", "--locked"]);
        cargo
            .env("CONFORMANCE_JAVA_CLASSPATH", classpath)
            .env("CONFORMANCE_SERVER", server);
        run::run_logged(&mut cargo, log)
    }

    fn suites(&self, log: &Path) -> Result<()> {
        // The driver makes environments of its own; this one proves that the machine can.
        let python = python::ready(self.project, self.progress)?;
        debian::require(self.project, self.progress, debian::FOR_TOOLS)?;
        let server = self.server(log)?;
        let mut suites = Command::new(python);
        suites
            .arg(self.project.root.join("tests/suites/run.py"))
            .arg("--cache")
            .arg(self.project.cache.join("suites"))
            .arg(server);
        run::run_logged(&mut suites, log)
    }

    fn applications(&self, log: &Path) -> Result<()> {
        debian::require(self.project, self.progress, debian::FOR_APPLICATIONS)?;
        let python = python::ready(self.project, self.progress)?;
        let jars = java::curator(self.project, self.progress)?;
        let server = self.server(log)?;
        let mut programs = Command::new(python);
        programs
            .arg(self.project.root.join("tests/applications/run.py"))
            .arg("--jars")
            .arg(jars)
            .arg(server);
        run::run_logged(&mut programs, log)
    }

    /// From nothing to a Ready ensemble by the README's first command, and the table it shows.
    fn up(&self, log: &Path) -> Result<()> {
        run::run_logged(&mut self.xtask(&["down"])?, log)?;
        run::run_logged(&mut self.xtask(&["up", "--memory"])?, log)?;
        let table = ["kubectl", "get", "zk", "demo", "--no-headers"];
        let shown = run::output(&mut self.xtask(&table)?)?;
        let columns: Vec<&str> = shown.split_whitespace().collect();
        match columns.get(1..3) {
            Some(["3/3", leader]) if leader.starts_with("demo-") => Ok(()),
            _ => bail!("`kubectl get zk` does not show 3/3 and a leader: {shown}"),
        }
    }

    fn e2e(&self, log: &Path) -> Result<()> {
        let python = python::ready(self.project, self.progress)?;
        let cluster = Cluster::existing(self.project, self.instance)?;
        let mut cargo = self.cargo(&["test", "--package", "e2e", "--locked", "--", "--nocapture"]);
        // It needs none of what the other stages build, and must not wait for them to build it.
        cargo.env("CARGO_TARGET_DIR", self.project.target.join("e2e"));
        cargo.envs(environment(self.project, &cluster, self.instance, python)?);
        run::run_logged(&mut cargo, log)
    }
}

/// What the end-to-end tests are told of their cluster.
fn environment(
    project: &Project,
    cluster: &Cluster,
    instance: &str,
    python: PathBuf,
) -> Result<BTreeMap<&'static str, OsString>> {
    let xtask = env::current_exe().context("find this program")?;
    Ok(BTreeMap::from([
        ("E2E_KUBECONFIG", cluster.kubeconfig().into()),
        ("E2E_KUBECTL", cluster.tool("kubectl").into()),
        ("E2E_HELM", cluster.tool("helm").into()),
        ("E2E_CHART", project.chart().into()),
        // A namespace of the network from which nodes, pods and services are reached.
        ("E2E_NETNS", cluster.netns().into()),
        ("E2E_PYTHON", python.into()),
        ("E2E_IMAGE", format!("{IMAGE}:{VERSION}").into()),
        // `volumes/<pv's folder>`, `logs/<program>.log` and `pids/<program>`.
        ("E2E_NODE_DIR", cluster.dir().into()),
        // `$E2E_XTASK --instance $E2E_INSTANCE node stop 2` fails a node.
        ("E2E_XTASK", xtask.into()),
        ("E2E_INSTANCE", instance.into()),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(set: Set, only: &[Stage], skip: &[Stage]) -> TestOptions {
        TestOptions {
            set,
            only: only.to_vec(),
            skip: skip.to_vec(),
            keep: false,
        }
    }

    #[test]
    fn the_fast_set_starts_no_cluster() {
        let stages = chosen(&options(Set::Fast, &[], &[]));
        assert!(!stages.contains(&Stage::Up) && !stages.contains(&Stage::Cluster));
        assert!(!stages.contains(&Stage::E2e) && !stages.contains(&Stage::Interop));
        assert!(stages.contains(&Stage::Unit));
    }

    #[test]
    fn the_end_to_end_tests_bring_their_cluster() {
        assert_eq!(
            chosen(&options(Set::All, &[Stage::E2e], &[])),
            [Stage::Cluster, Stage::E2e]
        );
        assert_eq!(chosen(&options(Set::All, &[], &[])), Stage::ALL);
        assert!(!chosen(&options(Set::All, &[], &[Stage::Fmt])).contains(&Stage::Fmt));
    }

    #[test]
    fn the_last_line_counts_the_stages() {
        let outcome = |stage: &str, passed| Outcome {
            stage: stage.into(),
            passed,
            took: Duration::from_secs(1),
        };
        let total = Duration::from_secs(2);
        let text = summary(&[outcome("fmt", true), outcome("unit", false)], total);
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed"));
    }
}
