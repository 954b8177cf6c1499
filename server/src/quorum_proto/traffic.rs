//! Packets with their meaning: what learners and leaders say, in both directions.

use super::ZAB_PROTOCOL_VERSION;
use super::packet::{PacketType, QuorumPacket};
use crate::ids::{Epoch, ServerId, SessionId, Xid, Zxid};
use crate::jute::{JuteError, Reader, Writer};
use crate::proto::{Id, OpCode};
use crate::zab::{LeaderMessage, LearnerMessage, Role};
use bytes::Bytes;

/// Why a packet ends the connection that it came on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// A packet type that this direction does not know.
    #[error("a packet of type {} makes no sense here", .0.0)]
    Type(PacketType),
    /// Content that is not what the type says.
    #[error("the content of a packet of type {} is malformed: {source}", kind.0)]
    Content {
        /// The packet's type.
        kind: PacketType,
        /// What is wrong.
        source: JuteError,
    },
}

/// From a learner to its leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromLearner {
    /// For consensus.
    Zab(LearnerMessage),
    /// PING's answer: the sessions heard from, with their timeouts in milliseconds.
    Ping {
        /// The sessions.
        touched: Vec<(SessionId, i32)>,
    },
    /// REVALIDATE: does this session live?
    Revalidate {
        /// The session.
        session: SessionId,
        /// Its timeout in milliseconds.
        timeout_ms: i32,
    },
    /// REQUEST: a client's request.
    Request {
        /// The client's session.
        session: SessionId,
        /// The client's number of the request.
        cxid: Xid,
        /// What it asks for.
        op: OpCode,
        /// The request's record.
        body: Bytes,
        /// The client's identities.
        auth: Vec<Id>,
    },
}

/// From a leader to a learner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromLeader {
    /// For consensus. SNAP's tree follows behind the packet.
    Zab(LeaderMessage),
    /// REVALIDATE's answer.
    Revalidated {
        /// The session.
        session: SessionId,
        /// Whether it lives.
        valid: bool,
    },
    /// SYNC: everything committed before your request has been sent.
    Sync,
}

fn packet(kind: PacketType, zxid: i64, data: Option<Vec<u8>>) -> QuorumPacket {
    QuorumPacket {
        kind,
        zxid,
        data: data.map(Bytes::from),
        auth: None,
    }
}

impl FromLearner {
    /// The packet that says this.
    #[must_use]
    pub fn encode(self) -> QuorumPacket {
        match self {
            FromLearner::Zab(LearnerMessage::Info {
                id,
                role,
                accepted_epoch,
                config_version,
            }) => {
                let mut data = Writer::new();
                data.long(id.0);
                data.int(ZAB_PROTOCOL_VERSION);
                data.long(config_version);
                let kind = match role {
                    Role::Participant => PacketType::FOLLOWER_INFO,
                    Role::Observer => PacketType::OBSERVER_INFO,
                };
                packet(kind, accepted_epoch.start().0, Some(data.into_vec()))
            }
            FromLearner::Zab(LearnerMessage::AckEpoch {
                last_logged,
                current_epoch,
            }) => {
                // 32 bits on the wire, as in `Learner.java`; an epoch is half of a zxid.
                #[allow(clippy::cast_possible_truncation)]
                let epoch = current_epoch.map_or(-1, |epoch| epoch.0 as i32);
                packet(
                    PacketType::ACK_EPOCH,
                    last_logged.map_or(-1, |zxid| zxid.0),
                    Some(epoch.to_be_bytes().to_vec()),
                )
            }
            FromLearner::Zab(LearnerMessage::Ack { zxid }) => packet(PacketType::ACK, zxid.0, None),
            FromLearner::Ping { touched } => {
                let mut data = Writer::new();
                for (session, timeout_ms) in touched {
                    data.long(session.0);
                    data.int(timeout_ms);
                }
                packet(PacketType::PING, 0, Some(data.into_vec()))
            }
            FromLearner::Revalidate {
                session,
                timeout_ms,
            } => {
                let mut data = Writer::new();
                data.long(session.0);
                data.int(timeout_ms);
                packet(PacketType::REVALIDATE, -1, Some(data.into_vec()))
            }
            FromLearner::Request {
                session,
                cxid,
                op,
                body,
                auth,
            } => {
                let mut data = Writer::new();
                data.long(session.0);
                data.int(cxid.0);
                data.int(op.0);
                data.raw(&body);
                QuorumPacket {
                    auth: Some(auth),
                    ..packet(PacketType::REQUEST, -1, Some(data.into_vec()))
                }
            }
        }
    }

    /// What a learner's packet says.
    ///
    /// # Errors
    /// [`PacketError`]; the connection is of no more use then.
    pub fn decode(packet: QuorumPacket) -> Result<Self, PacketError> {
        let kind = packet.kind;
        Self::decode_content(packet)
            .map_err(|source| PacketError::Content { kind, source })?
            .ok_or(PacketError::Type(kind))
    }

