//! The configuration of the ensemble as consensus sees it: the one in force, and a newer one that
//! has been proposed and is not committed yet. Sources: `QuorumPeer.java` quorumVerifier and
//! lastSeenQuorumVerifier, `Leader.java` getDesignatedLeader.

use super::membership::{Membership, Role};
use super::{Core, Output};
use crate::ids::{ServerId, Zxid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who belongs to the ensemble, from one reconfiguration to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The position of the transaction that made it, or the first position of the epoch in which it
    /// was established; 0 for one that stands in a file alone. The newer one counts.
    pub version: Zxid,
    /// Who votes and who observes.
    pub membership: Membership,
    /// As text, as it travels in notifications and NEWLEADER. Source: `QuorumMaj.java` toString.
    pub text: String,
    /// Where each member would lead, opaque: a leader whose address changes is one no longer.
    pub leader_addresses: BTreeMap<ServerId, String>,
}

impl Config {
    /// One without versions and addresses: it is never changed.
    #[must_use]
    pub fn fixed(membership: Membership) -> Self {
        Config {
            version: Zxid::ZERO,
            membership,
            text: String::new(),
            leader_addresses: BTreeMap::new(),
        }
    }

    /// The same members under another version.
    fn at_version(&self, version: Zxid) -> Self {
        // The version is the text's last line.
        let members = self.text.rsplit_once("version=").map_or("", |(m, _)| m);
        Config {
            version,
            text: format!("{members}version={:x}", version.0),
            ..self.clone()
        }
    }

    /// Whether `id` votes in `next`, and would lead from the same address. Who comes in with `next`
    /// is where that says.
    fn keeps_leader(&self, id: ServerId, next: &Config) -> bool {
        let is_new = !self.membership.is_member(id);
        next.membership.is_voter(id)
            && (is_new || self.leader_addresses.get(&id) == next.leader_addresses.get(&id))
    }
}

/// How configurations are read: transactions and texts are opaque in this room.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// The configuration that a text says, `None` where it makes no sense.
    pub of_text: fn(&str) -> Option<Config>,
    /// The configuration that a transaction proposes, `None` where it proposes none. Called for
    /// every proposal, so it decides by a glance.
    pub of_proposal: fn(&[u8]) -> Option<Config>,
}

impl Codec {
    /// For an ensemble that never changes.
    pub const NONE: Codec = Codec {
        of_text: |_| None,
        of_proposal: |_| None,
    };
}

/// The two configurations that a member knows. A quorum is one of both.
pub(super) struct Configs {
    /// In force.
    active: Arc<Config>,
    /// Newer, proposed, and not known to be committed.
    seen: Option<Arc<Config>>,
    /// Newer than both, and in a voter's log, which may need our help to elect one whom only that
    /// configuration gives a vote. It counts for nothing else: we have not got it.
    heard: Option<Arc<Config>>,
}

impl Configs {
    pub(super) fn new(active: Config, seen: Option<Config>) -> Self {
        let seen = seen.filter(|seen| seen.version > active.version);
        Configs {
            active: Arc::new(active),
            seen: seen.map(Arc::new),
            heard: None,
        }
    }

    pub(super) fn active(&self) -> &Arc<Config> {
        &self.active
    }

    pub(super) fn seen(&self) -> Option<&Arc<Config>> {
        self.seen.as_ref()
    }

    /// What an elected leader has to complete before it serves.
    pub(super) fn newest(&self) -> &Arc<Config> {
        self.seen.as_ref().unwrap_or(&self.active)
    }

    /// Whether those that `counts` is true of are a quorum, of the configuration in force and of the proposed one. Java asks
    /// both for votes, NEWLEADER and proposals; we do for epochs too, or two leaders could agree on
    /// the same epoch with quorums that share nobody.
    pub(super) fn is_quorum_of(&self, counts: impl Fn(ServerId) -> bool) -> bool {
        let of = |config: &Arc<Config>| config.membership.is_quorum_of(&counts);
        of(&self.active) && self.seen.iter().all(of)
    }

