//! Logins by SASL: each has a nonce of its own, so ours are computed from the recorded ones.

use crate::digest_md5::{Login, directive};
use std::collections::HashMap;

/// The logins of a scene, by connection.
pub(crate) struct Logins<'a> {
    passwords: &'a [(String, String)],
    begun: HashMap<String, Begun>,
}

struct Begun {
    java_nonce: String,
    our_nonce: String,
    /// What the server owes: Java's, and ours.
    owed: Option<(String, String)>,
}

/// The text of a token: a buffer at the end of a packet.
fn text(packet: &[u8], header: usize) -> Option<&str> {
    std::str::from_utf8(packet.get(header + 4..)?).ok()
}

const REQUEST_HEADER: usize = 8;
const REPLY_HEADER: usize = 16;

fn packet(header: &[u8], text: &str) -> Vec<u8> {
    let len = u32::try_from(text.len()).expect("a short text");
    [header, &len.to_be_bytes(), text.as_bytes()].concat()
}

impl<'a> Logins<'a> {
    pub(crate) fn new(passwords: &'a [(String, String)]) -> Self {
        Logins {
            passwords,
            begun: HashMap::new(),
        }
    }

    /// What our client says where Java's said `java`: the same, proven over our server's nonce.
    pub(crate) fn our_request(&mut self, connection: &str, java: &[u8]) -> Vec<u8> {
        let (Some(begun), Some(said)) =
            (self.begun.get_mut(connection), text(java, REQUEST_HEADER))
        else {
            return java.to_vec();
        };
        let (Some(response), Some(user)) =
            (directive(said, "response"), directive(said, "username"))
        else {
            return java.to_vec();
        };
        let ours = said.replace(&begun.java_nonce, &begun.our_nonce);
        let known = self.passwords.iter().find(|(name, _)| name == user);
        let Some((_, password)) = known else {
            return packet(&java[..REQUEST_HEADER], &ours);
        };
        let login = |nonce| Login {
            user,
            password,
            realm: directive(said, "realm").unwrap(),
            nonce,
            cnonce: directive(said, "cnonce").unwrap(),
            uri: directive(said, "digest-uri").unwrap(),
            authzid: directive(said, "authzid"),
        };
        let (java_login, our_login) = (login(&begun.java_nonce), login(&begun.our_nonce));
        if java_login.response() != response {
            // Another password: no more right for our nonce.
            return packet(&java[..REQUEST_HEADER], &ours);
        }
        begun.owed = Some((java_login.rspauth(), our_login.rspauth()));
        let ours = ours.replace(response, &our_login.response());
        packet(&java[..REQUEST_HEADER], &ours)
    }

    /// Java's reply as it would be of ours.
    pub(crate) fn expected(&mut self, connection: &str, java: &[u8], ours: &[u8]) -> Vec<u8> {
        let (Some(java_text), Some(our_text)) =
            (text(java, REPLY_HEADER), text(ours, REPLY_HEADER))
        else {
            return java.to_vec();
        };
        if let (Some(java_nonce), Some(our_nonce)) =
            (directive(java_text, "nonce"), directive(our_text, "nonce"))
        {
            let begun = Begun {
                java_nonce: java_nonce.to_owned(),
                our_nonce: our_nonce.to_owned(),
                owed: None,
            };
            self.begun.insert(connection.to_owned(), begun);
            let expected = java_text.replace(java_nonce, our_nonce);
            return packet(&java[..REPLY_HEADER], &expected);
        }
        let owed = self.begun.get(connection).and_then(|it| it.owed.as_ref());
        match owed {
            Some((java_proof, our_proof)) => {
                assert_eq!(java_text, format!("rspauth={java_proof}"), "Java's proof");
                packet(&java[..REPLY_HEADER], &format!("rspauth={our_proof}"))
            }
            None => java.to_vec(),
        }
    }
}
