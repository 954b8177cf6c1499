//! PEM stores: a private key and its certificates in one file, or certificates to trust.
//! Source: `PEMFileLoader.java`, `PemReader.java`.

use super::{Identity, Store, StoreError};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::SecretDocument;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const BEGIN_ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END_ENCRYPTED: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// All certificates count as trusted, and as those of the one key, as whoever asks needs.
pub(super) fn parse(bytes: &[u8], password: &str) -> Result<Store, StoreError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let certificates = certificates.map_err(|_| StoreError::Malformed("PEM"))?;
    let mut store = Store {
        trusted: certificates.clone(),
        ..Store::default()
    };
    let text = String::from_utf8_lossy(bytes);
    let key = match text.find(BEGIN_ENCRYPTED) {
        Some(start) => Some(decrypt(&text[start..], password)?),
        None => match PrivateKeyDer::pem_slice_iter(bytes).next() {
            Some(Ok(key)) => Some(key),
            Some(Err(_)) => return Err(StoreError::Malformed("PEM")),
            None => None,
        },
    };
    if let Some(key) = key {
        store.identities.push(Identity {
            key,
            chain: certificates,
        });
    }
    if store.identities.is_empty() && store.trusted.is_empty() {
        return Err(StoreError::Malformed("PEM"));
    }
    Ok(store)
}

fn decrypt(text: &str, password: &str) -> Result<PrivateKeyDer<'static>, StoreError> {
    let malformed = || StoreError::Malformed("PEM");
    let end = text.find(END_ENCRYPTED).ok_or_else(malformed)? + END_ENCRYPTED.len();
    let (_, sealed) = SecretDocument::from_pem(&text[..end]).map_err(|_| malformed())?;
    let sealed =
        EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes()).map_err(|_| malformed())?;
    let key = sealed.decrypt(password).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(_) => StoreError::Password,
        other => StoreError::Unusable(format!("its private key can't be decrypted: {other}")),
    })?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        key.as_bytes().to_vec(),
    )))
}
