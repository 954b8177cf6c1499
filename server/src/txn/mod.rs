//! Transactions: what the leader proposes, the log keeps and every tree applies.

pub mod prepare;
pub mod records;
mod request;

pub use prepare::{EnsembleView, PrepareSettings, Preparer};
pub use records::{Txn, TxnDigest, TxnEntry, TxnHeader};
pub use request::{Request, SessionCheck};
