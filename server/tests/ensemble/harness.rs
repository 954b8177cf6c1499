//! Real server processes on the loopback range, and a client that is not ours.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
pub(crate) use test_support::free_ports;
use test_support::{four_letter_word, mode, scratch, terminate};
use zookeeper_client::{Acls, Client, CreateMode, Error};

/// How long anything may take before a test gives up on it. Machines that run tests stall.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a four-letter word may wait for its answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// One member, running or not.
pub(crate) struct Member {
    pub(crate) id: usize,
    pub(crate) client_port: u16,
    pub(crate) admin_port: u16,
    pub(crate) quorum_port: u16,
    pub(crate) election_port: u16,
    pub(crate) dir: PathBuf,
    /// What starts the server, in front of its own command line.
    pub(crate) wrapper: Vec<String>,
    child: Option<Child>,
}

/// An ensemble under a directory of its own.
pub(crate) struct Ensemble {
    pub(crate) members: Vec<Member>,
    dir: TempDir,
}

impl Ensemble {
    /// Writes the configurations of `count` members, `extra` lines in each; starts none.
    pub(crate) fn configure(count: usize, extra: &str) -> Self {
        let dir = scratch().expect("a directory in memory or a temporary one");
        let ports = free_ports(count * 4);
        let members = (1..=count)
            .map(|id| {
                let [client_port, admin_port, quorum_port, election_port] =
                    ports[(id - 1) * 4..][..4]
                else {
                    unreachable!("four ports a member")
                };
                Member {
                    id,
                    client_port,
                    admin_port,
                    quorum_port,
                    election_port,
                    dir: dir.path().join(format!("member-{id}")),
                    wrapper: Vec::new(),
                    child: None,
                }
            })
            .collect::<Vec<_>>();
        let servers = members
            .iter()
            .map(|member| {
                format!(
                    "server.{}=127.0.0.1:{}:{}\n",
                    member.id, member.quorum_port, member.election_port
                )
            })
            .collect::<String>();
        for member in &members {
            fs::create_dir_all(member.dir.join("data")).expect("a data directory");
            fs::write(member.dir.join("data/myid"), format!("{}\n", member.id)).expect("myid");
            let config = format!(
                "tickTime=500\ninitLimit=20\nsyncLimit=8\ndataDir={data}\nclientPort={client}\n\
                 clientPortAddress=127.0.0.1\nadmin.serverPort={admin}\n\
                 admin.serverAddress=127.0.0.1\nstandaloneEnabled=false\n\
                 maxClientCnxns=0\n4lw.commands.whitelist=*\n{servers}{extra}",
                data = member.dir.join("data").display(),
                client = member.client_port,
                admin = member.admin_port,
            );
            fs::write(member.dir.join("zoo.cfg"), config).expect("zoo.cfg");
        }
        Ensemble { members, dir }
    }

    /// The same, started and serving.
    pub(crate) fn serving(count: usize, extra: &str) -> Self {
        let mut ensemble = Self::configure(count, extra);
        for member in &mut ensemble.members {
            member.start();
        }
        ensemble.wait_until_all_serve();
        ensemble
    }

    /// The connect string of all members.
    pub(crate) fn connect_string(&self) -> String {
        self.members
            .iter()
            .map(|member| format!("127.0.0.1:{}", member.client_port))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Waits until a member that runs leads and serves, and says which.
    pub(crate) fn leader(&self) -> usize {
        wait_for("a leader", || {
            self.members
                .iter()
                .position(|member| member.mode().as_deref() == Some("leader"))
        })
    }

    /// Waits until all members that run serve.
    pub(crate) fn wait_until_all_serve(&self) {
        for member in self.members.iter().filter(|member| member.is_running()) {
            wait_for("every member to serve", || member.mode());
        }
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for member in &self.members {
                let log = fs::read_to_string(member.dir.join("log.txt")).unwrap_or_default();
                let lines = log.lines().collect::<Vec<_>>();
                let tail = lines[lines.len().saturating_sub(40)..].join("\n");
                eprintln!("--- the end of member {}'s log\n{tail}", member.id);
            }
            eprintln!("--- the ensemble was in {}", self.dir.path().display());
        }
    }
}

impl Member {
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "member {} runs already", self.id);
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("log.txt"))
            .expect("a log file");
        let server = env!("CARGO_BIN_EXE_zookeeper-server").to_owned();
        let mut words = self.wrapper.iter().chain([&server]);
        let child = Command::new(words.next().expect("a program"))
            .args(words)
            .args(["run", "--log-level", "debug"])
            .arg(self.dir.join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server's binary");
        self.child = Some(child);
    }

    /// Takes the ensemble out of the configuration.
    pub(crate) fn make_standalone(&self) {
        let path = self.dir.join("zoo.cfg");
        let text = fs::read_to_string(&path).expect("zoo.cfg");
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("server.") && !line.starts_with("standaloneEnabled"));
        let text = lines.collect::<Vec<_>>().join("\n");
        fs::write(path, text + "\n").expect("zoo.cfg");
    }

    /// Whether the process is still the one that was started.
    pub(crate) fn still_runs(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a process of ours");
            child.wait().expect("a process of ours");
        }
    }

    /// SIGSTOP: it does nothing and nobody is told, until it is killed.
    pub(crate) fn pause(&self) {
        let child = self.child.as_ref().expect("a running member");
        let status = Command::new("kill")
            .args(["-STOP", &child.id().to_string()])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "kill -STOP");
    }

    /// The newest file of the log that holds these bytes.
    pub(crate) fn log_with(&self, bytes: &[u8]) -> Option<PathBuf> {
        let entries = fs::read_dir(self.dir.join("data/version-2")).ok()?;
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_log = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == "log");
        let mut logs = files.filter(is_log).collect::<Vec<_>>();
        logs.sort();
        let holds = |path: &PathBuf| {
            let content = fs::read(path).unwrap_or_default();
            content.windows(bytes.len()).any(|window| window == bytes)
        };
        logs.into_iter().rev().find(holds)
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let child = self.child.take().expect("a running member");
        terminate(child, PATIENCE)
            .unwrap_or_else(|error| panic!("SIGTERM did not end member {}: {error}", self.id))
            .code()
    }

    /// A four-letter word's answer.
    pub(crate) fn ask(&self, word: &str) -> Option<String> {
        four_letter_word(self.address(), word, ANSWER_PATIENCE)
    }

    /// A page of the AdminServer: its status, its headers and its content.
    pub(crate) fn page(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Option<(u16, String, Vec<u8>)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin_port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: member\r\nConnection: close\r\n\
             Content-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        // Who is refused may be so before all is sent.
        let _refused = stream.write_all(body);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, head, answer.split_off(end + 4)))
    }

    /// `leader`, `follower`… where the member serves.
    pub(crate) fn mode(&self) -> Option<String> {
        self.child.as_ref()?;
        mode(self.address(), ANSWER_PATIENCE)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.client_port).into()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A session with the cluster, retried until it stands.
pub(crate) async fn connect(cluster: &str) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Client::connect(cluster).await {
            Ok(client) => return client,
            Err(error) => {
                assert!(
                    Instant::now() < deadline,
                    "no session with {cluster}: {error}"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Creates a persistent node; true where it was acknowledged now or before.
pub(crate) async fn create(client: &Client, path: &str, data: &[u8]) -> Result<(), Error> {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    match client.create(path, data, &options).await {
        Ok(_) | Err(Error::NodeExists) => Ok(()),
        Err(error) => Err(error),
    }
}
