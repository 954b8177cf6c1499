//! SASL DIGEST-MD5, from the client's side of the wire.

use crate::client::{
    ALL, AUTH_FAILED, Client, INVALID_ACL, NO_AUTH, PING, Reply, SASL, SASL_REQUIRED, buffer,
    connect,
};
use crate::digest_md5::{Login, directive};
use crate::server::{Server, java, scratch};
use std::net::TcpStream;

const JAAS: &str = "Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n  \
    user_alice=\"her secret\"\n  user_bob=\"his secret\";\n};\n";
const PROVIDER: &str =
    "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";

/// A server with the two users.
fn start(lines: &str) -> Server {
    let dir = scratch();
    std::fs::write(dir.path().join("jaas.conf"), JAAS).unwrap();
    let jaas = "java.security.auth.login.config=DIR/jaas.conf";
    Server::start(dir, &format!("{jaas}\n{PROVIDER}{lines}"))
}

/// The answer to a challenge by someone who has that password (RFC 2831), and the proof that the
/// server owes.
fn answer(challenge: &str, user: &str, password: &str) -> (String, String) {
    let said = |name| directive(challenge, name).unwrap();
    let login = Login {
        user,
        password,
        realm: said("realm"),
        nonce: said("nonce"),
        cnonce: "theclients",
        uri: "zookeeper/zk-sasl-md5",
        authzid: None,
    };
    let response = format!(
        "charset=utf-8,username=\"{user}\",realm=\"{}\",nonce=\"{}\",nc=00000001,\
         cnonce=\"{}\",digest-uri=\"{}\",maxbuf=65536,response={},qop=auth",
        login.realm,
        login.nonce,
        login.cnonce,
        login.uri,
        login.response(),
    );
    (response, format!("rspauth={}", login.rspauth()))
}

fn challenge(client: &mut Client<TcpStream>) -> String {
    let reply = client.ask(SASL, &buffer(b""));
    assert_eq!(reply.err, 0);
    String::from_utf8(reply.body[4..].to_vec()).unwrap()
}

/// Logs in; what the server says to it.
fn log_in(client: &mut Client<TcpStream>, user: &str, password: &str) -> Reply {
    let challenge = challenge(client);
    let (response, owed) = answer(&challenge, user, password);
    let reply = client.ask(SASL, &buffer(response.as_bytes()));
    if reply.err == 0 && reply.body != NOTHING {
        assert_eq!(
            reply.body,
            buffer(owed.as_bytes()),
            "the server proves itself, too"
        );
    }
    reply
}

/// A token that is none.
const NOTHING: [u8; 4] = [0xff; 4];

#[test]
fn the_right_password_is_an_identity() {
    let server = start("");
    let mut alice = connect(server.plain);
    assert_eq!(log_in(&mut alice, "alice", "her secret").err, 0);
    assert_eq!(alice.who_am_i(), ["sasl:alice"]);
    assert_eq!(alice.create("/mine", &[(ALL, "sasl", "alice")]), 0);
    assert_eq!(alice.create("/auth", &[(ALL, "auth", "")]), 0);
    assert_eq!(alice.acl("/auth"), Ok(vec!["sasl:alice".to_owned()]));
    assert_eq!(alice.read("/mine"), 0);
    let mut bob = connect(server.plain);
    assert_eq!(bob.read("/mine"), NO_AUTH);
    assert_eq!(log_in(&mut bob, "bob", "his secret").err, 0);
    assert_eq!(bob.read("/mine"), NO_AUTH);
}

#[test]
fn a_wrong_password_or_user_is_told_and_closed() {
    let server = start("");
    for (user, password) in [("alice", "his secret"), ("mallory", "x"), ("bob", "")] {
        let mut client = connect(server.plain);
        let reply = log_in(&mut client, user, password);
        assert_eq!(
            (reply.err, &reply.body[..]),
            (AUTH_FAILED, &NOTHING[..]),
            "{user}"
        );
        assert!(client.is_closed(), "{user}");
    }
    let mut client = connect(server.plain);
    challenge(&mut client);
    assert_eq!(client.ask(SASL, &buffer(b"nonsense")).err, AUTH_FAILED);
    assert!(client.is_closed());
}

