//! One member: a directory with a configuration that both servers read, and the process on it.

use crate::Outcome;
use crate::environment::Environment;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long anything may take before a case gives up on it. Machines that run tests stall.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a four-letter word may wait for its answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// Whose server runs on a member's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// Apache ZooKeeper.
    Java,
    /// This project's.
    Ours,
}

impl Flavor {
    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Flavor::Java => Flavor::Ours,
            Flavor::Ours => Flavor::Java,
        }
    }
}

impl std::fmt::Display for Flavor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Flavor::Java => "Java",
            Flavor::Ours => "ours",
        })
    }
}

/// One member, running or not.
pub(crate) struct Member {
    pub(crate) id: usize,
    /// Who runs on the directory, or would.
    pub(crate) flavor: Flavor,
    pub(crate) observer: bool,
    pub(crate) client_port: u16,
    pub(crate) dir: PathBuf,
    pub(crate) environment: Environment,
    pub(crate) child: Option<Child>,
}

impl Member {
    /// Starts the flavor's process.
    pub(crate) fn start(&mut self) -> Outcome {
        assert!(self.child.is_none(), "member {} runs already", self.id);
        let failed = |error: std::io::Error| format!("can't start {self}: {error}");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(failed)?;
        let config = self.dir.join("zoo.cfg");
        let mut command = match self.flavor {
            Flavor::Java => {
                let mut command = Command::new("java");
                // Small and quick to start: a dozen of them share a small machine.
                command
                    .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
                    .args([
                        // Java reads this one from nowhere else.
                        "-Dznode.container.checkIntervalMs=300",
                        "-Dorg.slf4j.simpleLogger.showDateTime=true",
                        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
                        "-cp",
                        &self.environment.classpath,
                        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                    ])
                    .arg(config);
                command
            }
            Flavor::Ours => {
                let mut command = Command::new(&self.environment.server);
                command.args(["run", "--log-level", "debug"]).arg(config);
                command
            }
        };
        let child = command
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        self.child = Some(child);
        Ok(())
    }

    /// Whether its process was started and not ended by us.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A process that has ended by itself can't be killed, and is waited for all the same.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }

    /// SIGTERM, and waits.
    pub(crate) fn terminate(&mut self) -> Outcome {
        let Some(child) = self.child.take() else {
            return Err(format!("{self} does not run"));
        };
        match test_support::terminate(child, PATIENCE) {
            Ok(status) if self.flavor == Flavor::Ours && !status.success() => {
                Err(format!("{self} ended with {status}"))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(format!("SIGTERM did not end {self}: {error}")),
        }
    }

    /// Its host and client port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    /// A four-letter word's answer.
    pub(crate) fn ask(&self, word: &str) -> Option<String> {
        let address = (Ipv4Addr::LOCALHOST, self.client_port).into();
        test_support::four_letter_word(address, word, ANSWER_PATIENCE)
    }

    /// `leader`, `follower` or `observer` where the member serves.
    pub(crate) fn mode(&self) -> Option<String> {
        self.child.as_ref()?;
        let address = (Ipv4Addr::LOCALHOST, self.client_port).into();
        test_support::mode(address, ANSWER_PATIENCE)
    }

    /// A figure of `mntr`.
    pub(crate) fn figure(&self, name: &str) -> Outcome<i64> {
        let answer = self
            .ask("mntr")
            .ok_or_else(|| format!("{self} does not answer mntr"))?;
        answer
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
            .map(|value| value as i64)
            .ok_or_else(|| format!("{self} does not tell {name}: {answer}"))
    }

    /// All that its processes have logged.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log.txt")
    }
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "member {} ({})", self.id, self.flavor)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
