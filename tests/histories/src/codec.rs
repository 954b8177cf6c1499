//! Requests as frames, and replies as answers. Source: `zookeeper.jute`, `MultiOperationRecord.java`,
//! `MultiResponse.java`.

use crate::history::{Answer, Register, Request, Step, StepResult};
use crate::wire::{In, Out, code, op};
use std::io;

/// `CreateMode.java`.
const PERSISTENT: i32 = 0;
const EPHEMERAL: i32 = 1;
const PERSISTENT_SEQUENTIAL: i32 = 2;
const EPHEMERAL_SEQUENTIAL: i32 = 3;
/// `ClientCnxn.java` SET_WATCHES_XID.
pub const SET_WATCHES_XID: i32 = -8;
/// `ClientCnxn.java` NOTIFICATION_XID.
pub const EVENT_XID: i32 = -1;

/// The node that a client fences with.
#[must_use]
pub fn fence_path(client: usize) -> String {
    format!("/fences/{client}")
}

/// The ephemeral of a session.
#[must_use]
pub fn ephemeral_path(session: i64) -> String {
    format!("/ephemerals/{session:x}")
}

/// Who asks: some requests are about the client's or the session's own nodes.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The client.
    pub client: usize,
    /// Its session.
    pub session: i64,
    /// What it has seen.
    pub last_zxid: i64,
    /// Where its watches are.
    pub watches: &'a [String],
}

/// The frame of a request.
#[must_use]
pub fn encode(xid: i32, request: &Request, asker: Asker<'_>) -> Out {
    let mut out = Out::default();
    match request {
        Request::Steps {
            group,
            steps,
            watch,
            ..
        } => match steps.as_slice() {
            [single] => {
                out.int(xid).int(type_of(*single));
                step(&mut out, *group, *single, *watch);
            }
            several => {
                let reads = several.iter().all(|step| step.is_read());
                out.int(xid)
                    .int(if reads { op::MULTI_READ } else { op::MULTI });
                for single in several {
                    out.int(type_of(*single)).boolean(false).int(-1);
                    step(&mut out, *group, *single, false);
                }
                out.int(-1).boolean(true).int(-1);
            }
        },
        Request::Fence => {
            out.int(xid).int(op::SET_DATA);
            out.string(&fence_path(asker.client)).buffer(b"").int(-1);
        }
        Request::Sync => {
            out.int(xid).int(op::SYNC).string("/");
        }
        Request::Record { name } => {
            out.int(xid).int(op::CREATE);
            out.string(&format!("/ledger/{name}"))
                .buffer(name.as_bytes());
            out.open_acl().int(PERSISTENT);
        }
        Request::Sequential { ephemeral } => {
            let flags = if *ephemeral {
                EPHEMERAL_SEQUENTIAL
            } else {
                PERSISTENT_SEQUENTIAL
            };
            out.int(xid).int(op::CREATE);
            out.string("/sequence/n-").buffer(b"").open_acl().int(flags);
        }
        Request::Ephemeral => {
            out.int(xid).int(op::CREATE);
            out.string(&ephemeral_path(asker.session)).buffer(b"");
            out.open_acl().int(EPHEMERAL);
        }
        Request::Gone { session, .. } => {
            out.int(xid).int(op::EXISTS);
            out.string(&ephemeral_path(*session)).boolean(false);
        }
        Request::Watches => {
            out.int(SET_WATCHES_XID).int(op::SET_WATCHES);
            out.long(asker.last_zxid);
            out.int(i32::try_from(asker.watches.len()).unwrap_or(0));
            for path in asker.watches {
                out.string(path);
            }
            out.int(0).int(0);
        }
        Request::Close => {
            out.int(xid).int(op::CLOSE_SESSION);
        }
    }
    out
}

fn type_of(step: Step) -> i32 {
    match step {
        Step::Create { .. } => op::CREATE,
        Step::Set { .. } => op::SET_DATA,
        Step::Delete { .. } => op::DELETE,
        Step::Check { .. } => op::CHECK,
        Step::Get { .. } => op::GET_DATA,
    }
}

