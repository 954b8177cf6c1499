//! Servers of either kind, alone or three of them, on directories and ports of their own.

use crate::Outcome;
use crate::environment::Environment;
use crate::lanes::Plan;
use crate::side::SLOTS;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use test_support::{free_ports, mode, scratch};

/// How long a server may take to come up. Machines that run tests stall.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a four-letter word may wait for its answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    Java,
    Ours,
}

/// A running server; its process ends with it.
struct Server {
    child: Child,
    port: u16,
    flavor: Flavor,
    log: PathBuf,
}

/// One server that is alone, or the members of an ensemble.
pub(crate) struct Servers {
    members: Vec<Server>,
    _dir: TempDir,
}

/// `super:` and the hash of `super:admin`.
const SUPER: &str = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=";

/// The program of a flavor, to be run with a configuration.
fn program(environment: &Environment, flavor: Flavor) -> Command {
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

impl Servers {
    /// Starts what the plan wants, and waits until all of it serves.
    pub(crate) fn start(environment: &Environment, flavor: Flavor, plan: Plan) -> Outcome<Self> {
        let dir = scratch().map_err(|error| format!("no temporary directory: {error}"))?;
        let count = if plan.is_ensemble { SLOTS } else { 1 };
        let mut members = String::new();
        if plan.is_ensemble {
            // Sessions have to outlive stalls, and members to notice each other's soon.
            members += "tickTime=2000\nminSessionTimeout=20000\nmaxSessionTimeout=200000\n\
                        initLimit=40\nsyncLimit=20\n";
            for id in 1..=count {
                let (quorum, election) = (free_ports(1)[0], free_ports(1)[0]);
                members += &format!("server.{id}=127.0.0.1:{quorum}:{election}\n");
            }
        } else {
            members += "tickTime=10000\n";
        }
        let extra = format!("{}{members}", plan.config);
        let mut prepared = Vec::new();
        for id in 1..=count {
            prepared.push(prepare(
                &dir.path().join(format!("member-{id}")),
                id,
                &extra,
            )?);
        }
        // The last leads: it begins with the first, whose number is smaller.
        let mut servers = Servers {
            members: Vec::new(),
            _dir: dir,
        };
        for at in [0, count - 1] {
            if at > 0 || servers.members.is_empty() {
                servers
                    .members
                    .push(spawn(environment, flavor, &prepared[at])?);
            }
        }
        servers.wait_until_all_serve()?;
        if plan.is_ensemble {
            let middle = spawn(environment, flavor, &prepared[1])?;
            servers.members.insert(1, middle);
            servers.wait_until_all_serve()?;
            let leader = servers.members[count - 1].mode();
            if leader.as_deref() != Some("leader") {
                return Err(format!("{flavor:?}: the last member was to lead"));
            }
        }
        Ok(servers)
    }

    /// The port that each slot connects to.
    pub(crate) fn ports(&self) -> [u16; SLOTS] {
        std::array::from_fn(|slot| self.members[slot.min(self.members.len() - 1)].port)
    }

    fn wait_until_all_serve(&mut self) -> Outcome {
        self.members
            .iter_mut()
            .try_for_each(Server::wait_until_it_serves)
    }

    /// Whether all processes live.
    pub(crate) fn are_alive(&mut self) -> bool {
        let mut members = self.members.iter_mut();
        members.all(|member| matches!(member.child.try_wait(), Ok(None)))
    }
}

/// A member's directory and port.
struct Prepared {
    dir: PathBuf,
    port: u16,
}

/// Writes a member's configuration.
fn prepare(dir: &Path, id: usize, extra: &str) -> Outcome<Prepared> {
    let port = free_ports(1)[0];
    let data = dir.join("data");
    let text = format!(
        "dataDir={data}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
         admin.enableServer=false\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n\
         forceSync=no\nsnapCount=100000000\nznode.container.checkIntervalMs=1000000000\n\
         DigestAuthenticationProvider.superDigest={SUPER}\n{extra}",
        data = data.display(),
    );
    fs::create_dir_all(&data)
        .and_then(|()| fs::write(data.join("myid"), format!("{id}\n")))
        .and_then(|()| fs::write(dir.join("zoo.cfg"), text))
        .map_err(|error| format!("write {}: {error}", dir.display()))?;
    Ok(Prepared {
        dir: dir.to_owned(),
        port,
    })
}

fn spawn(environment: &Environment, flavor: Flavor, prepared: &Prepared) -> Outcome<Server> {
    let Prepared { dir, port } = prepared;
    let log = dir.join("log.txt");
    let log_file =
        fs::File::create(&log).map_err(|error| format!("create {}: {error}", log.display()))?;
    let child = program(environment, flavor)
        .arg(dir.join("zoo.cfg"))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file)
        .spawn()
        .map_err(|error| format!("can't start {flavor:?}: {error}"))?;
    Ok(Server {
        child,
        port: *port,
        flavor,
        log,
    })
}

impl Server {
    fn mode(&self) -> Option<String> {
        mode((Ipv4Addr::LOCALHOST, self.port).into(), ANSWER_PATIENCE)
    }

    fn wait_until_it_serves(&mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.mode().is_some() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(format!("{:?} ended with {status}: {log}", self.flavor));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("{:?} does not serve", self.flavor))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(kept) = std::env::var("CONFORMANCE_KEEP") {
            let name = format!("{:?}-{}.log", self.flavor, self.port);
            let _copied = fs::copy(&self.log, Path::new(&kept).join(name));
        }
        // One that has ended by itself can't be killed, and is waited for all the same.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
