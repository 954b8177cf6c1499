//! A ZooKeeper server: Apache ZooKeeper 3.9's client protocol, quorum protocol and disk formats.
//!
//! To be read in this order: `ids`, the numbers of the protocol; `jute`, the bytes; `proto` and
//! `quorum_proto`, the records; `auth`, who someone is; the pure state machines `tree`, `txn`, `zab`
//! and `sessions`, and `departures`, who may stop; then the rooms that touch the world, `config`, `storage`, `service`, `net` and
//! `admin`; and at last `node`, which owns everything and runs it, and `cli`.

pub mod admin;
pub mod auth;
pub mod cli;
pub mod config;
pub mod departures;
pub mod ensemble;
pub mod ids;
pub mod jute;
pub mod net;
pub mod node;
pub mod properties;
pub mod proto;
pub mod quorum_proto;
mod room;
pub mod service;
pub mod sessions;
pub mod storage;
pub mod tree;
pub mod txn;
pub mod zab;
