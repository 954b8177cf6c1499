//! Linearizability of the registers, searched for by porcupine, which knows nothing of zxids.

use crate::Outcome;
use crate::history::{Answer, Fate, History, Operation, Request, Step, StepResult};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the checker came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains every answer; with the checker's figures.
    Linearizable(String),
    /// There is none, or none was found in time; with what the checker says.
    Not(String),
}

/// The operations that have to be linearizable, a line each: all writes, and those reads that a
/// write of their session went before.
#[must_use]
pub fn lines(history: &History) -> String {
    let mut text = String::new();
    for client in &history.clients {
        for operation in &client.operations {
            if let Some(line) = line(operation, &client.operations) {
                text += &line.to_string();
                text.push('\n');
            }
        }
    }
    text
}

/// Has the checker judge a history, which is left in `file`.
///
/// # Errors
/// Where the checker can't be run, or makes no sense of the history.
pub fn judge(checker: &Path, history: &History, file: &Path) -> Outcome<Verdict> {
    fs::write(file, lines(history)).map_err(|error| format!("{}: {error}", file.display()))?;
    let output = Command::new(checker)
        .arg(file)
        .output()
        .map_err(|error| format!("{}: {error}", checker.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(Verdict::Linearizable(said)),
        Some(1) => Ok(Verdict::Not(said)),
        _ => Err(format!(
            "{} ended with {}: {}",
            checker.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

fn line(operation: &Operation, all: &[Operation]) -> Option<Value> {
    let Request::Steps {
        group,
        steps,
        fence,
        ..
    } = &operation.request
    else {
        return None;
    };
    if !operation.request.is_write() {
        // What the fence says of itself is no matter: whatever was decided was decided in order.
        let fenced = fence
            .and_then(|fence| all.get(fence))
            .is_some_and(|fence| fence.reply().is_some());
        if !fenced || operation.reply().is_none() {
            return None;
        }
    }
    let (returned, outcome) = match &operation.fate {
        Fate::Unknown => (Value::Null, json!({"kind": "unknown"})),
        Fate::Answered { at, answer, .. } => (json!(at), outcome(answer)?),
    };
    Some(json!({
        "client": operation.client,
        "group": group,
        "call": operation.call,
        "return": returned,
        "steps": steps.iter().copied().map(step).collect::<Vec<_>>(),
        "outcome": outcome,
    }))
}

fn step(step: Step) -> Value {
    match step {
        Step::Create { node, value } => json!({"kind": "create", "node": node, "value": value}),
        Step::Set {
            node,
            value,
            version,
        } => json!({"kind": "set", "node": node, "value": value, "version": version}),
        Step::Delete { node, version } => {
            json!({"kind": "delete", "node": node, "version": version})
        }
        Step::Check { node, version } => {
            json!({"kind": "check", "node": node, "version": version})
        }
        Step::Get { node } => json!({"kind": "get", "node": node}),
    }
}

fn outcome(answer: &Answer) -> Option<Value> {
    match answer {
        Answer::Steps(results) => {
            let results = results
                .iter()
                .map(|result| match result {
                    StepResult::Done => json!({"kind": "done"}),
                    StepResult::Set(stat) => json!({"kind": "set", "version": stat.version}),
                    StepResult::Value(value, stat) => {
                        json!({"kind": "value", "value": value, "version": stat.version})
                    }
                    StepResult::Missing => json!({"kind": "missing"}),
                })
                .collect::<Vec<_>>();
            Some(json!({"kind": "done", "results": results}))
        }
        Answer::Refused { at, error } => Some(json!({"kind": "refused", "at": at, "error": error})),
        Answer::Created(_) | Answer::Exists(_) | Answer::Done => None,
    }
}
