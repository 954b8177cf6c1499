//! Credentials and what they open.

use super::client::*;
use zookeeper_server::jute::Reader;
use zookeeper_server::service::{AuthSettings, Settings};

#[test]
fn digest_credentials_open_what_they_guard_and_hashes_are_masked_for_others() {
    with_server(settings(), |server| {
        let mut owner = Client::start(server);
        let mut other = Client::start(server);
        let auth = |xid: i32, scheme: &str, proof: &[u8]| {
            request(xid, AUTH, |out| {
                out.int(0);
                out.string(scheme);
                out.buffer(proof);
            })
        };
        let reply = owner.ask_ok(&auth(-4, "digest", b"u:p"));
        assert_eq!((reply.xid, reply.zxid), (-4, 0));
        let list = [(31, "auth", ""), (1, "world", "anyone")];
        owner.ask_ok(&create_with_acl(1, "/masked", b"", 0, &list));
        owner.ask_ok(&create_with_acl(2, "/secret", b"s", 0, &[(31, "auth", "")]));
        let whole = owner.ask_ok(&request(3, GET_ACL, |out| out.string("/masked")));
        let masked = other.ask_ok(&request(1, GET_ACL, |out| out.string("/masked")));
        let digest_id = |body: &[u8]| {
            let mut input = Reader::new(body);
            let count = input.count().unwrap();
            (0..count)
                .map(|_| {
                    (
                        input.int().unwrap(),
                        input.string().unwrap(),
                        input.string().unwrap(),
                    )
                })
                .find(|(_, scheme, _)| scheme == "digest")
                .map(|(_, _, id)| id)
                .unwrap()
        };
        // base64 of the SHA-1 of "u:p", as DigestAuthenticationProvider.generateDigest has it.
        assert_eq!(digest_id(&whole.body), "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=");
        assert_eq!(digest_id(&masked.body), "u:x");
        for (xid, op) in [(2, GET_DATA), (3, EXISTS), (4, GET_CHILDREN2)] {
            let refused = other.ask(&read_request(xid, op, "/secret", true));
            assert_eq!((refused.err, refused.body.len()), (NO_AUTH, 0));
        }
        // Nor is an event of it delivered to who may not read it.
        let deleted = [read_request(5, EXISTS, "/secret2", true)].concat();
        assert_eq!(other.ask(&deleted).err, NO_NODE);
        owner.ask_ok(&create_with_acl(4, "/secret2", b"", 0, &[(31, "auth", "")]));
        assert_eq!(other.ask(&request(-2, PING, |_| ())).xid, -2);
        let reply = other.ask(&auth(-4, "nonsense", b"x"));
        assert_eq!((reply.xid, reply.err), (-4, AUTH_FAILED));
        assert_closed(&mut other.socket);
    });
}

#[test]
fn the_super_user_may_do_all() {
    let settings = Settings {
        auth: AuthSettings {
            super_digest: Some("super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss=".to_owned()),
            ..AuthSettings::default()
        },
        ..settings()
    };
    with_server(settings, |server| {
        let mut owner = Client::start(server);
        owner.ask_ok(&request(-4, AUTH, |out| {
            out.int(0);
            out.string("digest");
            out.buffer(b"u:p");
        }));
        owner.ask_ok(&create_with_acl(1, "/s", b"s", 0, &[(31, "auth", "")]));
        let mut root = Client::start(server);
        root.ask_ok(&request(-4, AUTH, |out| {
            out.int(0);
            out.string("digest");
            out.buffer(b"super:super");
        }));
        root.ask_ok(&read_request(1, GET_DATA, "/s", false));
    });
}
