//! `zookeeper-server snapshot`: what is in a snapshot, and whether it is whole.

use super::compare::Compare;
use super::disk::{Output, PrintError, Printing, listing, snapshot_at, time, with_version};
use crate::storage::{StorageError, list_snapshots, open_snapshot, verify_snapshot};
use crate::tree::NodeRef;
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The commands of `snapshot`.
#[derive(Subcommand)]
pub(super) enum Snapshot {
    /// Print every node of a snapshot, its stat and the length of its data.
    Dump(Dump),
    /// Check a snapshot's checksums and structure, or those of all snapshots of a directory.
    Verify(Verify),
    /// Print what two snapshots have not in common; exits with 1 where that is something.
    Compare(Compare),
}

/// Options of `snapshot dump`.
#[derive(Args)]
pub(super) struct Dump {
    /// The snapshot, packed or not.
    file: PathBuf,
    /// Print the data too; bytes that are no text are escaped.
    #[arg(long)]
    data: bool,
    #[command(flatten)]
    printing: Printing,
}

/// Options of `snapshot verify`.
#[derive(Args)]
pub(super) struct Verify {
    /// A snapshot, or a directory of them.
    path: PathBuf,
    #[command(flatten)]
    printing: Printing,
}

impl Snapshot {
    pub(super) fn execute(self) -> ExitCode {
        match self {
            Snapshot::Dump(dump) => listing(|out| dump.write(out)),
            Snapshot::Verify(verify) => listing(|out| verify.write(out)),
            Snapshot::Compare(compare) => listing(|out| compare.write(out)),
        }
    }
}

impl Dump {
    fn write(&self, out: &mut dyn Write) -> Result<bool, PrintError> {
        let (database, info) = open_snapshot(&snapshot_at(&self.file)?)?;
        let mut sessions: Vec<_> = database.sessions().iter().collect();
        sessions.sort();
        match self.printing.output {
            Output::Text => {
                writeln!(out, "zxid {}, {} nodes", info.zxid, info.nodes)?;
                for (session, timeout_ms) in sessions {
                    writeln!(out, "session {session} timeout {timeout_ms} ms")?;
                }
            }
            Output::Json => {
                let sessions: Vec<_> = sessions
                    .iter()
                    .map(|(id, ms)| json!({"id": id.to_string(), "timeoutMs": ms}))
                    .collect();
                let line = json!({"zxid": info.zxid.to_string(), "nodes": info.nodes, "sessions": sessions});
                writeln!(out, "{line}")?;
            }
        }
        // On a stack of its own: a tree can be deeper than the process's.
        let mut open: Vec<NodeRef<'_>> = database.tree.get("/").into_iter().collect();
        while let Some(node) = open.pop() {
            self.write_node(&node, out)?;
            let mut children: Vec<_> = node.children().collect();
            children.sort_by(|a, b| b.name().cmp(a.name()));
            open.extend(children);
        }
        Ok(true)
    }

    fn write_node(&self, node: &NodeRef<'_>, out: &mut dyn Write) -> std::io::Result<()> {
        let stat = node.stat();
        let path = node.path();
        match self.printing.output {
            Output::Text => {
                writeln!(out, "{path}")?;
                writeln!(
                    out,
                    "  czxid {} mzxid {} pzxid {} ctime {} mtime {}",
                    stat.czxid,
                    stat.mzxid,
                    stat.pzxid,
                    time(stat.ctime.0),
                    time(stat.mtime.0)
                )?;
                writeln!(
                    out,
                    "  version {} cversion {} aversion {} ephemeralOwner {} dataLength {} numChildren {}",
                    stat.version,
                    stat.cversion,
                    stat.aversion,
                    stat.ephemeral_owner,
                    stat.data_length,
                    stat.num_children
                )?;
                if let Some(data) = node.data().filter(|_| self.data) {
                    writeln!(out, "  data {}", readable(data))?;
                }
                Ok(())
            }
            Output::Json => {
                let mut line = json!({
                    "path": path,
                    "czxid": stat.czxid.to_string(),
                    "mzxid": stat.mzxid.to_string(),
                    "pzxid": stat.pzxid.to_string(),
                    "ctime": stat.ctime.0,
                    "mtime": stat.mtime.0,
                    "version": stat.version,
                    "cversion": stat.cversion,
                    "aversion": stat.aversion,
                    "ephemeralOwner": stat.ephemeral_owner.to_string(),
                    "dataLength": stat.data_length,
                    "numChildren": stat.num_children,
                });
                if self.data {
                    line["data"] = node.data().map(readable).into();
                }
                writeln!(out, "{line}")
            }
        }
    }
}

/// Text as it is, and what would disturb a terminal or is no text escaped.
fn readable(data: &[u8]) -> String {
    data.utf8_chunks()
        .flat_map(|chunk| {
            let text = chunk.valid().chars().flat_map(|c| {
                if c.is_control() || c == '\\' {
                    c.escape_default().collect::<Vec<_>>()
                } else {
                    vec![c]
                }
            });
            let bytes = chunk.invalid().escape_ascii().map(char::from);
            text.chain(bytes).collect::<Vec<_>>()
        })
        .collect()
}

impl Verify {
    /// True where all are whole.
    fn write(&self, out: &mut dyn Write) -> Result<bool, PrintError> {
        let files = if self.path.is_dir() {
            let dir = with_version(&self.path);
            let files = list_snapshots(&dir)?;
            if files.is_empty() {
                return Err(PrintError::Usage(format!(
                    "{}: no snapshot in it",
                    dir.display()
                )));
            }
            files
        } else {
            vec![snapshot_at(&self.path)?]
        };
        let mut all_whole = true;
        for file in files {
            let name = file.path.display();
            let verified = verify_snapshot(&file);
            all_whole &= verified.is_ok();
            match (verified, self.printing.output) {
                (Ok(info), Output::Text) => {
                    writeln!(
                        out,
                        "{name}: whole, zxid {}, {} nodes, {} sessions, {} bytes",
                        info.zxid, info.nodes, info.sessions, info.bytes
                    )?;
                }
                (Ok(info), Output::Json) => {
                    let line = json!({
                        "file": name.to_string(),
                        "whole": true,
                        "zxid": info.zxid.to_string(),
                        "nodes": info.nodes,
                        "sessions": info.sessions,
                        "bytes": info.bytes,
                    });
                    writeln!(out, "{line}")?;
                }
                (Err(StorageError::WrongFile { problem, .. }), Output::Text) => {
                    writeln!(out, "{name}: damaged: {problem}")?;
                }
                (Err(StorageError::WrongFile { problem, .. }), Output::Json) => {
                    let line =
                        json!({"file": name.to_string(), "whole": false, "problem": problem});
                    writeln!(out, "{line}")?;
                }
                (Err(other), _) => return Err(other.into()),
            }
        }
        Ok(all_whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_printed_so_that_no_terminal_is_disturbed() {
        assert_eq!(readable("plain ü".as_bytes()), "plain ü");
        assert_eq!(readable(b"a\nb\\\x1b[0m"), "a\\nb\\\\\\u{1b}[0m");
        assert_eq!(readable(b"\xff\x00x"), "\\xff\\u{0}x");
    }
}
