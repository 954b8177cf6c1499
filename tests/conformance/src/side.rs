//! A sequence at one server: its connections and all that was heard on them.

use crate::Outcome;
use crate::call::{Call, Connect, Proof, Step, Whose, Xid, is_known, is_write, op};
use crate::wire::{In, Out, password};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

/// Connections that a sequence may have at a time.
pub(crate) const SLOTS: usize = 3;
/// How long an answer may take. A server that says nothing for so long says nothing.
const PATIENCE: Duration = Duration::from_secs(20);
/// An answer longer than this is none.
const FRAME_MAX: usize = 8 << 20;
/// `ClientCnxn.java` NOTIFICATION_XID and PING_XID.
pub(crate) const NOTIFICATION_XID: i32 = -1;
pub(crate) const PING_XID: i32 = -2;
/// Requests of our own, far from those of the sequence.
const SYNC_XID: i32 = 0x7000_0000;
/// A member that has not caught up after so many never will.
const SYNCS_MAX: usize = 5000;

/// What came on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The answer to a connect request.
    Connected(Vec<u8>),
    /// An answer to the request of this type.
    Reply { op: i32, frame: Vec<u8> },
    /// A watch event.
    Event(Vec<u8>),
    /// The end of the connection.
    Closed,
    /// Nothing for a long time.
    Silence,
}

/// Something heard, and at which step it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) step: usize,
    pub(crate) heard: Heard,
}

/// A session as its client keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: i64,
    pub(crate) password: [u8; 16],
}

#[derive(Default)]
struct Slot {
    stream: Option<TcpStream>,
    session: Option<Session>,
    last_xid: i32,
    log: Vec<Entry>,
}

/// Where the slots' members listen, and from where a lane comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) from: Ipv4Addr,
    pub(crate) ports: [u16; SLOTS],
}

/// One server's half of a running sequence.
pub(crate) struct Side<'a> {
    route: Route,
    root: &'a str,
    slots: [Slot; SLOTS],
    /// Positions of the sequence's writes so far.
    writes: Vec<i64>,
    /// Sessions that no slot goes on with.
    abandoned: Vec<Session>,
    /// What the step under way waits for: slot, types of the requests, whether a ping is behind.
    awaited: Option<(usize, Vec<i32>, bool)>,
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{what}: {error}")
}

impl<'a> Side<'a> {
    pub(crate) fn new(route: Route, root: &'a str) -> Self {
        Side {
            route,
            root,
            slots: std::array::from_fn(|_| Slot::default()),
            writes: Vec::new(),
            abandoned: Vec::new(),
            awaited: None,
        }
    }

    /// Closes the sessions that were left alone: each would end by itself, but at a time of its own.
    pub(crate) fn close_abandoned(&mut self, at: usize) -> Outcome {
        for session in std::mem::take(&mut self.abandoned) {
            self.slots[0].session = Some(session);
            let connect = Step::Connect(0, Connect::new(Whose::Of(0)));
            let close = Step::Send {
                slot: 0,
                calls: vec![Call::bare(op::CLOSE_SESSION)],
                probe: false,
            };
            for step in [connect, close] {
                self.begin(&step)?;
                self.finish(at, &step);
            }
        }
        Ok(())
    }

    /// What was heard in each slot.
    pub(crate) fn logs(&self) -> [&[Entry]; SLOTS] {
        std::array::from_fn(|slot| self.slots[slot].log.as_slice())
    }

    /// Whether the slot has a connection.
    pub(crate) fn is_open(&self, slot: usize) -> bool {
        self.slots[slot].stream.is_some()
    }

    /// The session that the slot had last and that nobody has closed.
    pub(crate) fn session(&self, slot: usize) -> Option<Session> {
        self.slots[slot].session
    }

    /// Sends what a step sends.
    pub(crate) fn begin(&mut self, step: &Step) -> Outcome {
        self.awaited = None;
        match step {
            Step::Connect(slot, connect) => self.begin_connect(*slot, connect),
            Step::Drop(slot) => {
                self.cut(*slot);
                Ok(())
            }
            Step::Send { slot, calls, probe } => {
                self.begin_send(*slot, calls, *probe);
                Ok(())
            }
        }
    }

