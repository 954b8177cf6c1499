//! The ports with TLS.

use crate::client::{ALL, Client, NO_AUTH, connect, tcp};
use crate::pki::{Authority, Holder, Tls};
use crate::server::{Server, scratch};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

/// Lines for a server with the stores of [`Authority::equip`]. The last means nothing to ours, and
/// Java's speaks no TLS without it.
const STORES: &str = "ssl.keyStore.location=DIR/key.pem\nssl.trustStore.location=DIR/trust.pem\n\
    serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n";

fn start(authority: &Authority, lines: &str) -> Server {
    let dir = scratch();
    authority.equip(dir.path());
    Server::start(dir, &format!("{STORES}{lines}"))
}

fn open(authority: &Authority, address: SocketAddr, holder: &Holder) -> Client<Tls> {
    Client::open(authority.connect(address, Some(holder)).unwrap()).unwrap()
}

#[test]
fn a_certificate_is_an_identity_that_lists_may_name() {
    let ours = Authority::new("ours");
    let server = start(&ours, "secureClientPort=SECURE");
    let secure = server.secure.unwrap();
    let (alice, bob) = (ours.issue("alice"), ours.issue("bob"));
    let mut first = open(&ours, secure, &alice);
    assert_eq!(first.who_am_i(), ["x509:CN=alice"]);
    assert_eq!(first.create("/mine", &[(ALL, "auth", "")]), 0);
    assert_eq!(first.create("/bobs", &[(ALL, "x509", "CN=bob")]), 0);
    assert_eq!(first.acl("/mine"), Ok(vec!["x509:CN=alice".to_owned()]));
    assert_eq!(first.read("/bobs"), NO_AUTH);
    assert_eq!(
        first.create("/none", &[(ALL, "x509", "alice")]),
        crate::client::INVALID_ACL
    );
    // Said again, it is no more than what was shown.
    assert_eq!(first.auth("x509", ""), 0);
    assert_eq!(first.who_am_i(), ["x509:CN=alice"]);
    let mut second = open(&ours, secure, &bob);
    assert_eq!(second.read("/bobs"), 0);
    assert_eq!(second.read("/mine"), NO_AUTH);
    // Without TLS, nobody is anybody.
    let mut plain = connect(server.plain);
    assert_eq!(plain.who_am_i(), Vec::<String>::new());
    assert_eq!(plain.read("/mine"), NO_AUTH);
    assert_eq!(plain.auth("x509", "CN=alice"), crate::client::AUTH_FAILED);
}

#[test]
fn the_super_users_certificate_opens_everything() {
    let ours = Authority::new("ours");
    let server = start(
        &ours,
        "secureClientPort=SECURE\nX509AuthenticationProvider.superUser=CN=root",
    );
    let secure = server.secure.unwrap();
    let mut alice = open(&ours, secure, &ours.issue("alice"));
    assert_eq!(alice.create("/mine", &[(ALL, "auth", "")]), 0);
    assert_eq!(open(&ours, secure, &ours.issue("root")).read("/mine"), 0);
    assert_eq!(
        open(&ours, secure, &ours.issue("bob")).read("/mine"),
        NO_AUTH
    );
}

#[test]
fn without_a_trusted_certificate_there_is_no_session() {
    let ours = Authority::new("ours");
    let server = start(&ours, "secureClientPort=SECURE");
    let secure = server.secure.unwrap();
    let stranger = Authority::new("theirs").issue("alice");
    for holder in [None, Some(&stranger)] {
        let stream = ours.connect(secure, holder).unwrap();
        assert!(Client::open(stream).is_err());
    }
    open(&ours, secure, &ours.issue("alice"));
}

#[test]
fn a_certificate_is_asked_for_as_configured() {
    let ours = Authority::new("ours");
    for (asked, shown) in [("none", None), ("want", Some("x509:CN=alice"))] {
        let server = start(
            &ours,
            &format!("secureClientPort=SECURE\nssl.clientAuth={asked}"),
        );
        let secure = server.secure.unwrap();
        let mut nobody = Client::open(ours.connect(secure, None).unwrap()).unwrap();
        assert_eq!(nobody.who_am_i(), Vec::<String>::new(), "{asked}");
        let mut alice = open(&ours, secure, &ours.issue("alice"));
        let expected: Vec<&str> = shown.into_iter().collect();
        assert_eq!(alice.who_am_i(), expected, "{asked}");
    }
}

