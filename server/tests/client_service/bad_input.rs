//! What is not the protocol.

use super::client::*;
use crate::loopback::Server;
use std::io::Write as _;
use std::net::Shutdown;
use std::time::{Duration, Instant};
use zookeeper_server::jute::Reader;
use zookeeper_server::service::Settings;

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    with_server(settings(), |server| {
        let mut bystander = Client::start(server);
        for len in [-1, i32::MIN, 0x10_0000, i32::MAX] {
            let mut socket = open(server);
            socket.write_all(&len.to_be_bytes()).unwrap();
            assert_closed(&mut socket);
            let mut client = Client::start(server);
            client.send(&len.to_be_bytes());
            assert_closed(&mut client.socket);
        }
        // Frames that are too short for a header.
        for len in 0..8 {
            let mut client = Client::start(server);
            client.send(&frame(&vec![0; len]));
            assert_closed(&mut client.socket);
        }
        // A connect request that ends early.
        let mut socket = open(server);
        socket.write_all(&frame(&[0; 20])).unwrap();
        assert_closed(&mut socket);
        // Every request type with an empty body, with all ones and with zeros.
        for op in (0..=23).chain(99..=108).chain([-1, -10, 1000, i32::MIN]) {
            for body in [vec![], vec![0xff; 64], vec![0; 64]] {
                let mut client = Client::start(server);
                client.send(&request(1, op, |out| out.raw(&body)));
                client.send(&request(-2, PING, |_| ()));
                let _ = read_frame(&mut client.socket);
            }
        }
        bystander.ask_ok(&request(-2, PING, |_| ()));
    });
}

#[test]
fn a_body_that_makes_no_sense_is_an_error_and_an_unknown_type_ends_the_connection() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        for op in [
            EXISTS,
            GET_DATA,
            GET_CHILDREN2,
            GET_ACL,
            ADD_WATCH,
            SET_WATCHES,
            CREATE,
            SET_DATA,
            DELETE,
        ] {
            let reply = client.ask(&request(op, op, |_| ()));
            assert_eq!((reply.xid, reply.err), (op, MARSHALLING_ERROR), "type {op}");
        }
        let reply = client.ask(&request(9, 999, |_| ()));
        assert_eq!((reply.xid, reply.zxid, reply.err), (9, -1, UNIMPLEMENTED));
        assert_closed(&mut client.socket);
    });
}

#[test]
fn requests_may_come_byte_by_byte_and_as_long_as_the_bound() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        let bytes = [
            create_request(1, "/slow", b"data", 0),
            read_request(2, GET_DATA, "/slow", false),
        ]
        .concat();
        for byte in bytes {
            client.send(&[byte]);
        }
        assert_eq!(client.reply().xid, 1);
        assert_eq!(client.reply().xid, 2);
        // xid, type, path, data, one entry of ACL, flags: the whole is exactly jute.maxbuffer.
        let around = create_request(3, "/big", b"", 0).len() - 4;
        let data = vec![7; 0xf_ffff - around];
        client.ask_ok(&create_request(3, "/big", &data, 0));
        let read = client.ask_ok(&read_request(4, GET_DATA, "/big", false));
        assert_eq!(Reader::new(&read.body).buffer().unwrap(), data);
    });
}

#[test]
fn a_connection_that_never_says_who_it_is_is_closed() {
    let settings = Settings {
        handshake_ms: 200,
        ..settings()
    };
    with_server(settings, |server| {
        let mut socket = open(server);
        socket.write_all(&[0, 0]).unwrap();
        assert_closed(&mut socket);
    });
}

/// Waits until the server holds no more than `count` connections.
fn wait_for_connections(server: &Server, count: usize) {
    let began = Instant::now();
    while server.service.connection_count() > count {
        assert!(began.elapsed() < WAIT, "connections are not forgotten");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_request_in_place_of_the_handshake_is_no_session() {
    with_server(settings(), |server| {
        let mut bystander = Client::start(server);
        for early in [
            read_request(1, GET_DATA, "/", false),
            create_request(1, "/early", b"data", 0),
            request(-2, PING, |_| ()),
            request(1, CLOSE, |_| ()),
            request(-8, SET_WATCHES, |_| ()),
            frame(&[]),
        ] {
            let mut socket = open(server);
            socket.write_all(&early).unwrap();
            assert_closed(&mut socket);
        }
        assert_eq!(
            bystander.ask(&read_request(1, EXISTS, "/early", false)).err,
            NO_NODE
        );
    });
}

#[test]
fn requests_sent_along_with_the_handshake_are_served_once_the_session_stands() {
    with_server(settings(), |server| {
        let mut socket = open(server);
        let all = [
            connect_request(0, 5000, 0, &[0; 16], true),
            create_request(1, "/along", b"data", 1),
            read_request(2, GET_DATA, "/along", false),
            request(3, CLOSE, |_| ()),
        ];
        socket.write_all(&all.concat()).unwrap();
        let sessions = read_frame(&mut socket).unwrap();
        assert_ne!(Reader::new(&sessions[8..]).long(), Ok(0));
        for xid in 1..=3 {
            let reply = read_frame(&mut socket).unwrap();
            let mut reply = Reader::new(&reply);
            assert_eq!(reply.int(), Ok(xid));
            reply.long().unwrap();
            assert_eq!(reply.int(), Ok(0), "xid {xid}");
        }
        assert_closed(&mut socket);
    });
}

#[test]
fn a_request_announced_and_never_sent_costs_what_came_and_ends_with_the_session() {
    with_server(settings(), |server| {
        let announced = 0xf_ffff_u32.to_be_bytes();
        let mut half: Vec<Client> = (0..50)
            .map(|_| {
                let mut client = Client::with(server, 600, 0, &[0; 16]).unwrap();
                client.send(&announced);
                client.send(b"abc");
                client
            })
            .collect();
        let mut bystander = Client::start(server);
        for client in &mut half {
            bystander.ask_ok(&request(-2, PING, |_| ()));
            assert_closed(&mut client.socket);
        }
        wait_for_connections(server, 1);
    });
}

#[test]
fn who_ends_its_side_is_let_go_and_keeps_its_session_until_that_runs_out() {
    with_server(settings(), |server| {
        let mut half = Client::with(server, 2000, 0, &[0; 16]).unwrap();
        half.ask_ok(&create_request(1, "/half", b"", 1));
        half.socket.shutdown(Shutdown::Write).unwrap();
        assert_closed(&mut half.socket);
        wait_for_connections(server, 0);
        let mut again = Client::with(server, 2000, half.session, &half.passwd).unwrap();
        assert_eq!(again.session, half.session);
        again.ask_ok(&read_request(1, EXISTS, "/half", false));
        // Nor does anything stay where the connection is torn down under a request.
        let socket = socket2::SockRef::from(&again.socket);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        again.send(&0xf_ffff_u32.to_be_bytes());
        drop(again);
        wait_for_connections(server, 0);
    });
}
