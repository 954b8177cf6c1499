//! Clients' requests and sessions: ours and, leading, those that come through learners.
//! Source: `PrepRequestProcessor.java`, `LeaderRequestProcessor.java`, `Leader.java`
//! revalidateSession and processSync, `FollowerZooKeeperServer.java`.

use super::NodeError;
use super::engine::{Engine, Order};
use super::local_sessions::LocalSessions;
use crate::ids::{ConnId, ServerId, SessionId, WallMs, Xid, Zxid};
use crate::jute::{Reader, Record};
use crate::net::peer::ToLearner;
use crate::proto::{Id, OpCode};
use crate::quorum_proto::{FromLeader, FromLearner};
use crate::service::WriteRequest;
use crate::sessions::SessionTracker;
use crate::txn::{Request, SessionCheck, Txn};
use crate::zab::{Entry, Input, LearnerConn, Standing};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::{debug, info};

/// Who waits for a sync.
enum SyncOrigin {
    Ours(WriteRequest),
    Learner(LearnerConn),
}

/// Who asked whether a session lives.
#[derive(Clone, Copy)]
enum Asker {
    Ours(ConnId),
    Learner(LearnerConn),
}

/// The engine's knowledge of sessions.
pub(super) struct Sessions {
    tick_ms: i32,
    /// Who lives; kept by a leader and a standalone server.
    tracker: SessionTracker,
    /// Those that the ensemble does not know.
    pub(super) local: Option<LocalSessions>,
    /// Who waits to hear of sessions whose end is proposed and not decided. That a session is over
    /// is said only once it is: a leader that is none any more, and does not know it yet, proposes
    /// such ends in vain, and the session goes on elsewhere. Java says so at once.
    ending: HashMap<SessionId, Vec<Asker>>,
    /// Sessions among them whose end is being applied.
    ended: Vec<SessionId>,
    /// Who waits for the leader's word on a session, in the order in which it was asked.
    revalidating: HashMap<SessionId, VecDeque<Asker>>,
    /// A learner's syncs on their way to the leader, oldest first.
    syncs_sent: VecDeque<SyncOrigin>,
    /// Sessions of our observers' clients, for the leader to be told of.
    relayed: HashMap<SessionId, i32>,
    /// A leader's syncs that wait for a proposal to be applied.
    syncs_held: VecDeque<(Zxid, SyncOrigin)>,
    started: Instant,
    next_round: Instant,
}

impl Sessions {
    pub(super) fn new(tick_ms: i32, local: Option<LocalSessions>, started: Instant) -> Self {
        Sessions {
            tick_ms,
            tracker: SessionTracker::new(tick_ms),
            local,
            ending: HashMap::new(),
            ended: Vec::new(),
            revalidating: HashMap::new(),
            syncs_sent: VecDeque::new(),
            relayed: HashMap::new(),
            syncs_held: VecDeque::new(),
            started,
            next_round: started,
        }
    }

    /// When sessions want to be looked at again.
    pub(super) fn next_round(&self) -> Instant {
        self.next_round
    }

