//! Requests of every type.

use super::values::{COUNTS, LIMITS, QUOTA_NODES, open};
use super::{Flavor, Generator, send};
use crate::call::{Call, Damage, Field, Position, Step, op};

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Field::text(text)
    }
}

pub(super) fn create(
    op: i32,
    path: Field,
    data: Option<Vec<u8>>,
    access: Vec<Field>,
    flags: i32,
) -> Call {
    let mut fields = vec![path, Field::Text(data)];
    fields.extend(access);
    fields.push(Field::Int(flags));
    Call::new(op, fields)
}

pub(super) fn watched(op: i32, path: Field, watch: u8) -> Call {
    Call::new(op, vec![path, Field::Byte(watch)])
}

pub(super) fn on_path(op: i32, path: Field) -> Call {
    Call::new(op, vec![path])
}

const CREATES: [i32; 4] = [
    op::CREATE,
    op::CREATE2,
    op::CREATE_CONTAINER,
    op::CREATE_TTL,
];
/// `CreateMode.java` PERSISTENT_WITH_TTL and PERSISTENT_SEQUENTIAL_WITH_TTL.
const TTL_FLAGS: [i32; 2] = [5, 6];

impl Generator {
    /// Whatever a client may send.
    pub(super) fn call(&mut self) -> Call {
        match self.rng.u8(..100) {
            0..4 => self.auth(),
            4..6 => Call::bare(op::WHO_AM_I),
            6..8 => Call::bare(op::PING).with_xid(-2),
            8..10 if self.once_in(2) => Call::bare(op::CLOSE_SESSION),
            10..12 => self.sync(),
            12..20 if self.flavor == Flavor::Quotas => self.limits(),
            _ => self.ordinary(),
        }
    }

    /// What can go in one burst with others: answered in turn, and by no look at what is under way.
    pub(super) fn ordinary(&mut self) -> Call {
        let (creates, watches, lists, multis) = match self.flavor {
            Flavor::Watches => (20, 30, 3, 3),
            Flavor::Access => (20, 3, 25, 5),
            Flavor::Multis => (15, 4, 4, 40),
            _ => (30, 8, 6, 8),
        };
        let total = creates + watches + lists + multis + 44;
        let mut at = self.rng.u32(..total);
        let mut within = |weight: u32| {
            let hit = at < weight;
            at = at.wrapping_sub(weight);
            hit
        };
        if within(creates) {
            self.create()
        } else if within(watches) {
            self.watching()
        } else if within(lists) {
            self.listing()
        } else if within(multis) {
            if self.once_in(4) {
                self.multi_read()
            } else {
                self.multi()
            }
        } else if within(10) {
            self.set_data()
        } else if within(8) {
            self.delete()
        } else {
            self.read()
        }
    }

    pub(super) fn create(&mut self) -> Call {
        let op = self.any(&[
            op::CREATE,
            op::CREATE,
            op::CREATE2,
            op::CREATE2,
            op::CREATE_CONTAINER,
            op::CREATE_TTL,
        ]);
        let mut flags = match op {
            op::CREATE_CONTAINER => 4,
            op::CREATE_TTL => self.any(&[5, 5, 6]),
            _ => self.any(&[0, 0, 0, 1, 1, 2, 3]),
        };
        if self.once_in(15) {
            flags = self.any(&[-1, 0, 1, 2, 3, 4, 5, 6, 7, 100, i32::MIN, i32::MAX]);
        }
        if matches!(op, op::CREATE_CONTAINER | op::CREATE_TTL) && matches!(flags, 1 | 3) {
            // Ephemeral for Java until it is applied, so that what comes right behind it is refused
            // or not. Source: `PrepRequestProcessor.java` pRequest2TxnCreate.
            flags = 4;
        }
        let mut path = self.path();
        let is_numbered = matches!(flags, 2 | 3 | 6);
        if is_numbered && path == "~".into() && !self.scope.shared_nodes {
            // The number would be that of all sequences' roots.
            path = "~/a".into();
        }
        let data = self.data();
        let access = self.access();
        let mut call = create(op, path, data, access, flags);
        if op == op::CREATE_TTL {
            let mut ttl = self.any(&[1, 1000, 86_400_000, 0xff_ffff_ffff]);
            if self.once_in(4) {
                ttl = self.any(&[0, -1, 0x100_0000_0000, i64::MIN, i64::MAX]);
            }
            if !TTL_FLAGS.contains(&flags) {
                // Java's server ends itself where neither the flags nor the number say a time.
                ttl = ttl.max(0);
            }
            call.fields.push(Field::Long(ttl));
        }
        call
    }

    fn delete(&mut self) -> Call {
        let fields = vec![self.path(), Field::Int(self.version())];
        Call::new(op::DELETE, fields)
    }

