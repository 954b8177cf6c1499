use super::*;

const TICK_MS: i32 = 1000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn passwords_are_those_of_java() {
    // From `new java.util.Random(id ^ 0xB3415C00L).nextBytes(new byte[16])` on Java 17.
    let golden = [
        (1, "054cc74a37327db215e702e20c73f005"),
        (0x100_0000_0000_0001, "054cc74a37327db215e702e20c73f005"),
        (72_069_400_348_402_501, "e7702c0c2452d662998db73ba0a4f013"),
        (-1, "20f62cb5648dc2d771471c8a2486a9ee"),
        (i64::MIN, "f22acd4a97e69d6d20a49bb638eadb38"),
        (i64::MAX, "20f62cb5648dc2d771471c8a2486a9ee"),
        (72_057_594_037_927_936, "f22acd4a97e69d6d20a49bb638eadb38"),
    ];
    for (id, expected) in golden {
        assert_eq!(hex(&password(SessionId(id))), expected, "session {id:#x}");
    }
}

#[test]
fn session_zero_has_no_password() {
    assert!(!password_matches(SessionId(0), &password(SessionId(0))));
    assert!(password_matches(SessionId(7), &password(SessionId(7))));
    assert!(!password_matches(
        SessionId(7),
        &password(SessionId(7))[..15]
    ));
    assert!(!password_matches(SessionId(7), &[]));
}

#[test]
fn a_servers_number_is_the_top_byte_of_its_sessions() {
    let first = first_session_id(ServerId(3), 1_700_000_000_123);
    assert_eq!(first.0 >> 56, 3);
    assert_eq!(first.0 & 0xffff, 0);
    let later = first_session_id(ServerId(3), 1_700_000_000_124);
    assert_eq!(later.0 - first.0, 1 << 16);
    assert_eq!(first_session_id(ServerId(-128), 0).0, CONTAINER_OWNER + 1);
}

#[test]
fn a_silent_session_expires_once_and_a_touched_one_lives() {
    let mut tracker = SessionTracker::new(TICK_MS);
    assert!(tracker.add(SessionId(1), 4000, 0));
    assert!(tracker.add(SessionId(2), 4000, 0));
    assert!(!tracker.add(SessionId(2), 4000, 0));
    assert_eq!(tracker.next_expiry_ms(), Some(5000));
    assert!(tracker.expired(4999).is_empty());
    assert!(tracker.touch(SessionId(2), 4000, 3000));
    assert_eq!(tracker.expired(5000), [SessionId(1)]);
    assert_eq!(tracker.expired(5000), []);
    assert!(!tracker.touch(SessionId(1), 4000, 5000), "it is closing");
    assert_eq!(
        tracker.check(SessionId(1), ServerId(1)),
        SessionCheck::Expired
    );
    assert_eq!(tracker.expired(60_000), [SessionId(2)]);
    tracker.remove(SessionId(1));
    tracker.remove(SessionId(2));
    assert!(tracker.is_empty());
    assert_eq!(tracker.next_expiry_ms(), None);
}

#[test]
fn expiry_rounds_up_to_the_next_tick_as_java_does() {
    let mut tracker = SessionTracker::new(TICK_MS);
    // ExpiryQueue.java roundToNextInterval: a time on a tick goes to the next one.
    tracker.add(SessionId(1), 4000, 1000);
    assert_eq!(tracker.next_expiry_ms(), Some(6000));
    tracker.touch(SessionId(1), 4000, 1999);
    assert_eq!(tracker.next_expiry_ms(), Some(6000));
    tracker.touch(SessionId(1), 4000, 2000);
    assert_eq!(tracker.next_expiry_ms(), Some(7000));
}

#[test]
fn a_session_that_has_moved_is_refused_at_its_old_member() {
    let mut tracker = SessionTracker::new(TICK_MS);
    assert_eq!(
        tracker.check(SessionId(1), ServerId(1)),
        SessionCheck::Expired
    );
    tracker.add(SessionId(1), 4000, 0);
    assert_eq!(tracker.check(SessionId(1), ServerId(1)), SessionCheck::Ok);
    assert!(tracker.set_owner(SessionId(1), ServerId(2)));
    assert_eq!(
        tracker.check(SessionId(1), ServerId(1)),
        SessionCheck::Moved
    );
    assert_eq!(tracker.check(SessionId(1), ServerId(2)), SessionCheck::Ok);
    tracker.set_closing(SessionId(1));
    assert!(!tracker.set_owner(SessionId(1), ServerId(1)));
    assert_eq!(tracker.next_expiry_ms(), None);
}

#[test]
fn an_end_is_proposed_until_the_session_is_removed() {
    let mut tracker = SessionTracker::new(100);
    let session = SessionId(7);
    tracker.add(session, 1_000, 0);
    assert!(!tracker.is_closing(session));
    assert_eq!(tracker.expired(5_000), [session]);
    assert!(tracker.is_closing(session) && tracker.contains(session));
    tracker.remove(session);
    assert!(!tracker.is_closing(session));
}
