//! From a disk to a database at a server's start. Source: `FileTxnSnapLog.java` restore.

use super::directories::Directories;
use super::error::StorageError;
use super::identity;
use super::log::read_log;
use super::snapshot::{self, Loaded, SnapshotOptions, list_snapshots, save_snapshot};
use crate::config::{ServerConfig, StorageConfig};
use crate::ids::Zxid;
use crate::jute::Record;
use crate::tree::{Database, DigestCheck, Watches};
use crate::txn::TxnEntry;
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::PathBuf;

/// How a disk is read.
#[derive(Clone, Copy, Debug)]
pub struct RecoverOptions {
    /// `commitLogCount`: how many of the last transactions are handed over.
    pub commit_log_count: usize,
    /// `db.autocreate`: an empty disk counts as an empty database.
    pub db_autocreate: bool,
    /// `snapshot.trust.empty`: logs without a snapshot, and logs with gaps, are taken as they are.
    pub trust_empty_snapshot: bool,
    /// `extendedTypesEnabled`: how owners of nodes are read.
    pub extended_types: bool,
    /// How the first snapshot of an empty disk is written.
    pub snapshot: SnapshotOptions,
}

impl RecoverOptions {
    /// As configured.
    #[must_use]
    pub fn of(config: &StorageConfig, extended_types: bool) -> Self {
        RecoverOptions {
            commit_log_count: config.commit_log_count,
            db_autocreate: config.db_autocreate,
            trust_empty_snapshot: config.trust_empty_snapshot,
            extended_types,
            snapshot: SnapshotOptions::of(config),
        }
    }
}

/// What a disk held.
#[derive(Debug)]
pub struct Recovered {
    /// The database with every whole transaction of the log applied, committed or not: which of
    /// the last ones are is the next leader's word.
    pub database: Database,
    /// The last transaction in it.
    pub last_logged: Zxid,
    /// The last transactions, oldest first, for learners that lag a little.
    pub recent: Vec<(Zxid, Bytes)>,
    /// Whether the disk held data, or was allowed to start empty. If not, this member must not
    /// vote before a leader has synced it.
    pub initialized: bool,
}

/// Reads a disk as a server's configuration says: see [`recover_with`].
///
/// # Errors
/// As [`recover_with`].
pub fn recover(
    directories: &Directories,
    config: &ServerConfig,
) -> Result<Recovered, StorageError> {
    let extended_types = config.container.extended_types_enabled;
    recover_with(
        directories,
        &RecoverOptions::of(&config.storage, extended_types),
    )
}

/// Reads a disk: the newest snapshot that is whole, and the log behind it. On an empty disk that
/// may start, writes `snapshot.0` as Java does, and takes the `initialize` marker away.
///
/// # Errors
/// [`StorageError`] wherever starting would lose something that was acknowledged.
pub fn recover_with(
    directories: &Directories,
    options: &RecoverOptions,
) -> Result<Recovered, StorageError> {
    let snapshots = directories.snapshots();
    snapshot::remove_leftovers(&snapshots)?;
    let recovered = match newest_snapshot(directories, options)? {
        Some((loaded, at_least)) => {
            let start = Start {
                matched: loaded.has_its_digest(),
                snapshot: Some(loaded.info.zxid),
                at_least,
            };
            replay(directories, options, loaded.database, &start)?
        }
        None if has_transactions(directories)? => {
            if !options.trust_empty_snapshot {
                return Err(StorageError::LogsWithoutSnapshot {
                    log_dir: directories.logs(),
                    snap_dir: snapshots,
                });
            }
            tracing::warn!(
                "no snapshot found, but logs: they are taken, as snapshot.trust.empty says; use it for upgrades alone"
            );
            let database = Database::with_extended_types(options.extended_types);
            let start = Start {
                matched: false,
                snapshot: None,
                at_least: Zxid::ZERO,
            };
            replay(directories, options, database, &start)?
        }
        None => empty(directories, options)?,
    };
    // For one start only, whatever it found. Behind the first snapshot, so that a crash in between
    // leaves a disk that may still vote.
    identity::remove_initialize_marker(directories.data_dir(), directories.log_dir())?;
    Ok(recovered)
}

fn empty(directories: &Directories, options: &RecoverOptions) -> Result<Recovered, StorageError> {
    let mut database = Database::with_extended_types(options.extended_types);
    let initialized = options.db_autocreate || identity::has_initialize_marker(directories);
    if initialized {
        save_snapshot(
            &directories.snapshots(),
            Zxid::ZERO,
            &database.freeze(),
            options.snapshot,
        )?;
    } else {
        // In votes it shows that this member may be missing data.
        tracing::warn!(
            "the disk is empty and was not initialized: this member does not vote until a leader has synced it"
        );
        database.set_last_processed(Zxid(-1));
    }
    Ok(Recovered {
        last_logged: database.last_processed(),
        database,
        recent: Vec::new(),
        initialized,
    })
}

/// Whether any log holds a transaction.
fn has_transactions(directories: &Directories) -> Result<bool, StorageError> {
    match read_log(&directories.logs(), Zxid::ZERO)?.next() {
        None => Ok(false),
        Some(first) => first.map(|_| true),
    }
}

