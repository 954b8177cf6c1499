//! The transaction log: files of records in Java's format, byte for byte.
//! Source: `FileTxnLog.java`, `FilePadding.java`, `Util.java`.

mod format;
mod medium;
mod read;
mod truncate;
mod window;
mod write;

#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
mod tests;

pub use read::{LogReader, TornTail, read_log, read_log_file};
pub use truncate::{copy_log_front, cut_log};
pub use write::{LogOptions, TxnLog};
