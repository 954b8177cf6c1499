//! Sessions: their numbers, their passwords, and who has been silent for too long.
//!
//! Pure: the time is an argument. Source: `SessionTrackerImpl.java`, `ExpiryQueue.java`,
//! `ZooKeeperServer.java` generatePasswd.

use crate::ids::{ServerId, SessionId};
use crate::room::GiveRoom as _;
use crate::txn::SessionCheck;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What Java mixes into a session's number to seed its password. It protects nothing, but every
/// member must use the same. Source: `ZooKeeperServer.java` superSecret.
const SUPER_SECRET: i64 = 0xB341_5C00;

/// The mark of a container node's owner, which no session may have as its number.
/// Source: `EphemeralType.java` CONTAINER_EPHEMERAL_OWNER.
const CONTAINER_OWNER: i64 = i64::MIN;

/// A session's password: the first 16 bytes of `java.util.Random` seeded from its number, so that
/// a client can go on with its session at any member, Java's among them.
#[must_use]
pub fn password(session: SessionId) -> [u8; 16] {
    const MULTIPLIER: i64 = 0x5_DEEC_E66D;
    const MASK: i64 = (1 << 48) - 1;
    let mut seed = ((session.0 ^ SUPER_SECRET) ^ MULTIPLIER) & MASK;
    let mut bytes = [0; 16];
    for chunk in bytes.chunks_exact_mut(4) {
        seed = seed.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        // nextInt() is the upper 32 of the 48 bits; nextBytes() takes its bytes from the low end.
        let next = (seed >> 16) as u32;
        chunk.copy_from_slice(&next.to_le_bytes());
    }
    bytes
}

/// Whether `given` is the password of `session`. Session 0 has none.
#[must_use]
pub fn password_matches(session: SessionId, given: &[u8]) -> bool {
    session.0 != 0 && given == password(session)
}

/// The first session number of a server that starts at `now_ms`: its own number in the top byte,
/// then 40 bits of time. Source: `SessionTrackerImpl.java` initializeNextSessionId.
#[must_use]
pub fn first_session_id(server: ServerId, now_ms: i64) -> SessionId {
    let time = ((now_ms << 24) as u64 >> 8) as i64;
    let id = time | (server.0 << 56);
    SessionId(if id == CONTAINER_OWNER { id + 1 } else { id })
}

#[derive(Debug)]
struct Tracked {
    timeout_ms: i32,
    /// The bucket it stands in, unless it is closing.
    expires_ms: i64,
    /// Expired once already: it is reported once, and touching it no longer helps.
    closing: bool,
    owner: Option<ServerId>,
}

/// Who has been heard from until when. Expiry times are rounded up to whole ticks, so sessions
/// expire in batches and a touch mostly changes nothing.
#[derive(Debug)]
pub struct SessionTracker {
    tick_ms: i64,
    sessions: HashMap<SessionId, Tracked>,
    /// `sessions[s].expires_ms == t` exactly where `buckets[t]` holds an `s` that is not closing.
    buckets: BTreeMap<i64, HashSet<SessionId>>,
}

impl SessionTracker {
    /// One without sessions; `tick_ms` is the configuration's tickTime.
    #[must_use]
    pub fn new(tick_ms: i32) -> Self {
        SessionTracker {
            tick_ms: i64::from(tick_ms.max(1)),
            sessions: HashMap::new(),
            buckets: BTreeMap::new(),
        }
    }

    fn round_up(&self, time_ms: i64) -> i64 {
        (time_ms / self.tick_ms + 1) * self.tick_ms
    }