    /// Ends a connection without a word, and waits until the server has seen it. Java takes a
    /// connection off its list before it closes it, and takes whatever connection the session has
    /// by then with it: without the wait, a session that comes back at once may have none.
    /// Source: `NIOServerCnxn.java` close, `NIOServerCnxnFactory.java` removeCnxn.
    fn cut(&mut self, slot: usize) {
        if let Some(mut stream) = self.slots[slot].stream.take() {
            // One that is closed already has nobody to tell.
            let _closed = stream.shutdown(Shutdown::Write);
            let _unheard = std::io::copy(&mut stream, &mut std::io::sink());
        }
    }

    fn begin_connect(&mut self, slot: usize, connect: &Connect) -> Outcome {
        let session = match connect.whose {
            Whose::New => Some(Session {
                id: 0,
                password: [0; 16],
            }),
            Whose::Of(other) => self.slots[other].session,
            Whose::Nobodys(id) => {
                // Others ask for theirs at the same time.
                let id = id.wrapping_add(16 * self.number());
                Some(Session {
                    id,
                    password: password(id),
                })
            }
        };
        let Some(session) = session else {
            return Ok(());
        };
        // Java ends the connection of a session that somebody asks for with a wrong password; ours
        // lives on, for whoever asks has proven nothing.
        let lives = self.slots.iter().enumerate().any(|(at, state)| {
            at != slot
                && state.stream.is_some()
                && state.session.is_some_and(|s| s.id == session.id)
        });
        if lives && connect.proof != Proof::Right {
            return Ok(());
        }
        let mut out = Out::default();
        out.int(connect.protocol);
        out.long(connect.seen.among(&self.writes));
        out.int(connect.timeout_ms);
        out.long(session.id);
        let mut proof = session.password;
        match connect.proof {
            Proof::Right => out.buffer(Some(&proof)),
            Proof::Wrong => {
                proof[3] ^= 0x10;
                out.buffer(Some(&proof));
            }
            Proof::Short => out.buffer(Some(&proof[..7])),
            Proof::Null => out.buffer(None),
        }
        if let Some(read_only) = connect.read_only {
            out.byte(read_only);
        }
        self.cut(slot);
        let mut stream = self.dial(slot)?;
        stream
            .write_all(&out.framed())
            .map_err(failed("send a connect request"))?;
        let slot_state = &mut self.slots[slot];
        slot_state.stream = Some(stream);
        if connect.whose != Whose::Of(slot) {
            self.abandoned.extend(slot_state.session.take());
            slot_state.last_xid = 0;
        }
        self.awaited = Some((slot, Vec::new(), false));
        Ok(())
    }

    fn dial(&self, slot: usize) -> Outcome<TcpStream> {
        let socket =
            Socket::new(Domain::IPV4, Type::STREAM, None).map_err(failed("make a socket"))?;
        let from: SockAddr = SocketAddr::V4(SocketAddrV4::new(self.route.from, 0)).into();
        let to = SocketAddr::V4(SocketAddrV4::new(
            Ipv4Addr::LOCALHOST,
            self.route.ports[slot],
        ));
        // Closed at once, so that thousands of connections leave nothing behind.
        socket
            .set_linger(Some(Duration::ZERO))
            .and_then(|()| socket.set_tcp_nodelay(true))
            .and_then(|()| socket.bind(&from))
            .and_then(|()| socket.connect(&to.into()))
            .and_then(|()| socket.set_read_timeout(Some(PATIENCE)))
            .map_err(failed("connect"))?;
        Ok(socket.into())
    }

