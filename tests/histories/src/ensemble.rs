//! Ensembles: members, their network, and the faults that they can be made to suffer.

use crate::Outcome;
use crate::environment::Environment;
use crate::member::{CLIENT_PORT, Flavor, Member, PATIENCE, State, mode};
use crate::network::{Cuts, Host, Network};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use test_support::scratch;

/// tickTime: small, so that a timeout costs a test little.
pub const TICK: Duration = Duration::from_millis(200);
/// Silence for this long ends a learner's connection.
pub const SYNC_LIMIT: Duration = Duration::from_millis(200 * 5);
/// The timeout of the clients' sessions.
pub const SESSION_TIMEOUT: Duration = Duration::from_millis(3_000);

/// Members, their network and the directory that they are in.
#[derive(Debug)]
pub struct Ensemble {
    /// The members; the first has the id 1.
    pub members: Vec<Member>,
    /// What joins them.
    pub network: Network,
    dir: TempDir,
    keep: Option<PathBuf>,
    /// What makes members' disks slow, where that is wanted.
    slow_disk: Option<PathBuf>,
    /// The addresses that each member believes in.
    known: Vec<Vec<Ipv4Addr>>,
}

impl Ensemble {
    /// Makes the network and writes the configurations of `count` members; starts none.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn new(environment: &Environment, count: usize) -> Outcome<Self> {
        let ours = Flavor::Ours(environment.server.clone());
        Self::of(environment, vec![ours; count])
    }

    /// An ensemble beside Apache's servers, serving: a letter for each member, `J` for Java's and
    /// `S` for ours.
    ///
    /// # Errors
    /// Where the system refuses, or not all members come to serve.
    pub fn start_mixed(environment: &Environment, layout: &str) -> Outcome<Self> {
        let flavors = layout.chars().map(|letter| match letter {
            'J' => environment.classpath.clone().map(Flavor::Java).ok_or(
                "HISTORIES_JAVA_CLASSPATH is not set: it has to name Apache ZooKeeper's jars"
                    .to_owned(),
            ),
            'S' => Ok(Flavor::Ours(environment.server.clone())),
            other => Err(format!("'{other}' stands for no server; J and S do")),
        });
        let mut ensemble = Self::of(environment, flavors.collect::<Outcome<Vec<_>>>()?)?;
        ensemble.start_all()?;
        ensemble.wait_until_all_serve(PATIENCE)?;
        Ok(ensemble)
    }

    fn of(environment: &Environment, flavors: Vec<Flavor>) -> Outcome<Self> {
        let count = flavors.len();
        let ours_alone = flavors
            .iter()
            .all(|flavor| matches!(flavor, Flavor::Ours(_)));
        let network = Network::new(count)?;
        let dir = scratch().map_err(|error| format!("no temporary directory: {error}"))?;
        let servers = (1..=count)
            .map(|id| server_line(id, "participant") + "\n")
            .collect::<String>();
        let mut members = Vec::new();
        for (id, flavor) in (1..).zip(flavors) {
            let home = dir.path().join(format!("member-{id}"));
            let data = home.join("data");
            // Snapshots come often, so that faults hit them; and logs are small, since a debug build
            // takes its time to look through what a log has in advance.
            // Java takes no list of members beside a file that changes.
            let changes = if ours_alone {
                let file = data.join("zoo.cfg.dynamic");
                format!(
                    "reconfigEnabled=true\nskipACL=yes\ndynamicConfigFile={}\n",
                    file.display()
                )
            } else {
                String::new()
            };
            let config = format!(
                "snapCount={}\npreAllocSize=64\ntickTime={}\ninitLimit=15\nsyncLimit=5\ndataDir={}\n{changes}\
                 admin.enableServer=false\nstandaloneEnabled=false\nmaxClientCnxns=0\n\
                 4lw.commands.whitelist=*\n{servers}",
                environment.snap_count(),
                TICK.as_millis(),
                data.display(),
            );
            fs::create_dir_all(&data)
                .and_then(|()| fs::write(data.join("myid"), format!("{id}\n")))
                .map_err(|error| format!("can't write member {id}'s configuration: {error}"))?;
            members.push(Member::new(id, home, config, flavor));
        }
        let mut ensemble = Ensemble {
            members,
            network,
            dir,
            keep: environment.keep.clone(),
            slow_disk: None,
            known: Vec::new(),
        };
        ensemble.tell_all()?;
        Ok(ensemble)
    }

    /// The same, started and serving.
    ///
    /// # Errors
    /// Where the system refuses, or not all members come to serve.
    pub fn start(environment: &Environment, count: usize) -> Outcome<Self> {
        let mut ensemble = Self::new(environment, count)?;
        ensemble.start_all()?;
        ensemble.wait_until_all_serve(PATIENCE)?;
        Ok(ensemble)
    }

    /// Has members that are started from now on wait for their disks as long as
    /// [`Ensemble::set_disk_delay`] says.
    pub fn slow_down_disks(&mut self, environment: &Environment) {
        self.slow_disk = Some(environment.slow_disk.clone());
    }

    /// Makes each fsync of a member take so long.
    ///
    /// # Errors
    /// Where that can't be written down.
    pub fn set_disk_delay(&self, index: usize, delay: Duration) -> Outcome {
        let file = self.disk_delay(index);
        fs::write(&file, delay.as_millis().to_string())
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    fn disk_delay(&self, index: usize) -> PathBuf {
        self.members[index].dir.join("disk-delay-ms")
    }

    /// The run's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Has all members know where all are.
    ///
    /// # Errors
    /// Where their files can't be written.
    pub fn tell_all(&mut self) -> Outcome {
        self.known = vec![self.addresses(); self.members.len()];
        (0..self.members.len()).try_for_each(|index| self.write_hosts(index))
    }

    /// Has a member know its own address; the others believe what they did.
    ///
    /// # Errors
    /// Where its file can't be written.
    pub fn tell_itself(&mut self, index: usize) -> Outcome {
        self.known[index][index] = self.address(index);
        self.write_hosts(index)
    }

    /// What a member takes for /etc/hosts. It is written in place, so that one that runs sees it.
    fn write_hosts(&self, index: usize) -> Outcome {
        let mut text = "127.0.0.1 localhost\n".to_owned();
        for (address, member) in self.known[index].iter().zip(&self.members) {
            text += &format!("{address} member{}\n", member.id);
        }
        fs::write(self.hosts(index), text).map_err(|error| format!("can't write hosts: {error}"))
    }

    fn hosts(&self, index: usize) -> PathBuf {
        self.members[index].dir.join("hosts")
    }

    /// A member's present address.
    #[must_use]
    pub fn address(&self, index: usize) -> Ipv4Addr {
        self.network.address_of(index)
    }

    /// All members' present addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        (0..self.members.len())
            .map(|index| self.address(index))
            .collect()
    }

    /// Starts a member.
    ///
    /// # Errors
    /// Where it can't be started.
    pub fn start_member(&mut self, index: usize) -> Outcome {
        let hosts = self.hosts(index);
        let delay = self.disk_delay(index);
        let slow = self.slow_disk.as_deref();
        let variables = slow
            .map(|library| vec![("LD_PRELOAD", library), ("SLOW_DISK", &delay)])
            .unwrap_or_default();
        self.members[index].start(&self.network, &hosts, &variables)
    }

    /// Has every member run: starts those that are down, and lets paused ones go on.
    ///
    /// # Errors
    /// Where one can't be started, or has ended by itself.
    pub fn start_all(&mut self) -> Outcome {
        for index in 0..self.members.len() {
            self.members[index].check()?;
            match self.members[index].state() {
                State::Up => {}
                State::Paused => self.members[index].go_on()?,
                State::Down => self.start_member(index)?,
            }
        }
        Ok(())
    }

    /// Members that run, by index.
    #[must_use]
    pub fn running(&self) -> Vec<usize> {
        (0..self.members.len())
            .filter(|index| self.members[*index].state() == State::Up)
            .collect()
    }

    /// The member that says it leads, if one does now. Where two say so it is the first of them.
    #[must_use]
    pub fn leader_now(&self) -> Option<usize> {
        self.running()
            .into_iter()
            .find(|index| mode(self.address(*index)).as_deref() == Some("leader"))
    }

    /// Waits for a member that leads and is not `but`.
    ///
    /// # Errors
    /// Where none comes.
    pub fn leader_other_than(&self, but: Option<usize>) -> Outcome<usize> {
        wait_for("a leader", PATIENCE, || {
            self.running()
                .into_iter()
                .filter(|index| Some(*index) != but)
                .find(|index| mode(self.address(*index)).as_deref() == Some("leader"))
        })
    }

    /// Waits until all members serve, one of them leading.
    ///
    /// # Errors
    /// Where they don't within `limit`.
    pub fn wait_until_all_serve(&self, limit: Duration) -> Outcome {
        wait_for("every member to serve", limit, || {
            let modes = self
                .addresses()
                .into_iter()
                .map(mode)
                .collect::<Option<Vec<_>>>()?;
            let leaders = modes.iter().filter(|mode| *mode == "leader").count();
            (leaders == 1).then_some(())
        })
    }

    /// Cuts that separate the members by `group_of`; clients reach all.
    #[must_use]
    pub fn split(&self, group_of: impl Fn(usize) -> usize) -> Cuts {
        let mut cuts = Cuts::new();
        for (from, to) in self.pairs() {
            if group_of(from) != group_of(to) {
                cuts.insert((self.network.host(from), self.network.host(to)));
            }
        }
        cuts
    }

    /// Cuts of what `member` sends to the others, of what they send to it, or of both.
    #[must_use]
    pub fn isolate(&self, member: usize, outgoing: bool, incoming: bool) -> Cuts {
        let mut cuts = Cuts::new();
        for (from, to) in self.pairs() {
            if (outgoing && from == member) || (incoming && to == member) {
                cuts.insert((self.network.host(from), self.network.host(to)));
            }
        }
        cuts
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let count = self.members.len();
        (0..count).flat_map(move |from| {
            (0..count)
                .filter(move |to| *to != from)
                .map(move |to| (from, to))
        })
    }

    /// Gives a member another address; nobody is told yet, as with a name server that lags behind.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn move_member(&mut self, member: usize, host: Host) -> Outcome {
        self.network.move_to(member, host)
    }

    /// Writes down what a failed run leaves behind, where a place for that is named; says where.
    #[must_use]
    pub fn keep(&self, name: &str) -> String {
        let mut told = String::new();
        for member in &self.members {
            let log = fs::read(member.log_path()).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines = log.lines().collect::<Vec<_>>();
            let tail = lines[lines.len().saturating_sub(15)..].join("\n");
            told += &format!("--- the end of member {}'s log\n{tail}\n", member.id);
        }
        if let Some(keep) = &self.keep {
            let to = keep.join(name);
            let copied = std::process::Command::new("cp")
                .arg("-a")
                .arg(self.dir.path())
                .arg(&to)
                .status();
            told += &format!(
                "--- disks, logs and history: {} ({copied:?})\n",
                to.display()
            );
        }
        told
    }
}

/// How a member stands in a configuration.
#[must_use]
pub fn server_line(id: usize, role: &str) -> String {
    format!("server.{id}=member{id}:2888:3888:{role};{CLIENT_PORT}")
}

/// Asks again and again until there is an answer.
///
/// # Errors
/// Where there is none within `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Outcome<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(format!("waited in vain for {what}, {limit:?} long"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
