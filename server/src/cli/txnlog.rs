//! `zookeeper-server txnlog`: what is in the transaction log, and whether it is whole.

use super::compare_logs::CompareLogs;
use super::disk::{Output, PrintError, Printing, listing, time, with_version};
use super::trim::Trim;
use crate::ids::Zxid;
use crate::jute::Record;
use crate::proto::OpCode;
use crate::storage::{LogReader, StorageError, read_log, read_log_file};
use crate::txn::{Txn, TxnEntry};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The commands of `txnlog`.
#[derive(Subcommand)]
pub(super) enum TxnLog {
    /// Print every transaction: zxid, time, session, cxid, type and path.
    Dump(Dump),
    /// Check every transaction's checksum, and that none is missing between two.
    Verify(Verify),
    /// Print where two logs part, as far as both reach; exits with 1 where they do.
    Compare(CompareLogs),
    /// Leave out what stands behind a transaction, or behind the last whole one.
    Trim(Trim),
}

/// Options of `txnlog dump`.
#[derive(Args)]
pub(super) struct Dump {
    /// A log file, or a directory of them.
    path: PathBuf,
    /// From which zxid on, in hexadecimal.
    #[arg(long, value_name = "ZXID", value_parser = super::disk::zxid)]
    from: Option<Zxid>,
    #[command(flatten)]
    printing: Printing,
}

/// Options of `txnlog verify`.
#[derive(Args)]
pub(super) struct Verify {
    /// A log file, or a directory of them.
    path: PathBuf,
    #[command(flatten)]
    printing: Printing,
}

impl TxnLog {
    pub(super) fn execute(self) -> ExitCode {
        match self {
            TxnLog::Dump(dump) => listing(|out| dump.write(out)),
            TxnLog::Verify(verify) => listing(|out| verify.write(out)),
            TxnLog::Compare(compare) => listing(|out| compare.write(out)),
            TxnLog::Trim(trim) => listing(|out| trim.write(out)),
        }
    }
}

pub(super) fn open(path: &Path, from: Zxid) -> Result<LogReader, StorageError> {
    if path.is_dir() {
        read_log(&with_version(path), from)
    } else {
        Ok(read_log_file(path))
    }
}

impl Dump {
    fn write(&self, out: &mut dyn Write) -> Result<bool, PrintError> {
        let from = self.from.unwrap_or(Zxid(i64::MIN));
        let mut reader = open(&self.path, from)?;
        for entry in &mut reader {
            let (zxid, payload) = entry?;
            if zxid < from {
                continue;
            }
            match TxnEntry::from_slice(&payload) {
                Ok(entry) => self.write_entry(&entry, out)?,
                Err(error) => writeln!(out, "{zxid} can't be read: {error}")?,
            }
        }
        for tail in reader.torn() {
            let (file, at) = (tail.path.display(), tail.offset);
            match self.printing.output {
                Output::Text => {
                    writeln!(out, "{file} ends unfinished at byte {at}: {}", tail.reason)?
                }
                Output::Json => writeln!(
                    out,
                    "{}",
                    json!({"file": file.to_string(), "unfinishedAt": at, "reason": tail.reason})
                )?,
            }
        }
        Ok(true)
    }

    fn write_entry(&self, entry: &TxnEntry, out: &mut dyn Write) -> std::io::Result<()> {
        let header = &entry.header;
        match self.printing.output {
            Output::Text => writeln!(
                out,
                "{} {} session {} cxid {:#x} {}",
                header.zxid,
                time(header.time.0),
                header.client_id,
                header.cxid.0,
                described(header.op, &entry.txn)
            ),
            Output::Json => {
                let mut line = json!({
                    "zxid": header.zxid.to_string(),
                    "time": header.time.0,
                    "session": header.client_id.to_string(),
                    "cxid": header.cxid.0,
                    "type": op_name(header.op),
                });
                add_details(&entry.txn, &mut line);
                if let Some(digest) = entry.digest {
                    line["digest"] = digest.tree_digest.into();
                }
                writeln!(out, "{line}")
            }
        }
    }
}

/// Type, path and what else fits into a line.
fn described(op: OpCode, txn: &Txn) -> String {
    let name = op_name(op);
    match txn {
        Txn::Multi { txns } => {
            let parts: Vec<String> = txns.iter().map(|(op, txn)| described(*op, txn)).collect();
            format!("{name} [{}]", parts.join("; "))
        }
        Txn::CreateSession { timeout_ms } => format!("{name} timeout {timeout_ms} ms"),
        Txn::CloseSession { paths_to_delete } => match paths_to_delete {
            Some(paths) if !paths.is_empty() => format!("{name} deleting {}", paths.join(" ")),
            _ => name,
        },
        Txn::Error { err } => format!("{name} {}", err.0),
        txn => format!("{name} {}", path(txn).unwrap_or_default()),
    }
}

