//! PKCS#12 stores, what `keytool` makes since Java 9, and `openssl pkcs12`.

use super::{Identity, Store, StoreError};
use p12_keystore::error::Error;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub(super) fn parse(bytes: &[u8], password: &str) -> Result<Store, StoreError> {
    // As in Java, a certificate is trusted where `keytool` marked it so, and not because it is in
    // the file: those that come with a key are there to be shown.
    let read = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict);
    let read = read.map_err(|error| match error {
        Error::MacError(_) => StoreError::Password,
        Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm => {
            StoreError::Unusable(format!("{error}: its algorithms are not known here"))
        }
        Error::Pkcs5Error(problem) => StoreError::Unusable(problem),
        _ => StoreError::Malformed("PKCS#12 or JKS"),
    })?;
    let mut store = Store::default();
    for (_alias, entry) in read.entries() {
        match entry {
            KeyStoreEntry::PrivateKeyChain(chain) => store.identities.push(Identity {
                key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(chain.key().as_der().to_vec())),
                chain: chain.certs().iter().map(certificate).collect(),
            }),
            KeyStoreEntry::Certificate(trusted) => store.trusted.push(certificate(trusted)),
            KeyStoreEntry::Secret(_) => {}
        }
    }
    Ok(store)
}

fn certificate(certificate: &p12_keystore::Certificate) -> CertificateDer<'static> {
    CertificateDer::from(certificate.as_der().to_vec())
}