/// The newest snapshot that is whole, and the zxid that the log must reach from it: that of the
/// newest damaged one.
fn newest_snapshot(
    directories: &Directories,
    options: &RecoverOptions,
) -> Result<Option<(Loaded, Zxid)>, StorageError> {
    /// Source: `FileSnap.java` deserialize.
    const SNAPSHOTS_TRIED_MAX: usize = 100;
    let dir = directories.snapshots();
    let mut newest_damaged: Option<Zxid> = None;
    let mut problems = Vec::new();
    for file in list_snapshots(&dir)?.into_iter().take(SNAPSHOTS_TRIED_MAX) {
        match snapshot::load(&file, options.extended_types) {
            Ok(loaded) => {
                return Ok(Some((loaded, newest_damaged.unwrap_or(Zxid::ZERO))));
            }
            Err(problem @ StorageError::WrongFile { .. }) => {
                tracing::error!(%problem, "a snapshot is damaged; trying the one before it");
                newest_damaged = newest_damaged.or(Some(file.zxid));
                problems.push(problem.to_string());
            }
            Err(other) => return Err(other),
        }
    }
    match newest_damaged {
        None => Ok(None),
        // Java writes the first snapshot in place: a crash meanwhile leaves half of nothing.
        Some(Zxid::ZERO) if !has_transactions(directories)? => Ok(None),
        Some(_) => Err(StorageError::NoUsableSnapshot {
            path: dir,
            problem: problems.join("; "),
        }),
    }
}

/// What the log is replayed over.
struct Start {
    /// The snapshot, if there is one.
    snapshot: Option<Zxid>,
    /// Whether its tree has the digest that was written with it.
    matched: bool,
    /// How far the log must reach at least.
    at_least: Zxid,
}

fn replay(
    directories: &Directories,
    options: &RecoverOptions,
    mut database: Database,
    begin: &Start,
) -> Result<Recovered, StorageError> {
    let Start {
        snapshot,
        mut matched,
        at_least,
    } = *begin;
    let start = snapshot.unwrap_or(Zxid::ZERO);
    let mut last = start;
    let mut replayed = 0;
    let mut recent: VecDeque<(Zxid, Bytes)> = VecDeque::new();
    let (mut fired, mut watches) = (Vec::new(), Watches::new());
    // `matched` says whether the tree is known to be what the leader had; this is the last change of
    // epochs since then. Nobody knows how many transactions the epoch before had, but the next digest does.
    let mut changed_epoch: Option<(Zxid, Zxid, PathBuf)> = None;
    let mut reader = read_log(&directories.logs(), Zxid(start.0.saturating_add(1)))?;
    while let Some(entry) = reader.next() {
        let (zxid, payload) = entry?;
        let (path, offset) = reader
            .place()
            .map(|(path, end)| (path.to_owned(), end))
            .unwrap_or_default();
        let nothing_before = replayed == 0 && snapshot.is_none();
        if !nothing_before && !follows(last, zxid) {
            if !options.trust_empty_snapshot {
                return Err(StorageError::LogGap {
                    from: last,
                    to: zxid,
                    path,
                });
            }
            tracing::warn!(from = %last, to = %zxid, "transactions are missing in the log; going on, as snapshot.trust.empty says");
        }
        if zxid.epoch() > last.epoch() && !nothing_before {
            changed_epoch = Some((last, zxid, path.clone()));
        }
        let entry = TxnEntry::from_slice(&payload).map_err(|error| StorageError::LogDamaged {
            path,
            offset,
            problem: format!("the transaction that ends here makes no sense: {error}"),
        })?;
        match database.apply(&entry, &mut fired, &mut watches).digest {
            DigestCheck::NotCompared => {}
            DigestCheck::Match => (matched, changed_epoch) = (true, None),
            DigestCheck::Mismatch { .. } => {
                if let Some((from, to, path)) = changed_epoch.take()
                    && matched
                    && !options.trust_empty_snapshot
                {
                    return Err(StorageError::LogGap { from, to, path });
                }
                matched = false;
            }
        }
        fired.clear();
        last = zxid;
        replayed += 1;
        if options.commit_log_count > 0 {
            if recent.len() == options.commit_log_count {
                recent.pop_front();
            }
            recent.push_back((zxid, payload));
        }
    }
    if last < at_least {
        return Err(StorageError::NoUsableSnapshot {
            path: directories.snapshots(),
            problem: format!(
                "the one at {at_least} is damaged, and from the one at {start} the logs reach only to {last}"
            ),
        });
    }
    for tail in reader.torn() {
        tracing::info!(file = %tail.path.display(), offset = tail.offset, reason = tail.reason, "a transaction log ends in an unfinished record");
    }
    tracing::debug!(snapshot = ?snapshot, replayed, last = %last, "replayed the log");
    if database.digest_mismatches() > 0 {
        tracing::error!(
            transactions = database.digest_mismatches(),
            "the tree's digest differs from the leader's; this member's data may differ from the others'"
        );
    }
    Ok(Recovered {
        database,
        last_logged: last,
        recent: recent.into(),
        initialized: true,
    })
}

/// Whether a transaction can stand directly behind another: the next of its epoch, or the first of
/// a later one.
pub(super) fn follows(last: Zxid, next: Zxid) -> bool {
    next == last.next() || (next.epoch() > last.epoch() && next.counter() == 1)
}