    fn decode_content(packet: QuorumPacket) -> Result<Option<Self>, JuteError> {
        let data = packet.data.unwrap_or_default();
        let mut input = Reader::new(&data);
        Ok(Some(match packet.kind {
            PacketType::FOLLOWER_INFO | PacketType::OBSERVER_INFO => {
                let id = ServerId(input.long()?);
                let version = input.int()?;
                if version < ZAB_PROTOCOL_VERSION {
                    return Err(JuteError::BadValue {
                        what: "the protocol version of a learner",
                        value: i64::from(version),
                    });
                }
                FromLearner::Zab(LearnerMessage::Info {
                    id,
                    role: if packet.kind == PacketType::OBSERVER_INFO {
                        Role::Observer
                    } else {
                        Role::Participant
                    },
                    accepted_epoch: Zxid(packet.zxid).epoch(),
                    config_version: if input.is_empty() { 0 } else { input.long()? },
                })
            }
            PacketType::ACK_EPOCH => {
                let epoch = input.int()?;
                FromLearner::Zab(LearnerMessage::AckEpoch {
                    last_logged: (packet.zxid != -1).then_some(Zxid(packet.zxid)),
                    current_epoch: (epoch != -1).then_some(Epoch(i64::from(epoch))),
                })
            }
            PacketType::ACK => FromLearner::Zab(LearnerMessage::Ack {
                zxid: Zxid(packet.zxid),
            }),
            PacketType::PING => {
                let mut touched = Vec::new();
                while !input.is_empty() {
                    touched.push((SessionId(input.long()?), input.int()?));
                }
                FromLearner::Ping { touched }
            }
            PacketType::REVALIDATE => FromLearner::Revalidate {
                session: SessionId(input.long()?),
                timeout_ms: input.int()?,
            },
            PacketType::REQUEST => {
                let session = SessionId(input.long()?);
                let cxid = Xid(input.int()?);
                let op = OpCode(input.int()?);
                let body = data.slice(data.len() - input.rest().len()..);
                FromLearner::Request {
                    session,
                    cxid,
                    op,
                    body,
                    auth: packet.auth.unwrap_or_default(),
                }
            }
            _ => return Ok(None),
        }))
    }
}

impl FromLeader {
    /// The packet that says this.
    #[must_use]
    pub fn encode(self) -> QuorumPacket {
        match self {
            FromLeader::Zab(message) => encode_zab(message),
            FromLeader::Revalidated { session, valid } => {
                let mut data = Writer::new();
                data.long(session.0);
                data.boolean(valid);
                packet(PacketType::REVALIDATE, -1, Some(data.into_vec()))
            }
            FromLeader::Sync => packet(PacketType::SYNC, 0, None),
        }
    }

    /// What a leader's packet says.
    ///
    /// # Errors
    /// [`PacketError`]; the connection is of no more use then.
    pub fn decode(packet: QuorumPacket) -> Result<Self, PacketError> {
        let kind = packet.kind;
        Self::decode_content(packet)
            .map_err(|source| PacketError::Content { kind, source })?
            .ok_or(PacketError::Type(kind))
    }

    fn decode_content(packet: QuorumPacket) -> Result<Option<Self>, JuteError> {
        let zxid = Zxid(packet.zxid);
        let data = packet.data.unwrap_or_default();
        let mut input = Reader::new(&data);
        Ok(Some(FromLeader::Zab(match packet.kind {
            PacketType::LEADER_INFO => LeaderMessage::Info {
                epoch: zxid.epoch(),
            },
            PacketType::DIFF => LeaderMessage::Diff { zxid },
            PacketType::TRUNC => LeaderMessage::Trunc { zxid },
            PacketType::SNAP => LeaderMessage::Snap { zxid },
            PacketType::PROPOSAL => LeaderMessage::Proposal {
                zxid,
                payload: data,
            },
            PacketType::COMMIT => LeaderMessage::Commit { zxid },
            PacketType::INFORM => LeaderMessage::Inform {
                zxid,
                payload: data,
            },
            PacketType::COMMIT_AND_ACTIVATE => LeaderMessage::CommitAndActivate {
                zxid,
                leader: ServerId(input.long()?),
            },
            PacketType::INFORM_AND_ACTIVATE => {
                let leader = ServerId(input.long()?);
                LeaderMessage::InformAndActivate {
                    zxid,
                    payload: data.slice(data.len() - input.rest().len()..),
                    leader,
                }
            }
            PacketType::NEW_LEADER => LeaderMessage::NewLeader {
                zxid,
                config_text: String::from_utf8_lossy(&data).into_owned(),
            },
            PacketType::UP_TO_DATE => LeaderMessage::UpToDate,
            PacketType::PING => LeaderMessage::Ping { zxid },
            PacketType::REVALIDATE => {
                return Ok(Some(FromLeader::Revalidated {
                    session: SessionId(input.long()?),
                    valid: input.boolean()?,
                }));
            }
            PacketType::SYNC => return Ok(Some(FromLeader::Sync)),
            _ => return Ok(None),
        })))
    }
}

