//! The order of replies, reads and events.

use super::client::*;
use std::io::{ErrorKind, Read as _};
use std::time::Duration;
use zookeeper_server::jute::Reader;

#[test]
fn replies_come_in_the_order_of_requests_and_reads_see_the_writes_before_them() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        client.ask_ok(&create_request(1, "/n", b"0", 0));
        let mut bytes = Vec::new();
        for round in 0..500 {
            let xid = 10 + round * 3;
            bytes.extend(set_request(xid, "/n", round.to_string().as_bytes()));
            bytes.extend(read_request(xid + 1, GET_DATA, "/n", false));
            bytes.extend(read_request(xid + 2, EXISTS, "/none", false));
        }
        client.send(&bytes);
        let mut last_zxid = 0;
        for round in 0..500 {
            let xid = 10 + round * 3;
            let set = client.reply();
            assert_eq!((set.xid, set.err), (xid, 0));
            let get = client.reply();
            assert_eq!((get.xid, get.err), (xid + 1, 0));
            let seen = Reader::new(&get.body).buffer().unwrap().to_vec();
            assert_eq!(
                seen,
                round.to_string().as_bytes(),
                "its own write, and no later one"
            );
            let exists = client.reply();
            assert_eq!((exists.xid, exists.err), (xid + 2, NO_NODE));
            assert!(exists.body.is_empty());
            assert!(set.zxid > last_zxid && get.zxid >= set.zxid && exists.zxid >= get.zxid);
            last_zxid = set.zxid;
        }
    });
}

#[test]
fn reads_wait_for_the_writes_before_them_and_pings_with_them() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        let held = server.hold();
        client.send(&create_request(1, "/w", b"", 0));
        client.send(&read_request(2, GET_DATA, "/w", false));
        client.send(&request(-2, PING, |_| ()));
        client
            .socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let mut byte = [0];
        let early = client.socket.read(&mut byte).unwrap_err();
        assert!(matches!(
            early.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));
        client.socket.set_read_timeout(Some(WAIT)).unwrap();
        drop(held);
        let order: Vec<(i32, i32)> = (0..3)
            .map(|_| client.reply())
            .map(|reply| (reply.xid, reply.err))
            .collect();
        assert_eq!(order, [(1, 0), (2, 0), (-2, 0)]);
    });
}

#[test]
fn an_event_comes_before_any_read_that_sees_its_change() {
    with_server(settings(), |server| {
        let mut watcher = Client::start(server);
        let mut writer = Client::start(server);
        writer.ask_ok(&create_request(1, "/e", b"0", 0));
        for round in 1..200 {
            let armed = watcher.ask_ok(&read_request(round * 100, GET_DATA, "/e", true));
            let before = Reader::new(&armed.body).buffer().unwrap().to_vec();
            writer.send(&set_request(round, "/e", round.to_string().as_bytes()));
            let mut seen_event = false;
            for n in 1.. {
                let reply = watcher.ask(&read_request(round * 100 + n, GET_DATA, "/e", false));
                let reply = if reply.xid == -1 {
                    seen_event = true;
                    watcher.reply()
                } else {
                    reply
                };
                let data = Reader::new(&reply.body).buffer().unwrap().to_vec();
                if data != before {
                    assert!(
                        seen_event,
                        "round {round}: the change was seen before its event"
                    );
                    break;
                }
            }
            let set = writer.reply();
            assert_eq!(set.err, 0);
        }
    });
}

#[test]
fn events_carry_the_zxid_of_their_transaction() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        client.send(&read_request(1, EXISTS, "/x", true));
        assert_eq!(client.reply().err, NO_NODE);
        client.send(&read_request(2, GET_CHILDREN2, "/", true));
        assert_eq!(client.reply().err, 0);
        client.send(&create_request(3, "/x", b"", 0));
        let (kind, path, zxid) = client.event();
        assert_eq!((kind, path.as_str()), (1, "/x"));
        let (kind, path, child_zxid) = client.event();
        assert_eq!((kind, path.as_str()), (4, "/"));
        let created = client.reply();
        assert_eq!((created.xid, created.zxid), (3, zxid));
        assert_eq!(child_zxid, zxid);
    });
}

#[test]
fn watches_brought_along_tell_what_was_missed_before_their_reply() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        client.ask_ok(&create_request(1, "/m", b"", 0));
        let changed = client.ask_ok(&set_request(2, "/m", b"1"));
        let set_watches = |xid: i32, zxid: i64| {
            request(xid, SET_WATCHES, |out| {
                out.long(zxid);
                out.strings(&["/m", "/gone"]);
                out.strings(&["/m"]);
                out.strings::<&str>(&[]);
            })
        };
        client.send(&set_watches(-8, changed.zxid - 1));
        assert_eq!(client.event(), (3, "/m".to_owned(), -1));
        assert_eq!(client.event(), (2, "/gone".to_owned(), -1));
        assert_eq!(client.event(), (1, "/m".to_owned(), -1));
        let reply = client.reply();
        assert_eq!((reply.xid, reply.err, reply.body.len()), (-8, 0, 0));
        client.send(&set_watches(-8, changed.zxid));
        assert_eq!(client.event(), (2, "/gone".to_owned(), -1));
        assert_eq!(client.event(), (1, "/m".to_owned(), -1));
        assert_eq!(client.reply().xid, -8);
        client.send(&set_request(3, "/m", b"2"));
        assert_eq!(client.event().1, "/m");
        assert_eq!(client.reply().xid, 3);
    });
}

#[test]
fn sync_answers_with_its_path() {
    with_server(settings(), |server| {
        let mut client = Client::start(server);
        client.send(&create_request(1, "/s", b"", 0));
        client.send(&request(2, SYNC, |out| out.string("/s")));
        client.send(&read_request(3, GET_DATA, "/s", false));
        assert_eq!(client.reply().xid, 1);
        let synced = client.reply();
        assert_eq!((synced.xid, synced.err), (2, 0));
        assert_eq!(Reader::new(&synced.body).string(), Ok("/s".to_owned()));
        assert_eq!(client.reply().xid, 3);
    });
}
