//! One server process on the loopback range.

use crate::client::Client;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it. Machines that run tests stall.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it ends when dropped.
pub(crate) struct Server {
    child: Child,
    /// Its files go with it.
    _dir: TempDir,
    pub(crate) plain: SocketAddr,
    pub(crate) secure: Option<SocketAddr>,
}

/// The classes of Apache ZooKeeper, where its server is to be tested.
pub(crate) fn java() -> Option<String> {
    std::env::var("SECURITY_JAVA_CLASSPATH").ok()
}

/// A directory for a server's files.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}

impl Server {
    /// Starts one whose zoo.cfg has `lines` besides what every server needs. `DIR` in them stands
    /// for the server's directory, `SECURE` for a port with TLS.
    pub(crate) fn start(dir: TempDir, lines: &str) -> Self {
        let secure = lines.contains("SECURE");
        let config = config(&dir, lines);
        let mut command = match java() {
            None => Command::new(env!("CARGO_BIN_EXE_zookeeper-server")),
            Some(classpath) => {
                let mut command = Command::new("java");
                command.args(["-Xmx128m", "-cp", &classpath]);
                command
            }
        };
        let mut child = if java().is_some() {
            let jaas = lines.lines().find(|line| line.starts_with("java.security"));
            command.args(jaas.map(|jaas| format!("-D{}", jaas.replace("DIR", &path(&dir)))));
            command
                .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
                .arg(&config)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        } else {
            command
                .arg("run")
                .arg(&config)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let (plain, secure) = if java().is_some() {
            ports_of(&config, secure)
        } else {
            let lines = lines_of(child.stderr.take().unwrap());
            ports_said(&lines, secure)
        };
        let server = Server {
            child,
            _dir: dir,
            plain,
            secure,
        };
        server.await_answer();
        server
    }

    /// The line and the exit code with which a server refuses a configuration.
    pub(crate) fn refused(dir: &TempDir, lines: &str) -> (String, Option<i32>) {
        let output = Command::new(env!("CARGO_BIN_EXE_zookeeper-server"))
            .arg("run")
            .arg(config(dir, lines))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).replace(&path(dir), "DIR");
        let last = text.lines().last().unwrap_or_default().to_owned();
        (last, output.status.code())
    }

    fn await_answer(&self) {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Ok(stream) = TcpStream::connect(self.plain)
                && Client::open(stream).is_ok()
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not serve");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path(dir: &TempDir) -> String {
    dir.path().display().to_string()
}

fn config(dir: &TempDir, lines: &str) -> std::path::PathBuf {
    // Our server is given any port and says which; Java's is given one that was free just now.
    let port = || match java() {
        None => 0,
        Some(_) => TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port(),
    };
    let lines = lines
        .replace("DIR", &path(dir))
        .replace("SECURE", &port().to_string());
    let text = format!(
        "dataDir={dir}/data\nclientPort={plain}\nclientPortAddress=127.0.0.1\ntickTime=2000\n\
         admin.enableServer=false\n4lw.commands.whitelist=*\n{lines}\n",
        dir = path(dir),
        plain = port(),
    );
    let config = dir.path().join("zoo.cfg");
    fs::write(&config, text).unwrap();
    config
}

/// The ports that a zoo.cfg names.
fn ports_of(config: &Path, secure: bool) -> (SocketAddr, Option<SocketAddr>) {
    let text = fs::read_to_string(config).unwrap();
    let port = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap();
        SocketAddr::from(([127, 0, 0, 1], line.parse().unwrap()))
    };
    (
        port("clientPort="),
        secure.then(|| port("secureClientPort=")),
    )
}

/// All that a server says, line by line, and its end.
fn lines_of(stderr: ChildStderr) -> Receiver<String> {
    let (lines, said) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Read on where nobody listens any more, or the server would wait for it.
            let _ = lines.send(line);
        }
    });
    said
}

fn ports_said(said: &Receiver<String>, secure: bool) -> (SocketAddr, Option<SocketAddr>) {
    let mut plain = None;
    let mut with_tls = None;
    let mut heard = Vec::new();
    let until = Instant::now() + PATIENCE;
    while plain.is_none() || (secure && with_tls.is_none()) {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(line) = said.recv_timeout(left) else {
            panic!("the server does not listen: {heard:#?}");
        };
        if let Some((_, rest)) = line.split_once("address=") {
            let address: Option<SocketAddr> = rest
                .split([' ', ','])
                .next()
                .and_then(|address| address.trim_matches('"').parse().ok());
            if line.contains("listening for clients with TLS") {
                with_tls = address;
            } else if line.contains("listening for clients") {
                plain = address;
            }
        }
        heard.push(line);
    }
    (plain.unwrap(), with_tls)
}
