//! Bounds on what a client can cost.

use super::client::*;
use std::io::Write as _;
use std::time::{Duration, Instant};
use zookeeper_server::service::{ConnectionThrottleSettings, Settings};

#[test]
fn a_client_that_does_not_take_its_events_is_disconnected() {
    let settings = Settings {
        output_bytes_max: 1 << 20,
        ..settings()
    };
    with_server(settings, |server| {
        let mut sleeper = Client::start(server);
        sleeper.ask_ok(&request(1, ADD_WATCH, |out| {
            out.string("/");
            out.int(1);
        }));
        let mut writer = Client::start(server);
        let mut bystander = Client::start(server);
        let name = format!("/{}", "x".repeat(60_000));
        writer.ask_ok(&create_request(1, &name, b"", 0));
        let connections = server.service.connection_count();
        assert_eq!(connections, 3);
        // More than both sockets' buffers hold.
        let began = Instant::now();
        let mut xid = 2;
        let mut slowest = Duration::ZERO;
        while server.service.connection_count() > 2 {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the sleeper stays connected"
            );
            let burst: Vec<u8> = (0..20)
                .flat_map(|n| set_request(xid + n, &name, b""))
                .collect();
            writer.send(&burst);
            for n in 0..20 {
                assert_eq!(writer.reply().xid, xid + n);
            }
            let asked = Instant::now();
            bystander.ask_ok(&request(-2, PING, |_| ()));
            slowest = slowest.max(asked.elapsed());
            xid += 20;
        }
        assert!(
            slowest < Duration::from_secs(2),
            "others felt it: {slowest:?}"
        );
    });
}

#[test]
fn a_client_that_asks_without_reading_is_not_read_from() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        let data = vec![1; 500_000];
        client.ask_ok(&create_request(1, "/d", &data, 0));
        let asked = 2000;
        let mut sender = client.socket.try_clone().unwrap();
        let send = std::thread::spawn(move || {
            for xid in 0..asked {
                sender
                    .write_all(&read_request(10 + xid, GET_DATA, "/d", false))
                    .unwrap();
            }
        });
        // A gigabyte is asked for. What no socket takes is not even read out of the tree: besides
        // the sockets' buffers, which hold a few megabytes, only one batch is under way.
        std::thread::sleep(Duration::from_millis(300));
        let served = server.service.stats.packets_received();
        assert!(served < 100, "{served} requests were served for nobody");
        for xid in 0..asked {
            assert_eq!(client.reply().xid, 10 + xid);
        }
        send.join().unwrap();
    });
}

#[test]
fn an_address_may_have_only_so_many_connections() {
    let settings = Settings {
        max_client_cnxns: 3,
        ..settings()
    };
    with_server(settings, |server| {
        let clients: Vec<Client> = (0..3).map(|_| Client::start(server)).collect();
        assert_closed(&mut open(server));
        drop(clients);
        let began = Instant::now();
        while server.service.connection_count() > 0 {
            assert!(began.elapsed() < WAIT, "connections are not forgotten");
            std::thread::sleep(Duration::from_millis(10));
        }
        Client::start(server);
    });
}

