//! What clients write down: every request, with when it was sent, and what came back when.

use crate::wire::Stat;
use std::time::Duration;

/// Time since the run began, in nanoseconds.
pub type Nanos = u64;

/// A duration as [`Nanos`].
#[must_use]
pub fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

/// One of the registers: a node of a group. Groups are what is changed and read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Register {
    /// Its group.
    pub group: u64,
    /// Its place in the group.
    pub node: u8,
}

impl Register {
    /// Its node's path.
    #[must_use]
    pub fn path(self) -> String {
        format!("/registers/{}-{}", self.group, self.node)
    }

    /// The register of a path.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let (group, node) = path.strip_prefix("/registers/")?.split_once('-')?;
        Some(Register {
            group: group.parse().ok()?,
            node: node.parse().ok()?,
        })
    }
}

/// Any version will do.
pub const ANY_VERSION: i32 = -1;

/// A part of an operation on a group. No value is ever written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// create
    Create {
        /// Which node.
        node: u8,
        /// Its data.
        value: u64,
    },
    /// setData
    Set {
        /// Which node.
        node: u8,
        /// Its data.
        value: u64,
        /// The version that it must have.
        version: i32,
    },
    /// delete
    Delete {
        /// Which node.
        node: u8,
        /// The version that it must have.
        version: i32,
    },
    /// check, in a multi
    Check {
        /// Which node.
        node: u8,
        /// The version that it must have.
        version: i32,
    },
    /// getData
    Get {
        /// Which node.
        node: u8,
    },
}

impl Step {
    /// The node that it is about.
    #[must_use]
    pub fn node(self) -> u8 {
        match self {
            Step::Create { node, .. }
            | Step::Set { node, .. }
            | Step::Delete { node, .. }
            | Step::Check { node, .. }
            | Step::Get { node } => node,
        }
    }

    /// The value that it writes.
    #[must_use]
    pub fn writes(self) -> Option<u64> {
        match self {
            Step::Create { value, .. } | Step::Set { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Whether it only reads.
    #[must_use]
    pub fn is_read(self) -> bool {
        matches!(self, Step::Get { .. })
    }
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Something with a group's registers: one step by itself, several as a multi or a multiRead.
    Steps {
        /// Which group.
        group: u64,
        /// All of them reads, or none.
        steps: Vec<Step>,
        /// A single read leaves a watch.
        watch: bool,
        /// The write of the same session, by its index among the client's operations, that was sent
        /// right before this read: if it was done, the read shows what is there no earlier.
        fence: Option<usize>,
    },
    /// setData of the client's own node, so that what follows is not older.
    Fence,
    /// sync
    Sync,
    /// create of a node that nobody changes again.
    Record {
        /// Its name below `/ledger`.
        name: String,
    },
    /// create of a sequential node.
    Sequential {
        /// Whether it goes with the session.
        ephemeral: bool,
    },
    /// create of the session's ephemeral.
    Ephemeral,
    /// exists of an ephemeral whose session is over, behind a fence.
    Gone {
        /// The session.
        session: i64,
        /// As for steps.
        fence: usize,
    },
    /// setWatches, after a connection was lost.
    Watches,
    /// closeSession
    Close,
}

impl Request {
    /// Whether it becomes a transaction.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Request::Steps { steps, .. } => !steps.iter().all(|step| step.is_read()),
            Request::Fence
            | Request::Record { .. }
            | Request::Sequential { .. }
            | Request::Ephemeral
            | Request::Close => true,
            Request::Sync | Request::Gone { .. } | Request::Watches => false,
        }
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// Done; the protocol says no more.
    Done,
    /// Data was set, and this is the node now.
    Set(Stat),
    /// Data was read.
    Value(u64, Stat),
    /// A read, and there is no such node.
    Missing,
}

/// What a reply says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Each step's result.
    Steps(Vec<StepResult>),
    /// The first of the steps that could not be done, with its error; nothing has changed.
    Refused {
        /// Its place.
        at: usize,
        /// Its error.
        error: i32,
    },
    /// The created node's path.
    Created(String),
    /// Whether there is such a node.
    Exists(bool),
    /// Done.
    Done,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody said: it may have happened, or may happen yet.
    Unknown,
    /// It was answered.
    Answered {
        /// When.
        at: Nanos,
        /// Its place among all that the client received.
        arrival: u64,
        /// The reply's zxid.
        zxid: i64,
        /// What the reply says.
        answer: Answer,
    },
}

/// One request and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asked.
    pub client: usize,
    /// In which session.
    pub session: i64,
    /// On which of the client's connections.
    pub connection: u64,
    /// Through which member, by index.
    pub member: usize,
    /// When it was sent.
    pub call: Nanos,
    /// What was asked.
    pub request: Request,
    /// What became of it.
    pub fate: Fate,
}

impl Operation {
    /// The reply, where there is one: its zxid, and what it says.
    #[must_use]
    pub fn reply(&self) -> Option<(i64, &Answer)> {
        match &self.fate {
            Fate::Unknown => None,
            Fate::Answered { zxid, answer, .. } => Some((*zxid, answer)),
        }
    }

    /// The reply's place among all that the client received.
    #[must_use]
    pub fn arrival(&self) -> Option<u64> {
        match &self.fate {
            Fate::Unknown => None,
            Fate::Answered { arrival, .. } => Some(*arrival),
        }
    }

    /// When the reply came.
    #[must_use]
    pub fn answered_at(&self) -> Option<Nanos> {
        match &self.fate {
            Fate::Unknown => None,
            Fate::Answered { at, .. } => Some(*at),
        }
    }

    /// Whether a reply says that it was done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.reply()
            .is_some_and(|(_, answer)| !matches!(answer, Answer::Refused { .. }))
    }
}

/// A watch event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// In which session.
    pub session: i64,
    /// Its place among all that the client received.
    pub arrival: u64,
    /// The change that it tells of.
    pub zxid: i64,
    /// Where.
    pub path: String,
}

/// How a session ended, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// It stands.
    Lives,
    /// closeSession was acknowledged.
    Closed,
    /// A member said that it is over.
    Expired,
    /// Its client went away, or sent closeSession and never heard.
    Abandoned,
}

/// All that one client wrote down.
#[derive(Clone, Debug, Default)]
pub struct ClientHistory {
    /// In the order in which they were sent.
    pub operations: Vec<Operation>,
    /// In the order in which they came.
    pub events: Vec<Event>,
    /// Its sessions, oldest first.
    pub sessions: Vec<(i64, SessionEnd)>,
    /// Breaches of the protocol that showed at once.
    pub breaches: Vec<String>,
    /// Connections that were made.
    pub connections: u64,
}

/// All that all clients wrote down.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By client.
    pub clients: Vec<ClientHistory>,
}

impl History {
    /// All operations of all clients.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.clients.iter().flat_map(|client| &client.operations)
    }
}
