//! The ensemble as it changes: from configurations' texts to addresses, files, and what the leader
//! decides by. Source: `QuorumPeer.java` processReconfig.

use super::engine::{Engine, Order, Peers};
use crate::ensemble::{Ensemble, HostPort, PeerAddress};
use crate::ids::{ServerId, Zxid};
use crate::jute::Record;
use crate::net::peer::Bind;
use crate::proto::OpCode;
use crate::txn::{EnsembleView, Txn, TxnEntry};
use crate::zab::{Codec, Config, Standing};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::{error, info, warn};

/// Where a transaction's type stands in its bytes: behind session, cxid, zxid and time.
const OP_AT: usize = 28;

/// How consensus reads configurations.
pub(super) const CODEC: Codec = Codec {
    of_text: |text| {
        Ensemble::parse(text)
            .ok()
            .map(|ensemble| for_zab(&ensemble))
    },
    of_proposal,
};

fn of_proposal(payload: &[u8]) -> Option<Config> {
    let op = payload.get(OP_AT..OP_AT + 4)?;
    if op != OpCode::RECONFIG.0.to_be_bytes() {
        return None;
    }
    let entry = TxnEntry::from_slice(payload).ok()?;
    let Txn::SetData { data, .. } = entry.txn else {
        return None;
    };
    let ensemble = Ensemble::parse(std::str::from_utf8(&data?).ok()?).ok()?;
    Some(for_zab(&ensemble))
}

/// An ensemble as consensus sees it.
pub(super) fn for_zab(ensemble: &Ensemble) -> Config {
    let members = ensemble.members.values();
    Config {
        version: Zxid(ensemble.version),
        membership: ensemble.membership(),
        text: ensemble.to_string(),
        leader_addresses: members
            .map(|member| {
                let addresses = member.addresses.iter();
                let addresses = addresses.map(|address| address.quorum().to_string());
                (member.id, addresses.collect::<Vec<_>>().join("|"))
            })
            .collect(),
    }
}

/// Its own text, read back; a text that was read once can be read again.
fn parsed(config: &Config) -> Ensemble {
    Ensemble::parse(&config.text).unwrap_or_default()
}

impl Engine {
    /// A configuration has been proposed, or does not count any longer.
    pub(super) fn config_seen(&mut self, seen: Option<&Config>) {
        match seen {
            Some(seen) => info!(version = %seen.version, "a new configuration is proposed"),
            None => info!("the proposed configuration is not the ensemble's"),
        }
        if let Some(peers) = &mut self.peers {
            // The log has it, too: a member that can't write here forgets nothing.
            if let Err(error) = peers.files.set_next(seen.map(|seen| seen.text.as_str())) {
                error!(%error, "the proposed configuration is not kept");
            }
            peers.seen = seen.map(parsed);
            peers.meet();
        }
    }

    /// A peer says that a configuration has been proposed that we don't have.
    pub(super) fn config_heard(&mut self, heard: Option<&Config>) {
        if let Some(heard) = heard {
            info!(version = %heard.version, "another member has a newer configuration, which is not in force");
        }
        if let Some(peers) = &mut self.peers {
            peers.heard = heard.map(parsed);
            peers.meet();
        }
    }

    /// A configuration is in force from now on.
    pub(super) fn config_activated(&mut self, config: &Arc<Config>) {
        info!(version = %config.version, members = ?config.membership.voters(), observers = ?config.membership.observers(), "the configuration is in force");
        self.status_is_stale = true;
        {
            let mut status = self.service.status.write();
            status.config_version = config.version.0;
            status.config_text.clone_from(&config.text);
        }
        let Some(peers) = &mut self.peers else { return };
        let seen = peers.seen.take_if(|seen| seen.version <= config.version.0);
        let is_passed = seen.is_some();
        // What was proposed has been read already.
        let known = seen.filter(|seen| seen.version == config.version.0);
        let ensemble = known.unwrap_or_else(|| parsed(config));
        let own = ensemble.members.get(&self.me);
        let lists_client = own.is_some_and(|own| own.client.is_some());
        match peers
            .files
            .set_current(config.version.0, &config.text, lists_client)
        {
            Ok(true) => {}
            Ok(false) => {
                info!("zoo.cfg can't be written and still names the configuration before");
            }
            Err(error) => error!(%error, "the configuration is not kept"),
        }
        if is_passed && let Err(error) = peers.files.set_next(None) {
            warn!(%error, "the file of the proposed configuration stays behind");
        }
        if let Some(own) = own {
            peers.move_to(own.address());
            if let Some(client) = &own.client {
                self.client_place.send_if_modified(|place| {
                    let moves = place.as_ref() != Some(client);
                    if moves {
                        *place = Some(client.clone());
                    }
                    moves
                });
                self.service.status.write().client_port = Some(client.port);
            }
        }
        peers.active = ensemble;
        peers.meet();
    }

    /// What a leader decides by about a reconfig; `None` for who does not lead an ensemble.
    pub(super) fn ensemble_view(&self) -> Option<EnsembleView> {
        let (Order::Ensemble(zab), Some(peers)) = (&self.order, &self.peers) else {
            return None;
        };
        let Standing::Leading { serving: true } = zab.standing() else {
            return None;
        };
        let learners = zab.learners().into_iter();
        let synced = learners
            .filter(|learner| learner.synced && learner.role == crate::zab::Role::Participant)
            .map(|learner| learner.id);
        Some(EnsembleView {
            ensemble: peers.seen.clone().unwrap_or_else(|| peers.active.clone()),
            in_progress: zab.config_seen().is_some(),
            synced: synced.chain([self.me]).collect(),
            standalone_enabled: peers.standalone_enabled,
        })
    }
}

/// Where a member with this address listens.
pub(super) fn bind(listen_on_all_ips: bool, address: HostPort) -> Bind {
    if listen_on_all_ips {
        Bind::AllAddresses(address.port)
    } else {
        Bind::Named(address)
    }
}

impl Peers {
    /// Listens where the configuration says that this member does.
    fn move_to(&mut self, own: &PeerAddress) {
        if own.election() != self.own.election() {
            let bind = bind(self.listen_on_all_ips, own.election());
            self.election.move_to(own.election().to_string(), bind);
        }
        if own.quorum() != self.own.quorum() {
            let bind = bind(self.listen_on_all_ips, own.quorum());
            self.learners.move_to(&self.runtime, bind);
        }
        self.own = own.clone();
    }

    /// Talks to the members of the configurations that there are, and to nobody else.
    pub(super) fn meet(&mut self) {
        let mut election: BTreeMap<ServerId, HostPort> = BTreeMap::new();
        self.quorum_addresses.clear();
        // Later ones take the place of those before them.
        let all = self.heard.iter().chain(&self.seen).chain([&self.active]);
        for member in all.flat_map(|ensemble| ensemble.members.values()) {
            election.insert(member.id, member.address().election());
            self.quorum_addresses
                .insert(member.id, member.address().quorum());
        }
        self.election.set_peers(&election);
    }
}
