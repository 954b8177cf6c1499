//! The other schemes, and what is asked of every client.

use crate::client::{ALL, AUTH_FAILED, NO_AUTH, PING, SASL_REQUIRED, connect};
use crate::server::{Server, scratch};

const READ: i32 = 1;
const ADMIN: i32 = 16;

#[test]
fn hashes_in_a_list_are_shown_to_those_alone_who_may_change_it() {
    let server = Server::start(scratch(), "");
    let mut owner = connect(server.plain);
    assert_eq!(owner.auth("digest", "user:pass"), 0);
    let own = "user:smGaoVKd/cQkjm7b88GyorAUz20=";
    let list = [(ALL, "digest", own), (READ, "world", "anyone")];
    assert_eq!(owner.create("/masked", &list), 0);
    let whole = vec![format!("digest:{own}"), "world:anyone".to_owned()];
    assert_eq!(owner.acl("/masked"), Ok(whole.clone()));
    let mut other = connect(server.plain);
    let masked = vec!["digest:user:x".to_owned(), "world:anyone".to_owned()];
    assert_eq!(other.acl("/masked"), Ok(masked));
    // To change the list is enough to see it, and less than to read.
    let list = [(ALL, "digest", own), (ADMIN, "world", "anyone")];
    assert_eq!(owner.create("/admin", &list), 0);
    assert_eq!(other.acl("/admin").unwrap()[0], whole[0]);
    assert_eq!(other.read("/admin"), NO_AUTH);
    assert_eq!(owner.create("/closed", &[(ALL, "digest", own)]), 0);
    assert_eq!(other.acl("/closed"), Err(NO_AUTH));
}

#[test]
fn the_super_digest_opens_everything() {
    let digest = "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
    let server = Server::start(scratch(), digest);
    let mut owner = connect(server.plain);
    owner.auth("digest", "user:pass");
    assert_eq!(owner.create("/mine", &[(ALL, "auth", "")]), 0);
    let mut other = connect(server.plain);
    assert_eq!(other.auth("digest", "super:wrong"), 0);
    assert_eq!(other.read("/mine"), NO_AUTH);
    assert_eq!(other.auth("digest", "super:test"), 0);
    assert_eq!(other.read("/mine"), 0);
}

#[test]
fn another_hash_makes_other_identities() {
    let server = Server::start(scratch(), "DigestAuthenticationProvider.digestAlg=SHA-256");
    let mut owner = connect(server.plain);
    owner.auth("digest", "user:pass");
    let acl = [(
        ALL,
        "digest",
        "user:70yRTFkWmLJo2zxkFj6v2nIJpjDyNuvw7r8EVGDfcjo=",
    )];
    assert_eq!(owner.create("/sha256", &acl), 0);
    assert_eq!(owner.read("/sha256"), 0);
    let acl = [(ALL, "digest", "user:smGaoVKd/cQkjm7b88GyorAUz20=")];
    assert_eq!(owner.create("/sha1", &acl), 0);
    assert_eq!(owner.read("/sha1"), NO_AUTH);
}

#[test]
fn schemes_that_are_not_there_prove_nobody() {
    let server = Server::start(scratch(), "DigestAuthenticationProvider.enabled=false");
    for scheme in [
        "digest", "sasl", "x509", "world", "auth", "super", "ensemble", "",
    ] {
        let mut client = connect(server.plain);
        assert_eq!(client.auth(scheme, "user:pass"), AUTH_FAILED, "{scheme}");
        assert!(client.is_closed(), "{scheme}");
    }
    let mut client = connect(server.plain);
    assert_eq!(client.auth("ip", ""), 0);
    assert_eq!(client.create("/here", &[(ALL, "ip", "127.0.0.0/8")]), 0);
    assert_eq!(client.read("/here"), 0);
}

#[test]
fn a_client_of_another_ensemble_is_closed_without_a_word() {
    let server = Server::start(
        scratch(),
        "authProvider.1=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider\n\
         ensembleAuthName=ours, also",
    );
    let mut client = connect(server.plain);
    for name in ["ours", "also", ""] {
        assert_eq!(client.auth("ensemble", name), 0, "{name}");
    }
    assert_eq!(client.who_am_i(), Vec::<String>::new());
    let body = [
        &[0; 4][..],
        &crate::client::buffer(b"ensemble"),
        &crate::client::buffer(b"theirs"),
    ]
    .concat();
    assert!(client.try_ask(crate::client::AUTH, &body).is_err());
}

#[test]
fn where_a_scheme_is_enforced_nothing_is_served_without() {
    let server = Server::start(
        scratch(),
        "enforce.auth.enabled=true\nenforce.auth.schemes=digest",
    );
    let mut client = connect(server.plain);
    assert_eq!(client.ask(PING, &[]).err, SASL_REQUIRED);
    assert!(client.is_closed());
    let mut client = connect(server.plain);
    assert_eq!(client.auth("ip", ""), 0);
    assert_eq!(client.read("/"), SASL_REQUIRED);
    let mut client = connect(server.plain);
    assert_eq!(client.auth("digest", "user:pass"), 0);
    assert_eq!(client.read("/"), 0);
}
