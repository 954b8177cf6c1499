//! The disk: the transaction log, snapshots, epochs and what else a server must not forget, in the
//! files of Apache ZooKeeper 3.9, so that a disk can go from Java to here and back.
//!
//! All of it is synchronous and meant for threads of its own. What a function reports as done is
//! durable: files are made as a temporary one, fsync, rename, fsync of the directory.

mod directories;
mod dynamic_config;
mod epochs;
mod error;
mod files;
mod identity;
pub mod log;
mod purge;
mod recover;
mod room;
pub mod snapshot;
mod snapshot_dir;

pub use directories::Directories;
pub use dynamic_config::DynamicConfigFiles;
pub use epochs::EpochFiles;
pub use error::StorageError;
pub use files::VERSION_DIR;
pub use identity::{
    CLUSTER_ID_FILE, INITIALIZE_FILE, MYID_FILE, is_empty_disk, read_cluster_id,
    remove_initialize_marker, write_cluster_id, write_initialize_marker, write_myid,
};
pub use log::{
    LogOptions, LogReader, TornTail, TxnLog, copy_log_front, cut_log, read_log, read_log_file,
};
pub use purge::{Purged, purge};
pub use recover::{RecoverOptions, Recovered, recover, recover_with};
pub use snapshot::{
    SnapshotFile, SnapshotInfo, SnapshotOptions, list_snapshots, open_snapshot, read_sent_snapshot,
    save_snapshot, verify_snapshot,
};
pub use snapshot_dir::SnapshotDir;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;
