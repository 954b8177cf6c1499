//! The client protocol: one file per subject, every record of `zookeeper.jute` (modules `data`
//! and `proto`) that a client sends or receives.

pub mod change;
pub mod create;
pub mod auth;
pub mod connect;
pub mod data;
mod error_code;
pub mod multi;
mod op_code;
pub mod watches;
pub mod reply;

pub use data::{Acl, Id, Perms, Stat};
pub use error_code::ErrorCode;
pub use op_code::OpCode;
