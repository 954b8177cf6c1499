//! Three members under clients, to which a case then does something.

use super::random::finish;
use histories::Outcome;
use histories::ensemble::{Ensemble, wait_for};
use histories::environment::Environment;
use histories::member::{PATIENCE, mode};
use histories::workload::Workload;
use std::time::{Duration, Instant};

/// Clients at a time.
const CLIENTS: usize = 6;
/// A seed for what the clients ask; what happens to the ensemble is the same in every run.
const SEED: u64 = 4;

/// An ensemble of three under clients.
pub(super) struct Scene {
    pub(super) ensemble: Ensemble,
    pub(super) workload: Workload,
}

impl Scene {
    /// Three members, and clients that have begun.
    pub(super) fn set(environment: &Environment) -> Outcome<Self> {
        Self::of(Ensemble::start(environment, 3)?)
    }

    /// The same on an ensemble that serves.
    pub(super) fn of(ensemble: Ensemble) -> Outcome<Self> {
        let workload = Workload::start(ensemble.addresses(), CLIENTS, SEED)?;
        let mut scene = Scene { ensemble, workload };
        scene.writes_go_on()?;
        Ok(scene)
    }

    /// Waits for one more acknowledged write; how long that took.
    pub(super) fn writes_go_on(&mut self) -> Outcome<Duration> {
        let begun = Instant::now();
        let before = self.workload.acknowledged();
        wait_for("an acknowledged write", PATIENCE, || {
            (self.workload.acknowledged() > before).then_some(())
        })?;
        Ok(begun.elapsed())
    }

    /// Waits until `member` follows whoever leads.
    pub(super) fn follows(&self, member: usize) -> Outcome {
        let address = self.ensemble.address(member);
        wait_for("the member to follow", PATIENCE, || {
            (mode(address).as_deref() == Some("follower")).then_some(())
        })
    }

    /// Checks everything, and that every client had its answers.
    pub(super) fn end(mut self, environment: &Environment, name: &str) -> Outcome<String> {
        match finish(environment, &mut self.ensemble, self.workload) {
            Ok((_history, told)) => Ok(told),
            Err(error) => Err(format!("{error}\n{}", self.ensemble.keep(name))),
        }
    }
}
