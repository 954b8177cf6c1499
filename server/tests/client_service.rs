//! What clients see, byte for byte: real sockets and raw frames against a [`Service`] whose
//! ensemble is a loopback.

// A test that unwraps what is not there has failed, which is what it is for.
#![allow(clippy::unwrap_used)]

mod loopback;

use loopback::Server;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zookeeper_server::admin::{AdminServer, AdminSettings};
use zookeeper_server::ids::ServerId;
use zookeeper_server::jute::{Reader, Writer};
use zookeeper_server::service::{Settings, Whitelist};
use zookeeper_server::sessions::password;

const WAIT: Duration = Duration::from_secs(10);

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const EXISTS: i32 = 3;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const GET_ACL: i32 = 6;
const SYNC: i32 = 9;
const PING: i32 = 11;
const GET_CHILDREN2: i32 = 12;
const AUTH: i32 = 100;
const SET_WATCHES: i32 = 101;
const ADD_WATCH: i32 = 106;
const CLOSE: i32 = -11;

const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const AUTH_FAILED: i32 = -115;
const UNIMPLEMENTED: i32 = -6;
const MARSHALLING_ERROR: i32 = -5;

fn settings() -> Settings {
    Settings {
        server_id: ServerId(1),
        tick_time_ms: 200,
        min_session_timeout_ms: 400,
        max_session_timeout_ms: 40_000,
        four_letter_words: Whitelist::parse("ruok,stat,mntr,conf,isro,wchs"),
        ..Settings::default()
    }
}

/// Runs `body` on a thread of its own beside a server, so that it may block.
fn with_server(settings: Settings, body: impl FnOnce(&Server) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    runtime.block_on(async move {
        let server = Server::start(settings, any).unwrap();
        let run = tokio::task::spawn_blocking(move || body(&server));
        run.await.unwrap();
    });
}

struct Reply {
    xid: i32,
    zxid: i64,
    err: i32,
    body: Vec<u8>,
}

struct Client {
    socket: TcpStream,
    session: i64,
    passwd: Vec<u8>,
    timeout_ms: i32,
}

fn frame(content: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.buffer(content);
    out.into_vec()
}

fn connect_request(
    zxid: i64,
    timeout_ms: i32,
    session: i64,
    passwd: &[u8],
    read_only: bool,
) -> Vec<u8> {
    let mut out = Writer::new();
    out.int(0);
    out.long(zxid);
    out.int(timeout_ms);
    out.long(session);
    out.buffer(passwd);
    if read_only {
        out.boolean(false);
    }
    frame(out.as_slice())
}

fn open(server: &Server) -> TcpStream {
    let socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

fn read_frame(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut prefix = [0; 4];
    match socket.read_exact(&mut prefix) {
        Ok(()) => {}
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            ) =>
        {
            return None;
        }
        Err(error) => panic!("no frame came: {error}"),
    }
    let mut content = vec![0; u32::from_be_bytes(prefix) as usize];
    socket.read_exact(&mut content).unwrap();
    Some(content)
}

fn assert_closed(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    match socket.read_to_end(&mut rest) {
        Ok(_) => assert!(rest.is_empty(), "closed, but first sent {rest:?}"),
        Err(error) => assert_eq!(
            error.kind(),
            ErrorKind::ConnectionReset,
            "not closed: {error}"
        ),
    }
}

fn request(xid: i32, op: i32, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    out.int(xid);
    out.int(op);
    body(&mut out);
    frame(out.as_slice())
}

fn read_request(xid: i32, op: i32, path: &str, watch: bool) -> Vec<u8> {
    request(xid, op, |out| {
        out.string(path);
        out.boolean(watch);
    })
}

fn create_request(xid: i32, path: &str, data: &[u8], flags: i32) -> Vec<u8> {
    create_with_acl(xid, path, data, flags, &[(31, "world", "anyone")])
}

fn create_with_acl(
    xid: i32,
    path: &str,
    data: &[u8],
    flags: i32,
    acl: &[(i32, &str, &str)],
) -> Vec<u8> {
    request(xid, CREATE, |out| {
        out.string(path);
        out.buffer(data);
        out.count(acl.len());
        for (perms, scheme, id) in acl {
            out.int(*perms);
            out.string(scheme);
            out.string(id);
        }
        out.int(flags);
    })
}

fn set_request(xid: i32, path: &str, data: &[u8]) -> Vec<u8> {
    request(xid, SET_DATA, |out| {
        out.string(path);
        out.buffer(data);
        out.int(-1);
    })
}

impl Client {
    fn start(server: &Server) -> Client {
        Client::with(server, 10_000, 0, &[0; 16]).unwrap()
    }

    fn with(server: &Server, timeout_ms: i32, session: i64, passwd: &[u8]) -> Option<Client> {
        let mut socket = open(server);
        socket
            .write_all(&connect_request(0, timeout_ms, session, passwd, true))
            .unwrap();
        let content = read_frame(&mut socket)?;
        let mut input = Reader::new(&content);
        assert_eq!(input.int(), Ok(0), "protocol version");
        let timeout_ms = input.int().unwrap();
        let session = input.long().unwrap();
        let passwd = input.buffer().unwrap().to_vec();
        assert_eq!(input.boolean(), Ok(false), "read-only");
        assert!(input.is_empty());
        Some(Client {
            socket,
            session,
            passwd,
            timeout_ms,
        })
    }

    fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    fn reply(&mut self) -> Reply {
        let content = read_frame(&mut self.socket).expect("the connection was closed");
        let mut input = Reader::new(&content);
        Reply {
            xid: input.int().unwrap(),
            zxid: input.long().unwrap(),
            err: input.int().unwrap(),
            body: input.rest().to_vec(),
        }
    }

    fn ask(&mut self, bytes: &[u8]) -> Reply {
        self.send(bytes);
        self.reply()
    }

    fn ask_ok(&mut self, bytes: &[u8]) -> Reply {
        let reply = self.ask(bytes);
        assert_eq!(reply.err, 0, "xid {}", reply.xid);
        reply
    }

    /// The next packet, which has to be a watch event: its type, path and zxid.
    fn event(&mut self) -> (i32, String, i64) {
        let reply = self.reply();
        assert_eq!(reply.xid, -1, "not an event");
        let mut input = Reader::new(&reply.body);
        let kind = input.int().unwrap();
        assert_eq!(input.int(), Ok(3), "SyncConnected");
        (kind, input.string().unwrap(), reply.zxid)
    }
}

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
        super_digest: Some("super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss=".to_owned()),
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
        let name = format!("/{}", "x".repeat(60_000));
        writer.ask_ok(&create_request(1, &name, b"", 0));
        let connections = server.service.connection_count();
        assert_eq!(connections, 2);
        // More than both sockets' buffers hold.
        let began = Instant::now();
        let mut xid = 2;
        while server.service.connection_count() > 1 {
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
            xid += 20;
        }
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

#[test]
fn four_letter_words_are_answered_as_by_java() {
    with_server(settings(), |server| {
        let _client = Client::start(server);
        let say = |word: &str| {
            let mut socket = open(server);
            socket.write_all(word.as_bytes()).unwrap();
            let mut text = String::new();
            socket.read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(say("ruok"), "imok");
        assert_eq!(say("isro"), "rw");
        assert_eq!(
            say("dump"),
            "dump is not executed because it is not in the whitelist.\n"
        );
        assert_eq!(
            say("wchs"),
            "0 connections watching 0 paths\nTotal watches:0\n"
        );
        let srvr = say("srvr");
        let lines: Vec<&str> = srvr.lines().collect();
        assert_eq!(
            lines[0],
            "Zookeeper version: 3.9.5-0.1.0, built on 06/29/2018 04:05 GMT"
        );
        let labels: Vec<&str> = lines[1..]
            .iter()
            .map(|line| line.split(": ").next().unwrap())
            .collect();
        let expected = [
            "Latency min/avg/max",
            "Received",
            "Sent",
            "Connections",
            "Outstanding",
            "Zxid",
            "Mode",
            "Node count",
        ];
        assert_eq!(labels, expected);
        assert!(
            srvr.contains("\nMode: standalone\nNode count: 5\n"),
            "{srvr}"
        );
        let stat = say("stat");
        assert!(stat.contains("\nClients:\n /127.0.0.1:"), "{stat}");
        let mntr = say("mntr");
        assert!(mntr.contains("\nzk_server_state\tstandalone\n"), "{mntr}");
        assert!(mntr.contains("\nzk_znode_count\t5\n"), "{mntr}");
    });
}

/// The status line's number and the body of a GET.
fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

#[test]
fn the_admin_port_tells_a_stuck_node_and_one_that_does_not_serve_from_a_good_one() {
    with_server(settings(), |server| {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let runtime = tokio::runtime::Handle::current();
        let admin = runtime.block_on(AdminServer::bind(any)).unwrap();
        let address = admin.local_address().unwrap();
        let limits = AdminSettings {
            heartbeat_max: Duration::from_secs(60),
        };
        let task = runtime.spawn(admin.run(Arc::clone(&server.service), limits));
        let _client = Client::start(server);

        assert_eq!(http_get(address, "/live").0, 200);
        assert_eq!(http_get(address, "/ready").0, 200);
        let (code, body) = http_get(address, "/member");
        assert_eq!(code, 200);
        let page: serde_json::Value = serde_json::from_str(&body).unwrap();
        let page = page.as_object().unwrap();
        let mut keys: Vec<&str> = page.keys().map(String::as_str).collect();
        keys.sort_unstable();
        let contract = [
            "acceptedEpoch",
            "clusterId",
            "configVersion",
            "connections",
            "currentEpoch",
            "fault",
            "lastZxid",
            "leaderId",
            "learners",
            "role",
            "serverId",
            "serving",
            "state",
            "version",
            "voters",
        ];
        assert_eq!(keys, contract);
        assert_eq!(page["connections"], 1);
        assert_eq!(page["serving"], true);
        assert_eq!(page["lastZxid"], "0x100000001");
        assert_eq!(page["version"], "3.9.5-0.1.0");
        let (code, body) = http_get(address, "/commands/srvr");
        assert_eq!(code, 200);
        assert!(body.contains("\"command\":\"server_stats\""), "{body}");
        assert_eq!(http_get(address, "/commands/none").0, 404);

        server.service.stop_serving();
        assert_eq!(http_get(address, "/ready").0, 503);
        assert_eq!(http_get(address, "/live").0, 200);
        server.service.status.write().heartbeat -= Duration::from_secs(61);
        assert_eq!(http_get(address, "/live").0, 503);
        task.abort();
    });
}
