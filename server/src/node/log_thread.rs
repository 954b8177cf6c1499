//! The one thread that writes the log. It takes what has come since its last fsync, writes it at
//! once and says how far the log is durable.

use super::NodeEvent;
use crate::ids::Zxid;
use crate::storage::{StorageError, TxnLog};
use crate::zab::Entry;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

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
    /// None once the thread was told to end.
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    /// Raised by each truncation, so that what was said about the log before it can be told apart.
    generation: u64,
    /// The first of this thread's.
    first_generation: u64,
    /// Why the thread ended by itself, until somebody asks.
    failure: Arc<Mutex<Option<StorageError>>>,
    dir: PathBuf,
}

impl LogThread {
    /// Starts the thread over an open log. What it has to say goes to `events`, under numbers from
    /// `generation` on.
    pub(super) fn start(
        log: TxnLog,
        events: mpsc::Sender<NodeEvent>,
        generation: u64,
    ) -> std::io::Result<Self> {
        let (commands, received) = mpsc::channel();
        let failure = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&failure);
        let dir = log.dir().to_owned();
        let thread = thread::Builder::new()
            .name("txn-log".into())
            .spawn(move || {
                if let Err(error) = run(log, &received, &events, generation) {
                    // Before the channel closes, so that whoever finds it closed finds the reason.
                    *slot.lock() = Some(error);
                    let _node_gone = events.send(NodeEvent::LogFailed { generation });
                }
            })?;
        Ok(LogThread {
            commands: Some(commands),
            thread: Some(thread),
            generation,
            first_generation: generation,
            failure,
            dir,
        })
    }

    /// Appends; [`NodeEvent::Persisted`] follows.
    pub(super) fn append(&self, entries: Vec<Entry>) -> Result<(), StorageError> {
        self.send(Command::Append(entries))
    }

    /// Begins a new file with the next entry.
    pub(super) fn roll(&self) -> Result<(), StorageError> {
        self.send(Command::Roll)
    }

    /// Cuts the log behind `to` and waits for it.
    pub(super) fn truncate(&mut self, to: Zxid) -> Result<(), StorageError> {
        self.generation += 1;
        let (done, result) = mpsc::channel();
        self.send(Command::Truncate { to, done })?;
        result.recv().unwrap_or_else(|_| Err(self.failure()))
    }

    /// Goes on behind a snapshot of the leader's that is on the disk by now, and waits for it.
    pub(super) fn continue_behind(&mut self, zxid: Zxid) -> Result<(), StorageError> {
        self.generation += 1;
        let (done, result) = mpsc::channel();
        self.send(Command::ContinueBehind { zxid, done })?;
        result.recv().unwrap_or_else(|_| Err(self.failure()))
    }

    /// Waits until everything appended is durable.
    pub(super) fn flush(&self) -> Result<(), StorageError> {
        let (done, result) = mpsc::channel();
        self.send(Command::Flush { done })?;
        result.recv().map_err(|_| self.failure())
    }

    /// Has the thread write what it was given, and waits for its end.
    pub(super) fn end(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // Its failure, if any, was told already.
            let _ = thread.join();
        }
    }

    /// The number that current [`NodeEvent::Persisted`] events carry.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a [`NodeEvent::LogFailed`] is about this thread, and not one before it.
    pub(super) fn began_with(&self, generation: u64) -> bool {
        self.first_generation == generation
    }

    /// Why the log takes nothing more.
    pub(super) fn failure(&self) -> StorageError {
        let reason = self.failure.lock().take();
        reason.unwrap_or_else(|| StorageError::Poisoned {
            path: self.dir.clone(),
            reason: "see the line before this one".into(),
        })
    }

    fn send(&self, command: Command) -> Result<(), StorageError> {
        match &self.commands {
            Some(commands) => commands.send(command).map_err(|_| self.failure()),
            None => Err(self.failure()),
        }
    }
}

fn run(
    mut log: TxnLog,
    commands: &mpsc::Receiver<Command>,
    events: &mpsc::Sender<NodeEvent>,
    mut generation: u64,
) -> Result<(), StorageError> {
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
