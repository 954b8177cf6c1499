//! A client's side of DIGEST-MD5 (RFC 2831), apart from the server's own: what a test says to a
//! challenge, and what the server owes it.

use md5::{Digest as _, Md5};

/// What both sides know of a login.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) realm: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) cnonce: &'a str,
    pub(crate) uri: &'a str,
    /// Whom the client wants to be, where it says so.
    pub(crate) authzid: Option<&'a str>,
}

/// The directive of that name in a message, without its quotes.
pub(crate) fn directive<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = message;
    loop {
        let (said, value) = rest.split_once('=')?;
        let (value, more) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        if said == name {
            return Some(value);
        }
        rest = more.strip_prefix(',')?;
    }
}

fn hex(hash: Md5) -> String {
    let bytes = hash.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Login<'_> {
    fn proof(&self, a2: &str) -> String {
        let Login {
            user,
            password,
            realm,
            nonce,
            cnonce,
            uri,
            authzid,
        } = self;
        let mut a1 = Md5::new();
        a1.update(Md5::digest(format!("{user}:{realm}:{password}")));
        a1.update(format!(":{nonce}:{cnonce}"));
        if let Some(authzid) = authzid {
            a1.update(format!(":{authzid}"));
        }
        let (a1, a2) = (hex(a1), hex(Md5::new_with_prefix(format!("{a2}:{uri}"))));
        let text = format!("{a1}:{nonce}:00000001:{cnonce}:auth:{a2}");
        hex(Md5::new_with_prefix(text))
    }

    /// The `response` that proves the password to the server.
    pub(crate) fn response(&self) -> String {
        self.proof("AUTHENTICATE")
    }

    /// The `rspauth` that proves to the client that the server knows it.
    pub(crate) fn rspauth(&self) -> String {
        self.proof("")
    }
}
