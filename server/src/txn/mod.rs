//! Transactions: what the leader proposes, the log keeps and every tree applies.

pub mod records;

pub use records::{Txn, TxnDigest, TxnEntry, TxnHeader};
