//! Who may connect and who is who: a real server, configured by its zoo.cfg alone, and raw clients.
//!
//! With `SECURITY_JAVA_CLASSPATH` the same tests run against Apache ZooKeeper's own server: the way
//! to find out whether they ask for what Java does. Those marked `ours` are left out then.

// A test that unwraps what is not there has failed, which is what it is for.
#![allow(clippy::unwrap_used)]

mod client;
#[path = "../digest_md5/mod.rs"]
mod digest_md5;
mod pki;
mod sasl;
mod schemes;
mod server;
mod tls;
