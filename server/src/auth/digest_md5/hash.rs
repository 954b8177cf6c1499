//! The hashes of RFC 2831 section 2.1.2.1.

use md5::{Digest as _, Md5};

/// What both sides hash.
#[derive(Clone, Debug)]
pub(super) struct Login<'a> {
    pub(super) name: &'a str,
    pub(super) realm: &'a str,
    pub(super) password: &'a str,
    /// Whether the client spoke UTF-8, and not Latin-1.
    pub(super) utf8: bool,
    pub(super) nonce: &'a [u8],
    pub(super) cnonce: &'a [u8],
    pub(super) nonce_count: &'a [u8],
    pub(super) digest_uri: &'a [u8],
    pub(super) authzid: Option<&'a [u8]>,
}

/// Whose proof it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

impl Login<'_> {
    /// The proof in hexadecimal.
    pub(super) fn proof(&self, side: Side) -> String {
        let mut secret = Md5::new();
        secret.update(self.in_latin1(self.name));
        secret.update(b":");
        secret.update(self.in_latin1(self.realm));
        secret.update(b":");
        secret.update(self.in_latin1(self.password));
        let mut a1 = Md5::new();
        a1.update(secret.finalize());
        for part in [self.nonce, self.cnonce] {
            a1.update(b":");
            a1.update(part);
        }
        if let Some(authzid) = self.authzid {
            a1.update(b":");
            a1.update(authzid);
        }
        let mut a2 = Md5::new();
        if side == Side::Client {
            a2.update(b"AUTHENTICATE");
        }
        a2.update(b":");
        a2.update(self.digest_uri);
        let mut all = Md5::new();
        all.update(hex(&a1.finalize()));
        for part in [self.nonce, self.nonce_count, self.cnonce, b"auth"] {
            all.update(b":");
            all.update(part);
        }
        all.update(b":");
        all.update(hex(&a2.finalize()));
        hex(&all.finalize())
    }

    /// Text of Latin-1 is hashed in it whatever was spoken; other text in UTF-8 if that was spoken,
    /// and else can't be said (`?`, as the JDK does).
    fn in_latin1(&self, text: &str) -> Vec<u8> {
        let latin1 = |c: char| u8::try_from(u32::from(c)).ok();
        if self.utf8 && text.chars().any(|c| latin1(c).is_none()) {
            return text.as_bytes().to_vec();
        }
        text.chars().map(|c| latin1(c).unwrap_or(b'?')).collect()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 2831 section 4.
    #[test]
    fn the_rfcs_own_example_comes_out() {
        let login = Login {
            name: "chris",
            realm: "elwood.innosoft.com",
            password: "secret",
            utf8: true,
            nonce: b"OA6MG9tEQGm2hh",
            cnonce: b"OA6MHXh6VqTrRk",
            nonce_count: b"00000001",
            digest_uri: b"imap/elwood.innosoft.com",
            authzid: None,
        };
        assert_eq!(
            login.proof(Side::Client),
            "d388dad90d4bbd760a152321f2143af7"
        );
        assert_eq!(
            login.proof(Side::Server),
            "ea40f60335c427b5527b84dbabcdfffd"
        );
    }

    #[test]
    fn text_beyond_latin_1_stays_utf_8_where_that_is_spoken() {
        let login = |utf8| Login {
            name: "",
            realm: "",
            password: "",
            utf8,
            nonce: b"",
            cnonce: b"",
            nonce_count: b"",
            digest_uri: b"",
            authzid: None,
        };
        assert_eq!(login(true).in_latin1("\u{e9}"), [0xe9]);
        assert_eq!(
            login(true).in_latin1("\u{e9}\u{20ac}"),
            "\u{e9}\u{20ac}".as_bytes()
        );
        assert_eq!(login(false).in_latin1("\u{e9}\u{20ac}"), [0xe9, b'?']);
    }
}
