//! The members under test, processes of their own.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long they may take to start, and to answer.
const START: Duration = Duration::from_secs(60);
const MEMBERS: usize = 3;

struct Member {
    address: SocketAddr,
    child: Child,
}

pub(crate) struct Ensemble {
    members: Vec<Member>,
    dir: TempDir,
}

impl Ensemble {
    pub(crate) fn start(tick: Duration) -> Ensemble {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() {
            TempDir::new_in(memory).unwrap()
        } else {
            TempDir::new().unwrap()
        };
        // Held until all are known, so that none comes twice.
        let held: Vec<TcpListener> = (0..MEMBERS * 3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let ports: Vec<u16> = held
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        drop(held);
        let mut list = String::new();
        for (at, ports) in ports.chunks(3).enumerate() {
            writeln!(
                list,
                "server.{}=127.0.0.1:{}:{}",
                at + 1,
                ports[1],
                ports[2]
            )
            .unwrap();
        }
        let members = ports
            .chunks(3)
            .enumerate()
            .map(|(at, ports)| {
                Member::start(
                    &dir.path().join(at.to_string()),
                    at + 1,
                    ports[0],
                    &list,
                    tick,
                )
            })
            .collect();
        let ensemble = Ensemble { members, dir };
        let began = Instant::now();
        for member in &ensemble.members {
            while !member.ask("srvr").is_some_and(|it| it.contains("Mode:")) {
                assert!(began.elapsed() < START, "a member does not serve");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        ensemble
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address).collect()
    }

    /// A figure of each member's `mntr`.
    pub(crate) fn monitor(&self, key: &str) -> Vec<u64> {
        self.members
            .iter()
            .map(|member| member.monitor(key))
            .collect()
    }

    /// Connections that `monitor` makes for itself, one at each member.
    pub(crate) fn own_connections(&self) -> u64 {
        self.members.len() as u64
    }

    /// Resident memory of all, without the pages of the program itself.
    pub(crate) fn resident_kb(&self) -> u64 {
        self.members.iter().map(Member::resident_kb).sum()
    }
}

impl Member {
    fn start(dir: &Path, id: usize, client_port: u16, list: &str, tick: Duration) -> Member {
        std::fs::create_dir_all(dir.join("data")).unwrap();
        std::fs::write(dir.join("data/myid"), id.to_string()).unwrap();
        let config = format!(
            "tickTime={}\ninitLimit=20\nsyncLimit=10\ndataDir={}\nclientPort={client_port}\n\
             clientPortAddress=127.0.0.1\nclientPortListenBacklog=4096\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\n{list}",
            tick.as_millis(),
            dir.join("data").display(),
        );
        std::fs::write(dir.join("zoo.cfg"), config).unwrap();
        let log = std::fs::File::create(dir.join("log.txt")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_zookeeper-server"))
            .args(["run", "--log-level", "info"])
            .arg(dir.join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Member {
            address: SocketAddr::from(([127, 0, 0, 1], client_port)),
            child,
        }
    }

    fn ask(&self, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(START)).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn monitor(&self, key: &str) -> u64 {
        let answer = self.ask("mntr").expect("an answer to mntr");
        let line = answer
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('\t'));
        line.unwrap_or_else(|| panic!("{key} is not in {answer}"))
            .parse()
            .unwrap()
    }

    fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
        if std::thread::panicking() {
            for at in 0..self.members.len() {
                let path = self.dir.path().join(format!("{at}/log.txt"));
                let log = std::fs::read_to_string(path).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let tail = &lines[lines.len().saturating_sub(10)..];
                eprintln!(
                    "--- the end of member {}'s log\n{}",
                    at + 1,
                    tail.join("\n")
                );
            }
        }
    }
}