    /// Milliseconds on the tracker's clock.
    pub(super) fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// The wall clock, for transactions' times.
pub(super) fn wall_now() -> WallMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    WallMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Engine {
    /// A client of ours wants a change or a sync.
    pub(super) fn submit(&mut self, request: WriteRequest) -> Result<(), NodeError> {
        if !self.serving {
            // Its connection is closed already, or about to be.
            return Ok(());
        }
        let Some(request) = self.submit_local(request)? else {
            return Ok(());
        };
        let is_sync = request.request.op == OpCode::SYNC;
        if is_sync && self.decides() {
            self.hold_sync(SyncOrigin::Ours(request));
            return Ok(());
        }
        self.pass_on(&request.request)?;
        if is_sync && self.link.is_some() {
            let origin = SyncOrigin::Ours(request);
            self.sessions.syncs_sent.push_back(origin);
        }
        Ok(())
    }

    /// Has a request of our own proposed: by us, or by our leader.
    pub(super) fn pass_on(&mut self, request: &Request) -> Result<(), NodeError> {
        if self.decides() {
            return self.propose(request, self.me);
        }
        let Some(link) = &self.link else {
            return Ok(());
        };
        let Request {
            session,
            xid,
            op,
            body,
            auth,
        } = request;
        link.send(FromLearner::Request {
            session: *session,
            cxid: *xid,
            op: *op,
            body: body.clone(),
            auth: auth.to_vec(),
        });
        Ok(())
    }

    /// A client of ours wants to go on with its session.
    pub(super) fn revalidate(&mut self, conn: ConnId, session: SessionId, timeout_ms: i32) {
        let now_ms = self.sessions.now_ms();
        let local = self.sessions.local.as_mut();
        if local.is_some_and(|local| local.touch(session, timeout_ms, now_ms)) {
            self.service.revalidated(conn, session, true);
        } else if self.decides() {
            let asker = Asker::Ours(conn);
            self.decide_session(asker, session, timeout_ms, self.me);
        } else {
            self.ask_leader(Asker::Ours(conn), session, timeout_ms);
        }
    }

    /// Asks the leader whether a session lives.
    fn ask_leader(&mut self, asker: Asker, session: SessionId, timeout_ms: i32) {
        if let Some(link) = &self.link {
            let askers = self.sessions.revalidating.entry(session).or_default();
            askers.push_back(asker);
            link.send(FromLearner::Revalidate {
                session,
                timeout_ms,
            });
        }
    }

    /// A learner's message that does not concern consensus.
    pub(super) fn learner_said(
        &mut self,
        conn: LearnerConn,
        said: FromLearner,
    ) -> Result<(), NodeError> {
        let Some(owner) = self.learner_id(conn) else {
            return Ok(());
        };
        if self.link.is_some() {
            self.relay(conn, said);
            return Ok(());
        }
        match said {
            FromLearner::Ping { touched } => {
                let now_ms = self.sessions.now_ms();
                for (session, timeout_ms) in touched {
                    self.sessions.tracker.touch(session, timeout_ms, now_ms);
                }
            }
            FromLearner::Revalidate {
                session,
                timeout_ms,
            } => {
                let asker = Asker::Learner(conn);
                self.decide_session(asker, session, timeout_ms, owner);
            }
            FromLearner::Request { op, .. } if op == OpCode::SYNC => {
                self.hold_sync(SyncOrigin::Learner(conn));
            }
            FromLearner::Request {
                session,
                cxid,
                op,
                body,
                auth,
            } => {
                let request = Request {
                    session,
                    xid: cxid,
                    op,
                    body,
                    auth: auth.into(),
                };
                self.propose(&request, owner)?;
            }
            FromLearner::Zab(_) => {}
        }
        Ok(())
    }

    /// Hands on what an observer of ours has for the leader, to whom its clients are ours.
    /// Source: `ObserverMaster.java`, `FollowerZooKeeperServer.java` processObserverRequest.
    fn relay(&mut self, conn: LearnerConn, said: FromLearner) {
        match said {
            FromLearner::Ping { touched } => self.sessions.relayed.extend(touched),
            FromLearner::Revalidate {
                session,
                timeout_ms,
            } => self.ask_leader(Asker::Learner(conn), session, timeout_ms),
            FromLearner::Request { op, .. } => {
                if op == OpCode::SYNC {
                    let origin = SyncOrigin::Learner(conn);
                    self.sessions.syncs_sent.push_back(origin);
                }
                if let Some(link) = &self.link {
                    link.send(said);
                }
            }
            FromLearner::Zab(_) => {}
        }
    }

    /// Our leader's message that does not concern consensus.
    pub(super) fn leader_said(&mut self, said: FromLeader) -> Result<(), NodeError> {
        match said {
            FromLeader::Revalidated { session, valid } => {
                self.leader_decided(session, valid);
            }
            FromLeader::Sync => {
                // What was committed before it is applied before it is answered.
                self.flush()?;
                if let Some(origin) = self.sessions.syncs_sent.pop_front() {
                    self.answer_sync(origin);
                }
            }
            FromLeader::Zab(_) => {}
        }
        Ok(())
    }

    /// The leader has said whether a session lives.
    fn leader_decided(&mut self, session: SessionId, valid: bool) {
        let Some(askers) = self.sessions.revalidating.get_mut(&session) else {
            return;
        };
        let asker = askers.pop_front();
        if askers.is_empty() {
            self.sessions.revalidating.remove(&session);
        }
        if let Some(asker) = asker {
            if valid && matches!(asker, Asker::Learner(_)) {
                // For the leader it has not moved: we are where it was and where it is.
                self.service.session_left(session);
            }
            self.answer_asker(asker, session, valid);
        }
    }

    pub(super) fn answer_ping(&mut self) {
        let touched = self.drain_heard();
        if let Some(link) = &self.link {
            link.send(FromLearner::Ping { touched });
        }
    }

    /// Whether this server puts transactions in order: it leads, or stands alone.
    pub(super) fn decides(&self) -> bool {
        match &self.order {
            Order::Alone(_) => true,
            Order::Ensemble(zab) => zab.standing() == Standing::Leading { serving: true },
        }
    }

    fn learner_id(&self, conn: LearnerConn) -> Option<ServerId> {
        let Order::Ensemble(zab) = &self.order else {
            return None;
        };
        zab.learner_id(conn)
    }

    fn say(&self, conn: LearnerConn, said: FromLeader) {
        if let Some(peers) = &self.peers {
            peers.learners.send(conn, ToLearner::Say(said));
        }
    }

    /// Says whether a session lives, or notes who asked until that is decided.
    fn decide_session(
        &mut self,
        asker: Asker,
        session: SessionId,
        timeout_ms: i32,
        owner: ServerId,
    ) {
        if self.sessions.tracker.is_closing(session) {
            self.sessions.ending.entry(session).or_default().push(asker);
            return;
        }
        let now_ms = self.sessions.now_ms();
        let valid = self.sessions.tracker.touch(session, timeout_ms, now_ms)
            && self.sessions.tracker.set_owner(session, owner);
        if valid && owner != self.me {
            // Java finds out by the next request, a ping included, and ends the connection then.
            self.service.session_left(session);
        }
        self.answer_asker(asker, session, valid);
    }

    fn answer_asker(&self, asker: Asker, session: SessionId, valid: bool) {
        match asker {
            Asker::Ours(conn) => self.service.revalidated(conn, session, valid),
            Asker::Learner(conn) => self.say(conn, FromLeader::Revalidated { session, valid }),
        }
    }

    /// The ends of sessions that were asked for are in the tree.
    pub(super) fn answer_ended(&mut self) {
        for session in std::mem::take(&mut self.sessions.ended) {
            for asker in self.sessions.ending.remove(&session).unwrap_or_default() {
                self.answer_asker(asker, session, false);
            }
        }
    }

    /// Decides a request and has the decision logged and broadcast.
    pub(super) fn propose(&mut self, request: &Request, owner: ServerId) -> Result<(), NodeError> {
        if !self.decides() {
            return Ok(());
        }
        let zxid = match &self.order {
            Order::Alone(alone) => alone.next_zxid(),
            Order::Ensemble(zab) => match zab.next_zxid() {
                Some(zxid) => zxid,
                None => {
                    return self.step(Input::StepDown {
                        reason: "the epoch's counter is used up (ZOOKEEPER-1277)",
                    });
                }
            },
        };
        if request.op == OpCode::RECONFIG
            && let Some(view) = self.ensemble_view()
        {
            self.preparer.set_ensemble(view);
        }
        let check = self.check_session(request, owner);
        let entry = self.preparer.prepare(
            &self.service.database.read(),
            request,
            check,
            zxid,
            wall_now(),
        );
        let payload = Bytes::from(entry.to_vec());
        self.proposed.push_back(entry);
        self.step(Input::Propose {
            entry: Entry { zxid, payload },
        })
    }

    fn check_session(&mut self, request: &Request, owner: ServerId) -> SessionCheck {
        let now_ms = self.sessions.now_ms();
        let me = self.me;
        let Sessions { tracker, local, .. } = &mut self.sessions;
        match request.op {
            OpCode::CREATE_SESSION => {
                // A malformed timeout is refused where the request is prepared.
                if let Ok(timeout_ms) = Reader::new(&request.body).int() {
                    tracker.add(request.session, timeout_ms, now_ms);
                    tracker.set_owner(request.session, owner);
                }
                SessionCheck::Ok
            }
            OpCode::CLOSE_SESSION => {
                tracker.set_closing(request.session);
                SessionCheck::Ok
            }
            // The server's own request, without a session.
            OpCode::DELETE_CONTAINER => SessionCheck::Ok,
            _ => match local {
                Some(local) if !tracker.contains(request.session) => {
                    local.check(request.session, owner, me)
                }
                _ => tracker.check(request.session, owner),
            },
        }
    }

    /// Answers a sync once all that was proposed before it is applied.
    fn hold_sync(&mut self, origin: SyncOrigin) {
        let (proposed, applied) = match &self.order {
            Order::Alone(alone) => (alone.last_proposed(), alone.is_idle()),
            Order::Ensemble(zab) => (
                zab.history().end(),
                zab.history().pending().is_empty() && self.deliveries.is_empty(),
            ),
        };
        if applied && self.deliveries.is_empty() {
            self.answer_sync(origin);
        } else {
            self.sessions.syncs_held.push_back((proposed, origin));
        }
    }

    fn answer_sync(&self, origin: SyncOrigin) {
        match origin {
            SyncOrigin::Ours(request) => self.service.synced(request.conn, request.request.xid),
            SyncOrigin::Learner(conn) => self.say(conn, FromLeader::Sync),
        }
    }

    /// Everything up to `applied` is in the tree.
    pub(super) fn answer_syncs(&mut self, applied: Zxid) {
        while let Some((_, origin)) = self
            .sessions
            .syncs_held
            .pop_front_if(|(zxid, _)| *zxid <= applied)
        {
            self.answer_sync(origin);
        }
    }

    /// Keeps the tracker along with committed sessions.
    pub(super) fn note_sessions(&mut self) {
        let now_ms = self.sessions.now_ms();
        for entry in &self.deliveries {
            let session = entry.header.client_id;
            match &entry.txn {
                Txn::CreateSession { timeout_ms } => {
                    self.sessions.tracker.add(session, *timeout_ms, now_ms);
                    if let Some(local) = &mut self.sessions.local {
                        local.remove(session);
                    }
                }
                Txn::CloseSession { .. } => {
                    self.sessions.tracker.remove(session);
                    if self.sessions.ending.contains_key(&session) {
                        self.sessions.ended.push(session);
                    }
                }
                _ => {}
            }
        }
    }

    /// Those that an observer of ours has heard from, once.
    pub(super) fn drain_relayed(&mut self) -> impl Iterator<Item = (SessionId, i32)> {
        self.sessions.relayed.drain()
    }

    /// Begins to answer for all sessions: each has its whole timeout from now.
    pub(super) fn own_sessions(&mut self) {
        let now_ms = self.sessions.now_ms();
        let mut tracker = SessionTracker::new(self.sessions.tick_ms);
        for (session, timeout_ms) in self.service.database.read().sessions() {
            tracker.add(*session, *timeout_ms, now_ms);
        }
        self.sessions.tracker = tracker;
    }

    pub(super) fn forget_sessions(&mut self) {
        self.sessions.tracker = SessionTracker::new(self.sessions.tick_ms);
        if let Some(local) = &mut self.sessions.local {
            local.forget();
        }
        self.sessions.ending.clear();
        self.sessions.ended.clear();
        self.sessions.revalidating.clear();
        self.sessions.syncs_sent.clear();
        self.sessions.relayed.clear();
        self.sessions.syncs_held.clear();
    }

    /// Twice a tick: hears who lives, and closes who does not.
    pub(super) fn tend_sessions(&mut self) -> Result<(), NodeError> {
        let now = Instant::now();
        if now < self.sessions.next_round {
            return Ok(());
        }
        let round_ms = u64::try_from(self.sessions.tick_ms / 2).unwrap_or(0).max(1);
        let late = now.saturating_duration_since(self.sessions.next_round);
        if late > Duration::from_millis(round_ms) {
            // This process stood still, and has heard nobody: that time counts against no session.
            self.sessions.started += late;
        }
        self.sessions.next_round = now + Duration::from_millis(round_ms);
        self.status_is_stale = true;
        self.tend_local_sessions();
        if !self.serving || !self.decides() {
            return Ok(());
        }
        let now_ms = self.sessions.now_ms();
        for (session, timeout_ms) in self.drain_heard() {
            self.sessions.tracker.touch(session, timeout_ms, now_ms);
        }
        let expired = self.sessions.tracker.expired(now_ms);
        if !expired.is_empty() {
            info!(sessions = expired.len(), "sessions have expired");
        }
        for session in expired {
            debug!(%session, "session expired");
            let nobody: Arc<[Id]> = Arc::from([]);
            let request = Request {
                session,
                xid: Xid(0),
                op: OpCode::CLOSE_SESSION,
                body: Bytes::new(),
                auth: nobody,
            };
            self.propose(&request, self.me)?;
        }
        Ok(())
    }
}