#[test]
fn what_was_overheard_proves_nothing_on_another_connection() {
    let server = start("");
    let mut alice = connect(server.plain);
    let heard = challenge(&mut alice);
    let (response, _) = answer(&heard, "alice", "her secret");
    assert_eq!(alice.ask(SASL, &buffer(response.as_bytes())).err, 0);
    let mut mallory = connect(server.plain);
    assert_ne!(challenge(&mut mallory), heard, "no challenge comes twice");
    assert_eq!(
        mallory.ask(SASL, &buffer(response.as_bytes())).err,
        AUTH_FAILED
    );
    assert!(mallory.is_closed());
    // Nor once more on its own.
    assert_eq!(
        alice.ask(SASL, &buffer(response.as_bytes())).err,
        AUTH_FAILED
    );
    assert!(alice.is_closed());
}

#[test]
fn a_client_that_failed_may_stay_as_nobody_where_that_is_allowed() {
    let server = start("allowSaslFailedClients=true");
    let mut client = connect(server.plain);
    let reply = log_in(&mut client, "alice", "wrong");
    assert_eq!((reply.err, &reply.body[..]), (0, &NOTHING[..]));
    assert_eq!(client.who_am_i(), Vec::<String>::new());
    assert_eq!(client.create("/open", &[(ALL, "world", "anyone")]), 0);
}

#[test]
fn where_a_login_is_required_nothing_is_served_without() {
    let server = start("sessionRequireClientSASLAuth=true\nallowSaslFailedClients=true");
    for op in [PING, crate::client::WHO_AM_I, crate::client::GET_DATA] {
        let mut client = connect(server.plain);
        let reply = client.ask(op, &[&buffer(b"/")[..], &[0]].concat());
        assert_eq!((reply.err, reply.body), (SASL_REQUIRED, Vec::new()), "{op}");
        assert!(client.is_closed(), "{op}");
    }
    let mut client = connect(server.plain);
    assert_eq!(log_in(&mut client, "alice", "wrong").err, SASL_REQUIRED);
    assert!(client.is_closed());
    // Another scheme is good, but not what is asked.
    let mut client = connect(server.plain);
    assert_eq!(client.auth("digest", "a:b"), 0);
    assert_eq!(client.ask(PING, &[]).err, SASL_REQUIRED);
    let mut alice = connect(server.plain);
    assert_eq!(log_in(&mut alice, "alice", "her secret").err, 0);
    assert_eq!(alice.create("/served", &[(ALL, "world", "anyone")]), 0);
}

#[test]
fn super_users_open_everything() {
    let server = start("superUser=bob");
    let mut alice = connect(server.plain);
    log_in(&mut alice, "alice", "her secret");
    assert_eq!(alice.create("/mine", &[(ALL, "sasl", "alice")]), 0);
    let mut bob = connect(server.plain);
    assert_eq!(log_in(&mut bob, "bob", "his secret").err, 0);
    assert_eq!(bob.read("/mine"), 0);
}

#[test]
fn without_users_tokens_get_no_answer_and_lists_no_name() {
    let server = Server::start(scratch(), "");
    let mut client = connect(server.plain);
    let reply = client.ask(SASL, &buffer(b""));
    assert_eq!((reply.err, &reply.body[..]), (0, &NOTHING[..]));
    assert_eq!(client.create("/x", &[(ALL, "sasl", "alice")]), INVALID_ACL);
    assert_eq!(client.auth("sasl", "alice"), AUTH_FAILED);
}

