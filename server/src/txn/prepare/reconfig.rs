//! Changing the ensemble. Source: `PrepRequestProcessor.java` pRequest2Txn, reconfig.

use super::{Desk, Prepared, marshalling};
use crate::ensemble::{Ensemble, HostPort, Member};
use crate::ids::ServerId;
use crate::jute::Record;
use crate::proto::change::ReconfigRequest;
use crate::proto::{ErrorCode, Perms};
use crate::tree::CONFIG_NODE;
use crate::txn::Txn;
use bytes::Bytes;
use std::collections::BTreeSet;

/// What a leader knows of its ensemble when somebody wants to change it.
#[derive(Clone, Debug)]
pub struct EnsembleView {
    /// The newest configuration, proposed or in force.
    pub ensemble: Ensemble,
    /// Whether it is proposed and not in force yet.
    pub in_progress: bool,
    /// Members, the leader too, that acknowledge and have caught up.
    pub synced: BTreeSet<ServerId>,
    /// `standaloneEnabled`: an ensemble may not shrink to one voter then.
    pub standalone_enabled: bool,
}

impl EnsembleView {
    /// Whether the voters of `next` that have caught up are a quorum of it.
    ///
    /// Java counts observers that have caught up, too. They never acknowledge, so that where a
    /// quorum needs one of them, its reconfiguration waits for ever and everything behind it; here
    /// it is refused. A member that is to vote joins unlisted, or listed as a participant.
    fn is_quorum_synced(&self, next: &Ensemble) -> bool {
        next.membership().is_quorum(self.synced.iter().copied())
    }
}

impl Desk<'_> {
    pub(super) fn reconfig(&mut self) -> Prepared {
        let request = ReconfigRequest::from_slice(&self.request.body).map_err(marshalling)?;
        if !self.settings.reconfig_enabled {
            return Err(ErrorCode::RECONFIG_DISABLED);
        }
        self.check_session()?;
        // A standalone server has no ensemble to change.
        let view = self.ensemble.ok_or(ErrorCode::UNIMPLEMENTED)?;
        if view.in_progress {
            return Err(ErrorCode::RECONFIG_IN_PROGRESS);
        }
        let expected = request.current_config_id;
        if expected != -1 && expected != view.ensemble.version {
            return Err(ErrorCode::BAD_VERSION);
        }
        let mut next = match &request.new_members {
            Some(members) => Ensemble::parse_strictly(&members.replace(',', "\n"))
                .map_err(|_| ErrorCode::BAD_ARGUMENTS)?,
            None => incremental(&view.ensemble, &request)?,
        };
        next.version = self.zxid.0;
        let voters = next.voters().count();
        if voters < if view.standalone_enabled { 2 } else { 1 } {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        if !view.is_quorum_synced(&next) {
            return Err(ErrorCode::NEW_CONFIG_NO_QUORUM);
        }
        let node = self.state(CONFIG_NODE)?;
        self.check_acl(&node, Perms::WRITE)?;
        let data = Bytes::from(next.to_string());
        let mut after = node.clone();
        after.stat.version = -1;
        after.stat.mtime = self.now;
        after.stat.mzxid = self.zxid;
        after.set_data(CONFIG_NODE, Some(&data));
        self.push(CONFIG_NODE, Some(&node), Some(after));
        Ok(Txn::SetData {
            path: CONFIG_NODE.to_owned(),
            data: Some(data),
            version: -1,
        })
    }
}

/// A list with commas between, blanks and empty parts left out. Source: `StringUtils.java` split.
fn parts(list: Option<&str>) -> impl Iterator<Item = &str> {
    let parts = list.unwrap_or_default().split(',').map(str::trim);
    parts.filter(|part| !part.is_empty())
}

