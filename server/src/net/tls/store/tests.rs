use super::*;
use crate::config::StoreKind::{JksOrPkcs12, Pem};
use rustls::pki_types::pem::PemObject as _;

/// Stores with one key, its certificate and that of its issuer, as `keytool` of Java 17 and OpenSSL
/// 3.0 wrote them; the password is `changeit`.
macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/stores/",
            $name
        ))
        .as_slice()
    };
}

fn issuer() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(golden!("ca.pem")).unwrap()
}

fn own() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(golden!("server.pem")).unwrap()
}

fn key() -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(golden!("server.key.pem")).unwrap()
}

#[test]
fn keys_come_out_of_every_kind_of_store() {
    for (name, bytes, kind) in [
        ("keystore.jks", golden!("keystore.jks"), JksOrPkcs12),
        ("keystore.p12", golden!("keystore.p12"), JksOrPkcs12),
        (
            "keystore-legacy.p12",
            golden!("keystore-legacy.p12"),
            JksOrPkcs12,
        ),
        ("openssl.p12", golden!("openssl.p12"), JksOrPkcs12),
        (
            "openssl-legacy.p12",
            golden!("openssl-legacy.p12"),
            JksOrPkcs12,
        ),
        (
            "keystore-encrypted.pem",
            golden!("keystore-encrypted.pem"),
            Pem,
        ),
        ("keystore.pem", golden!("keystore.pem"), Pem),
    ] {
        let store =
            parse(bytes, kind, "changeit").unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(store.identities.len(), 1, "{name}");
        let identity = &store.identities[0];
        assert_eq!(identity.key.secret_der(), key().secret_der(), "{name}");
        assert_eq!(identity.chain, [own(), issuer()], "{name}");
        if kind == JksOrPkcs12 {
            // A certificate that leads to the own one makes nobody trusted, as in Java.
            assert!(store.trusted.is_empty(), "{name}");
        }
    }
}

#[test]
fn the_older_form_of_a_key_in_pem_is_read_too() {
    let store = parse(golden!("keystore-sec1.pem"), Pem, "").unwrap();
    assert_eq!(store.identities[0].chain, [own()]);
    assert!(matches!(store.identities[0].key, PrivateKeyDer::Sec1(_)));
}

#[test]
fn trusted_certificates_come_out_of_every_kind_of_store() {
    for (name, bytes, kind) in [
        ("truststore.jks", golden!("truststore.jks"), JksOrPkcs12),
        ("truststore.p12", golden!("truststore.p12"), JksOrPkcs12),
        ("ca.pem", golden!("ca.pem"), Pem),
    ] {
        let store =
            parse(bytes, kind, "changeit").unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(store.trusted, [issuer()], "{name}");
        assert!(store.identities.is_empty(), "{name}");
    }
}

#[test]
fn a_wrong_password_opens_nothing() {
    for (name, bytes, kind) in [
        ("keystore.jks", golden!("keystore.jks"), JksOrPkcs12),
        ("truststore.jks", golden!("truststore.jks"), JksOrPkcs12),
        ("keystore.p12", golden!("keystore.p12"), JksOrPkcs12),
        (
            "openssl-legacy.p12",
            golden!("openssl-legacy.p12"),
            JksOrPkcs12,
        ),
        (
            "keystore-encrypted.pem",
            golden!("keystore-encrypted.pem"),
            Pem,
        ),
    ] {
        for password in ["wrong", ""] {
            let refused = parse(bytes, kind, password);
            assert!(
                matches!(refused, Err(StoreError::Password)),
                "{name}: {refused:?}"
            );
        }
    }
}

#[test]
fn every_changed_byte_of_a_jks_store_is_noticed() {
    let whole = golden!("keystore.jks");
    for at in 0..whole.len() {
        let mut changed = whole.to_vec();
        changed[at] ^= 1;
        assert!(
            parse(&changed, JksOrPkcs12, "changeit").is_err(),
            "byte {at}"
        );
        assert!(
            parse(&whole[..at], JksOrPkcs12, "changeit").is_err(),
            "cut at {at}"
        );
    }
}

#[test]
fn what_is_no_store_is_told() {
    for (bytes, kind) in [
        (&b"hello"[..], JksOrPkcs12),
        (b"", JksOrPkcs12),
        (b"", Pem),
        (
            b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            Pem,
        ),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", Pem),
    ] {
        let refused = parse(bytes, kind, "");
        assert!(
            matches!(refused, Err(StoreError::Malformed(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn a_password_file_counts_more_and_may_end_in_a_newline() {
    let dir = tempfile::tempdir().unwrap();
    let (path, password_path) = (dir.path().join("k.jks"), dir.path().join("password"));
    std::fs::write(&path, golden!("keystore.jks")).unwrap();
    std::fs::write(&password_path, "changeit\n").unwrap();
    let mut file = StoreFile {
        path,
        kind: JksOrPkcs12,
        password: "wrong".into(),
        password_path: Some(password_path),
    };
    assert_eq!(read(&file).unwrap().identities.len(), 1);
    file.password_path = None;
    let error = read(&file).unwrap_err().to_string();
    assert!(
        error.ends_with("k.jks: the password is wrong, or the file was changed"),
        "{error}"
    );
    file.path = dir.path().join("missing");
    let error = read(&file).unwrap_err().to_string();
    assert!(
        error.contains("missing: can't be read: No such file"),
        "{error}"
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        password in "[a-z]{0,3}",
    ) {
        let _ = parse(&bytes, JksOrPkcs12, &password);
        let _ = parse(&bytes, Pem, &password);
        // Behind a good digest, too, which only whoever knows the password can make.
        let mut store = jks::MAGIC.to_vec();
        store.extend(&bytes);
        let _ = jks::parse(&jks::sealed(&store, &password), &password);
    }
}
