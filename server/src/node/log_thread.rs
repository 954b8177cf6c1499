//! The one thread that writes the log. It takes what has come since its last fsync, writes it at
//! once and says how far the log is durable.

use super::NodeEvent;
use crate::ids::Zxid;
use crate::storage::{StorageError, TxnLog};
use crate::zab::Entry;
use std::sync::mpsc;
use std::thread;
use tracing::error;

/// Bytes that one fsync covers at most, so that the first of many does not wait for all.
const BATCH_BYTES: usize = 4 << 20;

enum Command {
    Append(Vec<Entry>),
    Roll,
    Truncate {
        to: Zxid,
        done: mpsc::Sender<Result<(), StorageError>>,
    },
    ContinueBehind {
        zxid: Zxid,
        done: mpsc::Sender<Result<(), StorageError>>,
    },
    Flush {
        done: mpsc::Sender<()>,
    },
}

/// The node's end of the log thread.
pub(super) struct LogThread {
    commands: mpsc::Sender<Command>,
    /// Raised by each truncation, so that what was said about the log before it can be told apart.
    generation: u64,
}

/// The log thread has ended, which it does only after a failed write.
#[derive(Debug, thiserror::Error)]
#[error("the log thread has ended after an error; see the log line before this one")]
pub(super) struct LogGone;

impl LogThread {
    /// Starts the thread over an open log. What it has to say goes to `events`.
    pub(super) fn start(log: TxnLog, events: mpsc::Sender<NodeEvent>) -> std::io::Result<Self> {
        let (commands, received) = mpsc::channel();
        thread::Builder::new()
            .name("txn-log".into())
            .spawn(move || {
                if let Err(error) = run(log, &received, &events) {
                    error!(%error, "the transaction log can't go on");
                    let _node_gone = events.send(NodeEvent::LogFailed(error));
                }
            })?;
        Ok(LogThread {
            commands,
            generation: 0,
        })
    }

    /// Appends; [`NodeEvent::Persisted`] follows.
    pub(super) fn append(&self, entries: Vec<Entry>) -> Result<(), LogGone> {
        self.send(Command::Append(entries))
    }

    /// Begins a new file with the next entry.
    pub(super) fn roll(&self) -> Result<(), LogGone> {
        self.send(Command::Roll)
    }

    /// Cuts the log behind `to` and waits for it.
    pub(super) fn truncate(&mut self, to: Zxid) -> Result<Result<(), StorageError>, LogGone> {
        self.generation += 1;
        let (done, result) = mpsc::channel();
        self.send(Command::Truncate { to, done })?;
        result.recv().map_err(|_| LogGone)
    }

    /// Goes on behind a snapshot of the leader's that is on the disk by now, and waits for it.
    pub(super) fn continue_behind(
        &mut self,
        zxid: Zxid,
    ) -> Result<Result<(), StorageError>, LogGone> {
        self.generation += 1;
        let (done, result) = mpsc::channel();
        self.send(Command::ContinueBehind { zxid, done })?;
        result.recv().map_err(|_| LogGone)
    }

    /// Waits until everything appended is durable.
    pub(super) fn flush(&self) -> Result<(), LogGone> {
        let (done, result) = mpsc::channel();
        self.send(Command::Flush { done })?;
        result.recv().map_err(|_| LogGone)
    }

    /// The number that current [`NodeEvent::Persisted`] events carry.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    fn send(&self, command: Command) -> Result<(), LogGone> {
        self.commands.send(command).map_err(|_| LogGone)
    }
}

fn run(
    mut log: TxnLog,
    commands: &mpsc::Receiver<Command>,
    events: &mpsc::Sender<NodeEvent>,
) -> Result<(), StorageError> {
    let mut generation = 0;
    let mut held_back = None;
    loop {
        let command = match held_back.take() {
            Some(command) => command,
            None => match commands.recv() {
                Ok(command) => command,
                // The node has ended.
                Err(_) => return Ok(()),
            },
        };
        match command {
            Command::Append(entries) => {
                let mut bytes = 0;
                let mut last = None;
                let mut batch = Some(entries);
                while let Some(entries) = batch.take() {
                    for entry in entries {
                        bytes += entry.payload.len();
                        log.append(entry.zxid, &entry.payload)?;
                        last = Some(entry.zxid);
                    }
                    if bytes < BATCH_BYTES {
                        match commands.try_recv() {
                            Ok(Command::Append(more)) => batch = Some(more),
                            Ok(other) => held_back = Some(other),
                            Err(_) => {}
                        }
                    }
                }
                log.commit()?;
                if let Some(zxid) = last {
                    let _node_gone = events.send(NodeEvent::Persisted { generation, zxid });
                }
            }
            Command::Roll => log.roll()?,
            Command::Truncate { to, done } => {
                generation += 1;
                let _node_gone = done.send(log.truncate(to).map(|_| ()));
            }
            Command::ContinueBehind { zxid, done } => {
                generation += 1;
                let _node_gone = done.send(continue_behind(&mut log, zxid));
            }
            Command::Flush { done } => {
                let _node_gone = done.send(());
            }
        }
    }
}

/// What the log holds behind the leader's snapshot was never committed: it goes, only now that the
/// snapshot stands in its place.
fn continue_behind(log: &mut TxnLog, zxid: Zxid) -> Result<(), StorageError> {
    if log.last_committed() > zxid {
        log.truncate(zxid)?;
    }
    log.continue_behind_snapshot(zxid)
}