fn path(txn: &Txn) -> Option<&str> {
    match txn {
        Txn::Create { path, .. }
        | Txn::CreateContainer { path, .. }
        | Txn::CreateTtl { path, .. }
        | Txn::Delete { path }
        | Txn::SetData { path, .. }
        | Txn::SetAcl { path, .. }
        | Txn::Check { path, .. } => Some(path),
        Txn::CreateSession { .. }
        | Txn::CloseSession { .. }
        | Txn::Error { .. }
        | Txn::Multi { .. } => None,
    }
}

fn add_details(txn: &Txn, line: &mut Value) {
    if let Some(path) = path(txn) {
        line["path"] = path.into();
    }
    match txn {
        Txn::Create {
            data, ephemeral, ..
        } => {
            line["dataLength"] = data.as_ref().map(|data| data.len()).into();
            line["ephemeral"] = (*ephemeral).into();
        }
        Txn::CreateContainer { data, .. } | Txn::CreateTtl { data, .. } => {
            line["dataLength"] = data.as_ref().map(|data| data.len()).into();
        }
        Txn::SetData { data, version, .. } => {
            line["dataLength"] = data.as_ref().map(|data| data.len()).into();
            line["version"] = (*version).into();
        }
        Txn::SetAcl { version, .. } | Txn::Check { version, .. } => {
            line["version"] = (*version).into();
        }
        Txn::CreateSession { timeout_ms } => line["timeoutMs"] = (*timeout_ms).into(),
        Txn::CloseSession { paths_to_delete } => line["deleted"] = json!(paths_to_delete),
        Txn::Error { err } => line["error"] = err.0.into(),
        Txn::Multi { txns } => {
            let parts = txns.iter().map(|(op, txn)| {
                let mut part = json!({"type": op_name(*op)});
                add_details(txn, &mut part);
                part
            });
            line["parts"] = parts.collect();
        }
        Txn::Delete { .. } => {}
    }
}

/// Names as `Request.java` op2String has them.
fn op_name(op: OpCode) -> String {
    let name = match op {
        OpCode::CREATE => "create",
        OpCode::CREATE2 => "create2",
        OpCode::CREATE_CONTAINER => "createContainer",
        OpCode::CREATE_TTL => "createTTL",
        OpCode::DELETE => "delete",
        OpCode::DELETE_CONTAINER => "deleteContainer",
        OpCode::SET_DATA => "setData",
        OpCode::RECONFIG => "reconfig",
        OpCode::SET_ACL => "setACL",
        OpCode::CHECK => "check",
        OpCode::MULTI => "multi",
        OpCode::CREATE_SESSION => "createSession",
        OpCode::CLOSE_SESSION => "closeSession",
        OpCode::ERROR => "error",
        OpCode(other) => return format!("type {other}"),
    };
    name.to_owned()
}

impl Verify {
    /// True where all is whole. A torn end of the last file is: nobody was told about it.
    fn write(&self, out: &mut dyn Write) -> Result<bool, PrintError> {
        let mut reader = open(&self.path, Zxid(i64::MIN))?;
        let (mut first, mut last, mut count) = (None, None::<Zxid>, 0_u64);
        let mut problems = Vec::new();
        for entry in &mut reader {
            match entry {
                Err(error) => problems.push(error.to_string()),
                Ok((zxid, payload)) => {
                    if let Some(last) = last
                        && zxid.epoch() == last.epoch()
                        && zxid != last.next()
                    {
                        problems.push(format!(
                            "transactions between {last} and {zxid} are missing"
                        ));
                    }
                    if let Err(error) = TxnEntry::from_slice(&payload) {
                        problems.push(format!("{zxid} can't be read: {error}"));
                    }
                    first = first.or(Some(zxid));
                    last = Some(zxid);
                    count += 1;
                }
            }
        }
        let torn = reader.torn().last();
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        let name = self.path.display();
        match self.printing.output {
            Output::Text => {
                writeln!(out, "{name}: {count} transactions, {first} to {last}")?;
                if let Some(tail) = torn {
                    let (file, at) = (tail.path.display(), tail.offset);
                    writeln!(out, "{file} ends unfinished at byte {at}: {}", tail.reason)?;
                }
                for problem in &problems {
                    writeln!(out, "damaged: {problem}")?;
                }
            }
            Output::Json => {
                let line = json!({
                    "path": name.to_string(),
                    "whole": problems.is_empty(),
                    "transactions": count,
                    "first": first.to_string(),
                    "last": last.to_string(),
                    "unfinishedAt": torn.map(|tail| tail.offset),
                    "problems": problems,
                });
                writeln!(out, "{line}")?;
            }
        }
        Ok(problems.is_empty())
    }
}