/// The ensemble without those that leave and with those that join, or change.
fn incremental(last: &Ensemble, request: &ReconfigRequest) -> Result<Ensemble, ErrorCode> {
    if last.is_hierarchical() {
        // Nobody says to which group a joiner belongs.
        return Err(ErrorCode::BAD_ARGUMENTS);
    }
    let mut next = last.clone();
    for leaving in parts(request.leaving_servers.as_deref()) {
        // In Java a number that is none is an exception that nobody expected.
        let id = leaving.parse().map_err(|_| ErrorCode::MARSHALLING_ERROR)?;
        next.members.remove(&ServerId(id));
    }
    for joining in parts(request.joining_servers.as_deref()) {
        let member = joiner(joining)?;
        let others = next.members.values().filter(|other| other.id != member.id);
        if others
            .into_iter()
            .any(|other| shares_address(&member, other))
        {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        next.members.insert(member.id, member);
    }
    Ok(next)
}

/// `server.N=host:2888:3888[:role];[host:]2181`; who joins says where its clients connect.
fn joiner(text: &str) -> Result<Member, ErrorCode> {
    let mut halves = text.split('=').filter(|half| !half.is_empty());
    let (Some(key), Some(value), None) = (halves.next(), halves.next(), halves.next()) else {
        return Err(ErrorCode::BAD_ARGUMENTS);
    };
    let id = key.rsplit('.').next().unwrap_or_default().trim();
    let id = id.parse().map_err(|_| ErrorCode::MARSHALLING_ERROR)?;
    let member = Member::parse(ServerId(id), value.trim(), true);
    member
        .ok()
        .filter(|member| member.client.is_some())
        .ok_or(ErrorCode::BAD_ARGUMENTS)
}

/// Whether two members claim one address. What every machine has of its own does not count.
/// Source: `QuorumPeer.java` checkAddressDuplicate.
fn shares_address(one: &Member, other: &Member) -> bool {
    fn addresses(member: &Member) -> BTreeSet<HostPort> {
        let peers = member.addresses.iter();
        let peers = peers.flat_map(|address| [address.quorum(), address.election()]);
        peers
            .chain(member.client.clone())
            .filter(|address| !is_everywhere(&address.host))
            .collect()
    }
    !addresses(one).is_disjoint(&addresses(other))
}

fn is_everywhere(host: &str) -> bool {
    let number = host.parse::<core::net::IpAddr>();
    number.map_or(host == "localhost", |ip| {
        ip.is_unspecified() || ip.is_loopback()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ensemble() -> Ensemble {
        Ensemble::parse(
            "server.1=a:2888:3888:participant;0.0.0.0:2181\n\
             server.2=b:2888:3888:participant;0.0.0.0:2181\n\
             server.3=c:2888:3888:observer;0.0.0.0:2181\nversion=100000000",
        )
        .expect("an ensemble")
    }

    fn change(joining: &str, leaving: &str) -> Result<String, ErrorCode> {
        let request = ReconfigRequest {
            joining_servers: Some(joining.to_owned()),
            leaving_servers: Some(leaving.to_owned()),
            new_members: None,
            current_config_id: -1,
        };
        incremental(&ensemble(), &request).map(|next| next.to_string())
    }

    #[test]
    fn members_leave_join_and_change_in_one_request() {
        let next = change(
            "server.4=d:2888:3888;2181, server.3=c:2888:3888:participant;2181",
            "1",
        );
        assert_eq!(
            next.expect("a change"),
            "server.2=b:2888:3888:participant;0.0.0.0:2181\n\
             server.3=c:2888:3888:participant;0.0.0.0:2181\n\
             server.4=d:2888:3888:participant;0.0.0.0:2181\nversion=100000000"
        );
    }

    #[test]
    fn a_joiner_without_client_port_or_with_anothers_address_is_refused() {
        let refused = Err(ErrorCode::BAD_ARGUMENTS);
        assert_eq!(change("server.4=d:2888:3888", ""), refused);
        assert_eq!(change("server.4=a:2888:3999;2181", ""), refused);
        assert_eq!(change("server.4", ""), refused);
        assert_eq!(change("", "x"), Err(ErrorCode::MARSHALLING_ERROR));
        assert!(change("server.4=a:2889:3889;2181", "").is_ok());
        assert!(change("server.1=a:2888:3888:observer;2181", "").is_ok());
    }

    #[test]
    fn an_observer_that_has_caught_up_is_no_part_of_a_quorum_since_it_never_acknowledges() {
        let next = Ensemble::parse("server.1=a:1:2;3\nserver.3=c:1:2;3").expect("an ensemble");
        let mut view = EnsembleView {
            ensemble: ensemble(),
            in_progress: false,
            synced: BTreeSet::from([ServerId(1)]),
            standalone_enabled: false,
        };
        assert!(!view.is_quorum_synced(&next));
        view.synced.insert(ServerId(3));
        assert!(view.is_quorum_synced(&next));
    }
}
