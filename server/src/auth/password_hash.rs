//! The hashes of the scheme `digest`. Source: `DigestAuthenticationProvider.java`.

use base64::Engine as _;
use sha1::Sha1;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};

/// `DigestAuthenticationProvider.digestAlg`. Every member has to use the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordHash {
    /// `MD5`.
    Md5,
    /// `SHA1` or `SHA-1`.
    #[default]
    Sha1,
    /// `SHA-224`.
    Sha224,
    /// `SHA-256`.
    Sha256,
    /// `SHA-384`.
    Sha384,
    /// `SHA-512`.
    Sha512,
}

impl PasswordHash {
    /// By the name that Java's `MessageDigest` knows it by, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "MD5" => PasswordHash::Md5,
            "SHA" | "SHA1" | "SHA-1" => PasswordHash::Sha1,
            "SHA224" | "SHA-224" => PasswordHash::Sha224,
            "SHA256" | "SHA-256" => PasswordHash::Sha256,
            "SHA384" | "SHA-384" => PasswordHash::Sha384,
            "SHA512" | "SHA-512" => PasswordHash::Sha512,
            _ => return None,
        })
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            PasswordHash::Md5 => md5::Md5::digest(bytes).to_vec(),
            PasswordHash::Sha1 => Sha1::digest(bytes).to_vec(),
            PasswordHash::Sha224 => Sha224::digest(bytes).to_vec(),
            PasswordHash::Sha256 => Sha256::digest(bytes).to_vec(),
            PasswordHash::Sha384 => Sha384::digest(bytes).to_vec(),
            PasswordHash::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// The id that `user:password` proves: `user:` and the hash of all of it in base 64. Without a
    /// colon all of it is the user.
    #[must_use]
    pub fn id_of(self, credentials: &str) -> String {
        let user = credentials.split(':').next().unwrap_or_default();
        let hash = self.hash(credentials.as_bytes());
        let hash = base64::engine::general_purpose::STANDARD.encode(hash);
        format!("{user}:{hash}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Apache ZooKeeper 3.9.5 prints for `DigestAuthenticationProvider user:pass`.
    #[test]
    fn ids_are_those_that_java_makes() {
        for (name, id) in [
            ("SHA1", "user:smGaoVKd/cQkjm7b88GyorAUz20="),
            (
                "SHA-256",
                "user:70yRTFkWmLJo2zxkFj6v2nIJpjDyNuvw7r8EVGDfcjo=",
            ),
        ] {
            let hash = PasswordHash::named(name).expect(name);
            assert_eq!(hash.id_of("user:pass"), id, "{name}");
        }
    }

    #[test]
    fn a_password_may_hold_colons_and_be_missing() {
        let hash = PasswordHash::default();
        assert!(hash.id_of("a:b:c").starts_with("a:"));
        assert!(hash.id_of("alone").starts_with("alone:"));
        assert!(PasswordHash::named("ROT13").is_none());
    }
}