fn step(out: &mut Out, group: u64, step: Step, watch: bool) {
    let node = step.node();
    out.string(&Register { group, node }.path());
    match step {
        Step::Create { value, .. } => {
            out.buffer(value.to_string().as_bytes());
            out.open_acl().int(PERSISTENT);
        }
        Step::Set { value, version, .. } => {
            out.buffer(value.to_string().as_bytes()).int(version);
        }
        Step::Delete { version, .. } | Step::Check { version, .. } => {
            out.int(version);
        }
        Step::Get { .. } => {
            out.boolean(watch);
        }
    }
}

/// What a reply to `request` says. Errors that leave open whether anything happened are errors here
/// too.
///
/// # Errors
/// Where the reply makes no sense, or is an error that the request can't have.
pub fn decode(request: &Request, error: i32, body: &[u8]) -> io::Result<Answer> {
    let mut input = In(body);
    let unexpected = || io::Error::other(format!("error {error} for {request:?}"));
    match request {
        Request::Steps { steps, .. } if steps.len() > 1 => {
            if error != code::OK && body.is_empty() {
                return Err(unexpected());
            }
            several(steps, &mut input)
        }
        Request::Steps { steps, .. } => {
            let single = *steps.first().ok_or_else(unexpected)?;
            match (error, single) {
                (code::OK, _) => Ok(Answer::Steps(vec![result(single, &mut input)?])),
                (code::NO_NODE, Step::Get { .. }) => Ok(Answer::Steps(vec![StepResult::Missing])),
                (code::NO_NODE | code::BAD_VERSION | code::NODE_EXISTS, _) => {
                    Ok(Answer::Refused { at: 0, error })
                }
                _ => Err(unexpected()),
            }
        }
        Request::Gone { .. } => match error {
            code::OK => Ok(Answer::Exists(true)),
            code::NO_NODE => Ok(Answer::Exists(false)),
            _ => Err(unexpected()),
        },
        Request::Record { .. } | Request::Sequential { .. } | Request::Ephemeral => match error {
            code::OK => Ok(Answer::Created(input.string()?)),
            code::NODE_EXISTS => Ok(Answer::Refused { at: 0, error }),
            _ => Err(unexpected()),
        },
        Request::Fence | Request::Sync | Request::Watches | Request::Close => match error {
            code::OK => Ok(Answer::Done),
            _ => Err(unexpected()),
        },
    }
}

fn result(step: Step, input: &mut In<'_>) -> io::Result<StepResult> {
    Ok(match step {
        Step::Create { .. } => {
            let _path = input.string()?;
            StepResult::Done
        }
        Step::Delete { .. } | Step::Check { .. } => StepResult::Done,
        Step::Set { .. } => StepResult::Set(input.stat()?),
        Step::Get { .. } => {
            let value = input.string()?.parse().map_err(io::Error::other)?;
            StepResult::Value(value, input.stat()?)
        }
    })
}

fn several(steps: &[Step], input: &mut In<'_>) -> io::Result<Answer> {
    let mut results = Vec::new();
    let mut errors = Vec::new();
    for step in steps {
        let (kind, done, _error) = (input.int()?, input.boolean()?, input.int()?);
        if done {
            return Err(io::Error::other("a multi's reply ends too soon"));
        }
        if kind == op::ERROR {
            let error = input.int()?;
            if step.is_read() && error == code::NO_NODE {
                results.push(StepResult::Missing);
            } else {
                errors.push(error);
            }
        } else {
            results.push(result(*step, input)?);
        }
    }
    if errors.is_empty() {
        return Ok(Answer::Steps(results));
    }
    // All of them failed then: those before the culprit with 0, those behind it with another code.
    let culprit = errors
        .iter()
        .position(|error| !matches!(*error, code::OK | code::RUNTIME_INCONSISTENCY));
    let behind = |at: usize| {
        errors[at + 1..]
            .iter()
            .all(|error| *error == code::RUNTIME_INCONSISTENCY)
    };
    match culprit {
        Some(at)
            if errors.len() == steps.len()
                && errors[..at].iter().all(|error| *error == code::OK)
                && behind(at) =>
        {
            let error = errors[at];
            Ok(Answer::Refused { at, error })
        }
        _ => Err(io::Error::other(format!(
            "a multi failed with {errors:?} and did {results:?}"
        ))),
    }
}
