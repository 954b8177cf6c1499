//! What clients see, byte for byte: real sockets and raw frames against a [`Service`] whose
//! ensemble is a loopback.
//!
//! [`Service`]: zookeeper_server::service::Service

// A test that unwraps what is not there has failed, which is what it is for.
#![allow(clippy::unwrap_used)]

mod admin;
mod auth;
mod bad_input;
mod client;
mod corners;
mod limits;
#[path = "../loopback/mod.rs"]
mod loopback;
mod ordering;
mod sessions;