    /// Sessions known, closing ones among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Whether the session is known.
    #[must_use]
    pub fn contains(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Whether the session's end has been proposed, and is not decided yet.
    #[must_use]
    pub fn is_closing(&self, session: SessionId) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|known| known.closing)
    }

    /// The timeout the session was last touched with, in milliseconds.
    #[must_use]
    pub fn timeout_ms(&self, session: SessionId) -> Option<i32> {
        self.sessions.get(&session).map(|known| known.timeout_ms)
    }

    /// Begins to track a session, or touches one that is known. Returns whether it is new.
    pub fn add(&mut self, session: SessionId, timeout_ms: i32, now_ms: i64) -> bool {
        let new = !self.sessions.contains_key(&session);
        if new {
            let tracked = Tracked {
                timeout_ms,
                expires_ms: i64::MIN,
                closing: false,
                owner: None,
            };
            self.sessions.insert(session, tracked);
        }
        self.touch(session, timeout_ms, now_ms);
        new
    }

    /// The session was heard from. False where it is unknown or already closing.
    pub fn touch(&mut self, session: SessionId, timeout_ms: i32, now_ms: i64) -> bool {
        let expires_ms = self.round_up(now_ms + i64::from(timeout_ms));
        let Some(known) = self.sessions.get_mut(&session) else {
            return false;
        };
        if known.closing {
            return false;
        }
        known.timeout_ms = timeout_ms;
        if known.expires_ms != expires_ms {
            let before = std::mem::replace(&mut known.expires_ms, expires_ms);
            self.leave_bucket(session, before);
            self.buckets.entry(expires_ms).or_default().insert(session);
        }
        true
    }

    fn leave_bucket(&mut self, session: SessionId, expires_ms: i64) {
        if let Some(bucket) = self.buckets.get_mut(&expires_ms) {
            bucket.remove(&session);
            if bucket.is_empty() {
                self.buckets.remove(&expires_ms);
            }
        }
    }

    /// Forgets a session: it was closed.
    pub fn remove(&mut self, session: SessionId) {
        if let Some(known) = self.sessions.remove(&session) {
            self.sessions.give_room();
            self.leave_bucket(session, known.expires_ms);
        }
    }

    /// Refuses the session from now on, as when its closing has been proposed.
    pub fn set_closing(&mut self, session: SessionId) {
        if let Some(known) = self.sessions.get_mut(&session) {
            known.closing = true;
            let expires_ms = known.expires_ms;
            self.leave_bucket(session, expires_ms);
        }
    }

    /// The sessions whose time ran out by `now_ms`, each once; from then on they are closing.
    pub fn expired(&mut self, now_ms: i64) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(bucket) = self.buckets.first_entry() {
            if *bucket.key() > now_ms {
                break;
            }
            expired.extend(bucket.remove());
        }
        // Their order is part of what the leader proposes; a hash's own would differ from run to run.
        expired.sort_unstable();
        for session in &expired {
            if let Some(known) = self.sessions.get_mut(session) {
                known.closing = true;
            }
        }
        expired
    }

    /// When [`SessionTracker::expired`] next has something to say, in milliseconds.
    #[must_use]
    pub fn next_expiry_ms(&self) -> Option<i64> {
        self.buckets.keys().next().copied()
    }

    /// Says at which member the session lives now. False where it is unknown or closing.
    pub fn set_owner(&mut self, session: SessionId, owner: ServerId) -> bool {
        match self.sessions.get_mut(&session) {
            Some(known) if !known.closing => {
                known.owner = Some(owner);
                true
            }
            _ => false,
        }
    }

    /// Whether a request that came through `from` may go on; the first to ask becomes the owner.
    /// Source: `SessionTrackerImpl.java` checkSession.
    pub fn check(&mut self, session: SessionId, from: ServerId) -> SessionCheck {
        match self.sessions.get_mut(&session) {
            None => SessionCheck::Expired,
            Some(known) if known.closing => SessionCheck::Expired,
            Some(known) => match known.owner {
                None => {
                    known.owner = Some(from);
                    SessionCheck::Ok
                }
                Some(owner) if owner == from => SessionCheck::Ok,
                Some(_) => SessionCheck::Moved,
            },
        }
    }

    /// Expiry times with their sessions, for `dump`.
    pub fn buckets(&self) -> impl Iterator<Item = (i64, &HashSet<SessionId>)> {
        self.buckets.iter().map(|(time, bucket)| (*time, bucket))
    }
}

#[cfg(test)]
mod tests;