#[test]
fn there_may_be_only_so_many_connections_in_all() {
    let settings = Settings {
        max_cnxns: 2,
        ..settings()
    };
    with_server(settings, |server| {
        let mut clients = [Client::start(server), Client::start(server)];
        assert_closed(&mut open(server));
        for client in &mut clients {
            client.ask_ok(&request(-2, PING, |_| ()));
        }
    });
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < WAIT, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn past_the_global_limit_each_connection_has_one_request_under_way_and_reads_go_on() {
    let settings = Settings {
        global_outstanding_limit: 10,
        ..settings()
    };
    with_server(settings, |server| {
        let mut greedy = Client::start(server);
        let mut modest = Client::start(server);
        let mut reader = Client::start(server);
        let held = server.hold();
        let burst: Vec<u8> = (1..=100)
            .flat_map(|xid| create_request(xid, &format!("/greedy-{xid}"), b"", 0))
            .collect();
        greedy.send(&burst);
        wait_until("the limit is not used", || {
            server.service.stats.outstanding() == 11
        });
        for xid in 1..=3 {
            modest.send(&create_request(xid, &format!("/modest-{xid}"), b"", 0));
        }
        wait_until("one is always granted", || {
            server.service.stats.outstanding() == 12
        });
        reader.ask_ok(&read_request(1, GET_DATA, "/", false));
        assert_eq!(server.service.stats.outstanding(), 12);
        drop(held);
        for xid in 1..=100 {
            assert_eq!(greedy.reply().xid, xid);
        }
        for xid in 1..=3 {
            assert_eq!(modest.reply().xid, xid);
        }
        assert_eq!(server.service.stats.outstanding(), 0);
    });
}

#[test]
fn the_throttle_lets_in_only_so_many_changes_and_keeps_their_order() {
    let settings = Settings {
        throttle_requests_max: 2,
        ..settings()
    };
    with_server(settings, |server| {
        let mut clients: Vec<Client> = (0..6).map(|_| Client::start(server)).collect();
        let mut reader = Client::start(server);
        let held = server.hold();
        for (n, client) in clients.iter_mut().enumerate() {
            let burst: Vec<u8> = (1..=20)
                .flat_map(|xid| create_request(xid, &format!("/throttled-{n}-{xid}"), b"", 0))
                .collect();
            client.send(&burst);
        }
        wait_until("the throttle is not used", || {
            server.service.stats.outstanding() == 2
        });
        reader.ask_ok(&read_request(1, GET_DATA, "/", false));
        assert_eq!(server.service.stats.outstanding(), 2);
        drop(held);
        for client in &mut clients {
            for xid in 1..=20 {
                let reply = client.reply();
                assert_eq!((reply.xid, reply.err), (xid, 0));
            }
        }
        assert_eq!(server.service.stats.outstanding(), 0);
    });
}

#[test]
fn requests_that_waited_too_long_at_the_throttle_are_refused_and_those_behind_them_too() {
    let settings = Settings {
        throttle_requests_max: 1,
        throttled_op_wait_ms: 200,
        ..settings()
    };
    with_server(settings, |server| {
        let mut first = Client::start(server);
        let mut late = Client::start(server);
        let held = server.hold();
        first.send(&create_request(1, "/first", b"", 0));
        wait_until("nothing is under way", || {
            server.service.stats.outstanding() == 1
        });
        // Piece by piece: what comes while the first waits waits as well.
        for xid in 1..=3 {
            late.send(&create_request(xid, "/late", b"", 0));
            std::thread::sleep(Duration::from_millis(20));
        }
        late.send(&read_request(4, EXISTS, "/first", false));
        late.send(&request(-2, PING, |_| ()));
        // So long that a slow machine has read all of it well before.
        std::thread::sleep(Duration::from_millis(1500));
        drop(held);
        assert_eq!(first.reply().err, 0);
        for xid in 1..=4 {
            let reply = late.reply();
            assert_eq!((reply.xid, reply.err), (xid, THROTTLED_OP));
        }
        let pong = late.reply();
        assert_eq!((pong.xid, pong.err), (-2, 0));
        // What comes now does not wait.
        late.ask_ok(&create_request(5, "/late", b"", 0));
        assert_eq!(server.service.stats.outstanding(), 0);
    });
}

#[test]
fn sessions_are_opened_as_fast_as_tokens_come_and_no_faster() {
    let settings = Settings {
        connection_throttle: ConnectionThrottleSettings {
            tokens_max: 4,
            // None comes while the test runs.
            fill_time_ms: i32::MAX,
            new_session_weight: 2,
            ..ConnectionThrottleSettings::default()
        },
        ..settings()
    };
    with_server(settings, |server| {
        let mut first = Client::start(server);
        // One that comes back takes one, and a new one two.
        let again = Client::with(server, 10_000, first.session, &first.passwd);
        assert!(again.is_some());
        assert_closed(&mut first.socket);
        assert!(Client::with(server, 10_000, 0, &[0; 16]).is_none());
        let (session, passwd) = (first.session, first.passwd);
        let mut last = Client::with(server, 10_000, session, &passwd).unwrap();
        assert!(Client::with(server, 10_000, session, &passwd).is_none());
        last.ask_ok(&request(-2, PING, |_| ()));
    });
}

#[test]
fn a_change_that_waits_at_the_throttle_past_its_session_ends_the_connection() {
    let settings = Settings {
        throttle_requests_max: 1,
        ..settings()
    };
    with_server(settings, |server| {
        let mut first = Client::start(server);
        let mut stale = Client::with(server, 600, 0, &[0; 16]).unwrap();
        let held = server.hold();
        first.send(&create_request(1, "/first", b"", 0));
        wait_until("nothing is under way", || {
            server.service.stats.outstanding() == 1
        });
        stale.send(&create_request(1, "/stale", b"", 0));
        stale.send(&request(-2, PING, |_| ()));
        assert_closed(&mut stale.socket);
        drop(held);
        assert_eq!(first.reply().err, 0);
        // Others still get their turn, and the stale change is gone with its connection.
        first.ask_ok(&create_request(2, "/second", b"", 0));
        assert_eq!(
            first.ask(&read_request(3, EXISTS, "/stale", false)).err,
            NO_NODE
        );
    });
}

#[test]
fn large_requests_past_their_bound_end_their_connection_and_small_ones_pass() {
    let settings = Settings {
        large_request_from_bytes: Some(10_000),
        large_request_bytes_max: 50_000,
        ..settings()
    };
    with_server(settings, |server| {
        let mut first = Client::start(server);
        let mut small = Client::start(server);
        let mut third = Client::start(server);
        let mut fourth = Client::start(server);
        let held = server.hold();
        for xid in 1..=2 {
            first.send(&create_request(xid, &format!("/l{xid}"), &[1; 20_000], 0));
        }
        wait_until("two are under way", || {
            server.service.stats.outstanding() == 2
        });
        // Whole, and announced only.
        third.send(&create_request(1, "/l3", &[1; 20_000], 0));
        assert_closed(&mut third.socket);
        fourth.send(&20_000_u32.to_be_bytes());
        assert_closed(&mut fourth.socket);
        small.send(&create_request(1, "/small", &[1; 9_000], 0));
        drop(held);
        assert_eq!(small.reply().err, 0);
        for xid in 1..=2 {
            assert_eq!(first.reply().xid, xid);
        }
        // What is done with no longer counts.
        first.ask_ok(&create_request(3, "/l3", &[1; 40_000], 0));
    });
}

#[test]
fn a_connection_holds_only_so_many_bytes_of_requests_under_way() {
    let settings = Settings {
        connection_outstanding_bytes: 2 << 20,
        ..settings()
    };
    with_server(settings, |server| {
        let mut client = Client::start(server);
        let held = server.hold();
        let mut sender = client.socket.try_clone().unwrap();
        let send = std::thread::spawn(move || {
            for xid in 1..=40 {
                // Reads wait for the change before them, and so are kept.
                let name = format!("/{}", "r".repeat(900_000));
                let burst = if xid == 1 {
                    create_request(xid, "/w", b"", 0)
                } else {
                    read_request(xid, EXISTS, &name, false)
                };
                sender.write_all(&burst).unwrap();
            }
        });
        wait_until("the bound is not reached", || {
            server.service.stats.packets_received() >= 5
        });
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(server.service.stats.packets_received(), 5);
        drop(held);
        for xid in 1..=40 {
            assert_eq!(client.reply().xid, xid);
        }
        send.join().unwrap();
    });
}
