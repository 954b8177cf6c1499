//! The ZooKeeper operator: `observe` what is, `plan` one step, `apply` it, report `status`.
//!
//! The modules are listed in reading order; each may use those above it. Only
//! `observe`, `ensemble`, `admin_server`, `apply`, `lease`, `web` and `controller` speak to anything
//! outside.

pub mod crd;
pub mod reasons;
pub mod valid;

pub mod objects;
pub mod plan;
pub mod status;

mod admin_server;
pub mod apply;
pub mod controller;
pub mod ensemble;
pub mod lease;
pub mod metrics;
pub mod observe;
pub mod web;
