//! How people and probes ask what this member is: four-letter words on the client port, HTTP on
//! the admin port.

mod backup;
mod commands;
pub mod four_letter;
mod hand_over;
mod http;
pub(crate) mod leave;
mod pages;

pub use http::{AdminServer, AdminSettings};

/// What `srvr` and all else say this server is: the level of Apache ZooKeeper it is compatible
/// with, then its own version.
pub const VERSION: &str = concat!("3.9.5-", env!("CARGO_PKG_VERSION"));

/// The version with a date behind it. Clients parse this line, some of them only in the form it
/// had until 3.5 (day/month order and GMT), and none cares which day it was.
pub const FULL_VERSION: &str = concat!(
    "3.9.5-",
    env!("CARGO_PKG_VERSION"),
    ", built on 06/29/2018 04:05 GMT"
);
