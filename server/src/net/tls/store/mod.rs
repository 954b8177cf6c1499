//! Key and trust stores, from their files. Source: `KeyStoreFileType.java` and the loaders of each.

mod jks;
mod pem;
mod pkcs12;

#[cfg(test)]
mod tests;

use super::error::TlsError;
use crate::config::{StoreFile, StoreKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The longest store read: thousands of certificates.
const STORE_BYTES_MAX: u64 = 16 << 20;
/// The longest password.
const PASSWORD_BYTES_MAX: u64 = 1 << 16;

/// What a store holds.
#[derive(Debug, Default)]
pub struct Store {
    /// Private keys with their certificates, the own one first.
    pub identities: Vec<Identity>,
    /// Certificates to trust.
    pub trusted: Vec<CertificateDer<'static>>,
}

/// A private key, and the certificates that lead from it to someone whom others trust.
#[derive(Debug)]
pub struct Identity {
    /// The key.
    pub key: PrivateKeyDer<'static>,
    /// Its certificate, and those of its issuers.
    pub chain: Vec<CertificateDer<'static>>,
}

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The password opens nothing, or the file was changed without it.
    #[error("the password is wrong, or the file was changed")]
    Password,
    /// It is not written as it should be.
    #[error("it is no {0} store, or not a whole one")]
    Malformed(&'static str),
    /// Something in it can't be used.
    #[error("{0}")]
    Unusable(String),
}

/// Reads a store and the password that opens it.
///
/// # Errors
/// [`TlsError`] with the file that is wrong.
pub fn read(file: &StoreFile) -> Result<Store, TlsError> {
    let password = match &file.password_path {
        None => file.password.clone(),
        // Source: `SecretUtils.java` readSecret, which takes off one newline.
        Some(path) => {
            let bytes = read_bounded(path, PASSWORD_BYTES_MAX)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
        }
    };
    let bytes = read_bounded(&file.path, STORE_BYTES_MAX)?;
    parse(&bytes, file.kind, &password).map_err(|source| TlsError::Store {
        path: file.path.clone(),
        source,
    })
}

/// Reads a store from its bytes.
///
/// # Errors
/// [`StoreError`].
pub fn parse(bytes: &[u8], kind: StoreKind, password: &str) -> Result<Store, StoreError> {
    match kind {
        StoreKind::Pem => pem::parse(bytes, password),
        StoreKind::JksOrPkcs12 if bytes.starts_with(&jks::MAGIC) => jks::parse(bytes, password),
        StoreKind::JksOrPkcs12 => pkcs12::parse(bytes, password),
    }
}

fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        let problem = format!("it has more than {bytes_max} bytes");
        return Err(unreadable(io::Error::new(
            io::ErrorKind::FileTooLarge,
            problem,
        )));
    }
    Ok(bytes)
}
