//! Ours, started with what the recorded servers were started with.

use crate::WAIT;
use crate::transcript::{Ports, Setup};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Processes; they end when dropped.
pub(crate) struct Servers {
    members: Vec<Child>,
    pub(crate) ports: Vec<Ports>,
    stopped: Vec<usize>,
    _dir: TempDir,
}

fn scratch() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}

fn free_ports(members: usize) -> Vec<Ports> {
    // Held until all are known, so that none comes twice.
    let held: Vec<TcpListener> = (0..members * 3)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let port = |at: usize| held[at].local_addr().unwrap().port();
    (0..members)
        .map(|member| Ports {
            quorum: port(3 * member),
            election: port(3 * member + 1),
            client: port(3 * member + 2),
        })
        .collect()
}

impl Servers {
    pub(crate) fn start(setup: &Setup) -> Servers {
        let dir = scratch();
        let ports = free_ports(setup.members);
        let mut lines = setup.config.join("\n");
        lines.push('\n');
        if !setup.passwords.is_empty() {
            let jaas = dir.path().join("jaas.conf");
            let mut text = String::from(
                "Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required",
            );
            for (name, password) in &setup.passwords {
                write!(text, "\n  user_{name}=\"{password}\"").unwrap();
            }
            std::fs::write(&jaas, text + ";\n};\n").unwrap();
            writeln!(lines, "java.security.auth.login.config={}", jaas.display()).unwrap();
        }
        if setup.members > 1 {
            for (at, ports) in ports.iter().enumerate() {
                let (quorum, election) = (ports.quorum, ports.election);
                writeln!(lines, "server.{}=127.0.0.1:{quorum}:{election}", at + 1).unwrap();
            }
        }
        let start = |at: usize| {
            let home = dir.path().join(at.to_string());
            std::fs::create_dir_all(home.join("data")).unwrap();
            std::fs::write(home.join("data/myid"), (at + 1).to_string()).unwrap();
            let config = format!(
                "tickTime=2000\ninitLimit=30\nsyncLimit=30\ndataDir={}\nclientPort={}\n\
                 clientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n\
                 DigestAuthenticationProvider.superDigest=super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss=\n\
                 {lines}",
                home.join("data").display(),
                ports[at].client,
            );
            std::fs::write(home.join("zoo.cfg"), config).unwrap();
            Command::new(env!("CARGO_BIN_EXE_zookeeper-server"))
                .args(["run", "--log-level", "error"])
                .arg(home.join("zoo.cfg"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let servers = Servers {
            members: (0..setup.running).map(start).collect(),
            ports,
            stopped: Vec::new(),
            _dir: dir,
        };
        let began = Instant::now();
        for at in 0..setup.running {
            while servers.mode(at).is_none() {
                assert!(began.elapsed() < WAIT, "member {} does not serve", at + 1);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        servers
    }

    /// What a member is, once it serves.
    fn mode(&self, at: usize) -> Option<String> {
        let mut answer = String::new();
        let mut socket = TcpStream::connect(self.address(at)).ok()?;
        socket.set_read_timeout(Some(WAIT)).ok()?;
        socket.write_all(b"srvr").ok()?;
        socket.read_to_string(&mut answer).ok()?;
        let mode = answer
            .lines()
            .find_map(|line| line.strip_prefix("Mode: "))?;
        Some(mode.to_owned())
    }

    fn address(&self, at: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[at].client))
    }

    fn followers(&self) -> Vec<usize> {
        let all = 0..self.members.len();
        all.filter(|at| self.mode(*at).as_deref() == Some("follower"))
            .collect()
    }

    /// Where the member of that name listens: the leader, the follower with the lowest number, or
    /// the other one.
    pub(crate) fn member(&self, whom: Option<&str>) -> SocketAddr {
        let Some(whom) = whom else {
            return self.address(0);
        };
        let followers = self.followers();
        let at = match whom {
            "leader" => (0..self.members.len()).find(|at| !followers.contains(at)),
            "follower" => followers.first().copied(),
            "other" => followers.get(1).copied(),
            _ => panic!("nobody is called {whom}"),
        };
        self.address(at.expect("a member in that role"))
    }

    fn signal(&self, at: usize, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.members[at]);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Stops the followers where they are.
    pub(crate) fn pause(&mut self) {
        self.stopped = self.followers();
        for at in &self.stopped {
            self.signal(*at, rustix::process::Signal::STOP);
            // A signal is sent before it is felt: a busy machine lets a follower do some more work.
            let follower = rustix::process::Pid::from_child(&self.members[*at]);
            let stopped = rustix::process::waitid(
                rustix::process::WaitId::Pid(follower),
                rustix::process::WaitIdOptions::STOPPED,
            );
            assert!(stopped.unwrap().is_some_and(|status| status.stopped()));
        }
    }

    pub(crate) fn resume(&mut self) {
        for at in std::mem::take(&mut self.stopped) {
            self.signal(at, rustix::process::Signal::CONT);
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.members {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
