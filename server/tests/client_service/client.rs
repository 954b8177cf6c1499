//! A client of raw frames, and the server it talks to.

use crate::loopback::Server;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;
use zookeeper_server::ids::ServerId;
use zookeeper_server::jute::{Reader, Writer};
use zookeeper_server::service::{Settings, Whitelist};

pub(crate) const WAIT: Duration = Duration::from_secs(10);

pub(crate) const CREATE: i32 = 1;
pub(crate) const DELETE: i32 = 2;
pub(crate) const EXISTS: i32 = 3;
pub(crate) const GET_DATA: i32 = 4;
pub(crate) const SET_DATA: i32 = 5;
pub(crate) const GET_ACL: i32 = 6;
pub(crate) const SYNC: i32 = 9;
pub(crate) const PING: i32 = 11;
pub(crate) const GET_CHILDREN2: i32 = 12;
pub(crate) const AUTH: i32 = 100;
pub(crate) const SET_WATCHES: i32 = 101;
pub(crate) const ADD_WATCH: i32 = 106;
pub(crate) const CLOSE: i32 = -11;

pub(crate) const NO_NODE: i32 = -101;
pub(crate) const NO_AUTH: i32 = -102;
pub(crate) const THROTTLED_OP: i32 = -127;
pub(crate) const AUTH_FAILED: i32 = -115;
pub(crate) const UNIMPLEMENTED: i32 = -6;
pub(crate) const MARSHALLING_ERROR: i32 = -5;

pub(crate) fn settings() -> Settings {
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
pub(crate) fn with_server(settings: Settings, body: impl FnOnce(&Server) + Send + 'static) {
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

pub(crate) struct Reply {
    pub(crate) xid: i32,
    pub(crate) zxid: i64,
    pub(crate) err: i32,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    pub(crate) session: i64,
    pub(crate) passwd: Vec<u8>,
    pub(crate) timeout_ms: i32,
}

pub(crate) fn frame(content: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.buffer(content);
    out.into_vec()
}

pub(crate) fn connect_request(
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

pub(crate) fn open(server: &Server) -> TcpStream {
    let socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

pub(crate) fn read_frame(socket: &mut TcpStream) -> Option<Vec<u8>> {
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

pub(crate) fn assert_closed(socket: &mut TcpStream) {
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

pub(crate) fn request(xid: i32, op: i32, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    out.int(xid);
    out.int(op);
    body(&mut out);
    frame(out.as_slice())
}

pub(crate) fn read_request(xid: i32, op: i32, path: &str, watch: bool) -> Vec<u8> {
    request(xid, op, |out| {
        out.string(path);
        out.boolean(watch);
    })
}

pub(crate) fn create_request(xid: i32, path: &str, data: &[u8], flags: i32) -> Vec<u8> {
    create_with_acl(xid, path, data, flags, &[(31, "world", "anyone")])
}

pub(crate) fn create_with_acl(
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

pub(crate) fn set_request(xid: i32, path: &str, data: &[u8]) -> Vec<u8> {
    request(xid, SET_DATA, |out| {
        out.string(path);
        out.buffer(data);
        out.int(-1);
    })
}

impl Client {
    pub(crate) fn start(server: &Server) -> Client {
        Client::with(server, 10_000, 0, &[0; 16]).unwrap()
    }

    pub(crate) fn with(
        server: &Server,
        timeout_ms: i32,
        session: i64,
        passwd: &[u8],
    ) -> Option<Client> {
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

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(crate) fn reply(&mut self) -> Reply {
        let content = read_frame(&mut self.socket).expect("the connection was closed");
        let mut input = Reader::new(&content);
        Reply {
            xid: input.int().unwrap(),
            zxid: input.long().unwrap(),
            err: input.int().unwrap(),
            body: input.rest().to_vec(),
        }
    }

    pub(crate) fn ask(&mut self, bytes: &[u8]) -> Reply {
        self.send(bytes);
        self.reply()
    }

    pub(crate) fn ask_ok(&mut self, bytes: &[u8]) -> Reply {
        let reply = self.ask(bytes);
        assert_eq!(reply.err, 0, "xid {}", reply.xid);
        reply
    }

    /// The next packet, which has to be a watch event: its type, path and zxid.
    pub(crate) fn event(&mut self) -> (i32, String, i64) {
        let reply = self.reply();
        assert_eq!(reply.xid, -1, "not an event");
        let mut input = Reader::new(&reply.body);
        let kind = input.int().unwrap();
        assert_eq!(input.int(), Ok(3), "SyncConnected");
        (kind, input.string().unwrap(), reply.zxid)
    }
}
