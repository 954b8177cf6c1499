//! `cargo xtask bench`: figures of our server and Apache ZooKeeper's, taken in one run.

use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::progress::Progress;
use crate::project::Project;
use crate::{java, run};

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Scenario {
    /// How long nobody can write when the leader of three members dies
    Failover {
        /// How often each leader dies by kill -9, and by SIGTERM
        #[arg(long, default_value_t = 11)]
        repeats: u32,
    },
}

/// Builds what is optimised and measures; the figures go to standard output.
pub(crate) fn bench(project: &Project, progress: &Progress, scenario: &Scenario) -> Result<()> {
    match scenario {
        Scenario::Failover { repeats } => failover(project, progress, *repeats),
    }
}

fn cargo(project: &Project, arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(arguments)
        .current_dir(&project.root)
        .env("CARGO_TARGET_DIR", &project.target);
    cargo
}

fn failover(project: &Project, progress: &Progress, repeats: u32) -> Result<()> {
    let classpath = java::classpath(project, progress)?;
    progress.step("Build the server", |_| {
        let build = [
            "build",
            "--release",
            "--package",
            "zookeeper-server",
            "--locked",
        ];
        run::run_logged(
            &mut cargo(project, &build),
            &project.logs().join("bench.log"),
        )
    })?;
    let bench = [
        "bench",
        "--package",
        "histories",
        "--bench",
        "failover",
        "--locked",
        "--quiet",
    ];
    let status = cargo(project, &bench)
        .env(
            "FAILOVER_SERVER",
            project.target.join("release/zookeeper-server"),
        )
        .env("FAILOVER_JAVA_CLASSPATH", classpath)
        .env("FAILOVER_REPEATS", repeats.to_string())
        .status()
        .context("start cargo")?;
    if !status.success() {
        bail!("the measurement ended with {status}");
    }
    Ok(())
}
