//! Snapshot files: a header, the database, and seals, each the Adler-32 of everything before it.
//! Source: `FileSnap.java`, `SnapStream.java`, `DataTree.java` serializeZxidDigest and
//! serializeLastProcessedZxid.

mod load;
mod name;
mod seal;
mod snappy;
mod write;

pub(crate) use load::{Loaded, check, load};
pub use load::{SnapshotInfo, open_snapshot, read_sent_snapshot, verify_snapshot};
pub use name::{SnapshotFile, list_snapshots};
pub(crate) use write::remove_leftovers;
pub use write::{SnapshotOptions, save_snapshot};

/// `ZKSN`. Source: `FileSnap.java` SNAP_MAGIC.
const MAGIC: [u8; 4] = *b"ZKSN";
const VERSION: i32 = 2;
/// Source: `FileSnap.java` dbId.
const DB_ID: i64 = -1;
/// Bytes of the header.
const HEADER_LEN: usize = 16;
