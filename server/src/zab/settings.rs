//! What a member is told when it starts: about itself and its ensemble, and what its disk holds.

use super::{Codec, Config, Entry};
use crate::ids::{Epoch, ServerId, Zxid};

/// What a member knows of itself and its ensemble.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This member.
    pub me: ServerId,
    /// The configuration that was in force last, as far as its disk knows.
    pub config: Config,
    /// A newer one that was proposed and not seen in force.
    pub config_seen: Option<Config>,
    /// Whether configurations change: `reconfigEnabled`. Where they don't, none is taken over from
    /// anybody, as in Java.
    pub reconfig_enabled: bool,
    /// How configurations are read.
    pub codec: Codec,
    /// The unit of the limits below, in milliseconds.
    pub tick_ms: u64,
    /// Ticks that connecting to a leader and synchronising may take.
    pub init_limit: u64,
    /// Ticks without a word after which the other side is taken for gone.
    pub sync_limit: u64,
    /// Committed transactions kept in memory to synchronise learners with.
    pub recent_max: usize,
    /// The last counter of an epoch: [`Zxid::COUNTER_MAX`], or less where reaching that would take
    /// a test too long.
    pub counter_max: i64,
}

impl Settings {
    pub(super) fn init_ms(&self) -> u64 {
        self.tick_ms * self.init_limit
    }

    pub(super) fn sync_ms(&self) -> u64 {
        self.tick_ms * self.sync_limit
    }
}

/// What the disk holds when a member starts.
#[derive(Clone, Debug)]
pub struct Durable {
    /// The newest epoch that this member agreed to.
    pub accepted_epoch: Epoch,
    /// The epoch of the last leader that it synchronised with.
    pub current_epoch: Epoch,
    /// The end of its log, all of it applied to its tree; `None` for an empty disk that was never
    /// initialised, which does not vote. Java writes -1 for it.
    pub last_logged: Option<Zxid>,
    /// The newest transactions of the log, oldest first.
    pub recent: Vec<Entry>,
}
