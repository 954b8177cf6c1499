//! `writer.py` as a process: a kazoo client that keeps a journal of what it was promised.

use crate::Outcome;
use crate::ensemble::{Ensemble, Member};
use crate::environment::Environment;
use crate::kube::output;
use crate::wait::until;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970, as the journal counts.
pub(crate) fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// A running writer.
#[derive(Debug)]
pub(crate) struct Writer {
    child: Child,
    environment: Environment,
    /// Its journal.
    pub(crate) journal: PathBuf,
}

/// What a verification read.
#[derive(Debug)]
pub(crate) struct Verified {
    /// Writes that were acknowledged, every one of which was found.
    pub(crate) acknowledged: u64,
    /// Writes of which nobody knows.
    pub(crate) unknown: u64,
}

fn python(environment: &Environment) -> Command {
    let mut command = Command::new("nsenter");
    let mut netns = std::ffi::OsString::from("--net=");
    netns.push(&environment.netns);
    command
        .arg(netns)
        .arg(&environment.python)
        .arg(environment.project.join("tests/e2e/writer.py"));
    command
}

impl Writer {
    /// Starts writing below `root` through the client service, `rate` operations a second,
    /// with a second session that keeps one ephemeral node; returns when both are at work.
    pub(crate) fn start(
        environment: &Environment,
        ensemble: &Ensemble,
        folder: &Path,
        root: &str,
        rate: u32,
    ) -> Outcome<Self> {
        let journal = folder.join(format!("{root}.jsonl"));
        // What kazoo says about its connection, for whoever looks into a failure.
        let log = fs::File::create(folder.join(format!("{root}.log")))
            .map_err(|error| error.to_string())?;
        let child = python(environment)
            .args([
                "write",
                "--hosts",
                &ensemble.service,
                "--root",
                &format!("/{root}"),
                "--journal",
            ])
            .arg(&journal)
            .args(["--rate", &rate.to_string(), "--living", "30", "--linger"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("start writer.py in the cluster's network: {error}"))?;
        let mut writer = Self {
            child,
            environment: environment.clone(),
            journal,
        };
        writer.await_progress(50)?;
        Ok(writer)
    }

    /// The journal's facts so far.
    fn facts(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.journal).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The times of all acknowledgements.
    fn acknowledgements(&self) -> Vec<f64> {
        self.facts()
            .iter()
            .filter(|fact| fact["e"] == "ack")
            .filter_map(|fact| fact["t"].as_f64())
            .collect()
    }

    /// Waits for `count` more acknowledgements.
    pub(crate) fn await_progress(&mut self, count: usize) -> Outcome {
        let target = self.acknowledgements().len() + count;
        until(
            "the writer's writes are acknowledged",
            Duration::from_secs(60),
            || {
                if let Ok(Some(status)) = self.child.try_wait() {
                    return Err(format!("writer.py ended with {status}: see its log"));
                }
                let seen = self.acknowledgements().len();
                if seen >= target {
                    Ok(())
                } else {
                    Err(format!("{seen} of {target}"))
                }
            },
        )
    }

    /// When the first write was acknowledged over the connection that followed the one lost since
    /// `time`. What was still on its way to the client when the servers died does not count.
    pub(crate) fn first_after_loss(&self, time: f64, at_most: Duration) -> Outcome<f64> {
        until("a write is acknowledged again", at_most, || {
            let facts = self.facts();
            let at = |fact: &Value| fact["t"].as_f64().unwrap_or(0.0);
            let mut facts = facts.iter().skip_while(|fact| at(fact) < time);
            for state in ["SUSPENDED", "CONNECTED"] {
                if !facts.any(|fact| fact["e"] == "state" && fact["state"] == state) {
                    return Err(format!("the client was not {state} yet"));
                }
            }
            let first = facts.find(|fact| fact["e"] == "ack");
            first.map(at).ok_or_else(|| "none".to_owned())
        })
    }

    /// The longest time without any acknowledgement between `from` and now, in seconds.
    pub(crate) fn longest_gap_since(&self, from: f64) -> f64 {
        let mut longest = 0.0_f64;
        let mut last = from;
        for at in self
            .acknowledgements()
            .into_iter()
            .filter(|at| *at >= from)
            .chain([now()])
        {
            longest = longest.max(at - last);
            last = last.max(at);
        }
        longest
    }

    /// Checks on every member that whatever was acknowledged is there; the data of the `tail` newest
    /// nodes, or of all.
    pub(crate) fn verify(&self, members: &[Member], tail: Option<u32>) -> Outcome<Verified> {
        verify(&self.environment, &self.journal, members, tail)
    }

    /// Ends the writing in order, then checks everything on every member, and that all agree.
    pub(crate) fn finish(mut self, ensemble: &Ensemble) -> Outcome<Verified> {
        let mut command = Command::new("kill");
        output(command.arg("-TERM").arg(self.child.id().to_string()), None)?;
        until("the writer stops", Duration::from_secs(40), || {
            let facts = self.facts();
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            let stopped = facts.iter().any(|fact| fact["e"] == "living-left");
            if stopped {
                Ok(())
            } else {
                Err("it still writes".to_owned())
            }
        })?;
        self.verify(&ensemble.members, None)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended already; nothing of it is left either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Checks a journal against every member.
pub(crate) fn verify(
    environment: &Environment,
    journal: &Path,
    members: &[Member],
    tail: Option<u32>,
) -> Outcome<Verified> {
    let mut command = python(environment);
    command.args(["verify", "--journal"]).arg(journal);
    for member in members {
        command.args([
            "--member",
            &format!("{}={}:2181", member.pod, member.address),
        ]);
    }
    if let Some(tail) = tail {
        command.args(["--tail", &tail.to_string()]);
    }
    let output = output(&mut command, None)?;
    if !output.status.success() {
        return Err(format!(
            "the journal does not hold: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let said: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("writer.py verify: {error}"))?;
    let number = |field: &str| {
        said[field]
            .as_u64()
            .ok_or_else(|| format!("writer.py verify says no {field}: {said}"))
    };
    if number("members")? != members.len() as u64 {
        return Err(format!("not every member was read: {said}"));
    }
    Ok(Verified {
        acknowledged: number("acknowledged")?,
        unknown: number("unknown")?,
    })
}