    fn begin_send(&mut self, slot: usize, calls: &[Call], probe: bool) {
        let state = &mut self.slots[slot];
        let Some(stream) = &mut state.stream else {
            return;
        };
        let mut bytes = Vec::new();
        for call in calls {
            let xid = match call.xid {
                Xid::Next => {
                    state.last_xid += 1;
                    state.last_xid
                }
                Xid::Exactly(xid) => xid,
            };
            let mut out = Out::default();
            out.int(xid);
            out.int(call.op);
            out.0.extend(call.body(self.root, &self.writes));
            bytes.extend(out.framed());
        }
        if probe {
            let mut out = Out::default();
            out.int(PING_XID);
            out.int(op::PING);
            bytes.extend(out.framed());
        }
        // Where it is closed by now, whatever was said before can still be read.
        let _closed = stream.write_all(&bytes);
        self.awaited = Some((slot, calls.iter().map(|call| call.op).collect(), probe));
    }

    /// Hears what answers the step.
    pub(crate) fn finish(&mut self, at: usize, step: &Step) {
        let Some((slot, ops, probe)) = self.awaited.take() else {
            return;
        };
        match step {
            Step::Connect(_, connect) => {
                self.hear_connected(at, slot);
                if let Whose::Of(other) = connect.whose
                    && other != slot
                {
                    // The session leaves that connection, or fails to.
                    let session = self.slots[other].session;
                    if self.is_ensemble() {
                        self.catch_up(at, other);
                    } else {
                        self.probe(at, other);
                    }
                    if self.is_ensemble() && self.slots[slot].session == session {
                        // A connection that its session has left may be told the truth by its
                        // member, or an older one; which is for other tests.
                        self.cut(other);
                        self.slots[other].session = None;
                    }
                }
            }
            Step::Send { .. } => self.hear_replies(at, slot, &ops, probe),
            Step::Drop(_) => {}
        }
    }

    fn is_ensemble(&self) -> bool {
        self.route.ports[0] != self.route.ports[1]
    }

    /// The number in the root's name.
    fn number(&self) -> i64 {
        let digits = self.root.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.parse().unwrap_or(0)
    }

    /// Asks for a sign of life in another slot.
    pub(crate) fn probe(&mut self, at: usize, slot: usize) {
        if let Some(stream) = &mut self.slots[slot].stream {
            let mut out = Out::default();
            out.int(PING_XID);
            out.int(op::PING);
            // One that is closed already says so to whoever reads.
            let _closed = stream.write_all(&out.framed());
            self.hear_replies(at, slot, &[], true);
        }
    }

