//! The client protocol: one file per subject, every record of `zookeeper.jute` (modules `data`
//! and `proto`) that a client sends or receives.

pub mod auth;
pub mod change;
pub mod connect;
pub mod create;
pub mod data;
mod error_code;
pub mod multi;
mod op_code;
pub mod record;
pub mod reply;
pub mod watches;

pub use data::{Acl, Id, Perms, Stat};
pub use error_code::ErrorCode;
pub use op_code::OpCode;
