//! Checks that can't fail prove nothing: histories that break a promise, each of which has to be
//! found out, beside the one that keeps all.

use histories::Outcome;
use histories::checks::linear::{Verdict, judge};
use histories::checks::{check, ending};
use histories::environment::Environment;
use histories::history::{
    ANY_VERSION, Answer, ClientHistory, Event, Fate, History, Operation, Register, Request,
    SessionEnd, Step, StepResult,
};
use histories::wire::{Stat, code};
use std::collections::BTreeMap;

/// A history of one client and what it leaves behind, to be tampered with.
struct Story {
    history: History,
    time: u64,
}

const SESSION: i64 = 7;
const GROUP: u64 = 0;

fn stat(zxid: i64, version: i32) -> Stat {
    Stat {
        czxid: 1,
        mzxid: zxid,
        pzxid: 1,
        version,
        ephemeral_owner: 0,
    }
}

fn steps(steps: Vec<Step>, watch: bool, fence: Option<usize>) -> Request {
    Request::Steps {
        group: GROUP,
        steps,
        watch,
        fence,
    }
}

fn set(value: u64) -> Request {
    let (node, version) = (0, ANY_VERSION);
    steps(
        vec![Step::Set {
            node,
            value,
            version,
        }],
        false,
        None,
    )
}

fn get(watch: bool, fence: Option<usize>) -> Request {
    steps(vec![Step::Get { node: 0 }], watch, fence)
}

fn wrote(zxid: i64, version: i32) -> Answer {
    Answer::Steps(vec![StepResult::Set(stat(zxid, version))])
}

fn saw(value: u64, zxid: i64, version: i32) -> Answer {
    Answer::Steps(vec![StepResult::Value(value, stat(zxid, version))])
}

impl Story {
    fn new() -> Self {
        let clients = vec![ClientHistory::default(), ClientHistory::default()];
        let mut story = Story {
            history: History { clients },
            time: 0,
        };
        let create = steps(vec![Step::Create { node: 0, value: 1 }], false, None);
        story.tell(0, create, 1, Answer::Steps(vec![StepResult::Done]));
        story
    }

    /// One operation, behind all told before; its index among its client's.
    fn tell(&mut self, client: usize, request: Request, zxid: i64, answer: Answer) -> usize {
        let arrival = self.time + 1;
        let fate = Fate::Answered {
            at: self.time + 5,
            arrival,
            zxid,
            answer,
        };
        self.add(client, request, fate)
    }

    fn unknown(&mut self, client: usize, request: Request) -> usize {
        self.add(client, request, Fate::Unknown)
    }

    fn add(&mut self, client: usize, request: Request, fate: Fate) -> usize {
        let operations = &mut self.history.clients[client].operations;
        operations.push(Operation {
            client,
            session: SESSION + client as i64,
            connection: 1,
            member: 0,
            call: self.time,
            request,
            fate,
        });
        self.time += 10;
        operations.len() - 1
    }

    fn event(&mut self, client: usize, zxid: i64) {
        self.history.clients[client].events.push(Event {
            session: SESSION + client as i64,
            arrival: self.time + 1,
            zxid,
            path: Register {
                group: GROUP,
                node: 0,
            }
            .path(),
        });
        self.time += 10;
    }
}

/// Who has to find a history out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The search for a linearization, and the order of zxids too.
    Both,
    /// The search alone.
    Search,
    /// The checks that go by zxids and sessions.
    Order,
}

