//! Who a client or a member is: bytes in, bytes out. No socket, file, clock or random number; whoever
//! drives an exchange brings those.
//!
//! [`jaas`] reads the files that Java's login modules are configured by, [`digest_md5`] is the SASL
//! mechanism, [`password_hash`] the scheme `digest`, and [`x509`] the names of certificates.
//! Kerberos (GSSAPI), the other mechanism of Java's server, is not there.

pub mod digest_md5;
pub mod jaas;
pub mod password_hash;
pub mod users;
pub mod x509;

pub use users::{Credentials, Users};
