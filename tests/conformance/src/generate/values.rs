//! Paths, data and access lists: mostly good ones, and those at which servers stumble.

use super::{Flavor, Generator};
use crate::call::Field;

/// Where sequences work; few enough that requests meet.
pub(super) const NAMES: [&str; 9] = [
    "~", "~/a", "~/a/b", "~/a/b/c", "~/b", "~/b/a", "~/c", "~/e", "~/e/x",
];
/// What all sequences share.
const SHARED: [&str; 7] = [
    "/",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/config",
    "",
    "//",
    "/zookeeper/",
];
/// Where one rule of paths ends and the next begins. Source: `PathUtils.java` validatePath.
const CHARACTERS: [&[u8]; 30] = [
    b"\0",
    b"\x01",
    b"\x1f",
    b" ",
    b"~",
    b"\x7f",
    b"\xc2\x80",
    b"\xc2\x9f",
    b"\xc2\xa0",
    "é".as_bytes(),
    "\u{d7ff}".as_bytes(),
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    "\u{e000}".as_bytes(),
    "\u{f8ff}".as_bytes(),
    "\u{f900}".as_bytes(),
    "\u{ffef}".as_bytes(),
    "\u{fff0}".as_bytes(),
    "\u{fffd}".as_bytes(),
    "\u{ffff}".as_bytes(),
    "😀".as_bytes(),
    b"\xff",
    b"\xc3",
    b"\xc0\x80",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xf8\x88\x80\x80\x80",
    b"\xed\xa0\xbd\xed\xb8\x80",
    b"%",
    b"\\",
];
/// `user:base64(SHA-1(user:password))` of the identities that sequences prove.
const ALICE: &str = "alice:aYXlLOpEooaV1cRAvUL1fp9Qt7E=";
const BOB: &str = "bob:fyVmFCwVbTJYrznoSu1koqYEYF0=";

/// An entry of an access list.
pub(super) type Entry = (i32, &'static [u8], &'static [u8]);

/// Everybody everything.
pub(super) fn open() -> Vec<Field> {
    list(&[(31, b"world", b"anyone")])
}

/// An access list's fields.
pub(super) fn list(entries: &[Entry]) -> Vec<Field> {
    let mut fields = vec![Field::Int(i32::try_from(entries.len()).unwrap_or(0))];
    for (perms, scheme, id) in entries {
        fields.push(Field::Int(*perms));
        fields.push(Field::Text(Some(scheme.to_vec())));
        fields.push(Field::Text(Some(id.to_vec())));
    }
    fields
}

impl Generator {
    pub(super) fn path(&mut self) -> Field {
        if self.scope.shared_nodes && self.once_in(10) {
            return Field::text(self.any(&SHARED));
        }
        let odd = if self.flavor == Flavor::Broken { 6 } else { 60 };
        if self.once_in(odd) {
            return self.odd_path();
        }
        let name = self.any(&NAMES);
        Field::text(name)
    }

    fn odd_path(&mut self) -> Field {
        if self.once_in(2) {
            let text = self.any(&[
                "a", "~/", "~//a", "/./~", "~/.", "~/..", "~/a/./b", "~/a/../b", "~/...", "~/a.",
                "~/.a", "~/a/", "~/a//", "./~", "~/a/b/..",
            ]);
            return Field::text(text);
        }
        if self.once_in(8) {
            return Field::Text(None);
        }
        let mut text = self.any(&NAMES).as_bytes().to_vec();
        text.push(b'/');
        let place = self.rng.u8(..3);
        if place > 0 {
            text.extend(b"p");
        }
        let character = self.any(&CHARACTERS);
        text.extend(character);
        if place > 1 {
            text.extend(b"q");
        }
        Field::Text(Some(text))
    }

    pub(super) fn data(&mut self) -> Option<Vec<u8>> {
        match self.rng.u8(..20) {
            0..3 => None,
            3..6 => Some(Vec::new()),
            6 => Some(vec![b'x'; 3000]),
            7 => Some(vec![0, 0xff, 0x80, b'\n']),
            more => Some(vec![b'd'; usize::from(more)]),
        }
    }

    /// A version to be expected.
    pub(super) fn version(&mut self) -> i32 {
        match self.rng.u8(..10) {
            0..6 => -1,
            6..8 => self.rng.i32(0..3),
            8 => self.rng.i32(0..2),
            _ => self.any(&[-2, i32::MIN, i32::MAX, 7]),
        }
    }

    pub(super) fn access(&mut self) -> Vec<Field> {
        let special = if self.flavor == Flavor::Access { 2 } else { 12 };
        if !self.once_in(special) {
            return open();
        }
        if !self.scope.is_ensemble && self.once_in(20) {
            // A null list, a negative count, and one that never comes.
            return vec![Field::Int(self.any(&[-1, -2, 1000, i32::MAX]))];
        }
        let count = self.any(&[0, 1, 1, 1, 1, 2, 2, 3]);
        let mut entries = Vec::new();
        for _ in 0..count {
            let entry = self.entry();
            entries.push(entry);
        }
        if self.once_in(10) && count > 0 {
            entries.push(entries[0]);
        }
        list(&entries)
    }