    fn set_data(&mut self) -> Call {
        let fields = vec![
            self.path(),
            Field::Text(self.data()),
            Field::Int(self.version()),
        ];
        Call::new(op::SET_DATA, fields)
    }

    fn sync(&mut self) -> Call {
        on_path(op::SYNC, self.path())
    }

    /// Access lists read and, on its own at most, set.
    fn listing(&mut self) -> Call {
        on_path(op::GET_ACL, self.path())
    }

    fn set_acl(&mut self) -> Call {
        let mut fields = vec![self.path()];
        let access = self.access();
        fields.extend(access);
        fields.push(Field::Int(self.version()));
        Call::new(op::SET_ACL, fields)
    }

    fn read(&mut self) -> Call {
        let path = self.path();
        match self.rng.u8(..8) {
            0 => on_path(op::GET_ALL_CHILDREN_NUMBER, path),
            1 => {
                let prefix = self.any(&["~", "~/a", "/", "", " ", "~/", "/zookeeper", "nothing"]);
                on_path(op::GET_EPHEMERALS, prefix.into())
            }
            _ => {
                let op = self.any(&[
                    op::EXISTS,
                    op::GET_DATA,
                    op::GET_CHILDREN,
                    op::GET_CHILDREN2,
                ]);
                let watch = self.any(&[0, 0, 1]);
                watched(op, path, watch)
            }
        }
    }

    fn watching(&mut self) -> Call {
        let path = self.path();
        match self.rng.u8(..12) {
            0..4 => {
                let op = self.any(&[
                    op::EXISTS,
                    op::GET_DATA,
                    op::GET_CHILDREN,
                    op::GET_CHILDREN2,
                ]);
                watched(op, path, 1)
            }
            4..8 => {
                let mode = if self.once_in(12) {
                    self.any(&[-1, 2, 3, i32::MAX])
                } else {
                    self.rng.i32(0..2)
                };
                Call::new(op::ADD_WATCH, vec![path, Field::Int(mode)])
            }
            8..10 => {
                let op = self.any(&[op::CHECK_WATCHES, op::REMOVE_WATCHES]);
                let kind = if self.once_in(12) {
                    self.any(&[-1, 0, 6, i32::MIN])
                } else {
                    self.rng.i32(1..6)
                };
                Call::new(op, vec![path, Field::Int(kind)])
            }
            _ => self.set_watches(),
        }
    }

    fn set_watches(&mut self) -> Call {
        let op = self.any(&[op::SET_WATCHES, op::SET_WATCHES2]);
        let since = self.any(&[
            Position::WritesAgo(0),
            Position::WritesAgo(0),
            Position::WritesAgo(1),
            Position::WritesAgo(3),
            Position::Exactly(0),
            Position::Exactly(-1),
            Position::Exactly(i64::MAX),
        ]);
        let mut fields = vec![Field::Zxid(since)];
        let lists = if op == op::SET_WATCHES { 3 } else { 5 };
        for _ in 0..lists {
            if self.once_in(20) {
                fields.push(Field::Int(-1));
                continue;
            }
            let count = self.rng.usize(..3);
            fields.push(Field::Int(i32::try_from(count).unwrap_or(0)));
            for _ in 0..count {
                let path = self.path();
                fields.push(path);
            }
        }
        Call::new(op, fields).with_xid(-8)
    }

    fn multi(&mut self) -> Call {
        let mut fields = Vec::new();
        for _ in 0..self.any(&[0, 1, 2, 2, 3, 3, 4, 6]) {
            let part = self.part();
            header(&mut fields, part.op, 0, -1);
            fields.extend(part.fields);
        }
        header(&mut fields, -1, 1, -1);
        Call::new(op::MULTI, fields)
    }

    fn part(&mut self) -> Call {
        match self.rng.u8(..40) {
            0..16 => self.create(),
            16..23 => self.set_data(),
            23..30 => self.delete(),
            30..38 => {
                let mut check = self.delete();
                check.op = op::CHECK;
                check
            }
            38 => self.read(),
            _ => {
                let mut part = self.delete();
                part.op = self.any(&[op::SET_ACL, op::MULTI, op::EXISTS, -1, 0, 999]);
                part
            }
        }
    }

    fn multi_read(&mut self) -> Call {
        let mut fields = Vec::new();
        for _ in 0..self.rng.usize(..5) {
            let op = if self.once_in(25) {
                self.any(&[op::EXISTS, op::GET_CHILDREN2, op::DELETE, op::CHECK])
            } else {
                self.any(&[op::GET_DATA, op::GET_CHILDREN])
            };
            header(&mut fields, op, 0, -1);
            fields.push(self.path());
            fields.push(Field::Byte(self.any(&[0, 0, 1])));
        }
        header(&mut fields, -1, 1, -1);
        Call::new(op::MULTI_READ, fields)
    }