#[test]
fn whoever_speaks_no_tls_is_closed_and_disturbs_nobody() {
    let ours = Authority::new("ours");
    let server = start(&ours, "secureClientPort=SECURE");
    let secure = server.secure.unwrap();
    let mut alice = open(&ours, secure, &ours.issue("alice"));
    assert!(Client::open(tcp(secure)).is_err());
    let mut word = tcp(secure);
    word.write_all(b"ruok").unwrap();
    let mut answer = Vec::new();
    let _ = word.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"imok"));
    assert_eq!(alice.create("/still", &[(ALL, "world", "anyone")]), 0);
}

#[test]
fn one_port_may_serve_both() {
    let ours = Authority::new("ours");
    let server = start(&ours, "client.portUnification=true");
    let alice = ours.issue("alice");
    assert_eq!(
        open(&ours, server.plain, &alice).who_am_i(),
        ["x509:CN=alice"]
    );
    assert_eq!(connect(server.plain).who_am_i(), Vec::<String>::new());
    let mut word = tcp(server.plain);
    word.write_all(b"ruok").unwrap();
    let mut answer = String::new();
    word.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "imok");
}

#[test]
fn much_data_goes_both_ways_through_tls() {
    let ours = Authority::new("ours");
    let server = start(&ours, "secureClientPort=SECURE");
    let mut alice = open(&ours, server.secure.unwrap(), &ours.issue("alice"));
    // More than a record, and more than TLS holds back for a socket that is full.
    let data = crate::client::buffer(&vec![7; 900_000]);
    let mut body = crate::client::buffer(b"/big");
    body.extend(&data);
    body.extend([0, 0, 0, 1, 0, 0, 0, 31]);
    body.extend(crate::client::buffer(b"world"));
    body.extend(crate::client::buffer(b"anyone"));
    body.extend([0; 4]);
    assert_eq!(alice.ask(crate::client::CREATE, &body).err, 0);
    let get = [&crate::client::buffer(b"/big")[..], &[0]].concat();
    for _ in 0..5 {
        let reply = alice.ask(crate::client::GET_DATA, &get);
        assert_eq!(reply.err, 0);
        assert!(reply.body.starts_with(&data));
    }
}

#[test]
fn a_configuration_without_its_stores_is_refused_in_one_line() {
    let ours = Authority::new("ours");
    let dir = scratch();
    ours.equip(dir.path());
    let stores = "ssl.trustStore.location=DIR/trust.pem\nsecureClientPort=1\n";
    for (lines, expected) in [
        (
            "secureClientPort=1",
            "DIR/zoo.cfg: secureClientPort: needs ssl.keyStore.location, the server's own key",
        ),
        (
            "secureClientPort=1\nssl.keyStore.location=DIR/key.pem",
            "needs ssl.trustStore.location, by which the other side's certificate is trusted, or ssl.clientAuth=none",
        ),
        (
            &format!("{stores}ssl.keyStore.location=DIR/missing.pem"),
            "DIR/missing.pem: can't be read: No such file or directory",
        ),
        (
            &format!("{stores}ssl.keyStore.location=DIR/trust.pem"),
            "DIR/trust.pem: there is no private key with its certificate in it",
        ),
        (
            &format!("{stores}ssl.keyStore.location=DIR/key.bin"),
            "ssl.keyStore.type must be JKS, PKCS12 or PEM",
        ),
        (
            &format!("{stores}ssl.keyStore.location=DIR/key.pem\nssl.clientAuth=maybe"),
            "ssl.clientAuth: `maybe` must be need, want or none",
        ),
        (
            &format!("{stores}ssl.keyStore.location=DIR/key.pem\nssl.crl=true"),
            "ssl.crl: asks for certificates to be looked up as revoked, which is not there",
        ),
        (
            &format!("{stores}ssl.keyStore.location=DIR/key.pem\nssl.enabledProtocols=TLSv1.1"),
            "has neither TLSv1.2 nor TLSv1.3",
        ),
    ] {
        let (line, code) = Server::refused(&dir, lines);
        assert!(line.contains(expected), "{line}\ndoes not say\n{expected}");
        assert_eq!(code, Some(2), "{line}");
    }
}