fn encode_zab(message: LeaderMessage) -> QuorumPacket {
    match message {
        LeaderMessage::Info { epoch } => packet(
            PacketType::LEADER_INFO,
            epoch.start().0,
            Some(ZAB_PROTOCOL_VERSION.to_be_bytes().to_vec()),
        ),
        LeaderMessage::Diff { zxid } => packet(PacketType::DIFF, zxid.0, None),
        LeaderMessage::Trunc { zxid } => packet(PacketType::TRUNC, zxid.0, None),
        LeaderMessage::Snap { zxid } => packet(PacketType::SNAP, zxid.0, None),
        LeaderMessage::Proposal { zxid, payload } => QuorumPacket {
            data: Some(payload),
            ..packet(PacketType::PROPOSAL, zxid.0, None)
        },
        LeaderMessage::Commit { zxid } => packet(PacketType::COMMIT, zxid.0, None),
        LeaderMessage::Inform { zxid, payload } => QuorumPacket {
            data: Some(payload),
            ..packet(PacketType::INFORM, zxid.0, None)
        },
        LeaderMessage::CommitAndActivate { zxid, leader } => packet(
            PacketType::COMMIT_AND_ACTIVATE,
            zxid.0,
            Some(leader.0.to_be_bytes().to_vec()),
        ),
        LeaderMessage::InformAndActivate {
            zxid,
            payload,
            leader,
        } => {
            let mut data = leader.0.to_be_bytes().to_vec();
            data.extend_from_slice(&payload);
            packet(PacketType::INFORM_AND_ACTIVATE, zxid.0, Some(data))
        }
        LeaderMessage::NewLeader { zxid, config_text } => packet(
            PacketType::NEW_LEADER,
            zxid.0,
            Some(config_text.into_bytes()),
        ),
        LeaderMessage::UpToDate => packet(PacketType::UP_TO_DATE, -1, None),
        LeaderMessage::Ping { zxid } => packet(PacketType::PING, zxid.0, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Record;

    #[test]
    fn every_learner_packet_is_read_back_as_written() {
        let all = [
            FromLearner::Zab(LearnerMessage::Info {
                id: ServerId(3),
                role: Role::Observer,
                accepted_epoch: Epoch(7),
                config_version: 0x1_0000_0000,
            }),
            FromLearner::Zab(LearnerMessage::AckEpoch {
                last_logged: None,
                current_epoch: None,
            }),
            FromLearner::Zab(LearnerMessage::AckEpoch {
                last_logged: Some(Zxid(0x2_0000_0001)),
                current_epoch: Some(Epoch(2)),
            }),
            FromLearner::Zab(LearnerMessage::Ack { zxid: Zxid(9) }),
            FromLearner::Ping {
                touched: vec![(SessionId(1), 2), (SessionId(-3), 4)],
            },
            FromLearner::Revalidate {
                session: SessionId(5),
                timeout_ms: 6,
            },
            FromLearner::Request {
                session: SessionId(5),
                cxid: Xid(6),
                op: OpCode::CREATE,
                body: Bytes::from_static(b"body"),
                auth: vec![Id::new("ip", "127.0.0.1")],
            },
        ];
        for said in all {
            let bytes = said.clone().encode().to_vec();
            let packet = QuorumPacket::from_slice(&bytes).expect("a packet");
            assert_eq!(FromLearner::decode(packet), Ok(said));
        }
    }

    #[test]
    fn every_leader_packet_is_read_back_as_written() {
        let zxid = Zxid(0x2_0000_0001);
        let payload = Bytes::from_static(b"txn");
        let all = [
            FromLeader::Zab(LeaderMessage::Info { epoch: Epoch(2) }),
            FromLeader::Zab(LeaderMessage::Diff { zxid }),
            FromLeader::Zab(LeaderMessage::Trunc { zxid }),
            FromLeader::Zab(LeaderMessage::Snap { zxid }),
            FromLeader::Zab(LeaderMessage::Proposal {
                zxid,
                payload: payload.clone(),
            }),
            FromLeader::Zab(LeaderMessage::Commit { zxid }),
            FromLeader::Zab(LeaderMessage::Inform {
                zxid,
                payload: payload.clone(),
            }),
            FromLeader::Zab(LeaderMessage::CommitAndActivate {
                zxid,
                leader: ServerId(3),
            }),
            FromLeader::Zab(LeaderMessage::InformAndActivate {
                zxid,
                payload,
                leader: ServerId(3),
            }),
            FromLeader::Zab(LeaderMessage::NewLeader {
                zxid,
                config_text: "version=0".into(),
            }),
            FromLeader::Zab(LeaderMessage::UpToDate),
            FromLeader::Zab(LeaderMessage::Ping { zxid }),
            FromLeader::Revalidated {
                session: SessionId(5),
                valid: true,
            },
            FromLeader::Sync,
        ];
        for said in all {
            let bytes = said.clone().encode().to_vec();
            let packet = QuorumPacket::from_slice(&bytes).expect("a packet");
            assert_eq!(FromLeader::decode(packet), Ok(said));
        }
    }
}