/// Ours alone: Java has no such keys.
#[test]
fn users_may_stand_in_the_configuration_or_in_a_file_of_their_own() {
    if java().is_some() {
        return;
    }
    let dir = scratch();
    std::fs::write(dir.path().join("users"), "# ours\nbob=his secret\n").unwrap();
    let server = Server::start(dir, "sasl.user.alice=her secret\nsasl.usersFile=DIR/users");
    for (user, password) in [("alice", "her secret"), ("bob", "his secret")] {
        let mut client = connect(server.plain);
        assert_eq!(log_in(&mut client, user, password).err, 0);
        let path = format!("/{user}");
        assert_eq!(client.create(&path, &[(ALL, "sasl", user)]), 0);
    }
}

/// Ours alone. A mounted secret may come after the server, and its passwords change.
#[test]
fn a_new_password_in_the_users_file_holds_from_the_next_login_on() {
    if java().is_some() {
        return;
    }
    let dir = scratch();
    let file = dir.path().join("users");
    let server = Server::start(dir, "sasl.usersFile=DIR/users");
    let answer = |password: &str| {
        let mut client = connect(server.plain);
        (log_in(&mut client, "alice", password).err, client)
    };
    assert_eq!(answer("first").0, AUTH_FAILED);
    std::fs::write(&file, "alice=first\n").unwrap();
    let (first, mut stays) = answer("first");
    assert_eq!(first, 0);
    std::fs::write(&file, "alice=second\n").unwrap();
    assert_eq!(answer("first").0, AUTH_FAILED);
    assert_eq!(answer("second").0, 0);
    // Who is in stays in, as in Java after any change.
    assert_eq!(stays.who_am_i(), ["sasl:alice"]);
}

/// Ours alone: `super` is no provider's scheme in Java.
#[test]
fn where_a_login_is_required_the_superuser_may_be_let_in_by_its_digest() {
    if java().is_some() {
        return;
    }
    let enforced =
        "sasl.user.alice=x\nenforce.auth.enabled=true\nenforce.auth.schemes=sasl,super\n";
    let dir = scratch();
    let (line, _) = Server::refused(&dir, enforced);
    assert!(line.contains("the scheme super is not there"), "{line}");
    // The digest is that of `super:test`.
    let digest = "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
    let server = Server::start(scratch(), &format!("{enforced}{digest}"));
    let mut other = connect(server.plain);
    assert_eq!(other.auth("digest", "super:wrong"), 0);
    assert_eq!(other.ask(PING, &[]).err, SASL_REQUIRED);
    let mut superuser = connect(server.plain);
    assert_eq!(superuser.auth("digest", "super:test"), 0);
    assert_eq!(superuser.create("/x", &[(ALL, "world", "anyone")]), 0);
}

/// Ours alone: Java tells it elsewhere.
#[test]
fn a_file_that_is_no_jaas_file_is_refused_with_its_line() {
    if java().is_some() {
        return;
    }
    let dir = scratch();
    let lines = "java.security.auth.login.config=DIR/jaas.conf";
    let (line, code) = Server::refused(&dir, lines);
    assert!(line.contains("DIR/jaas.conf: can't be read"), "{line}");
    assert_eq!(code, Some(2));
    let write = |text: &str| std::fs::write(dir.path().join("jaas.conf"), text).unwrap();
    write("Server {\n  module mandatory;\n};");
    let (line, _) = Server::refused(&dir, lines);
    assert!(
        line.contains("DIR/jaas.conf:2: `mandatory` must be one of"),
        "{line}"
    );
    write("Server { com.sun.security.auth.module.Krb5LoginModule required; };");
    let (line, _) = Server::refused(&dir, lines);
    assert!(
        line.contains("section Server asks for Kerberos, which is not there"),
        "{line}"
    );
    let (line, _) = Server::refused(&dir, "sessionRequireClientSASLAuth=true");
    assert!(line.contains("the scheme sasl is not there"), "{line}");
    let (line, _) = Server::refused(&dir, "enforce.auth.enabled=true");
    assert!(
        line.contains("enforce.auth.schemes: must name a scheme"),
        "{line}"
    );
}
