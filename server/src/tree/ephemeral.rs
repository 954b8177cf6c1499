//! What a node's `ephemeralOwner` says. Source: `EphemeralType.java`.

use crate::ids::SessionId;

/// The owner that marks a container. Source: `EphemeralType.java` CONTAINER_EPHEMERAL_OWNER.
pub const CONTAINER_OWNER: SessionId = SessionId(i64::MIN);

/// The high byte of every extended owner. Source: `EphemeralType.java` EXTENDED_MASK.
const EXTENDED_MASK: u64 = 0xff00_0000_0000_0000;
/// The two bytes that name the extended feature; 0 is TTL. Source: RESERVED_BITS_MASK.
const FEATURE_MASK: u64 = 0x00ff_ff00_0000_0000;
/// The largest time to live in milliseconds, about 34 years. Source: EXTENDED_FEATURE_VALUE_MASK.
pub const TTL_MAX_MS: i64 = 0xff_ffff_ffff;

/// How long a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EphemeralKind {
    /// Until it is deleted.
    Persistent,
    /// As long as its session.
    Session(SessionId),
    /// Until it has lost its last child and a while has passed.
    Container,
    /// Until it has not changed for so many milliseconds.
    Ttl(i64),
}

impl EphemeralKind {
    /// Reads an owner. Without `extended_types` (Java's default) an owner with a TTL's bits is a
    /// session like any other. Java throws for an extended feature that it doesn't know; here it
    /// is a session, as it is where the types are off.
    #[must_use]
    pub fn of(owner: SessionId, extended_types: bool) -> Self {
        let bits = owner.0.cast_unsigned();
        if extended_types && bits & EXTENDED_MASK == EXTENDED_MASK && bits & FEATURE_MASK == 0 {
            return EphemeralKind::Ttl(owner.0 & TTL_MAX_MS);
        }
        match owner {
            SessionId(0) => EphemeralKind::Persistent,
            CONTAINER_OWNER => EphemeralKind::Container,
            session => EphemeralKind::Session(session),
        }
    }

    /// Whether a session owns the node, so that it may have no children.
    #[must_use]
    pub fn is_session(self) -> bool {
        matches!(self, EphemeralKind::Session(_))
    }
}

/// The owner that marks a node with a time to live, where `ttl_ms` is 1 to [`TTL_MAX_MS`].
#[must_use]
pub fn ttl_owner(ttl_ms: i64) -> Option<SessionId> {
    (1..=TTL_MAX_MS)
        .contains(&ttl_ms)
        .then(|| SessionId(EXTENDED_MASK.cast_signed() | ttl_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_of_one_millisecond_is_marked_as_in_java() {
        assert_eq!(
            ttl_owner(1),
            Some(SessionId(0xff00_0000_0000_0001_u64.cast_signed()))
        );
        assert_eq!(ttl_owner(0), None);
        assert_eq!(ttl_owner(TTL_MAX_MS + 1), None);
    }

    #[test]
    fn without_extended_types_a_ttl_owner_is_a_session() {
        let owner = ttl_owner(7).expect("7 is in range");
        assert_eq!(EphemeralKind::of(owner, true), EphemeralKind::Ttl(7));
        assert!(EphemeralKind::of(owner, false).is_session());
        for extended in [false, true] {
            let kind = EphemeralKind::of(CONTAINER_OWNER, extended);
            assert_eq!(kind, EphemeralKind::Container);
        }
    }
}
