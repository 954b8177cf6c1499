//! `zookeeper-server purge`: old snapshots and logs, as Java's zkCleanup. It can run beside a server.

use super::disk::Place;
use super::{FAILED, USAGE, fail};
use crate::storage::purge;
use clap::Args;
use std::process::ExitCode;

/// Options of `purge`.
#[derive(Args)]
pub(super) struct Purge {
    #[command(flatten)]
    place: Place,
    /// How many snapshots stay, at least 3.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..))]
    retain: u32,
}

impl Purge {
    pub(super) fn execute(self) -> ExitCode {
        let (snapshots, logs) = match self.place.directories() {
            Ok(directories) => directories,
            Err(error) => return fail(USAGE, error),
        };
        let retain = usize::try_from(self.retain).unwrap_or(usize::MAX);
        match purge(&snapshots, &logs, retain) {
            Ok(purged) => {
                for file in &purged.files {
                    println!("deleted {}", file.display());
                }
                if purged.files.is_empty() {
                    println!("nothing to delete");
                }
                ExitCode::SUCCESS
            }
            Err(error) => fail(FAILED, error),
        }
    }
}
