//! A ZooKeeper server: Apache ZooKeeper 3.9's client protocol, quorum protocol and disk formats.
//!
//! Modules stand in reading order: the numbers of the protocol, the bytes, the records, the pure
//! state machines (`tree`, `txn`, `zab`, `sessions`), then the rooms that touch the world
//! (`storage`, `net`, `admin`) and at last `node`, which owns everything and runs it.

pub mod admin;
pub mod cli;
pub mod config;
pub mod ids;
pub mod jute;
pub mod net;
pub mod node;
pub mod proto;
pub mod quorum_proto;
pub mod service;
pub mod sessions;
pub mod storage;
pub mod tree;
pub mod txn;
pub mod zab;