    /// Who votes by either. Source: `QuorumPeer.java` getCurrentAndNextConfigVoters.
    pub(super) fn voters(&self) -> BTreeSet<ServerId> {
        let mut voters = self.active.membership.voters().clone();
        if let Some(seen) = &self.seen {
            voters.extend(seen.membership.voters());
        }
        voters
    }

    pub(super) fn is_voter(&self, id: ServerId) -> bool {
        self.active.membership.is_voter(id)
            || self
                .seen
                .as_ref()
                .is_some_and(|seen| seen.membership.is_voter(id))
    }

    pub(super) fn is_member(&self, id: ServerId) -> bool {
        self.active.membership.is_member(id)
            || self
                .seen
                .as_ref()
                .is_some_and(|seen| seen.membership.is_member(id))
    }

    /// Who may be elected: a voter of either with weight in the configuration in force.
    pub(super) fn may_lead(&self, id: ServerId) -> bool {
        self.active.membership.may_lead(id)
            || (self.is_voter(id) && !self.active.membership.is_voter(id))
    }

    /// Whether only a configuration that we know by hearsay lets `id` lead.
    pub(super) fn may_lead_as_heard(&self, id: ServerId) -> bool {
        let heard = self.heard.as_ref();
        !self.is_voter(id) && heard.is_some_and(|heard| heard.membership.may_lead(id))
    }

    /// Whose help an election may need: who votes by either, or would by one that we have heard of.
    pub(super) fn electors(&self) -> BTreeSet<ServerId> {
        let mut electors = self.voters();
        if let Some(heard) = &self.heard {
            electors.extend(heard.membership.voters());
        }
        electors
    }

    /// What `id` learns as. Who is in no configuration follows without a vote, as one that is about
    /// to be added does. Source: `QuorumPeer.java` updateLearnerType.
    pub(super) fn role(&self, id: ServerId) -> Role {
        if self.active.membership.is_observer(id) {
            Role::Observer
        } else {
            Role::Participant
        }
    }
}

/// What an activation changes for this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Activated {
    /// It learns in another role from now on.
    pub role_changed: bool,
}

impl Core {
    /// The configuration that a proposal brings, where reconfiguration is on.
    pub(super) fn config_of_proposal(&self, payload: &[u8]) -> Option<Config> {
        if self.settings.reconfig_enabled {
            (self.settings.codec.of_proposal)(payload)
        } else {
            None
        }
    }

    /// The configuration that a leader or a peer told, where reconfiguration is on and it is newer
    /// than ours in force.
    pub(super) fn newer_config_of(&self, text: &str) -> Option<Config> {
        let is_other = self.settings.reconfig_enabled && text != self.configs.active.text;
        let told = is_other.then(|| (self.settings.codec.of_text)(text))?;
        told.filter(|told| told.version > self.configs.active.version)
    }

    /// A configuration has been proposed. Who lags comes past one that it knows to be in force.
    pub(super) fn see(&mut self, config: Config, out: &mut Vec<Output>) {
        if config.version <= self.configs.active.version {
            return;
        }
        self.forget_heard_until(config.version, out);
        let config = Arc::new(config);
        self.configs.seen = Some(Arc::clone(&config));
        out.push(Output::ConfigSeen(Some(config)));
    }

    /// A peer has a configuration in its log that we may not have. A voter alone is believed, and
    /// only that somebody may lead and where it is: whoever leads asks a quorum of all configurations
    /// that it has, as ever.
    pub(super) fn hear(&mut self, from: ServerId, text: &str, out: &mut Vec<Output>) {
        let configs = &self.configs;
        let known = configs.heard.iter().chain(&configs.seen);
        if text.is_empty()
            || !self.settings.reconfig_enabled
            || !configs.active.membership.is_voter(from)
            || known.into_iter().any(|known| known.text == text)
        {
            return;
        }
        let newest = configs.heard.as_ref().unwrap_or(configs.newest()).version;
        if let Some(told) = (self.settings.codec.of_text)(text)
            && told.version > newest
        {
            let told = Arc::new(told);
            self.configs.heard = Some(Arc::clone(&told));
            out.push(Output::ConfigHeard(Some(told)));
        }
    }

