//! What members owe each other, looked at as they speak.

use super::checks::Fault;
use super::spec::Triggered;
use super::world::{World, server_id};
use crate::ids::{ServerId, Zxid};
use crate::zab::{Input, LeaderMessage, LearnerMessage, Standing};

impl World {
    /// A leader commits only what a quorum has said is durable, itself by its disk.
    pub(crate) fn check_quorum(&self, who: usize, zxid: Zxid) -> Result<(), Fault> {
        let others = self.checks.vouchers(zxid).filter(|other| *other != who);
        let own = (self.members[who].disk.synced_end() >= zxid).then_some(who);
        let vouchers = others.chain(own).map(server_id).collect::<Vec<ServerId>>();
        let in_force = self.config_on_disk(who);
        // A reconfiguration needs both quorums.
        let seen = self.members[who].disk.config_seen.as_deref();
        let next = seen.filter(|seen| seen.version == zxid);
        for config in [&in_force].into_iter().chain(next) {
            if !config.membership.is_quorum(vouchers.iter().copied()) {
                return Err(format!(
                    "member {who} commits {zxid}, which is durable on {vouchers:?} only, no quorum \
                     of {:?}",
                    config.text
                ));
            }
        }
        Ok(())
    }

    /// A learner acknowledges only what its disk has synced.
    pub(crate) fn check_ack(&mut self, who: usize, message: &LearnerMessage) -> Result<(), Fault> {
        let LearnerMessage::Ack { zxid } = message else {
            return Ok(());
        };
        let member = &mut self.members[who];
        let epoch_begins = zxid.counter() == 0;
        let durable = if epoch_begins && !member.acked_newleader {
            member.acked_newleader = true;
            member.disk.synced_end() == member.disk.end()
        } else {
            epoch_begins || *zxid <= member.disk.synced_end()
        };
        if !durable || (epoch_begins && member.disk.current_epoch != zxid.epoch()) {
            return Err(format!(
                "member {who} acknowledges {zxid} with {} of {} synced in epoch {}",
                member.disk.synced_end(),
                member.disk.end(),
                member.disk.current_epoch
            ));
        }
        let epoch = member.disk.current_epoch;
        self.checks.vouches(who, epoch, *zxid);
        Ok(())
    }

    /// Why a leader may close a learner's connection; whatever else it says means that one of the
    /// two is wrong.
    pub(crate) fn check_closing(&mut self, who: usize, reason: &str) -> Result<(), Fault> {
        let what = match reason {
            "this member does not lead"
            | "the member has connected anew"
            | "its history is ahead of ours"
            | "its configuration is newer than ours"
            | "it agreed to a later epoch than ours"
            | "it was silent for too long" => return Ok(()),
            "it acknowledged an epoch out of turn" | "it introduced itself twice" => {
                Triggered::StateInconsistent
            }
            _ => Triggered::AckInconsistent,
        };
        self.checks.triggers(who, what, reason)
    }

    /// A learner hears its leader, and leaves it only where it agreed to a later epoch, or where
    /// the stream was tampered with.
    pub(crate) fn hear(
        &mut self,
        who: usize,
        message: LeaderMessage,
        tampered: bool,
    ) -> Result<(), Fault> {
        let Some(zab) = &self.members[who].zab else {
            return Ok(());
        };
        if !matches!(zab.standing(), Standing::Learning { .. }) {
            let why = format!("{message:?} while {:?}", zab.standing());
            return self.checks.triggers(who, Triggered::MessageIllegal, &why);
        }
        let what = match &message {
            LeaderMessage::Info { epoch } if *epoch < zab.accepted_epoch() => None,
            LeaderMessage::Proposal { .. } | LeaderMessage::Inform { .. } => {
                Some(Triggered::ProposalInconsistent)
            }
            LeaderMessage::Commit { .. } => Some(Triggered::CommitInconsistent),
            _ => Some(Triggered::StateInconsistent),
        };
        let roles = self.members[who].roles;
        self.input(who, Input::FromLeader { message })?;
        let member = &self.members[who];
        let left = member.is_up() && member.roles != roles && !member.reconfigured;
        match what {
            Some(what) if left && !tampered => {
                self.checks
                    .triggers(who, what, "its leader's message makes it leave")
            }
            _ => Ok(()),
        }
    }
}
