//! Election notifications. Source: `FastLeaderElection.java` buildMsg and WorkerReceiver.

use crate::ids::{Epoch, ServerId, Zxid};
use crate::jute::{JuteError, Reader, Writer};
use crate::zab::{Notification, PeerState, Vote};

/// The form that carries the configuration, since 3.5.
const VERSION: i32 = 2;
/// Bytes of the form without peer epoch.
const LEGACY_28: usize = 28;
/// Bytes of the form without version.
const LEGACY_40: usize = 40;

/// Behind the configuration's text and before one that is only proposed, each line of which is a
/// comment too: Apache's members, which know nothing of it, read past it.
/// Source: `FastLeaderElection.java` WorkerReceiver, `QuorumPeer.java` configFromString.
const PROPOSED: &str = "\n#proposed\n#";

/// Why a notification is ignored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotificationError {
    /// Shorter than any form, or a length inside that makes no sense.
    #[error("a malformed election notification of {len} bytes: {source}")]
    Malformed {
        /// Bytes that came.
        len: usize,
        /// What is wrong.
        source: JuteError,
    },
    /// A state that no peer has.
    #[error("an election notification with the unknown state {0}")]
    State(i32),
}

/// The body of a frame with this notification.
#[must_use]
pub fn encode_notification(notification: &Notification) -> Vec<u8> {
    let mut out = Writer::new();
    out.int(match notification.state {
        PeerState::Looking => 0,
        PeerState::Following => 1,
        PeerState::Leading => 2,
        PeerState::Observing => 3,
    });
    out.long(notification.vote.leader.0);
    out.long(notification.vote.zxid.0);
    out.long(notification.vote.round);
    out.long(notification.vote.peer_epoch.0);
    out.int(VERSION);
    if notification.proposed_text.is_empty() {
        out.string(&notification.config_text);
    } else {
        let proposed = notification.proposed_text.replace('\n', "\n#");
        out.string(&format!("{}{PROPOSED}{proposed}", notification.config_text));
    }
    out.into_vec()
}

/// The configuration in force and the proposed one, if there is one.
fn split_texts(mut text: String) -> (String, String) {
    let Some(at) = text.find(PROPOSED) else {
        return (text, String::new());
    };
    let proposed = text[at + PROPOSED.len()..].replace("\n#", "\n");
    text.truncate(at);
    (text, proposed)
}

/// Reads a frame's body, today's form or one of the two before it.
///
/// # Errors
/// [`NotificationError`] where it is none of them.
pub fn decode_notification(body: &[u8]) -> Result<Notification, NotificationError> {
    let malformed = |source| NotificationError::Malformed {
        len: body.len(),
        source,
    };
    let mut input = Reader::new(body);
    let mut head = || -> Result<_, JuteError> {
        let state = input.int()?;
        let leader = ServerId(input.long()?);
        let zxid = Zxid(input.long()?);
        let round = input.long()?;
        let peer_epoch = if body.len() == LEGACY_28 {
            zxid.epoch()
        } else {
            Epoch(input.long()?)
        };
        let version = if body.len() <= LEGACY_40 {
            0
        } else {
            input.int()?
        };
        let config_text = if version >= VERSION {
            input.string()?
        } else {
            String::new()
        };
        let vote = Vote {
            leader,
            zxid,
            peer_epoch,
            round,
        };
        Ok((state, vote, config_text))
    };
    let (state, vote, config_text) = head().map_err(malformed)?;
    let state = match state {
        0 => PeerState::Looking,
        1 => PeerState::Following,
        2 => PeerState::Leading,
        3 => PeerState::Observing,
        other => return Err(NotificationError::State(other)),
    };
    let (config_text, proposed_text) = split_texts(config_text);
    Ok(Notification {
        state,
        vote,
        config_text,
        proposed_text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Notification {
        Notification {
            state: PeerState::Following,
            vote: Vote {
                leader: ServerId(2),
                zxid: Zxid(0x5_0000_0007),
                peer_epoch: Epoch(5),
                round: 9,
            },
            config_text: "server.1=a:2888:3888:participant\nversion=0".into(),
            proposed_text: String::new(),
        }
    }

    #[test]
    fn a_proposed_configuration_is_read_back_and_a_comment_to_who_does_not_know_of_it() {
        let mut notification = sample();
        notification.proposed_text =
            "server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\nversion=100000007"
                .into();
        let bytes = encode_notification(&notification);
        assert_eq!(decode_notification(&bytes).as_ref(), Ok(&notification));
        let text = std::str::from_utf8(&bytes[44..]).unwrap();
        let read = |text| crate::ensemble::Ensemble::parse(text).unwrap();
        assert_eq!(read(text), read(&notification.config_text));
        assert_eq!(read(text).members.len(), 1);
    }

    #[test]
    fn a_notification_is_read_back_as_written() {
        let bytes = encode_notification(&sample());
        assert_eq!(decode_notification(&bytes), Ok(sample()));
    }

    #[test]
    fn both_legacy_forms_are_read() {
        let bytes = encode_notification(&sample());
        let mut expected = sample();
        expected.config_text.clear();
        // 40 bytes end inside the version; Java cuts there too.
        let mut forty = bytes[..36].to_vec();
        forty.extend([0; 4]);
        assert_eq!(decode_notification(&forty), Ok(expected.clone()));
        assert_eq!(decode_notification(&bytes[..28]), Ok(expected));
    }

    #[test]
    fn a_cut_notification_is_an_error_at_every_length() {
        let bytes = encode_notification(&sample());
        for end in (0..28).chain(41..bytes.len()) {
            assert!(decode_notification(&bytes[..end]).is_err(), "{end}");
        }
    }
}
