//! What the cases share: the cluster, this run's namespace and the ensemble in it.

use crate::Outcome;
use crate::cases::Changed;
use crate::ensemble::{self, Ensemble};
use crate::environment::Environment;
use crate::kube::Kube;
use crate::objects::{self, Objects};
use crate::operator;
use crate::writer::{Verified, Writer};
use std::env;
use std::path::Path;
use std::process::{self, Command};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Two cases at once may both find that the operator is not there.
static INSTALLING: Mutex<()> = Mutex::new(());

/// The ensemble and everything it owns, as it was when nobody touched it any more.
#[derive(Clone, Debug)]
pub(crate) struct Idle {
    /// Since when.
    pub(crate) since: Instant,
    /// All that the ensemble owns, as it was then.
    pub(crate) objects: Objects,
    /// Passes of the operator until then.
    pub(crate) passes: u64,
}

/// The state of a run.
#[derive(Debug)]
pub(crate) struct Suite {
    /// What the tests were told.
    pub(crate) environment: Environment,
    /// kubectl in this run's namespace.
    pub(crate) kube: Kube,
    /// Since when the ensemble has been left in peace, if it has.
    pub(crate) idle: Option<Idle>,
    /// The ensemble whose user's password was changed, if it was.
    pub(crate) changed: Option<Changed>,
    folder: TempDir,
    has_namespace: bool,
}

impl Suite {
    pub(crate) fn new(environment: &Environment, suffix: &str) -> Outcome<Self> {
        let namespace = format!("e2e-{}{suffix}", process::id());
        let folder = tempfile::Builder::new()
            .prefix("e2e-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            environment: environment.clone(),
            kube: Kube::new(environment, &namespace),
            idle: None,
            changed: None,
            folder,
            has_namespace: false,
        })
    }

    /// This run's namespace, where only what meets Pod Security `restricted` may run.
    pub(crate) fn make_namespace(&mut self) -> Outcome {
        if !self.has_namespace {
            self.kube.make_namespace()?;
            self.has_namespace = true;
        }
        Ok(())
    }

    /// The ensemble of the small example, Ready; made if this run has none yet.
    pub(crate) fn ensemble(&mut self) -> Outcome<Ensemble> {
        self.apply_example()?;
        ensemble::await_ensemble(&self.kube, &self.environment)
    }

    /// The operator is installed and the small example applied, if that was not so already.
    pub(crate) fn apply_example(&mut self) -> Outcome {
        self.make_namespace()?;
        {
            let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
            if !operator::is_installed(&self.kube)? {
                operator::install(&self.kube, &self.environment)?;
            }
        }
        let example = self.environment.small_example();
        self.kube
            .run(&["apply", "--filename", &example.to_string_lossy()])
            .map(drop)
    }

    /// From now on nobody touches the ensemble.
    pub(crate) fn leave_in_peace(&mut self) -> Outcome {
        if self.idle.is_none() {
            self.idle = Some(Idle {
                since: Instant::now(),
                objects: objects::owned(&self.kube, ensemble::NAME)?,
                passes: operator::passes(&self.kube, &self.environment)?,
            });
        }
        Ok(())
    }

    /// From now on the ensemble is disturbed.
    pub(crate) fn disturb(&mut self) {
        self.idle = None;
    }

    /// Where the run's own files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A writer of its own for a case, below `/root`.
    pub(crate) fn writer(&self, ensemble: &Ensemble, root: &str, rate: u32) -> Outcome<Writer> {
        Writer::start(&self.environment, ensemble, self.folder.path(), root, rate)
    }

    /// Fails a node, or mends it: stop, start, isolate, join. Nodes end in their number.
    pub(crate) fn node(&self, action: &str, name: &str) -> Outcome {
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        let mut command = Command::new(&self.environment.xtask);
        command
            .args(["--instance", &self.environment.instance])
            .args(["node", action, digits])
            .current_dir(&self.environment.project);
        let output = crate::kube::output(&mut command, None)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("node {action} {name}: {said}"))
    }

    /// Ends a writer, and tells what the verification of all its promises found.
    pub(crate) fn finish(&self, writer: Writer, ensemble: &Ensemble) -> Outcome<Verified> {
        let began = Instant::now();
        let verified = writer.finish(ensemble)?;
        note!(
            "  {} acknowledged writes, all found on {} members ({} of unknown outcome); read in {:.1} s",
            verified.acknowledged,
            ensemble.members.len(),
            verified.unknown,
            began.elapsed().as_secs_f32()
        );
        Ok(verified)
    }

    /// Waits until the operator has made `more` passes beyond `from`.
    pub(crate) fn await_passes(&self, from: u64, more: u64, at_most: Duration) -> Outcome<u64> {
        crate::wait::until("the operator makes further passes", at_most, || {
            let seen = operator::passes(&self.kube, &self.environment)?;
            if seen >= from + more {
                Ok(seen)
            } else {
                Err(format!("{seen} of {}", from + more))
            }
        })
    }

    /// Takes away what the run made. The operator stays, as it is shared.
    pub(crate) fn tear_down(&mut self) {
        if !self.has_namespace || env::var_os("E2E_KEEP").is_some() {
            return;
        }
        let name = self.kube.namespace.clone();
        if let Err(error) = self
            .kube
            .run(&["delete", "namespace", &name, "--wait=false"])
        {
            eprintln!("the namespace {name} is left: {error}");
        }
    }
}