    fn auth(&mut self) -> Call {
        if self.flavor == Flavor::Access && !self.scope.is_ensemble && self.once_in(2) {
            return self.set_acl();
        }
        let (scheme, proof): (&str, &[u8]) = self.any(&[
            ("digest", &b"alice:secret"[..]),
            ("digest", b"alice:secret"),
            ("digest", b"bob:secret"),
            ("digest", b"bob:wrong"),
            ("digest", b"super:admin"),
            ("digest", b"alone"),
            ("digest", b""),
            ("digest", b"a:b:c"),
            ("digest", b":"),
            ("digest", b"\xff\xed\xa0\x80:x"),
            ("ip", b""),
            ("ip", b"127.9.9.9"),
            ("world", b"anyone"),
            ("nonsense", b"x"),
            ("", b""),
            ("auth", b""),
            ("super", b"admin"),
            ("sasl", b""),
            ("x509", b""),
        ]);
        let fields = vec![
            Field::Int(self.any(&[0, 0, 7])),
            scheme.into(),
            Field::Text(Some(proof.to_vec())),
        ];
        Call::new(op::AUTH, fields).with_xid(-4)
    }

    /// A subtree's quota as `setquota` makes it.
    pub(super) fn quota(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        let at = self.any(&["~", "~/a"]);
        let mut places = vec!["/zookeeper/quota/~".to_owned()];
        if at == "~/a" {
            places.push("/zookeeper/quota/~/a".to_owned());
            steps.push(send(0, create(op::CREATE, "~/a".into(), None, open(), 0)));
        }
        for place in &places {
            let make = create(
                op::CREATE,
                place.as_str().into(),
                Some(Vec::new()),
                open(),
                0,
            );
            steps.push(send(0, make));
        }
        let place = &places[places.len() - 1];
        let limits = self.any(&LIMITS).to_vec();
        let stats = b"count=0,bytes=0".to_vec();
        for (name, data) in [("zookeeper_limits", limits), ("zookeeper_stats", stats)] {
            let path = format!("{place}/{name}");
            let make = create(op::CREATE, path.as_str().into(), Some(data), open(), 0);
            steps.push(send(0, make));
        }
        steps
    }

    /// Limits and counts looked at, changed and taken away.
    fn limits(&mut self) -> Call {
        let name = self.any(&QUOTA_NODES);
        let data = if name.ends_with("stats") {
            self.any(&COUNTS)
        } else {
            self.any(&LIMITS)
        };
        let data = Some(data.to_vec());
        let path: Field = name.into();
        match self.rng.u8(..6) {
            0 => Call::new(op::SET_DATA, vec![path, Field::Text(data), Field::Int(-1)]),
            1 => create(op::CREATE, path, data, open(), 0),
            2 => Call::new(op::DELETE, vec![path, Field::Int(-1)]),
            _ => watched(op::GET_DATA, path, 1),
        }
    }

    /// What no good client sends.
    pub(super) fn broken(&mut self) -> Call {
        match self.rng.u8(..12) {
            0..5 => {
                let mut call = self.call();
                let length = call.body("/c00000000", &[]).len();
                call.damage = Damage::CutAt(self.rng.usize(..=length));
                call
            }
            5..7 => {
                let mut call = self.call();
                let count = self.rng.usize(1..9);
                call.damage = Damage::Trailing((0..count).map(|_| self.rng.u8(..)).collect());
                call
            }
            7 => {
                let call = self.call();
                let xid = self.any(&[0, -4, -8, -3, i32::MIN, i32::MAX]);
                call.with_xid(xid)
            }
            8 => {
                // Those that only members send each other are left out: Java takes them from
                // anyone, and we from nobody.
                let op = self.any(&[
                    0,
                    10,
                    13,
                    23,
                    99,
                    108,
                    1000,
                    -1,
                    -2,
                    -12,
                    i32::MIN,
                    i32::MAX,
                ]);
                Call::new(op, vec![self.path()])
            }
            9 => {
                let count = self.rng.usize(..40);
                let op = self.any(&CREATES);
                let bytes = (0..count).map(|_| Field::Byte(self.rng.u8(..))).collect();
                Call::new(op, bytes)
            }
            10 => {
                let token: Option<Vec<u8>> = self.any(&[None, Some(vec![]), Some(vec![1, 2])]);
                Call::new(op::SASL, vec![Field::Text(token)])
            }
            _ => {
                let fields = vec![
                    self.any(&[Field::Text(None), "server.1=a:1:2".into()]),
                    self.any(&[Field::Text(None), "3".into()]),
                    Field::Text(None),
                    Field::Long(self.any(&[-1, 0, 1])),
                ];
                Call::new(op::RECONFIG, fields)
            }
        }
    }
}

fn header(fields: &mut Vec<Field>, op: i32, done: u8, err: i32) {
    fields.extend([Field::Int(op), Field::Byte(done), Field::Int(err)]);
}
