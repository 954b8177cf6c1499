//! One member: a directory, and the process on it.

use crate::Outcome;
use crate::network::Network;
use nix::libc::SIGTERM;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// How long anything may take before a case gives up on it. Machines that run tests stall.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The client port of every member; each has an address of its own.
pub const CLIENT_PORT: u16 = 2181;

/// What a member's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Down,
    /// It runs.
    Up,
    /// It is stopped and will go on.
    Paused,
}

/// Whose server a member runs.
#[derive(Clone, Debug)]
pub enum Flavor {
    /// Ours, by its binary.
    Ours(PathBuf),
    /// Apache ZooKeeper's, by its class path.
    Java(String),
}

impl Flavor {
    /// What runs it on a zoo.cfg.
    fn command_line(&self, config: PathBuf) -> Vec<OsString> {
        let words: Vec<OsString> = match self {
            Flavor::Ours(binary) => vec![
                binary.into(),
                "run".into(),
                "--log-level".into(),
                std::env::var_os("HISTORIES_LOG_LEVEL").unwrap_or_else(|| "info".into()),
            ],
            // Small and quick to start: several of them share a small machine.
            Flavor::Java(classpath) => vec![
                "java".into(),
                "-Xmx256m".into(),
                "-XX:+UseSerialGC".into(),
                "-XX:TieredStopAtLevel=1".into(),
                "-Dorg.slf4j.simpleLogger.showDateTime=true".into(),
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS".into(),
                "-cp".into(),
                classpath.into(),
                "org.apache.zookeeper.server.quorum.QuorumPeerMain".into(),
            ],
        };
        words.into_iter().chain([config.into()]).collect()
    }
}

/// One member, running or not.
#[derive(Debug)]
pub struct Member {
    /// Its server id, its index in the ensemble and one.
    pub id: usize,
    /// Its files.
    pub dir: PathBuf,
    /// Its zoo.cfg.
    config: String,
    flavor: Flavor,
    child: Option<Child>,
    paused: bool,
}

impl Member {
    /// A member whose files are in `dir`, not running.
    #[must_use]
    pub fn new(id: usize, dir: PathBuf, config: String, flavor: Flavor) -> Self {
        Member {
            id,
            dir,
            config,
            flavor,
            child: None,
            paused: false,
        }
    }

    /// What its process does.
    #[must_use]
    pub fn state(&self) -> State {
        match (&self.child, self.paused) {
            (None, _) => State::Down,
            (Some(_), false) => State::Up,
            (Some(_), true) => State::Paused,
        }
    }

    /// Starts it in its network, where `hosts` says who has which name.
    ///
    /// # Errors
    /// Where the process can't be started, or runs already.
    pub fn start(
        &mut self,
        network: &Network,
        hosts: &Path,
        variables: &[(&str, &Path)],
    ) -> Outcome {
        if self.child.is_some() {
            return Err(format!("member {} runs already", self.id));
        }
        let failed = |error: std::io::Error| format!("can't start a member: {error}");
        // As it was, though the member writes into it: the operator's, too, can't be written, and lists
        // a member that was removed and is to be added again.
        fs::write(self.dir.join("zoo.cfg"), &self.config).map_err(failed)?;
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(failed)?;
        let child = network
            .command_at(self.id - 1)
            .args(["unshare", "--mount", "sh", "-c"])
            .arg("mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"")
            .arg("sh")
            .arg(hosts)
            .args(self.flavor.command_line(self.dir.join("zoo.cfg")))
            .envs(variables.iter().copied())
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        self.child = Some(child);
        self.paused = false;
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A process that has ended by itself can't be killed, and is waited for all the same.
            let _ended = child.kill();
            let _status = child.wait();
        }
        self.paused = false;
    }

    /// SIGTERM, and waits for an end in order.
    ///
    /// # Errors
    /// Where it ends otherwise, or not at all.
    pub fn terminate(&mut self) -> Outcome {
        let child = self.child.take().ok_or("it does not run")?;
        match test_support::terminate(child, PATIENCE) {
            Ok(status) if status.success() => Ok(()),
            // What a virtual machine says of an end in order.
            Ok(status) if self.is_java() && status.code() == Some(128 + SIGTERM) => Ok(()),
            Ok(status) => Err(format!("member {} ended with {status}", self.id)),
            Err(error) => Err(format!("SIGTERM did not end member {}: {error}", self.id)),
        }
    }

    fn is_java(&self) -> bool {
        matches!(self.flavor, Flavor::Java(_))
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn pause(&mut self) -> Outcome {
        self.signal(Signal::SIGSTOP)?;
        self.paused = true;
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn go_on(&mut self) -> Outcome {
        self.signal(Signal::SIGCONT)?;
        self.paused = false;
        Ok(())
    }

    /// An error where the process has ended though nobody ended it.
    ///
    /// # Errors
    /// Where that is so.
    pub fn check(&mut self) -> Outcome {
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        match child.try_wait() {
            Ok(None) => Ok(()),
            ended => Err(format!("member {} ended by itself: {ended:?}", self.id)),
        }
    }

    fn signal(&self, signal: Signal) -> Outcome {
        let child = self.child.as_ref();
        let id = child
            .ok_or_else(|| format!("member {} does not run", self.id))?
            .id();
        let pid = i32::try_from(id).map_err(|error| error.to_string())?;
        kill(Pid::from_raw(pid), signal)
            .map_err(|error| format!("can't send {signal} to member {}: {error}", self.id))
    }

    /// The file that its processes log to.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("log.txt")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How long a four-letter word may wait for its answer.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);

/// A four-letter word's answer from a member at `address`.
#[must_use]
pub fn ask(address: Ipv4Addr, word: &str) -> Option<String> {
    test_support::four_letter_word((address, CLIENT_PORT).into(), word, ANSWER_PATIENCE)
}

/// `leader` or `follower` where the member at `address` serves.
#[must_use]
pub fn mode(address: Ipv4Addr) -> Option<String> {
    test_support::mode((address, CLIENT_PORT).into(), ANSWER_PATIENCE)
}
