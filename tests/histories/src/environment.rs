//! Where the programs are, and which form is wanted.

use crate::Outcome;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Programs of the system that the network and the members need, with their Debian packages.
const PROGRAMS: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("iptables-restore", "iptables"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
];

/// What a run is told.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The server's binary.
    pub server: PathBuf,
    /// Apache ZooKeeper's jars, where members of its are wanted.
    pub classpath: Option<String>,
    /// The built `checker`.
    pub checker: PathBuf,
    /// The library that `slow-disk` makes.
    pub slow_disk: PathBuf,
    /// How long each random run lasts.
    pub length: Duration,
    /// The seed to begin with, where one is wanted.
    pub seed: Option<u64>,
    /// Where the disks, logs and histories of a failed run are kept.
    pub keep: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment; what is missing is an error, never a reason to skip.
    ///
    /// # Errors
    /// One line that says what is missing.
    pub fn read() -> Outcome<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Err("network namespaces need root: run the tests as root".into());
        }
        for (program, package) in PROGRAMS {
            let found = Command::new(program)
                .arg("--version")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            // Some programs have no such option; that they start is enough.
            if let Err(error) = found {
                return Err(format!("missing {program} (Debian: {package}): {error}"));
            }
        }
        let seconds = number("HISTORIES_SECONDS")?.unwrap_or(12);
        Ok(Environment {
            server: file(
                "HISTORIES_SERVER",
                "the zookeeper-server binary to be tested",
            )?,
            classpath: set("HISTORIES_JAVA_CLASSPATH"),
            checker: file(
                "HISTORIES_CHECKER",
                "the program that tests/histories/checker makes",
            )?,
            slow_disk: file(
                "HISTORIES_SLOW_DISK",
                "the library that tests/histories/slow-disk makes",
            )?,
            length: Duration::from_secs(seconds),
            seed: number("HISTORIES_SEED")?,
            keep: set("HISTORIES_KEEP").map(PathBuf::from),
        })
    }
}

impl Environment {
    /// Transactions between two snapshots of a member: few, so that many snapshots are hit by faults,
    /// but in long runs, whose snapshots would fill the memory.
    #[must_use]
    pub fn snap_count(&self) -> u32 {
        if self.length <= Duration::from_secs(60) {
            500
        } else {
            10_000
        }
    }
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Outcome<Option<u64>> {
    set(name)
        .map(|text| {
            text.parse()
                .map_err(|_| format!("{name} is '{text}', which is no number"))
        })
        .transpose()
}

fn file(name: &str, what: &str) -> Outcome<PathBuf> {
    let path = set(name).ok_or_else(|| format!("{name} is not set: it has to name {what}"))?;
    let path = PathBuf::from(path);
    if !path.is_file() {
        return Err(format!("{name} names {}, which is no file", path.display()));
    }
    // Members run in directories of their own.
    std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))
}
