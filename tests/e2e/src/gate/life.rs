//! One operator after the other.

use crate::Outcome;
use crate::environment::Environment;
use crate::operator;
use crate::processes;
use crate::wait::{ensure, until};
use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How much of the log a failure shows.
const LOG_LINES: usize = 30;

/// The operator that lives now, and how the next one begins.
pub(super) struct Life {
    netns: PathBuf,
    program: PathBuf,
    variables: Vec<(&'static str, String)>,
    log: PathBuf,
    number: usize,
    child: Option<Child>,
}

impl Life {
    /// An operator that finds the API server at `address` and looks after `namespace`.
    pub(super) fn new(
        environment: &Environment,
        namespace: &str,
        program: &Path,
        folder: &Path,
        address: SocketAddr,
    ) -> Outcome<Self> {
        let kubeconfig = folder.join("gate.kubeconfig");
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: gate, \
             clusters: [{{name: gate, cluster: {{server: 'http://{address}'}}}}], \
             contexts: [{{name: gate, context: {{cluster: gate, user: gate}}}}], \
             users: [{{name: gate, user: {{}}}}]}}\n"
        );
        fs::write(&kubeconfig, text)
            .map_err(|error| format!("write {}: {error}", kubeconfig.display()))?;
        Ok(Self {
            netns: environment.netns.clone(),
            program: program.to_owned(),
            variables: vec![
                ("KUBECONFIG", kubeconfig.to_string_lossy().into_owned()),
                ("WATCH_NAMESPACE", namespace.to_owned()),
                ("POD_NAMESPACE", operator::NAMESPACE.to_owned()),
                ("POD_NAME", "boundaries".to_owned()),
                ("DEFAULT_SERVER_IMAGE", environment.image.clone()),
                ("LISTEN", "127.0.0.1:0".to_owned()),
                ("LOG_FORMAT", "text".to_owned()),
            ],
            log: folder.join("operators.log"),
            number: 0,
            child: None,
        })
    }

    /// Which operator lives, counted from 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Starts the next one.
    pub(super) fn begin(&mut self) -> Outcome {
        self.number += 1;
        let log = self.log_file()?;
        let mut netns = std::ffi::OsString::from("--net=");
        netns.push(&self.netns);
        // It becomes the operator: killing the one is killing the other.
        let child = Command::new("nsenter")
            .arg(netns)
            .arg(&self.program)
            .arg("run")
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("start an operator: {error}"))?;
        self.child = Some(child);
        Ok(())
    }

    /// Kills this one, and starts the next.
    pub(super) fn kill_and_begin(&mut self, why: &str) -> Outcome {
        use std::io::Write as _;
        let mut child = self.child.take().ok_or("no operator lives")?;
        let killed = child.kill().and_then(|()| child.wait());
        killed.map_err(|error| format!("kill operator {}: {error}", self.number))?;
        // A mark for whoever reads the log.
        let _ = writeln!(self.log_file()?, "-- operator {}: {why}", self.number);
        self.begin()
    }

    /// An operator ends by being killed, never by itself.
    pub(super) fn is_sound(&mut self) -> Outcome {
        let child = self.child.as_mut().ok_or("no operator lives")?;
        let ended = child
            .try_wait()
            .map_err(|error| format!("look at operator {}: {error}", self.number))?;
        ensure(ended.is_none(), || {
            format!("operator {} ended by itself: {}", self.number, self.tail())
        })
    }

    /// The process, for whoever ends it: as long as it lives, it asks for more.
    pub(super) fn take(&mut self) -> Outcome<Child> {
        self.child
            .take()
            .ok_or_else(|| "no operator lives".to_owned())
    }

    /// The end of what the operators said.
    pub(super) fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn log_file(&self) -> Outcome<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(|error| format!("open {}: {error}", self.log.display()))
    }
}

/// Ends it in order.
pub(super) fn end(mut child: Child) -> Outcome {
    processes::signal("-TERM", &[child.id()])?;
    let ended = until(
        "the operator stops",
        Duration::from_secs(20),
        || match child.try_wait() {
            Ok(Some(status)) => ensure(status.success(), || format!("it ended with {status}")),
            Ok(None) => Err("it goes on".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    );
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ended
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Nothing of it is left, whatever happened.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