    fn entry(&mut self) -> Entry {
        let perms = if self.once_in(2) {
            31
        } else if self.once_in(10) {
            self.any(&[0, -1, 32, 64, i32::MIN, i32::MAX])
        } else {
            self.rng.i32(0..32)
        };
        let (scheme, id): (&[u8], &[u8]) = self.any(&[
            (&b"world"[..], &b"anyone"[..]),
            (b"world", b"anyone"),
            (b"auth", b""),
            (b"auth", b"whatever"),
            (b"digest", ALICE.as_bytes()),
            (b"digest", ALICE.as_bytes()),
            (b"digest", BOB.as_bytes()),
            (b"ip", b"127.0.0.0/8"),
            (b"ip", b"127.0.0.1"),
            (b"ip", b"127.9.9.9"),
            (b"ip", b"10.0.0.0/8"),
            (b"ip", b"::1"),
            (b"ip", b"::/0"),
            (b"ip", b"0.0.0.0/0"),
        ]);
        if !self.once_in(4) {
            return (perms, scheme, id);
        }
        let (scheme, id) = self.any(&ODD_IDS);
        (perms, scheme, id)
    }
}

/// Identities at the edge of their schemes' rules. Source: isValid of the providers.
const ODD_IDS: [(&[u8], &[u8]); 36] = [
    (b"world", b"someone"),
    (b"world", b""),
    (b"", b""),
    (b"", b"anyone"),
    (b"nonsense", b"x"),
    (b"super", b"admin"),
    (b"super", b"super:x"),
    (b"digest", b"alice"),
    (b"digest", b"alice:"),
    (b"digest", b":"),
    (b"digest", b":x"),
    (b"digest", b"a:b:c"),
    (b"digest", b"a:b:"),
    (b"digest", b""),
    (b"digest", b"\xff:\xed\xa0\x80"),
    (b"digest", b"a\n:b"),
    (b"digest", b"alice:first\nsecond"),
    (b"sasl", b"me"),
    (b"x509", b"CN=me"),
    (b"Digest", b"a:b"),
    (b"auth", b"\xff"),
    (b"ip", b""),
    (b"ip", b"1.2.3"),
    (b"ip", b"1.2.3.4.5"),
    (b"ip", b"1.2.3.256"),
    (b"ip", b"1.2.3.+4"),
    (b"ip", b"01.2.3.4"),
    (b"ip", b"1.2.3.4/33"),
    (b"ip", b"1.2.3.4/"),
    (b"ip", b"1.2.3.4/8/9"),
    (b"ip", b"1.2.3.4/-1"),
    (b"ip", b"1::2::3"),
    (b"ip", b":::"),
    (b"ip", b"::ffff:127.0.0.1"),
    (b"ip", b"1:2:3:4:5:6:7:8/128"),
    (b"ip", b"1:2:3:4:5:6:7:8:9"),
];

/// Where a subtree's limits and counts are.
pub(super) const QUOTA_NODES: [&str; 8] = [
    "/zookeeper/quota/~",
    "/zookeeper/quota/~/zookeeper_limits",
    "/zookeeper/quota/~/zookeeper_stats",
    "/zookeeper/quota/~/zookeeper_stats",
    "/zookeeper/quota/~/a",
    "/zookeeper/quota/~/a/zookeeper_limits",
    "/zookeeper/quota/~/a/zookeeper_stats",
    "/zookeeper/quota/~/other",
];

/// Limits, good and bad. Source: `StatsTrack.java`.
pub(super) const LIMITS: [&[u8]; 16] = [
    b"count=3,bytes=-1",
    b"count=-1,bytes=40",
    b"count=2,bytes=20",
    b"count=-1,bytes=-1=;byteHardLimit=40;countHardLimit=-1",
    b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=4",
    b"count=-1,bytes=-1=;byteHardLimit=60;countHardLimit=5",
    b"count=3,bytes=20=;byteHardLimit=60;countHardLimit=5",
    b"count=0,bytes=0=;byteHardLimit=0;countHardLimit=0",
    b"count=2,bytes=20,unknown=7",
    b"count=,bytes=",
    b"countHardLimit=3,byteHardLimit=30",
    b"",
    b"count",
    b"count=x,bytes=1",
    b"count=99999999999999999999,bytes=1",
    b"nonsense",
];

/// Counts. Java's server ends itself where they can't be read.
pub(super) const COUNTS: [&[u8]; 5] = [
    b"count=0,bytes=0",
    b"count=5,bytes=1000",
    b"count=-7,bytes=-7",
    b"",
    b"count=1,bytes=2=;other=3;another=4",
];
