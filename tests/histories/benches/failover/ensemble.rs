//! Three members of one flavor on the loopback range.

use histories::Outcome;
use histories::ensemble::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// tickTime, as people have it.
pub(crate) const TICK_MS: u32 = 2_000;
/// Members of an ensemble.
const MEMBERS: usize = 3;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Whose server.
#[derive(Clone, Debug)]
pub(crate) enum Flavor {
    /// Apache ZooKeeper.
    Java { classpath: String },
    /// This project's.
    Ours { server: PathBuf },
}

/// How a leader dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Kill,
    Terminate,
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Death::Kill => "kill -9 of the leader",
            Death::Terminate => "SIGTERM of the leader",
        })
    }
}

struct Member {
    home: PathBuf,
    client: SocketAddr,
    child: Option<Child>,
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended already can't be killed, and is waited for all the same.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

/// The members, and the directory that they are in.
pub(crate) struct Ensemble {
    flavor: Flavor,
    members: Vec<Member>,
    dir: TempDir,
}

/// Where the next search for a port begins: a member that does not lead does not listen on its
/// quorum port, so that a port being free is not enough.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// Ports below those that the system gives to outgoing connections, none of them handed out twice.
fn free_ports(count: usize) -> Vec<u16> {
    let first = 12_000 + u16::try_from(std::process::id() % 15_000).unwrap_or(0);
    std::iter::repeat_with(|| first + NEXT_PORT.fetch_add(1, Ordering::Relaxed))
        .take_while(|port| *port < 31_000)
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .take(count)
        .collect()
}

impl Ensemble {
    pub(crate) fn start(flavor: Flavor) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("can't lay an ensemble out: {error}");
        let dir = TempDir::new().map_err(failed)?;
        let ports = free_ports(MEMBERS * 3);
        if ports.len() < MEMBERS * 3 {
            return Err("too few free ports".into());
        }
        let servers = (0..MEMBERS)
            .map(|index| {
                let (quorum, election) = (ports[MEMBERS + index], ports[2 * MEMBERS + index]);
                format!("server.{}=127.0.0.1:{quorum}:{election}\n", index + 1)
            })
            .collect::<String>();
        let mut members = Vec::new();
        for (index, port) in ports.iter().copied().enumerate().take(MEMBERS) {
            let home = dir.path().join(format!("member-{}", index + 1));
            let data = home.join("data");
            let config = format!(
                "tickTime={TICK_MS}\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort={}\n\
                 clientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n\
                 4lw.commands.whitelist=*\n{servers}",
                data.display(),
                port
            );
            fs::create_dir_all(&data).map_err(failed)?;
            fs::write(data.join("myid"), format!("{}\n", index + 1)).map_err(failed)?;
            fs::write(home.join("zoo.cfg"), config).map_err(failed)?;
            members.push(Member {
                home,
                client: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                child: None,
            });
        }
        let mut ensemble = Ensemble {
            flavor,
            members,
            dir,
        };
        for index in 0..MEMBERS {
            ensemble.restart(index)?;
        }
        ensemble.wait_until_all_serve()?;
        Ok(ensemble)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a member that does not run.
    pub(crate) fn restart(&mut self, index: usize) -> Outcome {
        let failed = |error: std::io::Error| format!("can't start a member: {error}");
        let member = &mut self.members[index];
        let log = fs::File::create(member.home.join("log.txt")).map_err(failed)?;
        let mut command = match &self.flavor {
            Flavor::Java { classpath } => {
                let mut command = Command::new("java");
                command
                    .args(["-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"])
                    .args(["-cp", classpath])
                    .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
                command
            }
            Flavor::Ours { server } => {
                let mut command = Command::new(server);
                command.args(["run", "--log-level", "warn"]);
                command
            }
        };
        let child = command
            .arg(member.home.join("zoo.cfg"))
            .current_dir(&member.home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        member.child = Some(child);
        Ok(())
    }

    /// Ends a member's process, and waits until it has gone.
    pub(crate) fn end(&mut self, index: usize, death: Death) -> Outcome {
        let mut child = self.members[index].child.take().ok_or("it does not run")?;
        let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
        let signal = match death {
            Death::Kill => Signal::SIGKILL,
            Death::Terminate => Signal::SIGTERM,
        };
        kill(Pid::from_raw(pid), signal).map_err(|error| error.to_string())?;
        child.wait().map_err(|error| error.to_string())?;
        Ok(())
    }

    fn mode(&self, index: usize) -> Option<String> {
        let member = &self.members[index];
        member.child.as_ref()?;
        let patience = Duration::from_millis(500);
        let mut stream = TcpStream::connect_timeout(&member.client, patience).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        stream.write_all(b"srvr").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let mode = answer
            .lines()
            .find_map(|line| line.strip_prefix("Mode: "))?;
        Some(mode.to_owned())
    }

    pub(crate) fn wait_until_all_serve(&self) -> Outcome {
        wait_for("every member to serve", PATIENCE, || {
            (0..MEMBERS)
                .all(|index| self.mode(index).is_some())
                .then_some(())
        })
    }

    pub(crate) fn leader(&self) -> Outcome<usize> {
        self.leader_but(MEMBERS)
    }

    /// Waits for a leader other than `but`.
    pub(crate) fn leader_but(&self, but: usize) -> Outcome<usize> {
        wait_for("a leader", PATIENCE, || {
            (0..MEMBERS)
                .filter(|index| *index != but)
                .find(|index| self.mode(*index).as_deref() == Some("leader"))
        })
    }

    /// The client ports of all members but one.
    pub(crate) fn client_addresses_but(&self, but: usize) -> Vec<SocketAddr> {
        let others = self.members.iter().enumerate();
        others
            .filter(|(index, _)| *index != but)
            .map(|(_, member)| member.client)
            .collect()
    }
}
