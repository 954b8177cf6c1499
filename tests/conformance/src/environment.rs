//! What a run is told from outside.

use crate::Outcome;
use std::path::PathBuf;
use std::time::Duration;

/// The two programs, and how much is wanted of them.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// Java's class path with Apache ZooKeeper on it.
    pub(crate) classpath: String,
    /// Our server's binary.
    pub(crate) server: PathBuf,
    /// The first sequence's number.
    pub(crate) seed: u64,
    /// The long form: until so much time has passed.
    pub(crate) long: Option<Duration>,
    /// Differences to look for before giving up.
    pub(crate) failures: usize,
    /// Lanes at a time.
    pub(crate) lanes: usize,
    /// Replaces the number of sequences of every case.
    pub(crate) sequences: Option<u64>,
}

impl Environment {
    /// Reads the environment; what is missing is an error, never a reason to skip.
    pub(crate) fn read() -> Outcome<Self> {
        let required = |name: &str, what: &str| {
            said(name).ok_or_else(|| format!("{name} is not set: it has to name {what}"))
        };
        let classpath = required(
            "CONFORMANCE_JAVA_CLASSPATH",
            "the jars of Apache ZooKeeper, such as '/jars/*'; tests/interop/pom.xml gets them",
        )?;
        let server = PathBuf::from(required(
            "CONFORMANCE_SERVER",
            "the zookeeper-server binary to be tested",
        )?);
        if !server.is_file() {
            let server = server.display();
            return Err(format!(
                "CONFORMANCE_SERVER names {server}, which is no file"
            ));
        }
        Ok(Environment {
            classpath,
            server,
            seed: number("CONFORMANCE_SEED")?.unwrap_or(1),
            long: number("CONFORMANCE_SECONDS")?.map(Duration::from_secs),
            failures: usize::try_from(number("CONFORMANCE_FAILURES")?.unwrap_or(1)).unwrap_or(1),
            lanes: usize::try_from(number("CONFORMANCE_LANES")?.unwrap_or(8)).unwrap_or(8),
            sequences: number("CONFORMANCE_SEQUENCES")?,
        })
    }
}

fn said(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Outcome<Option<u64>> {
    said(name)
        .map(|text| {
            text.parse()
                .map_err(|_| format!("{name} is '{text}', which is no number"))
        })
        .transpose()
}
