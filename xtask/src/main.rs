//! What a person working on the project types: `cargo xtask …`.

mod bench;
mod chart;
mod cluster;
mod crds;
mod debian;
mod fuzz;
mod hash;
mod image;
mod java;
mod kubectl;
mod layers;
mod mutants;
mod progress;
mod project;
mod python;
mod run;
mod test;
mod tools;
mod up;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use cluster::Cluster;
use kubectl::Target;
use progress::Progress;
use project::Project;

/// The instance that a person's `up` makes; tests use others.
pub(crate) const DEFAULT_INSTANCE: &str = "main";

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Build, run and test the project")]
struct Cli {
    /// Which local cluster is meant; several can be up side by side
    #[arg(long, global = true, default_value = DEFAULT_INSTANCE, value_parser = cluster::check_instance)]
    instance: String,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// From nothing to a Ready three-member ensemble; run again, it is quick
    Up(up::UpOptions),
    /// Take away all that `up` made, but for caches
    Down,
    /// kubectl against the cluster that `up` uses
    Kubectl {
        /// What kubectl is told
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
        arguments: Vec<OsString>,
    },
    /// Helm against the cluster that `up` uses
    Helm {
        /// What Helm is told
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
        arguments: Vec<OsString>,
    },
    /// Build the image of both programs without a container engine
    Image,
    /// Make a docker-archive's image known to the local cluster's nodes
    Load {
        /// The file
        tar: PathBuf,
    },
    /// Fail and mend one node of the local cluster
    Node {
        /// What happens to it
        action: NodeAction,
        /// Which one
        #[arg(value_parser = clap::value_parser!(u8).range(1..=i64::from(cluster::NODES)))]
        node: u8,
    },
    /// Write the CRD's YAML, from the operator's types
    Crds {
        /// Only fail when it is stale
        #[arg(long)]
        check: bool,
    },
    /// Fail when a pure room names I/O, a clock or randomness
    Layers,
    /// Take the consensus's guards out one by one, and fail where the simulation does not notice
    Mutants(mutants::MutantOptions),
    /// Run the checks and tests
    Test(test::TestOptions),
    /// Feed every decoder what libFuzzer makes up
    Fuzz(fuzz::FuzzOptions),
    /// Measure, side by side with Apache ZooKeeper
    Bench {
        /// What is measured
        #[command(subcommand)]
        scenario: bench::Scenario,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum NodeAction {
    /// End everything on it at once, as when its power fails
    Stop,
    /// Start it again
    Start,
    /// Cut it off from the other machines
    Isolate,
    /// Join it again
    Join,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { instance, task }: Cli) -> Result<()> {
    let project = Project::locate()?;
    let progress = Progress::detect();
    match task {
        Task::Up(options) => up::up(&project, &progress, &instance, &options),
        Task::Down => up::down(&project, &progress, &instance),
        Task::Kubectl { arguments } => {
            let target = Target::current(&project, &progress, &instance)?;
            kubectl::become_command(target.kubectl(), &arguments)
        }
        Task::Helm { arguments } => {
            let target = Target::current(&project, &progress, &instance)?;
            kubectl::become_command(target.helm(), &arguments)
        }
        Task::Image => image::build(&project, &progress).map(drop),
        Task::Load { tar } => Cluster::existing(&project, &instance)?.import(&tar),
        Task::Node { action, node } => {
            let cluster = Cluster::existing(&project, &instance)?;
            match action {
                NodeAction::Stop => cluster.stop_node(node),
                NodeAction::Start => cluster.restart_node(node),
                NodeAction::Isolate => cluster.connect_node(node, false),
                NodeAction::Join => cluster.connect_node(node, true),
            }
        }
        Task::Crds { check } => crds::crds(&project, check),
        Task::Layers => layers::layers(&project),
        Task::Mutants(options) => mutants::mutants(&project, &options),
        Task::Fuzz(options) => fuzz::fuzz(&project, &progress, &options),
        Task::Test(options) => test::test(&project, &progress, &instance, &options),
        Task::Bench { scenario } => bench::bench(&project, &progress, &scenario),
    }
}
