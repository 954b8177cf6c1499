//! The command line: one file for each command.

mod compare;
mod compare_logs;
mod disk;
mod init;
mod leave;
mod logging;
mod memory;
mod purge;
mod run;
mod snapshot;
mod trim;
mod txnlog;

use clap::{Parser, Subcommand};
use std::fmt::Display;
use std::process::ExitCode;

/// A command that failed at its work.
pub(crate) const FAILED: u8 = 1;
/// A configuration or a command line that makes no sense.
pub(crate) const USAGE: u8 = 2;

/// A ZooKeeper server: Apache ZooKeeper 3.9's protocols and disk formats.
#[derive(Parser)]
#[command(name = "zookeeper-server", version = crate::admin::VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a member in the foreground.
    Run(run::Run),
    /// Prepare a member's disk: directories, myid, the cluster's id, the marker to bootstrap.
    Init(init::Init),
    /// Wait until this member may stop: as long as its ensemble needs it for a quorum.
    Leave(leave::Leave),
    /// Delete old snapshots, and the transaction logs that none of the kept ones needs.
    Purge(purge::Purge),
    /// Look into snapshots, check and compare them.
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Look into the transaction log, check and trim it.
    #[command(subcommand)]
    Txnlog(txnlog::TxnLog),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    match command {
        Command::Run(run) => run.execute(),
        Command::Init(init) => init.execute(),
        Command::Leave(leave) => leave.execute(),
        Command::Purge(purge) => purge.execute(),
        Command::Snapshot(snapshot) => snapshot.execute(),
        Command::Txnlog(txnlog) => txnlog.execute(),
    }
}

/// Says on standard error, in one line, why a command ends.
fn fail(code: u8, error: impl Display) -> ExitCode {
    eprintln!("zookeeper-server: {error}");
    ExitCode::from(code)
}

/// `key=value` of a `-D`.
fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` is not key=value"))
}
