//! Ensembles that change: who changes them, what a leader refuses, and what must hold.

use super::checks::Fault;
use super::disk::Txn;
use super::roster::{CODEC, Roster};
use super::world::{World, place, server_id, trace};
use crate::ids::{Epoch, ServerId, Zxid};
use crate::zab::{Codec, Config, Input, Membership, Role};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

impl World {
    /// Who belongs to the ensemble at first.
    pub(crate) fn first_config(&self) -> Config {
        let (voters, observers) = (self.config.voters, self.config.observers);
        if self.config.spares.is_some() {
            let roster = Roster {
                voters: (0..voters).collect(),
                observers: (voters..voters + observers).collect(),
                moves: BTreeMap::new(),
            };
            return roster.config(Zxid::ZERO);
        }
        let weigh = |(who, weight): &(usize, i64)| (server_id(*who), *weight);
        let groups = self.config.groups.iter();
        let groups = groups.map(|group| group.iter().map(weigh).collect::<BTreeMap<_, _>>());
        let voting = (0..voters).map(server_id);
        let observing = (voters..voters + observers).map(server_id);
        Config::fixed(Membership::new(voting, observing).with_groups(groups.collect()))
    }

    pub(crate) fn codec(&self) -> Codec {
        match self.config.spares {
            Some(_) => CODEC,
            None => Codec::NONE,
        }
    }

    /// The newest configuration that is in force on any disk.
    pub(crate) fn newest_config(&self) -> Config {
        self.newest_config_without(usize::MAX)
    }

    fn newest_config_without(&self, who: usize) -> Config {
        let others = self.members.iter().enumerate();
        let others = others.filter(|(other, _)| *other != who);
        let configs = others.filter_map(|(_, member)| member.disk.config.as_ref());
        let newest = configs.max_by_key(|config| config.version);
        newest.map_or_else(|| self.first_config(), |newest| Config::clone(newest))
    }

    /// What a member's disk says of the ensemble; an empty one's has been told what is so now, by
    /// whoever made it.
    pub(crate) fn config_on_disk(&self, who: usize) -> Config {
        match &self.members[who].disk.config {
            Some(config) => Config::clone(config),
            None if self.config.spares.is_some() => {
                Roster::of(&self.newest_config()).config(Zxid::ZERO)
            }
            None => self.first_config(),
        }
    }

    /// Whether the others that vote, each with a disk that counts, are a quorum, of the newest
    /// configuration and of all that have been proposed since.
    pub(crate) fn remembers_without(&self, who: usize) -> bool {
        // The one who goes may be the only one that knows of a configuration that it is in force.
        let (left, newest) = (self.newest_config_without(who), self.newest_config());
        let seen = self.members.iter();
        let seen = seen.filter_map(|member| member.disk.config_seen.as_deref());
        let seen = seen.filter(|seen| seen.version > left.version);
        [&left, &newest].into_iter().chain(seen).all(|config| {
            let others = (0..self.members.len())
                .filter(|other| *other != who && self.members[*other].disk.is_initialized());
            let membership = &config.membership;
            !membership.is_voter(server_id(who)) || membership.is_quorum(others.map(server_id))
        })
    }

    /// Whether they need a person's help, though everybody runs: the voters in force can't lead
    /// without one that knows nothing of the reconfiguration under way, nor with those alone whose
    /// logs are not ahead of theirs; and who is ahead gets its vote from that reconfiguration only, so
    /// that who does not know it would neither vote for it nor know where it is.
    pub(crate) fn is_stranded(&self) -> bool {
        let known = |who: usize| self.members[who].zab.as_ref()?.config_seen();
        let Some(next) = (0..self.members.len())
            .filter_map(known)
            .max_by_key(|config| config.version)
        else {
            return false;
        };
        let active = self.newest_config().membership;
        let history = |who: &usize| {
            let disk = &self.members[*who].disk;
            (disk.current_epoch.max(disk.end().epoch()), disk.end())
        };
        let disks =
            || (0..self.members.len()).filter(|who| self.members[*who].disk.is_initialized());
        let informed = || {
            disks().filter(|who| known(*who).is_some_and(|config| config.version == next.version))
        };
        let votes = |who: &usize| active.is_voter(server_id(*who));
        let Some(best) = informed().filter(votes).map(|who| history(&who)).max() else {
            return false;
        };
        let ahead = disks().filter(|who| !votes(who) && history(who) > best);
        let level = disks().filter(|who| history(who) <= best);
        !active.is_quorum(informed().map(server_id))
            && ahead.count() > 0
            && !next.membership.is_quorum(level.map(server_id))
    }

    /// Somebody wants the ensemble to be another. False where the leader refuses.
    pub(crate) fn reconfigure(&mut self) -> Result<bool, Fault> {
        let Some(leader) = self.leader().filter(|_| self.config.spares.is_some()) else {
            return Ok(false);
        };
        let Some(zab) = &self.members[leader].zab else {
            return Ok(false);
        };
        let mut roster = Roster::of(zab.config());
        for _ in 0..[1, 1, 1, 1, 2, 3, 6][self.random.below(7)] {
            self.one_change(leader, &mut roster);
        }
        self.propose_roster(leader, &roster)
    }

    /// Any member into any role, the leader too; or the leader's address is another.
    fn one_change(&mut self, leader: usize, roster: &mut Roster) {
        let members = self.members.len();
        let who = if self.random.chance(20) {
            leader
        } else {
            self.random.below(members)
        };
        match self.random.below(7) {
            0..3 => roster.add_voter(who),
            3 => roster.add_observer(who),
            4 | 5 => roster.remove(who),
            _ => *roster.moves.entry(who).or_default() += 1,
        }
    }

