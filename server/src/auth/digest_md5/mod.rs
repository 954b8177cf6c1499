//! The SASL mechanism DIGEST-MD5 (RFC 2831) without layers of its own (qop `auth`): the server's
//! side, which clients and other members log in to, and the client's, by which a member logs in.
//!
//! ```text
//! client                                   server
//!    |  (nothing)                             |
//!    |--------------------------------------->|  Exchange::respond
//!    |            realm, nonce                |
//!    |<---------------------------------------|
//!    |  name, nonce, own nonce, response      |
//!    |--------------------------------------->|  the response proves the password
//!    |            rspauth                     |
//!    |<---------------------------------------|  rspauth proves that the server knows it too
//! ```
//!
//! RFC 6331 calls the mechanism historic: it is there because ZooKeeper's clients speak it, and
//! belongs behind TLS. What is lenient here is what the JDK's server lets pass (measured, Java 17).

mod directives;
mod hash;
mod server;

#[cfg(test)]
mod tests;

pub use server::{Exchange, Refused, Reply};

/// The service in a digest-uri, and the host that both sides take for the server's.
/// Source: `ZooKeeperSaslServer.java`, `SecurityUtils.java` of Apache ZooKeeper.
pub const CLIENTS: Realm = Realm {
    service: "zookeeper",
    host: "zk-sasl-md5",
};

/// Where a login is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Realm {
    /// The protocol's name.
    pub service: &'static str,
    /// The server's name, which is the realm too.
    pub host: &'static str,
}

impl Realm {
    fn digest_uri(self) -> String {
        format!("{}/{}", self.service, self.host)
    }
}
