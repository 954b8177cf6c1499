//! `zookeeper-server txnlog trim`: a log without what stands behind a position, or behind its last
//! whole transaction. Source: `TxnLogToolkit.java`, whose `chop` and `recover` this takes the place
//! of; a record whose checksum does not match is never made to look whole.

use super::disk::{Output, PrintError, Printing};
use crate::ids::Zxid;
use crate::storage::{StorageError, copy_log_front, cut_log, read_log_file};
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Options of `txnlog trim`.
#[derive(Args)]
pub(super) struct Trim {
    /// The log file. A server must not be running on it.
    file: PathBuf,
    /// The last transaction to keep, in hexadecimal; without it, the last one of those that follow
    /// each other whole.
    #[arg(long, value_name = "ZXID", value_parser = super::disk::zxid)]
    to: Option<Zxid>,
    /// Where the trimmed log goes; without it, beside the file with `.trimmed` behind its name.
    #[arg(long, value_name = "FILE", conflicts_with = "in_place")]
    into: Option<PathBuf>,
    /// Cut the file itself.
    #[arg(long)]
    in_place: bool,
    #[command(flatten)]
    printing: Printing,
}

/// What of a log stays.
struct Front {
    first: Zxid,
    last: Zxid,
    transactions: u64,
    bytes: u64,
    /// What stood behind it, where that was no transaction.
    problem: Option<String>,
}

impl Trim {
    /// True: a log that could not be trimmed is an error.
    pub(super) fn write(&self, out: &mut dyn Write) -> Result<bool, PrintError> {
        let front = front(&self.file, self.to)?;
        if let Some(to) = self.to
            && front.last != to
        {
            let found = match (&front.problem, front.transactions) {
                (Some(problem), _) => format!("it is damaged before: {problem}"),
                (None, 0) => "it holds nothing before".into(),
                (None, _) => format!("it goes from {} to {}", front.first, front.last),
            };
            return Err(PrintError::Usage(format!(
                "{}: transaction {to} is not in it; {found}",
                self.file.display()
            )));
        }
        let target = if self.in_place {
            cut_log(&self.file, front.bytes)?;
            self.file.clone()
        } else {
            let target = self.into.clone().unwrap_or_else(|| {
                let mut name = self.file.as_os_str().to_owned();
                name.push(".trimmed");
                name.into()
            });
            copy_log_front(&self.file, front.bytes, &target)?;
            target
        };
        match self.printing.output {
            Output::Text => {
                writeln!(
                    out,
                    "{}: {} transactions, {} to {}",
                    target.display(),
                    front.transactions,
                    front.first,
                    front.last
                )?;
                if let Some(problem) = front.problem {
                    writeln!(out, "left out: {problem}")?;
                }
            }
            Output::Json => {
                let line = json!({
                    "file": target.display().to_string(),
                    "transactions": front.transactions,
                    "first": front.first.to_string(),
                    "last": front.last.to_string(),
                    "bytes": front.bytes,
                    "leftOut": front.problem,
                });
                writeln!(out, "{line}")?;
            }
        }
        Ok(true)
    }
}

fn front(file: &Path, to: Option<Zxid>) -> Result<Front, StorageError> {
    let mut reader = read_log_file(file);
    let mut front = Front {
        first: Zxid::ZERO,
        last: Zxid::ZERO,
        transactions: 0,
        // A log without a transaction is its header.
        bytes: 16,
        problem: None,
    };
    while let Some(entry) = reader.next() {
        match entry {
            Ok((zxid, _)) => {
                if to.is_some_and(|to| zxid > to) {
                    return Ok(front);
                }
                if front.transactions == 0 {
                    front.first = zxid;
                }
                front.last = zxid;
                front.transactions += 1;
                front.bytes = reader.place().map_or(front.bytes, |(_, end)| end);
            }
            Err(StorageError::LogDamaged {
                offset, problem, ..
            }) => {
                front.problem = Some(format!("from byte {offset} on: {problem}"));
                return Ok(front);
            }
            Err(other) => return Err(other),
        }
    }
    if let Some(tail) = reader.torn().last() {
        front.problem = Some(format!("from byte {} on: {}", tail.offset, tail.reason));
    }
    Ok(front)
}