    /// Proposes a configuration where a leader may. Source: `PrepRequestProcessor.java`, reconfig.
    pub(crate) fn propose_roster(&mut self, leader: usize, roster: &Roster) -> Result<bool, Fault> {
        let Some(zab) = &self.members[leader].zab else {
            return Ok(false);
        };
        let Some(zxid) = zab.next_zxid() else {
            return Ok(false);
        };
        if zab.config_seen().is_some() {
            return Ok(false);
        }
        let in_flight = zab.history().pending().iter();
        let in_flight = in_flight.filter(|entry| (CODEC.of_proposal)(&entry.payload).is_some());
        if in_flight.count() > 0 {
            return Err(format!(
                "leader {leader} would take a second configuration while one is in flight"
            ));
        }
        let synced = zab.learners().into_iter();
        let synced = synced.filter(|learner| learner.synced && learner.role == Role::Participant);
        let synced = synced.map(|learner| learner.id).chain([server_id(leader)]);
        let config = roster.config(zxid);
        // Whoever asks sees to it that disks which remember are a quorum of the next ensemble: the
        // leader may not have noticed yet that a member is gone.
        let remembers = |id: &ServerId| {
            let member = &self.members[place(*id)];
            member.is_up() && member.disk.is_initialized() && !member.forgotten
        };
        let synced = synced.filter(remembers).collect::<Vec<_>>();
        if !config.membership.is_quorum(synced) {
            return Ok(false);
        }
        trace!(self, "{leader} is asked for {:?}", config.text);
        let txn = self.new_txn(leader, zxid)?;
        let mut entry = txn.entry();
        let payload = [&entry.payload[..], config.text.as_bytes()].concat();
        entry.payload = Bytes::from(payload);
        self.rosters_proposed += 1;
        self.input(leader, Input::Propose { entry })?;
        Ok(true)
    }

    /// What is proposed next: nobody ever proposed it before.
    pub(crate) fn new_txn(&mut self, who: usize, zxid: Zxid) -> Result<Txn, Fault> {
        if zxid.counter() > self.config.counter_max {
            return Err(format!(
                "member {who} proposes {zxid}, past the epoch's end"
            ));
        }
        self.next_payload += 1;
        self.proposals += 1;
        let value = self.next_payload;
        let txn = Txn { zxid, value };
        self.checks.proposed(who, txn)?;
        Ok(txn)
    }

    /// A configuration is in force at a member.
    pub(crate) fn activated(&mut self, who: usize, config: Arc<Config>) -> Result<(), Fault> {
        let members = config.text.split("\nversion=").next().unwrap_or_default();
        // One that was there at first only gets a version with its first epoch.
        let is_new = self.checks.in_force(config.version, members)?;
        self.rosters_in_force += u64::from(is_new && config.version.counter() > 0);
        let before = self.config_on_disk(who);
        if config.version < before.version {
            return Err(format!(
                "member {who} goes back from configuration {} to {}",
                before.version, config.version
            ));
        }
        let member = &self.members[who];
        if member.listening && !member.serving {
            // A leader completes it with its own history: with quorums of both.
            let epoch = member.disk.current_epoch;
            self.check_followed(who, epoch, &before)?;
            self.check_followed(who, epoch, &config)?;
        }
        let disk = &mut self.members[who].disk;
        let is_passed = |seen: &Arc<Config>| seen.version <= config.version;
        if disk.config_seen.as_ref().is_some_and(is_passed) {
            disk.config_seen = None;
        }
        self.members[who].disk.config = Some(config);
        Ok(())
    }

    /// A leader serves, or puts a configuration in force before it does, only with a quorum that
    /// has acknowledged its epoch.
    pub(crate) fn check_followed(
        &self,
        who: usize,
        epoch: Epoch,
        config: &Config,
    ) -> Result<(), Fault> {
        let followers = self.checks.vouchers(epoch.start());
        let all = followers
            .chain([who])
            .map(server_id)
            .collect::<Vec<ServerId>>();
        if config.membership.is_quorum(all.iter().copied()) {
            return Ok(());
        }
        Err(format!(
            "member {who} leads epoch {epoch}, followed by {all:?} only, which is no quorum of {:?}",
            config.text
        ))
    }

    /// Whether a member is one by the configuration that a leader lives by.
    pub(crate) fn belongs(&self, who: usize, leader: usize) -> bool {
        let Some(zab) = &self.members[leader].zab else {
            return false;
        };
        self.config.spares.is_none() || zab.config().membership.is_member(server_id(who))
    }

    /// Peace, for members whose ensemble has changed beyond what they know: whoever runs them writes
    /// the present configuration for those that know none of its voters.
    pub(crate) fn tell_the_forgotten(&mut self) -> Result<(), Fault> {
        if self.config.spares.is_none() {
            return Ok(());
        }
        let newest = self.newest_config();
        for who in 0..self.members.len() {
            let known = self.config_on_disk(who);
            let voters = known.membership.voters();
            let knows = voters
                .iter()
                .any(|id| newest.membership.is_voter(*id) && place(*id) != who);
            if !knows
                && newest.membership.is_member(server_id(who))
                && known.version < newest.version
            {
                self.crash(who, false);
                self.members[who].disk.config = Some(Arc::new(newest.clone()));
                self.members[who].disk.config_seen = None;
                self.start(who)?;
            }
        }
        Ok(())
    }
}
