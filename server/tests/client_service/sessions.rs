//! How sessions open, go on and end.

use super::client::*;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};
use zookeeper_server::sessions::password;

#[test]
fn a_new_session_gets_javas_password_and_a_timeout_within_bounds() {
    with_server(settings(), |server| {
        let client = Client::with(server, 1, 0, &[0; 16]).unwrap();
        assert_eq!(client.timeout_ms, 400);
        assert_eq!(client.session >> 56, 1);
        let id = zookeeper_server::ids::SessionId(client.session);
        assert_eq!(client.passwd, password(id));
        let client = Client::with(server, i32::MAX, 0, &[]).unwrap();
        assert_eq!(client.timeout_ms, 40_000);
    });
}

#[test]
fn clients_older_than_read_only_mode_get_an_answer_without_it() {
    with_server(settings(), |server| {
        let mut socket = open(server);
        socket
            .write_all(&connect_request(0, 5000, 0, &[0; 16], false))
            .unwrap();
        assert_eq!(read_frame(&mut socket).unwrap().len(), 4 + 4 + 8 + 4 + 16);
    });
}

#[test]
fn a_session_goes_on_with_its_password_and_the_older_connection_is_closed() {
    with_server(settings(), |server| {
        let mut first = Client::start(server);
        let mut second = Client::with(server, 10_000, first.session, &first.passwd).unwrap();
        assert_eq!(second.session, first.session);
        assert_closed(&mut first.socket);
        second.ask_ok(&request(-2, PING, |_| ()));
    });
}

#[test]
fn a_wrong_password_or_an_unknown_session_is_answered_with_zeros_and_closed() {
    with_server(settings(), |server| {
        let mut living = Client::start(server);
        let unknown = zookeeper_server::ids::SessionId(0x0100_0000_0000_0077);
        for (session, passwd) in [(living.session, [1; 16]), (unknown.0, password(unknown))] {
            let mut refused = Client::with(server, 10_000, session, &passwd).unwrap();
            assert_eq!((refused.session, refused.timeout_ms), (0, 0));
            assert_eq!(refused.passwd, [0; 16]);
            assert_closed(&mut refused.socket);
        }
        // Who does not know the password can't take the connection away either.
        living.ask_ok(&request(-2, PING, |_| ()));
    });
}

#[test]
fn a_client_that_has_seen_more_is_sent_away_without_a_word() {
    with_server(settings(), |server| {
        let mut socket = open(server);
        socket
            .write_all(&connect_request(i64::MAX, 5000, 0, &[0; 16], true))
            .unwrap();
        assert_closed(&mut socket);
    });
}

#[test]
fn nobody_is_served_while_the_member_does_not_serve() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        server.service.stop_serving();
        assert_closed(&mut client.socket);
        let mut socket = open(server);
        socket
            .write_all(&connect_request(0, 5000, 0, &[0; 16], true))
            .unwrap();
        assert_closed(&mut socket);
        let mut socket = open(server);
        socket.write_all(b"srvr").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        assert_eq!(
            text,
            "This ZooKeeper instance is not currently serving requests\n"
        );
    });
}

#[test]
fn closing_the_session_answers_then_closes_and_takes_ephemeral_nodes_along() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        client.ask_ok(&create_request(1, "/eph", b"", 1));
        let mut other = Client::start(server);
        other.ask_ok(&read_request(1, EXISTS, "/eph", true));
        let reply = client.ask(&request(2, CLOSE, |_| ()));
        assert_eq!((reply.xid, reply.err), (2, 0));
        assert_closed(&mut client.socket);
        assert_eq!(other.event().0, 2);
        let again = Client::with(server, 10_000, client.session, &client.passwd).unwrap();
        assert_eq!(again.session, 0, "the session is no more");
    });
}

#[test]
fn a_silent_session_expires_and_its_connection_is_closed() {
    with_server(settings(), |server| {
        let mut silent = Client::with(server, 600, 0, &[0; 16]).unwrap();
        silent.ask_ok(&create_request(1, "/quiet", b"", 1));
        let mut lively = Client::with(server, 600, 0, &[0; 16]).unwrap();
        lively.ask_ok(&read_request(1, EXISTS, "/quiet", true));
        let began = Instant::now();
        let mut event = None;
        while event.is_none() && began.elapsed() < WAIT {
            std::thread::sleep(Duration::from_millis(100));
            let reply = lively.ask(&request(-2, PING, |_| ()));
            if reply.xid == -1 {
                event = Some(reply.zxid);
                assert_eq!(lively.reply().xid, -2);
            }
        }
        assert!(event.is_some(), "the session never expired");
        assert_closed(&mut silent.socket);
        let again = Client::with(server, 600, silent.session, &silent.passwd).unwrap();
        assert_eq!(again.session, 0);
    });
}
