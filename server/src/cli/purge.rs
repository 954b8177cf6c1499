//! `zookeeper-server purge`: old snapshots and logs, as Java's zkCleanup. It can run beside a server.

use super::disk::{Output, Place, Printing};
use super::{FAILED, USAGE, fail};
use crate::storage::purge;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// Options of `purge`.
#[derive(Args)]
pub(super) struct Purge {
    #[command(flatten)]
    place: Place,
    /// How many snapshots stay, at least 3.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..))]
    retain: u32,
    #[command(flatten)]
    printing: Printing,
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
                let files = purged.files.iter().map(|file| file.display().to_string());
                match self.printing.output {
                    Output::Json => {
                        let oldest = purged.oldest_kept.map(|zxid| zxid.to_string());
                        let files: Vec<String> = files.collect();
                        println!("{}", json!({"deleted": files, "oldestKept": oldest}));
                    }
                    Output::Text if purged.files.is_empty() => println!("nothing to delete"),
                    Output::Text => files.for_each(|file| println!("deleted {file}")),
                }
                ExitCode::SUCCESS
            }
            Err(error) => fail(FAILED, error),
        }
    }
}
