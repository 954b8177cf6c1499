//! `zookeeper-server txnlog compare`: where the histories of two logs part.

use super::disk::{Output, PrintError, Printing};
use super::txnlog::open;
use crate::ids::Zxid;
use crate::jute::Record;
use crate::storage::{LogReader, StorageError};
use crate::txn::TxnEntry;
use bytes::Bytes;
use clap::Args;
use serde_json::json;
use std::cmp::Ordering;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Options of `txnlog compare`.
#[derive(Args)]
pub(super) struct CompareLogs {
    /// A log file, or a directory of them.
    left: PathBuf,
    /// Another one: of another member, or of the same before.
    right: PathBuf,
    #[command(flatten)]
    printing: Printing,
}

/// One of the logs, read as far as the comparison has come.
struct Side {
    reader: LogReader,
    next: Option<(Zxid, Bytes)>,
    first: Option<Zxid>,
    last: Option<Zxid>,
}

impl Side {
    fn open(path: &Path) -> Result<Self, StorageError> {
        let mut side = Side {
            reader: open(path, Zxid(i64::MIN))?,
            next: None,
            first: None,
            last: None,
        };
        side.advance()?;
        side.first = side.at();
        Ok(side)
    }

    /// The transaction to look at, `None` behind the last one.
    fn at(&self) -> Option<Zxid> {
        self.next.as_ref().map(|(zxid, _)| *zxid)
    }

    fn advance(&mut self) -> Result<(), StorageError> {
        self.last = self.at().or(self.last);
        self.next = self.reader.next().transpose()?;
        Ok(())
    }

    fn range(&self) -> (Zxid, Zxid) {
        (
            self.first.unwrap_or_default(),
            self.last.unwrap_or_default(),
        )
    }
}

impl CompareLogs {
    /// True where the two agree as far as both reach: one may begin later, as what is purged is gone,
    /// and one may lag behind the other.
    pub(super) fn write(&self, out: &mut dyn Write) -> Result<bool, PrintError> {
        let (mut left, mut right) = (Side::open(&self.left)?, Side::open(&self.right)?);
        let from = left.first.max(right.first);
        for side in [&mut left, &mut right] {
            while side.at().is_some_and(|zxid| Some(zxid) < from) {
                side.advance()?;
            }
        }
        let (mut same, mut counts) = (0_u64, [0_u64; 3]);
        while let (Some((l, left_bytes)), Some((r, right_bytes))) = (&left.next, &right.next) {
            match l.cmp(r) {
                Ordering::Equal => {
                    if left_bytes == right_bytes {
                        same += 1;
                    } else {
                        counts[2] += 1;
                        self.write_line(*l, "both", &parts(left_bytes, right_bytes), out)?;
                    }
                    left.advance()?;
                    right.advance()?;
                }
                Ordering::Less => {
                    counts[0] += 1;
                    self.write_line(*l, "left", &[], out)?;
                    left.advance()?;
                }
                Ordering::Greater => {
                    counts[1] += 1;
                    self.write_line(*r, "right", &[], out)?;
                    right.advance()?;
                }
            }
        }
        for side in [&mut left, &mut right] {
            while side.next.is_some() {
                side.advance()?;
            }
        }
        self.write_summary(same, counts, [left.range(), right.range()], out)?;
        Ok(counts == [0; 3])
    }

    fn write_line(
        &self,
        zxid: Zxid,
        place: &str,
        parts: &[&str],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match self.printing.output {
            Output::Text => {
                let mark = match place {
                    "left" => '-',
                    "right" => '+',
                    _ => '~',
                };
                let space = if parts.is_empty() { "" } else { " " };
                writeln!(out, "{mark} {zxid}{space}{}", parts.join(" "))
            }
            Output::Json => writeln!(
                out,
                "{}",
                json!({"zxid": zxid.to_string(), "in": place, "changed": parts})
            ),
        }
    }

    fn write_summary(
        &self,
        same: u64,
        [only_left, only_right, changed]: [u64; 3],
        [left, right]: [(Zxid, Zxid); 2],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match self.printing.output {
            Output::Text => writeln!(
                out,
                "{} to {}, {} to {}: {same} the same, {only_left} only left, {only_right} only right, {changed} changed",
                left.0, left.1, right.0, right.1
            ),
            Output::Json => {
                let range = |(first, last): (Zxid, Zxid)| json!({"first": first.to_string(), "last": last.to_string()});
                let line = json!({
                    "left": range(left),
                    "right": range(right),
                    "same": same,
                    "onlyLeft": only_left,
                    "onlyRight": only_right,
                    "changed": changed,
                });
                writeln!(out, "{line}")
            }
        }
    }
}

/// Which parts of two transactions at one position differ.
fn parts(left: &[u8], right: &[u8]) -> Vec<&'static str> {
    let (Ok(left), Ok(right)) = (TxnEntry::from_slice(left), TxnEntry::from_slice(right)) else {
        return vec!["bytes"];
    };
    let differs = [
        ("header", left.header != right.header),
        ("transaction", left.txn != right.txn),
        ("digest", left.digest != right.digest),
    ];
    let differs = differs.into_iter().filter(|(_, differs)| *differs);
    differs.map(|(part, _)| part).collect()
}
