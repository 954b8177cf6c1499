//! What a client does next.

use super::NODES_PER_GROUP;
use crate::history::{ANY_VERSION, Register, Request, Step};
use crate::random::Random;
use std::collections::HashMap;

/// Beliefs kept; older groups are of no use any more.
const BELIEFS_MAX: usize = 256;

/// What a client does next.
pub(super) enum Choice {
    /// It asks this, all at once. A fence of `Some(n)` means the n-th of these.
    Ask(Vec<Request>),
    /// It goes on through another member.
    Move,
    /// It ends its session in order.
    Close,
    /// It leaves its session to expire.
    Abandon,
    /// It goes away for longer than its session lives, and comes back for it.
    Oversleep,
}

/// A client's idea of the registers: their versions, or that there is no such node.
#[derive(Debug, Default)]
pub(super) struct Beliefs(HashMap<Register, Option<i32>>);

impl Beliefs {
    pub(super) fn note(&mut self, register: Register, version: Option<i32>) {
        if self.0.len() >= BELIEFS_MAX {
            self.0.clear();
        }
        self.0.insert(register, version);
    }

    /// The version, where the client believes that there is a node.
    pub(super) fn version(&self, register: Register) -> Option<i32> {
        self.0.get(&register).copied().flatten()
    }
}

/// Where a client's numbers come from: each is its own, and none is used twice.
#[derive(Debug)]
pub(super) struct Numbers {
    client: u64,
    next: u64,
}

impl Numbers {
    pub(super) fn new(client: usize) -> Self {
        Numbers {
            client: client as u64 + 1,
            next: 0,
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.next += 1;
        (self.client << 32) | self.next
    }
}

/// Chooses; `group` is the one to use if a group is to be used.
pub(super) fn choose(
    random: &mut Random,
    beliefs: &Beliefs,
    numbers: &mut Numbers,
    client: usize,
    group: impl FnOnce(&mut Random) -> u64,
) -> Choice {
    let roll = random.between(0, 999);
    if roll < 10 {
        return Choice::Move;
    }
    if roll < 14 {
        return Choice::Close;
    }
    if roll < 18 {
        return Choice::Abandon;
    }
    if roll < 20 {
        return Choice::Oversleep;
    }
    if roll < 90 {
        let name = format!("{client}-{:08}", numbers.next() & 0xffff_ffff);
        return Choice::Ask(vec![Request::Record { name }]);
    }
    if roll < 150 {
        let ephemeral = random.chance(30);
        return Choice::Ask(vec![Request::Sequential { ephemeral }]);
    }
    let group = group(random);
    let ask = |steps, watch, fence| Request::Steps {
        group,
        steps,
        watch,
        fence,
    };
    let node = u8::try_from(random.below(NODES_PER_GROUP.into())).unwrap_or(0);
    let requests = match roll {
        150..500 => {
            let step = change(random, beliefs, numbers, Register { group, node });
            vec![ask(vec![step], false, None)]
        }
        500..600 => vec![ask(multi(random, beliefs, numbers, group), false, None)],
        600..720 => {
            // A read behind a write of the same session is as good as a read of the leader's.
            vec![Request::Fence, ask(reads(random, node), false, Some(0))]
        }
        720..850 => {
            let mut write = || Step::Set {
                node,
                value: numbers.next(),
                version: ANY_VERSION,
            };
            let (first, second) = (write(), write());
            vec![
                ask(vec![first], false, None),
                ask(vec![second], false, None),
                ask(vec![Step::Get { node }], false, Some(1)),
            ]
        }
        850..950 => vec![ask(vec![Step::Get { node }], true, None)],
        _ => vec![Request::Sync, ask(reads(random, node), false, None)],
    };
    Choice::Ask(requests)
}

fn reads(random: &mut Random, node: u8) -> Vec<Step> {
    if random.chance(50) {
        (0..NODES_PER_GROUP)
            .map(|node| Step::Get { node })
            .collect()
    } else {
        vec![Step::Get { node }]
    }
}

fn change(
    random: &mut Random,
    beliefs: &Beliefs,
    numbers: &mut Numbers,
    register: Register,
) -> Step {
    let node = register.node;
    let Some(version) = beliefs.version(register) else {
        return Step::Create {
            node,
            value: numbers.next(),
        };
    };
    let version = if random.chance(55) {
        version
    } else {
        ANY_VERSION
    };
    if random.chance(15) {
        Step::Delete { node, version }
    } else {
        Step::Set {
            node,
            value: numbers.next(),
            version,
        }
    }
}

fn multi(random: &mut Random, beliefs: &Beliefs, numbers: &mut Numbers, group: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    for node in 0..NODES_PER_GROUP {
        let register = Register { group, node };
        if random.chance(35) {
            let version = beliefs.version(register).unwrap_or(0);
            steps.push(Step::Check { node, version });
        }
        steps.push(change(random, beliefs, numbers, register));
    }
    if random.chance(50) {
        steps.reverse();
    }
    steps
}
