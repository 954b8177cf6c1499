//! One client: one session at a time, on one connection at a time.

use super::choice::{Beliefs, Choice, Numbers, choose};
use super::{OVER, RUNNING, Shared};
use crate::Outcome;
use crate::client::{Connection, Packet, Session, Welcome};
use crate::codec::{Asker, EVENT_XID, SET_WATCHES_XID, decode, encode, fence_path};
use crate::ensemble::{SESSION_TIMEOUT, wait_for};
use crate::history::{
    Answer, ClientHistory, Event, Fate, Operation, Register, Request, SessionEnd, Step, StepResult,
};
use crate::member::PATIENCE;
use crate::random::Random;
use crate::wire::{In, Out, code, op};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `ClientCnxn.java` PING_XID.
const PING_XID: i32 = -2;

/// Longer than a session lives, and than a leader takes to notice.
const OVERSLEEP: Duration = Duration::from_millis(4_200);

/// One client at work.
pub(super) struct Worker {
    shared: Arc<Shared>,
    client: usize,
    random: Random,
    history: ClientHistory,
    session: Option<Session>,
    connection: Option<Connection>,
    member: usize,
    xid: i32,
    last_zxid: i64,
    arrivals: u64,
    /// Where its watches are.
    watches: BTreeSet<String>,
    beliefs: Beliefs,
    numbers: Numbers,
    /// Sessions that are over, whose ephemerals must be gone.
    over: Vec<i64>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, client: usize, random: Random) -> Self {
        Worker {
            shared,
            client,
            random,
            history: ClientHistory::default(),
            session: None,
            connection: None,
            member: 0,
            xid: 0,
            last_zxid: 0,
            arrivals: 0,
            watches: BTreeSet::new(),
            beliefs: Beliefs::default(),
            numbers: Numbers::new(client),
            over: Vec::new(),
        }
    }

    /// Works until the run is over.
    pub(super) fn work(mut self) -> ClientHistory {
        while self.shared.phase() == RUNNING {
            if !self.is_connected() {
                continue;
            }
            let shared = Arc::clone(&self.shared);
            let choice = choose(
                &mut self.random,
                &self.beliefs,
                &mut self.numbers,
                self.client,
                |random| shared.group(random),
            );
            match choice {
                Choice::Ask(requests) => self.ask(requests),
                Choice::Move => self.connection = None,
                Choice::Close => self.close(),
                Choice::Abandon => self.end_session(SessionEnd::Abandoned),
                Choice::Oversleep => self.oversleep(),
            }
            sleep(Duration::from_micros(self.random.between(0, 5_000)));
        }
        self.settle();
        self.history
    }

    /// Proves that the session stands, and keeps it until the run is over.
    fn settle(&mut self) {
        let mut settled = None;
        while self.shared.phase() != OVER {
            let lost = settled.is_some() && self.session.is_none();
            if lost || !self.is_connected() {
                sleep(Duration::from_millis(10));
                continue;
            }
            if settled.is_some() {
                self.ping();
                sleep(Duration::from_millis(200));
                continue;
            }
            self.ask(vec![Request::Fence]);
            if self.connection.is_some()
                && let Some(session) = &self.session
            {
                settled = Some(session.id);
                self.shared.settled().insert(session.id);
            }
        }
        if let Some(session) = self.session.take() {
            self.history.sessions.push((session.id, SessionEnd::Lives));
        }
    }

    /// Tries once to have a connection with a session.
    fn is_connected(&mut self) -> bool {
        if self.connection.is_some() {
            return true;
        }
        self.member = self.random.below(self.shared.members());
        let Some(address) = self.shared.address(self.member) else {
            return false;
        };
        let patience = Duration::from_millis(self.random.between(300, 1_500));
        let last_zxid = self.last_zxid;
        let opened = Connection::open(
            address,
            self.session.as_ref(),
            last_zxid,
            SESSION_TIMEOUT,
            patience,
        );
        match opened {
            Ok(Welcome::Open(connection, session)) => {
                self.history.connections += 1;
                self.connection = Some(connection);
                let is_new = self.session.as_ref() != Some(&session);
                if is_new && self.session.is_some() {
                    self.breach(format!("asked for another session, got {:x}", session.id));
                }
                self.session = Some(session);
                self.greet(is_new);
            }
            Ok(Welcome::Expired) => self.end_session(SessionEnd::Expired),
            Err(_) => sleep(Duration::from_millis(self.random.between(10, 80))),
        }
        self.connection.is_some()
    }

    /// The first requests of a connection.
    fn greet(&mut self, is_new: bool) {
        let mut requests = Vec::new();
        if !self.watches.is_empty() {
            requests.push(Request::Watches);
        }
        if is_new {
            requests.push(Request::Ephemeral);
        }
        let over = std::mem::take(&mut self.over);
        if !over.is_empty() {
            let fence = requests.len();
            requests.push(Request::Fence);
            requests.extend(
                over.into_iter()
                    .map(|session| Request::Gone { session, fence }),
            );
        }
        if !requests.is_empty() {
            self.ask(requests);
        }
    }

    fn close(&mut self) {
        self.ask(vec![Request::Close]);
        let closed = self
            .history
            .operations
            .last()
            .is_some_and(Operation::is_done);
        self.end_session(if closed {
            SessionEnd::Closed
        } else {
            SessionEnd::Abandoned
        });
    }

    /// Leaves the session alone until it has expired, unless a new leader has given it more time.
    fn oversleep(&mut self) {
        self.connection = None;
        let wake = Instant::now() + OVERSLEEP;
        while self.shared.phase() == RUNNING && Instant::now() < wake {
            sleep(Duration::from_millis(50));
        }
    }

    fn end_session(&mut self, end: SessionEnd) {
        if let Some(session) = self.session.take() {
            self.history.sessions.push((session.id, end));
            // A client that has seen nothing of its session yet can be told by a leader that is none
            // any more that there is no such session; no other can.
            let told_the_truth = match end {
                SessionEnd::Closed => true,
                SessionEnd::Expired => self.last_zxid > 0,
                SessionEnd::Lives | SessionEnd::Abandoned => false,
            };
            if told_the_truth {
                self.over.push(session.id);
            }
        }
        self.connection = None;
        self.watches.clear();
        self.last_zxid = 0;
    }

    fn breach(&mut self, what: String) {
        self.history
            .breaches
            .push(format!("client {}: {what}", self.client));
    }

    /// Sends requests in one write and takes the replies, until all have come or the connection is
    /// lost.
    fn ask(&mut self, requests: Vec<Request>) {
        let (Some(mut connection), Some(session)) = (self.connection.take(), self.session.clone())
        else {
            return;
        };
        let first = self.history.operations.len();
        let watches = self.watches.iter().cloned().collect::<Vec<_>>();
        let asker = Asker {
            client: self.client,
            session: session.id,
            last_zxid: self.last_zxid,
            watches: &watches,
        };
        let mut frames = Vec::new();
        let mut waiting = VecDeque::new();
        let call = self.shared.now();
        for (place, mut request) in requests.into_iter().enumerate() {
            let xid = match request {
                Request::Watches => SET_WATCHES_XID,
                _ => {
                    self.xid += 1;
                    self.xid
                }
            };
            // Fences are told by their place in the batch, and kept by that in the history.
            match &mut request {
                Request::Steps {
                    fence: Some(fence), ..
                }
                | Request::Gone { fence, .. } => *fence += first,
                _ => {}
            }
            frames.push(encode(xid, &request, asker));
            waiting.push_back((xid, first + place));
            self.history.operations.push(Operation {
                client: self.client,
                session: session.id,
                connection: self.history.connections,
                member: self.member,
                call,
                request,
                fate: Fate::Unknown,
            });
        }
        let patience = Duration::from_millis(self.random.between(400, 2_500));
        if let Ok(()) = self.exchange(&mut connection, &frames, &mut waiting, patience) {
            self.connection = Some(connection);
        }
    }

    fn exchange(
        &mut self,
        connection: &mut Connection,
        frames: &[Out],
        waiting: &mut VecDeque<(i32, usize)>,
        patience: Duration,
    ) -> io::Result<()> {
        connection.set_patience(patience)?;
        connection.send(frames)?;
        while let Some((xid, index)) = waiting.front().copied() {
            let packet = connection.receive()?;
            self.arrivals += 1;
            if packet.xid == EVENT_XID {
                self.note_event(&packet)?;
            } else if packet.xid == xid {
                waiting.pop_front();
                self.note_reply(index, packet)?;
            } else {
                let got = packet.xid;
                self.breach(format!(
                    "the reply to {xid} was due, and that to {got} came"
                ));
                return Err(io::Error::other("replies out of order"));
            }
        }
        Ok(())
    }

    fn note_event(&mut self, packet: &Packet) -> io::Result<()> {
        let mut body = In(&packet.body);
        let (_kind, _state, path) = (body.int()?, body.int()?, body.string()?);
        if !self.watches.remove(&path) {
            self.breach(format!("an event at {path}, where no watch is"));
        }
        let session = self.session.as_ref().map_or(0, |session| session.id);
        self.history.events.push(Event {
            session,
            arrival: self.arrivals,
            zxid: packet.zxid,
            path,
        });
        Ok(())
    }

    fn note_reply(&mut self, index: usize, packet: Packet) -> io::Result<()> {
        if matches!(packet.error, code::SESSION_EXPIRED | code::SESSION_MOVED) {
            return Err(io::Error::other("the session is not served here"));
        }
        let request = self.history.operations[index].request.clone();
        let answer = match decode(&request, packet.error, &packet.body) {
            Ok(answer) => answer,
            Err(error) => {
                self.breach(error.to_string());
                return Err(error);
            }
        };
        if request.is_write() {
            self.shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        self.last_zxid = self.last_zxid.max(packet.zxid);
        self.learn(&request, &answer);
        self.history.operations[index].fate = Fate::Answered {
            at: self.shared.now(),
            arrival: self.arrivals,
            zxid: packet.zxid,
            answer,
        };
        Ok(())
    }

    /// What a reply tells of the registers, for the next choices.
    fn learn(&mut self, request: &Request, answer: &Answer) {
        let Request::Steps {
            group,
            steps,
            watch,
            ..
        } = request
        else {
            return;
        };
        let register = |node| Register {
            group: *group,
            node,
        };
        match answer {
            Answer::Steps(results) => {
                for (step, result) in steps.iter().zip(results) {
                    let version = match (step, result) {
                        (_, StepResult::Set(stat) | StepResult::Value(_, stat)) => {
                            Some(stat.version)
                        }
                        (Step::Create { .. }, _) => Some(0),
                        (Step::Check { version, .. }, _) => Some(*version),
                        _ => None,
                    };
                    self.beliefs.note(register(step.node()), version);
                    if *watch && matches!(result, StepResult::Value(..)) {
                        self.watches.insert(register(step.node()).path());
                    }
                }
            }
            Answer::Refused { at, error } => {
                if let Some(step) = steps.get(*at) {
                    let register = register(step.node());
                    match *error {
                        code::NO_NODE => self.beliefs.note(register, None),
                        code::NODE_EXISTS => self.beliefs.note(register, Some(0)),
                        // Somebody else changed it: the next is a guess.
                        _ => {
                            let version = self.beliefs.version(register);
                            let guess = version.map(|version| version + 1);
                            self.beliefs.note(register, guess);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn ping(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let mut frame = Out::default();
        frame.int(PING_XID).int(op::PING);
        let pinged = connection.send(&[frame]).and_then(|()| {
            loop {
                let packet = connection.receive()?;
                self.arrivals += 1;
                if packet.xid == EVENT_XID {
                    self.note_event(&packet)?;
                } else {
                    return Ok(());
                }
            }
        });
        if pinged.is_ok() {
            self.connection = Some(connection);
        }
    }
}

/// Makes the parents of all nodes.
pub(super) fn prepare(addresses: &[Ipv4Addr], clients: usize) -> Outcome {
    let address = *addresses.first().ok_or("an ensemble without members")?;
    let mut paths = [
        "/registers",
        "/ledger",
        "/sequence",
        "/ephemerals",
        "/fences",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend((0..clients).map(fence_path));
    let begun = Instant::now();
    wait_for("the parents to be made", PATIENCE, || {
        make_all(address, &paths).ok()
    })
    .map_err(|error| format!("{error} after {:?}", begun.elapsed()))
}

fn make_all(address: Ipv4Addr, paths: &[String]) -> io::Result<()> {
    let opened = Connection::open(address, None, 0, SESSION_TIMEOUT, Duration::from_secs(5))?;
    let Welcome::Open(mut connection, _session) = opened else {
        return Err(io::Error::other("no session"));
    };
    for (xid, path) in (1..).zip(paths) {
        let mut frame = Out::default();
        frame.int(xid).int(op::CREATE).string(path).buffer(b"");
        frame.open_acl().int(0);
        connection.send(&[frame])?;
        let reply = connection.receive()?;
        if !matches!(reply.error, code::OK | code::NODE_EXISTS) {
            return Err(io::Error::other(format!("{path}: error {}", reply.error)));
        }
    }
    let mut frame = Out::default();
    frame.int(0).int(op::CLOSE_SESSION);
    connection.send(&[frame])
}
