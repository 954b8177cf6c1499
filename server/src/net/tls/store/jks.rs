//! Java's own stores, `JKS`. They are read and never written.
//!
//! ```text
//! magic FEEDFEED, version, count                  big-endian, 4 bytes each
//!   1, alias, time, protected key, certificates   a private key
//!   2, alias, time, certificate                   a trusted certificate
//! SHA-1 over password, "Mighty Aphrodite", and all before it
//! ```
//!
//! Source: `JavaKeyStore.java` and `KeyProtector.java` of the JDK.

use super::{Identity, Store, StoreError};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha1::{Digest as _, Sha1};

/// What such a file starts with.
pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];

const MALFORMED: StoreError = StoreError::Malformed("JKS");
const WHITENER: &[u8] = b"Mighty Aphrodite";
const SHA1_BYTES: usize = 20;
/// 1.3.6.1.4.1.42.2.17.1.1: the JDK's own protection of keys.
const KEY_PROTECTOR: [u8; 12] = [
    0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01,
];

/// Entries in a store and certificates in a chain. What is longer is no store.
const ENTRIES_MAX: u32 = 100_000;

pub(super) fn parse(bytes: &[u8], password: &str) -> Result<Store, StoreError> {
    let end = bytes.len().checked_sub(SHA1_BYTES).ok_or(MALFORMED)?;
    let (content, digest) = bytes.split_at(end);
    let password = bytes_of(password);
    if seal(content, &password) != *digest {
        return Err(StoreError::Password);
    }
    let mut input = Input(content);
    input.take(MAGIC.len())?;
    let version = input.int()?;
    if version != 1 && version != 2 {
        return Err(MALFORMED);
    }
    let mut store = Store::default();
    for _ in 0..input.count()? {
        let tag = input.int()?;
        input.text()?;
        input.take(8)?;
        match tag {
            1 => {
                let protected = input.bytes()?;
                let chain: Result<Vec<_>, _> = (0..input.count()?)
                    .map(|_| input.certificate(version))
                    .collect();
                let key = unprotect(protected, &password)?;
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
                store.identities.push(Identity { key, chain: chain? });
            }
            2 => store.trusted.push(input.certificate(version)?),
            _ => return Err(MALFORMED),
        }
    }
    Ok(store)
}

fn bytes_of(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// The digest at the end of a store.
fn seal(content: &[u8], password: &[u8]) -> [u8; SHA1_BYTES] {
    let mut hash = Sha1::new();
    hash.update(password);
    hash.update(WHITENER);
    hash.update(content);
    hash.finalize().into()
}

/// `content` with its digest behind it.
#[cfg(test)]
pub(super) fn sealed(content: &[u8], password: &str) -> Vec<u8> {
    [content, &seal(content, &bytes_of(password))].concat()
}

/// The key out of its protection: salt, the key under a stream of chained hashes, and a hash of
/// password and key.
fn unprotect(protected: &[u8], password: &[u8]) -> Result<Vec<u8>, StoreError> {
    let at = protected
        .windows(KEY_PROTECTOR.len())
        .position(|window| window == KEY_PROTECTOR)
        .ok_or_else(|| StoreError::Unusable("a key has another protection than JKS has".into()))?;
    let mut input = Input(&protected[at + KEY_PROTECTOR.len()..]);
    // The algorithm's parameters, NULL, may be missing.
    if input.0.starts_with(&[0x05, 0x00]) {
        input.take(2)?;
    }
    let sealed = input.octets()?;
    let rest = sealed.len().checked_sub(2 * SHA1_BYTES).ok_or(MALFORMED)?;
    let (salt, sealed) = sealed.split_at(SHA1_BYTES);
    let (sealed, check) = sealed.split_at(rest);
    let mut key = Vec::with_capacity(sealed.len());
    let mut stream = salt.to_vec();
    for block in sealed.chunks(SHA1_BYTES) {
        let mut hash = Sha1::new();
        hash.update(password);
        hash.update(&stream);
        stream = hash.finalize().to_vec();
        key.extend(block.iter().zip(&stream).map(|(byte, key)| byte ^ key));
    }
    let mut hash = Sha1::new();
    hash.update(password);
    hash.update(&key);
    if hash.finalize()[..] != *check {
        return Err(StoreError::Unusable(
            "a key has another password than the store; Java refuses that, too".into(),
        ));
    }
    Ok(key)
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(MALFORMED)?;
        self.0 = rest;
        Ok(taken)
    }

    fn int(&mut self) -> Result<u32, StoreError> {
        let bytes = self.take(4)?;
        Ok(bytes
            .iter()
            .fold(0, |int, byte| int << 8 | u32::from(*byte)))
    }

    fn count(&mut self) -> Result<u32, StoreError> {
        self.int().and_then(|count| {
            let sane = count <= ENTRIES_MAX;
            if sane { Ok(count) } else { Err(MALFORMED) }
        })
    }

    fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        let len = self.int()?;
        self.take(usize::try_from(len).map_err(|_| MALFORMED)?)
    }

    /// Java's `readUTF`: two bytes of length.
    fn text(&mut self) -> Result<&'a [u8], StoreError> {
        let len = self.take(2)?;
        self.take(usize::from(len[0]) << 8 | usize::from(len[1]))
    }

    fn certificate(&mut self, version: u32) -> Result<CertificateDer<'static>, StoreError> {
        if version == 2 && self.text()? != b"X.509" {
            return Err(StoreError::Unusable(
                "a certificate of another kind than X.509 is in it".into(),
            ));
        }
        Ok(CertificateDer::from(self.bytes()?.to_vec()))
    }

    /// An OCTET STRING of DER.
    fn octets(&mut self) -> Result<&'a [u8], StoreError> {
        let [tag, first] = *self.take(2)? else {
            return Err(MALFORMED);
        };
        let len = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x83 => {
                let digits = self.take(usize::from(first & 0x7f))?;
                digits
                    .iter()
                    .fold(0, |len, digit| len << 8 | usize::from(*digit))
            }
            _ => return Err(MALFORMED),
        };
        if tag != 0x04 {
            return Err(MALFORMED);
        }
        self.take(len)
    }
}
