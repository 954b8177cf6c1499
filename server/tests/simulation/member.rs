//! One member: its process, where it runs, and its disk.

use super::disk::{Disk, Tree};
use crate::ids::{Epoch, Zxid};
use crate::zab::{NowMs, Output, Zab};
use std::rc::Rc;

/// A clock that may run fast or slow, and jump forward.
pub(crate) struct Clock {
    base_global: u64,
    base_local: u64,
    /// Its speed in thousandths.
    rate: u64,
}

impl Clock {
    pub(crate) fn new(local: u64) -> Self {
        Clock {
            base_global: 0,
            base_local: local,
            rate: 1000,
        }
    }

    pub(crate) fn local(&self, global: u64) -> NowMs {
        NowMs(self.base_local + (global - self.base_global) * self.rate / 1000)
    }

    /// The first moment at which this clock shows `local`.
    pub(crate) fn global(&self, local: NowMs) -> u64 {
        let ahead = local.0.saturating_sub(self.base_local);
        self.base_global
            .saturating_add(ahead.saturating_mul(1000).div_ceil(self.rate))
    }

    pub(crate) fn jump(&mut self, now: u64, ms: u64, rate: u64) {
        self.base_local = self.local(now).0 + ms;
        self.base_global = now;
        self.rate = rate;
    }
}

/// One member.
pub(crate) struct Member {
    /// Its process, while it runs.
    pub(crate) zab: Option<Zab>,
    /// How often it has started or died: what belongs to an older life reaches nobody.
    pub(crate) life: u64,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    /// All that has been delivered, and its position.
    pub(crate) tree: Tree,
    pub(crate) tree_end: Zxid,
    /// The tree that came with the last SNAP.
    pub(crate) incoming: Option<Rc<Tree>>,
    pub(crate) listening: bool,
    pub(crate) serving: bool,
    /// The epoch that it leads and serves in.
    pub(crate) leads: Option<Epoch>,
    pub(crate) leader_stream: Option<u64>,
    /// Whom it follows or wants to.
    pub(crate) leader: Option<usize>,
    /// Goes up whenever it begins to look for a leader.
    pub(crate) roles: u64,
    /// Its last role ended because of a configuration.
    pub(crate) reconfigured: bool,
    /// Its history could not be reconciled with a leader's: until that leader's tree comes,
    /// consensus counts it as empty, and the disk holds what it held.
    pub(crate) forgotten: bool,
    /// The next cut of its log can't be made.
    pub(crate) cant_truncate: bool,
    /// How many outputs it carries out before it dies.
    pub(crate) dies_after: Option<u64>,
    /// It dies with the first output of this kind: half-way through a cut, or through taking over
    /// a tree.
    pub(crate) dies_at: Option<fn(&Output) -> bool>,
    /// Goes up with each leader dialled.
    pub(crate) dial: u64,
    /// Whether NEWLEADER has been acknowledged to the present leader.
    pub(crate) acked_newleader: bool,
    pub(crate) wake_at: Option<u64>,
    pub(crate) paused_until: u64,
    /// What an fsync takes, in milliseconds.
    pub(crate) fsync_ms: (u64, u64),
}

impl Member {
    pub(crate) fn new(disk: Disk, fsync_ms: (u64, u64)) -> Self {
        Member {
            zab: None,
            life: 0,
            disk,
            clock: Clock::new(0),
            tree: Tree::new(),
            tree_end: Zxid::ZERO,
            incoming: None,
            listening: false,
            serving: false,
            leads: None,
            leader_stream: None,
            leader: None,
            roles: 0,
            reconfigured: false,
            forgotten: false,
            cant_truncate: false,
            dies_after: None,
            dies_at: None,
            dial: 0,
            acked_newleader: false,
            wake_at: None,
            paused_until: 0,
            fsync_ms,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.zab.is_some()
    }

    /// Whether its time has come, with this output to carry out.
    pub(crate) fn dies_now(&mut self, output: &Output) -> bool {
        if self.dies_at.is_some_and(|dies| dies(output)) {
            self.dies_at = None;
            return true;
        }
        match &mut self.dies_after {
            Some(0) => {
                self.dies_after = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    /// What ends with a role or with the process.
    pub(crate) fn leave_role(&mut self) {
        self.listening = false;
        self.serving = false;
        self.leads = None;
        self.leader_stream = None;
        self.leader = None;
        self.roles += 1;
        self.incoming = None;
        self.dial += 1;
    }
}