fn stories() -> Vec<(&'static str, Story, Option<By>)> {
    let mut all = Vec::new();
    let mut tell = |name, by, write: &dyn Fn(&mut Story)| {
        let mut story = Story::new();
        write(&mut story);
        all.push((name, story, by));
    };
    tell("a history as it should be", None, &|story| {
        story.tell(1, get(true, None), 1, saw(1, 1, 0));
        story.tell(0, set(2), 2, wrote(2, 1));
        story.event(1, 2);
        story.unknown(0, set(3));
        let fence = story.tell(1, Request::Fence, 4, Answer::Done);
        story.tell(1, get(false, Some(fence)), 4, saw(3, 3, 2));
        let refused = Answer::Refused {
            at: 0,
            error: code::BAD_VERSION,
        };
        let expecting = Step::Set {
            node: 0,
            value: 4,
            version: 0,
        };
        story.tell(0, steps(vec![expecting], false, None), 5, refused);
    });
    tell("a stale read behind a write", Some(By::Both), &|story| {
        story.tell(0, set(2), 2, wrote(2, 1));
        let fence = story.tell(1, Request::Fence, 3, Answer::Done);
        story.tell(1, get(false, Some(fence)), 3, saw(1, 1, 0));
    });
    tell("a lost write", Some(By::Both), &|story| {
        story.tell(0, set(2), 2, wrote(2, 1));
        story.tell(0, set(3), 3, wrote(3, 1));
        let fence = story.tell(1, Request::Fence, 4, Answer::Done);
        story.tell(1, get(false, Some(fence)), 4, saw(1, 1, 0));
    });
    tell(
        "two that both changed one version",
        Some(By::Search),
        &|story| {
            let expecting = |value| {
                steps(
                    vec![Step::Set {
                        node: 0,
                        value,
                        version: 0,
                    }],
                    false,
                    None,
                )
            };
            story.tell(0, expecting(2), 2, wrote(2, 1));
            story.tell(1, expecting(3), 3, wrote(3, 1));
        },
    );
    tell(
        "a write that was refused and done",
        Some(By::Both),
        &|story| {
            let refused = Answer::Refused {
                at: 0,
                error: code::BAD_VERSION,
            };
            let expecting = Step::Set {
                node: 0,
                value: 9,
                version: 5,
            };
            story.tell(0, steps(vec![expecting], false, None), 2, refused);
            let fence = story.tell(1, Request::Fence, 3, Answer::Done);
            story.tell(1, get(false, Some(fence)), 3, saw(9, 2, 1));
        },
    );
    tell("half of a multi", Some(By::Both), &|story| {
        let both = |value| {
            steps(
                vec![
                    Step::Set {
                        node: 0,
                        value,
                        version: ANY_VERSION,
                    },
                    Step::Create {
                        node: 1,
                        value: value + 1,
                    },
                ],
                false,
                None,
            )
        };
        let done = Answer::Steps(vec![StepResult::Set(stat(2, 1)), StepResult::Done]);
        story.tell(0, both(20), 2, done);
        let fence = story.tell(1, Request::Fence, 3, Answer::Done);
        let read = steps(
            vec![Step::Get { node: 0 }, Step::Get { node: 1 }],
            false,
            Some(fence),
        );
        let half = vec![StepResult::Value(20, stat(2, 1)), StepResult::Missing];
        story.tell(1, read, 3, Answer::Steps(half));
    });
    tell(
        "an acknowledged node that is gone",
        Some(By::Both),
        &|story| {
            let fence = story.tell(1, Request::Fence, 3, Answer::Done);
            let missing = Answer::Steps(vec![StepResult::Missing]);
            story.tell(1, get(false, Some(fence)), 3, missing);
        },
    );
    tell("an order against the clock", Some(By::Order), &|story| {
        story.tell(0, set(2), 9, wrote(9, 1));
        story.tell(1, Request::Fence, 5, Answer::Done);
    });
    tell(
        "two transactions with one number",
        Some(By::Order),
        &|story| {
            story.tell(0, set(2), 2, wrote(2, 1));
            story.tell(1, Request::Fence, 2, Answer::Done);
        },
    );
    tell("a session that goes back", Some(By::Order), &|story| {
        story.tell(1, get(false, None), 8, saw(1, 1, 0));
        story.tell(1, get(false, None), 7, saw(1, 1, 0));
    });
    tell(
        "a session that does not see its own write",
        Some(By::Order),
        &|story| {
            story.tell(0, set(2), 2, wrote(2, 1));
            story.tell(0, get(false, None), 2, saw(1, 1, 0));
        },
    );
    tell("an older write behind a newer", Some(By::Order), &|story| {
        story.unknown(0, set(2));
        story.tell(0, Request::Fence, 2, Answer::Done);
        story.tell(1, get(false, None), 3, saw(2, 3, 1));
    });
    tell("a watch that tells too late", Some(By::Order), &|story| {
        story.tell(1, get(true, None), 1, saw(1, 1, 0));
        story.tell(0, set(2), 2, wrote(2, 1));
        story.tell(1, get(false, None), 2, saw(2, 2, 1));
        story.event(1, 2);
    });
    tell(
        "a sequence that repeats itself",
        Some(By::Order),
        &|story| {
            let name = || Answer::Created("/sequence/n-0000000004".into());
            story.tell(0, Request::Sequential { ephemeral: false }, 2, name());
            story.tell(1, Request::Sequential { ephemeral: false }, 3, name());
        },
    );
    tell(
        "an ephemeral that outlives its session",
        Some(By::Order),
        &|story| {
            let fence = story.tell(1, Request::Fence, 2, Answer::Done);
            let gone = Request::Gone { session: 5, fence };
            story.tell(1, gone, 2, Answer::Exists(true));
        },
    );
    all
}

/// Every history is judged as it deserves.
pub(crate) fn run(environment: &Environment) -> Outcome<String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let stories = stories();
    let told = stories.len();
    for (name, story, by) in stories {
        let breaches = check(&story.history);
        let file = dir.path().join("history.json");
        let verdict = judge(&environment.checker, &story.history, &file)?;
        let found = (matches!(verdict, Verdict::Not(_)), !breaches.is_empty());
        let expected = match by {
            None => (false, false),
            Some(By::Both) => (true, true),
            Some(By::Search) => (true, false),
            Some(By::Order) => (false, true),
        };
        if found != expected {
            return Err(format!(
                "{name}: to be found by {by:?}, and found were {breaches:#?} and {verdict:?}"
            ));
        }
    }
    lost_in_the_end()?;
    Ok(format!(
        "{told} histories, and a tree without what it should have"
    ))
}

/// What the last look at the trees has to find out.
fn lost_in_the_end() -> Outcome {
    let mut story = Story::new();
    let record = Request::Record { name: "n".into() };
    story.tell(0, record, 2, Answer::Created("/ledger/n".into()));
    story.history.clients[0]
        .sessions
        .push((SESSION, SessionEnd::Lives));
    story.tell(
        0,
        Request::Ephemeral,
        3,
        Answer::Created("/ephemerals/7".into()),
    );
    let breaches = ending::check(&story.history, &BTreeMap::new());
    if breaches.len() == 3 {
        Ok(())
    } else {
        Err(format!(
            "a node, an ephemeral and a register are lost, and found were {breaches:?}"
        ))
    }
}