    /// Waits until the member has all of the sequence's writes. Events that come meanwhile are
    /// noted; the syncs are not. A Java leader's sync waits for nothing, so one may not do.
    pub(crate) fn catch_up(&mut self, at: usize, slot: usize) {
        let wanted = self.writes.iter().copied().max().unwrap_or(0);
        for _ in 0..SYNCS_MAX {
            let Some(stream) = &mut self.slots[slot].stream else {
                return;
            };
            let mut out = Out::default();
            out.int(SYNC_XID);
            out.int(op::SYNC);
            out.buffer(Some(b"/"));
            // One that is closed already says so to whoever reads.
            let _closed = stream.write_all(&out.framed());
            let zxid = loop {
                match self.read_frame(slot) {
                    Ok(frame) if frame.starts_with(&SYNC_XID.to_be_bytes()) => {
                        break In(&frame[4..]).long().unwrap_or(0);
                    }
                    Ok(frame) => self.note(at, slot, Heard::Event(frame)),
                    Err(end) => {
                        self.note(at, slot, end);
                        return;
                    }
                }
            };
            if zxid >= wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn note(&mut self, at: usize, slot: usize, heard: Heard) {
        let state = &mut self.slots[slot];
        if matches!(heard, Heard::Closed | Heard::Silence) {
            state.stream = None;
        }
        state.log.push(Entry { step: at, heard });
    }

    fn hear_connected(&mut self, at: usize, slot: usize) {
        match self.read_frame(slot) {
            Ok(frame) => {
                let mut input = In(&frame);
                let _protocol = input.int();
                let _timeout = input.int();
                let id = input.long().unwrap_or_default();
                let given = input.buffer().flatten().unwrap_or_default();
                let given: Option<[u8; 16]> = given.try_into().ok();
                self.note(at, slot, Heard::Connected(frame));
                match given {
                    Some(password) if id != 0 => {
                        self.slots[slot].session = Some(Session { id, password });
                    }
                    _ => {
                        // Refused: the connection has to end.
                        let end = match self.read_frame(slot) {
                            Ok(frame) => Heard::Event(frame),
                            Err(end) => end,
                        };
                        self.note(at, slot, end);
                        self.slots[slot].stream = None;
                    }
                }
            }
            Err(end) => self.note(at, slot, end),
        }
    }

    /// Reads until all requests are answered, or the probe is, or the connection ends.
    fn hear_replies(&mut self, at: usize, slot: usize, ops: &[i32], probe: bool) {
        let mut ops = ops.iter().copied().peekable();
        while probe || ops.peek().is_some() {
            let frame = match self.read_frame(slot) {
                Ok(frame) => frame,
                Err(end) => {
                    self.note(at, slot, end);
                    return;
                }
            };
            let mut header = In(&frame);
            let xid = header.int().unwrap_or_default();
            let zxid = header.long().unwrap_or_default();
            let err = header.int().unwrap_or_default();
            if xid == NOTIFICATION_XID {
                self.note(at, slot, Heard::Event(frame));
                continue;
            }
            // A ping that was asked for by itself comes first.
            let asked_for = ops.peek() == Some(&op::PING);
            if xid == PING_XID && probe && !asked_for {
                let op = op::PING;
                self.note(at, slot, Heard::Reply { op, frame });
                return;
            }
            let op = ops.next().unwrap_or_default();
            self.writes.extend(write_position(op, zxid, err));
            if says_goodbye(op, err) {
                if op == op::CLOSE_SESSION {
                    self.slots[slot].session = None;
                }
                self.note(at, slot, Heard::Reply { op, frame });
                let end = self.read_to_the_end(slot);
                self.note(at, slot, end);
                return;
            }
            self.note(at, slot, Heard::Reply { op, frame });
        }
    }

    /// Whatever is said in between; Java still answers a ping while it closes a connection, or not.
    fn read_to_the_end(&mut self, slot: usize) -> Heard {
        loop {
            match self.read_frame(slot) {
                Ok(frame) if frame.starts_with(&PING_XID.to_be_bytes()) => {}
                Ok(frame) => return Heard::Event(frame),
                Err(end) => return end,
            }
        }
    }

    fn read_frame(&mut self, slot: usize) -> Result<Vec<u8>, Heard> {
        let Some(stream) = &mut self.slots[slot].stream else {
            return Err(Heard::Closed);
        };
        let ended = |error: std::io::Error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Heard::Silence,
            _ => Heard::Closed,
        };
        let mut length = [0; 4];
        stream.read_exact(&mut length).map_err(ended)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_MAX {
            return Err(Heard::Closed);
        }
        let mut frame = vec![0; length];
        stream.read_exact(&mut frame).map_err(ended)?;
        Ok(frame)
    }
}

/// The position of the request's own transaction, which its reply tells. What could not be read at
/// all has none.
pub(crate) fn write_position(op: i32, zxid: i64, err: i32) -> Option<i64> {
    const MARSHALLING_ERROR: i32 = -5;
    (is_write(op) && err != MARSHALLING_ERROR).then_some(zxid)
}

/// Replies behind which the server ends the connection: to the session's end, to types that nobody
/// knows, and to credentials that prove nothing. Source: `UnimplementedRequestProcessor.java`, `ZooKeeperServer.java`
/// processPacket.
fn says_goodbye(op: i32, err: i32) -> bool {
    const UNIMPLEMENTED: i32 = -6;
    const AUTH_FAILED: i32 = -115;
    match err {
        0 => op == op::CLOSE_SESSION,
        UNIMPLEMENTED => !is_known(op),
        AUTH_FAILED => op == op::AUTH,
        _ => false,
    }
}
