use super::hash::{Login, Side};
use super::*;
use crate::auth::Users;

const NONCE: &str = "DdqFVGjvs4mcQopLQRsnzDTztarrVOpTpiwpKDFN";

fn users() -> Users {
    let mut users = Users::default();
    users.insert("user", "pass");
    users
}

fn challenged() -> Exchange {
    let mut exchange = Exchange::new(CLIENTS, NONCE.to_owned());
    exchange.respond(&users(), b"").expect("a challenge");
    exchange
}

/// What a client sends that knows the password.
fn response(nonce: &str, password: &str) -> String {
    let login = Login {
        name: "user",
        realm: "zk-sasl-md5",
        password,
        utf8: true,
        nonce: nonce.as_bytes(),
        cnonce: b"abc",
        nonce_count: b"00000001",
        digest_uri: b"zookeeper/zk-sasl-md5",
        authzid: None,
    };
    format!(
        "charset=utf-8,username=\"user\",realm=\"zk-sasl-md5\",nonce=\"{nonce}\",nc=00000001,\
         cnonce=\"abc\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,response={},qop=auth",
        login.proof(Side::Client)
    )
}

/// Byte for byte what the JDK's server says (Java 17, `Sasl.createSaslServer`).
#[test]
fn the_challenge_and_the_proof_are_the_jdks() {
    let mut exchange = Exchange::new(CLIENTS, NONCE.to_owned());
    assert_eq!(
        exchange.respond(&users(), b""),
        Ok(Reply::Challenge(
            format!("realm=\"zk-sasl-md5\",nonce=\"{NONCE}\",charset=utf-8,algorithm=md5-sess")
                .into_bytes()
        ))
    );
    assert_eq!(
        exchange.respond(&users(), response(NONCE, "pass").as_bytes()),
        Ok(Reply::Proven {
            user: "user".into(),
            message: b"rspauth=80b7b99f8b0b9d6c09807621ae44403c".to_vec(),
        })
    );
    assert_eq!(exchange.respond(&users(), b""), Err(Refused::Over));
}

#[test]
fn a_wrong_password_or_an_unknown_user_fails_for_good() {
    let mut exchange = challenged();
    assert_eq!(
        exchange.respond(&users(), response(NONCE, "wrong").as_bytes()),
        Err(Refused::WrongPassword("user".into()))
    );
    assert_eq!(
        exchange.respond(&users(), response(NONCE, "pass").as_bytes()),
        Err(Refused::Over)
    );
    let stranger = response(NONCE, "pass").replace("=\"user\"", "=\"other\"");
    assert_eq!(
        challenged().respond(&users(), stranger.as_bytes()),
        Err(Refused::UnknownUser("other".into()))
    );
}

#[test]
fn what_was_overheard_elsewhere_is_good_for_nothing_here() {
    let overheard = response("anothernonce", "pass");
    assert_eq!(
        challenged().respond(&users(), overheard.as_bytes()),
        Err(Refused::OtherChallenge)
    );
    // Nor with this connection's nonce written over the other.
    let patched = overheard.replace("anothernonce", NONCE);
    assert_eq!(
        challenged().respond(&users(), patched.as_bytes()),
        Err(Refused::WrongPassword("user".into()))
    );
}

/// Each checked with the JDK's server (Java 17), which decides the same.
#[test]
fn other_services_realms_and_layers_are_refused() {
    for (from, to, wanted) in [
        (
            "=\"zk-sasl-md5\"",
            "=\"x\"",
            Refused::NotServed("another realm"),
        ),
        ("zookeeper/", "ldap/", Refused::NotServed("another service")),
        (
            "=auth",
            "=auth-int",
            Refused::NotServed("a layer of protection"),
        ),
        (
            "utf-8",
            "latin1",
            Refused::NotServed("another charset than utf-8"),
        ),
        (
            "username",
            "nickname",
            Refused::Malformed("has no username"),
        ),
        ("cnonce", "cnoise", Refused::Malformed("has no cnonce")),
        ("response", "respond", Refused::Malformed("has no response")),
        ("nc=00000001", "nc=00000002", Refused::OtherChallenge),
    ] {
        let message = response(NONCE, "pass").replacen(from, to, 1);
        let refused = challenged().respond(&users(), message.as_bytes());
        assert_eq!(refused, Err(wanted), "{from} {to}");
    }
    let long = format!("{},x=\"{}\"", response(NONCE, "pass"), "y".repeat(5000));
    assert_eq!(
        challenged().respond(&users(), long.as_bytes()),
        Err(Refused::Malformed("is too long"))
    );
}

/// Each checked with the JDK's server (Java 17), which decides the same.
#[test]
fn what_clients_leave_out_or_write_in_another_way_is_let_pass() {
    for (from, to) in [
        ("nc=00000001,", ""),
        (",qop=auth", ""),
        ("qop=auth", "qop=\"auth\""),
        ("charset=utf-8,", ""),
        ("username=\"user\"", "USERNAME=user"),
        (",", " ,, "),
    ] {
        let message = response(NONCE, "pass").replace(from, to);
        let reply = challenged().respond(&users(), message.as_bytes());
        assert!(
            matches!(reply, Ok(Reply::Proven { .. })),
            "{from} {to} {reply:?}"
        );
    }
    // The URI is compared in any case, and hashed as it was written.
    let login = Login {
        name: "user",
        realm: "zk-sasl-md5",
        password: "pass",
        utf8: true,
        nonce: NONCE.as_bytes(),
        cnonce: b"abc",
        nonce_count: b"00000001",
        digest_uri: b"ZooKeeper/ZK-sasl-md5",
        authzid: Some(b"super"),
    };
    let message = format!(
        "charset=utf-8,username=\"user\",realm=\"zk-sasl-md5\",nonce=\"{NONCE}\",cnonce=\"abc\",\
         digest-uri=\"ZooKeeper/ZK-sasl-md5\",authzid=\"super\",response={}",
        login.proof(Side::Client)
    );
    match challenged().respond(&users(), message.as_bytes()) {
        Ok(Reply::Proven { user, .. }) => assert_eq!(user, "user", "whatever the authzid says"),
        other => panic!("{other:?}"),
    }
}

proptest::proptest! {
    #[test]
    fn no_message_makes_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = challenged().respond(&users(), &bytes);
    }
}