    /// What we have heard of matters no longer: we have it or a newer one, or a leader that will tell.
    pub(super) fn forget_heard(&mut self, out: &mut Vec<Output>) {
        if self.configs.heard.take().is_some() {
            out.push(Output::ConfigHeard(None));
        }
    }

    fn forget_heard_until(&mut self, version: Zxid, out: &mut Vec<Output>) {
        let heard = self.configs.heard.as_ref();
        if heard.is_some_and(|heard| heard.version <= version) {
            self.forget_heard(out);
        }
    }

    /// The log may hold a newer configuration than the files beside it, or may have lost the
    /// transaction of the one that they hold: nobody was told that it is here, then, and its quorum
    /// is not waited for.
    pub(super) fn see_logged(&mut self, out: &mut Vec<Output>) {
        let seen = self.configs.seen().map(|seen| seen.version);
        if seen.is_some_and(|seen| seen.counter() > 0 && seen > self.history.end()) {
            self.forget_seen(out);
        }
        let logged = self.history.recent().iter().rev();
        let newest = logged
            .filter_map(|entry| self.config_of_proposal(&entry.payload))
            .next();
        if let Some(newest) = newest
            && newest.version > self.configs.newest().version
        {
            self.see(newest, out);
        }
    }

    /// What was proposed is not what the ensemble has agreed on.
    pub(super) fn forget_seen(&mut self, out: &mut Vec<Output>) {
        if self.configs.seen.take().is_some() {
            out.push(Output::ConfigSeen(None));
        }
    }

    /// The log behind `to` is gone, and with it what was proposed there.
    pub(super) fn forget_seen_behind(&mut self, to: Zxid, out: &mut Vec<Output>) {
        if self
            .configs
            .seen
            .as_ref()
            .is_some_and(|seen| seen.version > to)
        {
            self.forget_seen(out);
        }
    }

    /// A configuration that never had a version gets its epoch's first position for one, so that it
    /// counts more than those of members that are about to join (ZOOKEEPER-1783).
    pub(super) fn establish(&mut self, version: Zxid, out: &mut Vec<Output>) {
        if self.settings.reconfig_enabled && self.configs.newest().version == Zxid::ZERO {
            let established = self.configs.active.at_version(version);
            self.see(established, out);
        }
    }

    /// Puts a configuration in force.
    pub(super) fn activate(&mut self, config: Arc<Config>, out: &mut Vec<Output>) -> Activated {
        let me = self.settings.me;
        let role = self.configs.role(me);
        if let Some(seen) = &self.configs.seen
            && seen.version <= config.version
        {
            self.configs.seen = None;
        }
        self.forget_heard_until(config.version, out);
        self.configs.active = Arc::clone(&config);
        out.push(Output::ConfigActivated(config));
        Activated {
            role_changed: self.configs.role(me) != role,
        }
    }

    /// Who leads once `next` is in force: we, where we may and our address stays, or the follower
    /// that has acknowledged most. `acked` is what each learner with a vote in it has acknowledged.
    pub(super) fn designated_leader(
        &self,
        next: &Config,
        acked: impl IntoIterator<Item = (ServerId, Zxid)>,
    ) -> ServerId {
        let me = self.settings.me;
        if self.configs.active.keeps_leader(me, next) {
            return me;
        }
        acked
            .into_iter()
            .filter(|(id, _)| *id != me && next.membership.may_lead(*id))
            .max_by_key(|(id, zxid)| (*zxid, *id))
            .map_or(me, |(id, _)| id)
    }
}
