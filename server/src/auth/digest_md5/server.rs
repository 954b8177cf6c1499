//! The server's side.

use super::Realm;
use super::directives::{Directives, bare, quoted};
use super::hash::{Login, Side};
use crate::auth::Users;

/// The longest message taken (RFC 2831 section 2.1.2).
const MESSAGE_BYTES_MAX: usize = 4096;

/// What the server says to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The client has to answer this.
    Challenge(Vec<u8>),
    /// The client has proven that it is `user`; `message` proves the server to it.
    Proven {
        /// Who it is.
        user: String,
        /// The last message.
        message: Vec<u8>,
    },
}

/// Why a client has not proven who it is. The client hears only that it failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What it said is not of the mechanism.
    #[error("the response {0}")]
    Malformed(&'static str),
    /// It answered another challenge than this connection's.
    #[error("the response answers another challenge")]
    OtherChallenge,
    /// It wants another realm, service or protection than there is.
    #[error("the response asks for {0}, which is not served")]
    NotServed(&'static str),
    /// The user is not known.
    #[error("user `{0}` is not known")]
    UnknownUser(String),
    /// The password is another.
    #[error("wrong password for user `{0}`")]
    WrongPassword(String),
    /// The exchange has come to its end before.
    #[error("the exchange is over; another needs another connection")]
    Over,
}

/// One login on one connection. It proves one identity at most, and fails for good: a client can't
/// try passwords on one challenge.
#[derive(Debug)]
pub struct Exchange {
    realm: Realm,
    nonce: String,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Challenged,
    Over,
}

impl Exchange {
    /// An exchange whose challenge is `nonce`, which nobody may guess and which is used once.
    #[must_use]
    pub fn new(realm: Realm, nonce: String) -> Self {
        Exchange {
            realm,
            nonce,
            state: State::New,
        }
    }

    /// Takes a message of the client. The first has no content that matters.
    ///
    /// # Errors
    /// [`Refused`], after which the exchange is over.
    pub fn respond(&mut self, users: &Users, message: &[u8]) -> Result<Reply, Refused> {
        match self.state {
            State::New => {
                self.state = State::Challenged;
                Ok(Reply::Challenge(self.challenge()))
            }
            State::Challenged => {
                self.state = State::Over;
                self.check(users, message)
            }
            State::Over => Err(Refused::Over),
        }
    }

    /// Byte for byte the one of the JDK's server.
    fn challenge(&self) -> Vec<u8> {
        let mut out = Vec::new();
        quoted(&mut out, "realm", self.realm.host.as_bytes());
        quoted(&mut out, "nonce", self.nonce.as_bytes());
        bare(&mut out, "charset", b"utf-8");
        bare(&mut out, "algorithm", b"md5-sess");
        out
    }

    fn check(&self, users: &Users, message: &[u8]) -> Result<Reply, Refused> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(Refused::Malformed("is too long"));
        }
        let said = Directives::parse(message)
            .map_err(|_| Refused::Malformed("is no list of directives"))?;
        let utf8 = match said.get("charset") {
            None => false,
            Some(charset) if charset.eq_ignore_ascii_case(b"utf-8") => true,
            Some(_) => return Err(Refused::NotServed("another charset than utf-8")),
        };
        let text = |bytes: &[u8]| {
            if utf8 {
                String::from_utf8_lossy(bytes).into_owned()
            } else {
                bytes.iter().copied().map(char::from).collect()
            }
        };
        let name = said.get("username").map(text).unwrap_or_default();
        if name.is_empty() {
            return Err(Refused::Malformed("has no username"));
        }
        if said.get("realm") != Some(self.realm.host.as_bytes()) {
            return Err(Refused::NotServed("another realm"));
        }
        if said.get("nonce") != Some(self.nonce.as_bytes()) {
            return Err(Refused::OtherChallenge);
        }
        // Each nonce counts once, so that nothing that was overheard is good again.
        if said.get("nc").is_some_and(|count| count != b"00000001") {
            return Err(Refused::OtherChallenge);
        }
        let cnonce = said
            .get("cnonce")
            .ok_or(Refused::Malformed("has no cnonce"))?;
        if said.get("qop").is_some_and(|qop| qop != b"auth") {
            return Err(Refused::NotServed("a layer of protection"));
        }
        let uri = said.get("digest-uri").unwrap_or_default();
        if !uri.eq_ignore_ascii_case(self.realm.digest_uri().as_bytes()) {
            return Err(Refused::NotServed("another service"));
        }
        let response = said
            .get("response")
            .ok_or(Refused::Malformed("has no response"))?;
        let Some(password) = users.password(&name) else {
            return Err(Refused::UnknownUser(name));
        };
        let login = Login {
            name: &name,
            realm: self.realm.host,
            password,
            utf8,
            nonce: self.nonce.as_bytes(),
            cnonce,
            nonce_count: b"00000001",
            digest_uri: uri,
            authzid: said.get("authzid"),
        };
        if !same(login.proof(Side::Client).as_bytes(), response) {
            return Err(Refused::WrongPassword(name));
        }
        // Java takes the name for the identity, too, whatever the authzid says.
        let mut message = Vec::new();
        bare(
            &mut message,
            "rspauth",
            login.proof(Side::Server).as_bytes(),
        );
        Ok(Reply::Proven {
            user: name,
            message,
        })
    }
}

/// Whether two proofs are one, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
