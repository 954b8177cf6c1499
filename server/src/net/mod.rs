//! Sockets: clients' and other members'.

pub mod client;
pub mod peer;
pub mod tls;
