//! Sequences from seeds.

mod calls;
mod values;

use crate::call::{Call, Connect, Position, Proof, Step, Whose, op};
use crate::side::SLOTS;
use fastrand::Rng;

/// What a sequence may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Look at what all sequences share: only where nobody else is there.
    pub(crate) shared_nodes: bool,
    /// Ask several members. There Java forgets to answer what is broken, or to stay together, and
    /// what a leader checks against its tree may be a moment old.
    pub(crate) is_ensemble: bool,
}

/// What a sequence is mostly about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavor {
    Plain,
    Watches,
    Access,
    Multis,
    Quotas,
    Sessions,
    Broken,
}

const FLAVORS: [Flavor; 8] = [
    Flavor::Plain,
    Flavor::Plain,
    Flavor::Watches,
    Flavor::Access,
    Flavor::Multis,
    Flavor::Quotas,
    Flavor::Sessions,
    Flavor::Broken,
];

/// Steps for the sequence of this number.
pub(crate) fn sequence(seed: u64, scope: Scope) -> Vec<Step> {
    Generator {
        rng: Rng::with_seed(seed),
        flavor: Flavor::Plain,
        scope,
        connected: [false; SLOTS],
        had: [false; SLOTS],
    }
    .steps()
}

struct Generator {
    rng: Rng,
    flavor: Flavor,
    scope: Scope,
    connected: [bool; SLOTS],
    had: [bool; SLOTS],
}

impl Generator {
    /// One of the things, each as likely as the other.
    fn any<T: Clone>(&mut self, things: &[T]) -> T {
        things[self.rng.usize(..things.len())].clone()
    }

    /// True once in `times`.
    fn once_in(&mut self, times: u32) -> bool {
        self.rng.u32(..times) == 0
    }

    fn steps(mut self) -> Vec<Step> {
        self.flavor = self.any(&FLAVORS);
        if self.scope.is_ensemble && matches!(self.flavor, Flavor::Quotas | Flavor::Broken) {
            self.flavor = Flavor::Sessions;
        }
        let mut steps = vec![self.open(0), self.root()];
        if !self.once_in(4) {
            let step = self.plant();
            steps.push(step);
        }
        if self.flavor == Flavor::Quotas {
            steps.extend(self.quota());
        }
        let length = self.rng.usize(6..22);
        for _ in 0..length {
            let step = self.step();
            steps.push(step);
        }
        if self.once_in(3) {
            let slot = self.slot();
            steps.push(audit(slot));
        }
        steps
    }

    fn open(&mut self, slot: usize) -> Step {
        self.connected[slot] = true;
        self.had[slot] = true;
        let mut connect = Connect::new(Whose::New);
        if self.once_in(8) {
            connect.timeout_ms = self.any(&[i32::MIN, -1, 0, 1, 20_000, 300_000, i32::MAX]);
        }
        if self.once_in(8) {
            connect.read_only = self.any(&[None, Some(0), Some(1), Some(2)]);
        }
        Step::Connect(slot, connect)
    }

    /// The sequence's own root, open to all.
    fn root(&mut self) -> Step {
        let data = self.data();
        let create = calls::create(op::CREATE2, "~".into(), data, values::open(), 0);
        send(0, create)
    }

    /// Some nodes to begin with, so that not all is refused for want of them.
    fn plant(&mut self) -> Step {
        let mut calls = Vec::new();
        for path in ["~/a", "~/a/b", "~/b", "~/e"] {
            if !self.once_in(4) {
                let data = self.data();
                calls.push(calls::create(
                    op::CREATE,
                    path.into(),
                    data,
                    values::open(),
                    0,
                ));
            }
        }
        Step::Send {
            slot: 0,
            calls,
            probe: false,
        }
    }

    /// A slot that is connected, as far as can be told beforehand.
    fn slot(&mut self) -> usize {
        let connected: Vec<usize> = (0..SLOTS).filter(|slot| self.connected[*slot]).collect();
        if connected.is_empty() {
            0
        } else {
            self.any(&connected)
        }
    }

    fn step(&mut self) -> Step {
        let sessions = if self.flavor == Flavor::Sessions {
            3
        } else {
            12
        };
        if self.once_in(sessions) || !self.connected.contains(&true) {
            return self.connection();
        }
        let slot = self.slot();
        let odd = if self.flavor == Flavor::Broken { 2 } else { 40 };
        if !self.scope.is_ensemble && self.once_in(odd) {
            let call = self.broken();
            return Step::Send {
                slot,
                calls: vec![call],
                probe: true,
            };
        }
        if self.flavor != Flavor::Quotas && self.once_in(8) {
            let count = self.rng.usize(2..6);
            let calls = (0..count).map(|_| self.ordinary()).collect();
            return Step::Send {
                slot,
                calls,
                probe: false,
            };
        }
        let call = self.call();
        if call.op == op::CLOSE_SESSION {
            self.connected[slot] = false;
        }
        // These may end the connection.
        let probe = matches!(call.op, op::AUTH | op::SASL);
        Step::Send {
            slot,
            calls: vec![call],
            probe,
        }
    }

    /// Connections come, go, move and are refused.
    fn connection(&mut self) -> Step {
        let slot = self.rng.usize(..SLOTS);
        if self.connected[slot] && self.once_in(3) {
            self.connected[slot] = false;
            return Step::Drop(slot);
        }
        let whose = if self.once_in(12) {
            Whose::Nobodys(self.any(&[1, -1, i64::MAX, i64::MIN, 0x0123_4567_89ab_cdef]))
        } else if self.once_in(2) {
            Whose::Of(self.rng.usize(..SLOTS))
        } else {
            Whose::New
        };
        if whose == Whose::New {
            return self.open(slot);
        }
        let mut connect = Connect::new(whose);
        if self.once_in(4) {
            connect.proof = self.any(&[Proof::Wrong, Proof::Short, Proof::Null]);
        }
        if self.once_in(3) {
            connect.seen = self.any(&[
                Position::WritesAgo(0),
                Position::WritesAgo(1),
                Position::Exactly(-1),
                Position::Exactly(i64::MAX),
            ]);
            if self.scope.is_ensemble && matches!(connect.seen, Position::WritesAgo(_)) {
                // The member may not have seen it yet.
                connect.seen = Position::Exactly(0);
            }
        }
        if self.once_in(6) {
            connect.read_only = self.any(&[None, Some(1)]);
        }
        if self.once_in(8) {
            connect.protocol = self.any(&[1, -1, i32::MAX]);
        }
        if self.once_in(6) {
            connect.timeout_ms = self.any(&[-1, 0, 25_000, i32::MAX]);
        }
        if let Whose::Of(other) = whose {
            self.connected[other] = false;
            self.connected[slot] = self.had[other];
        }
        Step::Connect(slot, connect)
    }
}

/// One request on its own.
fn send(slot: usize, call: Call) -> Step {
    Step::Send {
        slot,
        calls: vec![call],
        probe: false,
    }
}

/// All that there may be, looked at in the end.
fn audit(slot: usize) -> Step {
    let mut all = Vec::new();
    for path in values::NAMES {
        all.push(calls::watched(op::GET_DATA, path.into(), 0));
        all.push(calls::on_path(op::GET_ACL, path.into()));
    }
    all.push(calls::watched(op::GET_CHILDREN2, "~".into(), 0));
    all.push(calls::on_path(op::GET_ALL_CHILDREN_NUMBER, "~".into()));
    Step::Send {
        slot,
        calls: all,
        probe: false,
    }
}
