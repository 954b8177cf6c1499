//! A standalone server of either kind, on a directory and a port of its own.

use crate::Outcome;
use crate::environment::Environment;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to come up. Machines that run tests stall.
const PATIENCE: Duration = Duration::from_secs(60);
/// Below the ports that the system gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 12_000..31_000;
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on, never handed out twice by this process.
pub(crate) fn free_port() -> u16 {
    let span = PORTS.end - PORTS.start;
    let spread = u16::try_from(std::process::id() % u32::from(span)).unwrap_or(0);
    loop {
        let offset = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + spread.wrapping_add(offset) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Behaviour is tested on memory where there is some: disks of small machines stall.
pub(crate) fn scratch() -> Outcome<TempDir> {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        TempDir::new_in(memory)
    } else {
        TempDir::new()
    };
    made.map_err(|error| format!("no temporary directory: {error}"))
}

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    Java,
    Ours,
}

/// A running server; its process ends with it.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    flavor: Flavor,
    _dir: Option<TempDir>,
}

/// `super:` and the hash of `super:admin`.
pub(crate) const SUPER: &str = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=";

/// The program of a flavor, to be run with a configuration.
pub(crate) fn program(environment: &Environment, flavor: Flavor) -> Command {
    match flavor {
        Flavor::Java => {
            let mut command = Command::new("java");
            let level = std::env::var("CONFORMANCE_JAVA_LOG").unwrap_or_else(|_| "off".to_owned());
            command
                .args(["-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
                .args([
                    // Java reads these from nowhere else.
                    "-Dznode.container.checkIntervalMs=1000000000".to_owned(),
                    format!("-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER}"),
                    format!("-Dorg.slf4j.simpleLogger.defaultLogLevel={level}"),
                ])
                .args(["-cp", &environment.classpath])
                .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
            command
        }
        Flavor::Ours => {
            let mut command = Command::new(&environment.server);
            let level = std::env::var("CONFORMANCE_LOG").unwrap_or_else(|_| "error".to_owned());
            command.args(["run", "--log-level", &level]);
            command
        }
    }
}

impl Server {
    /// Starts one with `extra` lines in its configuration, and waits until it serves.
    pub(crate) fn start(environment: &Environment, flavor: Flavor, extra: &str) -> Outcome<Self> {
        let dir = scratch()?;
        let port = free_port();
        let config = dir.path().join("zoo.cfg");
        let text = format!(
            "tickTime=10000\ndataDir={data}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n\
             forceSync=no\nsnapCount=100000000\nznode.container.checkIntervalMs=1000000000\n\
             DigestAuthenticationProvider.superDigest={SUPER}\n{extra}",
            data = dir.path().join("data").display(),
        );
        fs::write(&config, text).map_err(|error| format!("write {}: {error}", config.display()))?;
        let log = dir.path().join("log.txt");
        let log_file =
            fs::File::create(&log).map_err(|error| format!("create {}: {error}", log.display()))?;
        let child = program(environment, flavor)
            .arg(&config)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .map_err(|error| format!("can't start {flavor:?}: {error}"))?;
        let mut server = Server {
            child,
            port,
            flavor,
            _dir: Some(dir),
        };
        server.wait_until_it_serves(&log)?;
        Ok(server)
    }

    fn wait_until_it_serves(&mut self, log: &Path) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if ask(self.port, "srvr").is_some_and(|answer| answer.contains("Mode: ")) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{:?} ended with {status}: {log}", self.flavor));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("{:?} does not serve", self.flavor))
    }

    /// Whether its process lives.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(kept) = std::env::var("CONFORMANCE_KEEP")
            && let Some(dir) = &self._dir
        {
            let to = Path::new(&kept).join(format!("{:?}.log", self.flavor));
            let _copied = fs::copy(dir.path().join("log.txt"), to);
        }
        // One that has ended by itself can't be killed, and is waited for all the same.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A four-letter word's answer.
pub(crate) fn ask(port: u16, word: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
