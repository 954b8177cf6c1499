//! Ensembles under a directory of their own, laid out by a word such as `JJS`.

use crate::Outcome;
use crate::environment::Environment;
use crate::member::{Flavor, Member, PATIENCE};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use test_support::{free_ports, scratch};

/// Members, and the directory that they are in.
pub(crate) struct Ensemble {
    pub(crate) members: Vec<Member>,
    dir: TempDir,
}

impl Ensemble {
    /// Writes the members' configurations and starts none. Each letter of the layout is a member:
    /// `J` Java's, `S` ours, small for an observer; the first has the id 1. Both servers read the
    /// same configuration, `extra` lines in it.
    pub(crate) fn configure(environment: &Environment, layout: &str, extra: &str) -> Outcome<Self> {
        let dir = scratch().map_err(|error| format!("no temporary directory: {error}"))?;
        let count = layout.len();
        let ports = free_ports(count * 3);
        let (client_ports, rest) = ports.split_at(count);
        let (quorum_ports, election_ports) = rest.split_at(count);
        let mut members = Vec::new();
        let mut servers = String::new();
        for (index, letter) in layout.chars().enumerate() {
            let id = index + 1;
            let flavor = match letter.to_ascii_uppercase() {
                'J' => Flavor::Java,
                'S' => Flavor::Ours,
                other => return Err(format!("{other} is no flavor")),
            };
            let observer = letter.is_ascii_lowercase();
            let role = if observer { ":observer" } else { "" };
            servers += &format!(
                "server.{id}=127.0.0.1:{}:{}{role}\n",
                quorum_ports[index], election_ports[index]
            );
            members.push(Member {
                id,
                flavor,
                observer,
                client_port: client_ports[index],
                dir: dir.path().join(format!("member-{id}")),
                environment: environment.clone(),
                child: None,
            });
        }
        for member in &members {
            let data = member.dir.join("data");
            let role = if member.observer {
                "peerType=observer\n"
            } else {
                ""
            };
            let config = format!(
                "tickTime=500\ninitLimit=40\nsyncLimit=12\ndataDir={data}\nclientPort={client}\n\
                 clientPortAddress=127.0.0.1\nadmin.enableServer=false\nstandaloneEnabled=false\n\
                 maxClientCnxns=0\n4lw.commands.whitelist=*\nextendedTypesEnabled=true\n\
                 znode.container.checkIntervalMs=300\n\
                 {role}{servers}{extra}",
                data = data.display(),
                client = member.client_port,
            );
            fs::create_dir_all(&data)
                .and_then(|()| fs::write(data.join("myid"), format!("{}\n", member.id)))
                .and_then(|()| fs::write(member.dir.join("zoo.cfg"), config))
                .map_err(|error| format!("can't write {member}'s configuration: {error}"))?;
        }
        Ok(Ensemble { members, dir })
    }

    /// The same, started so that the last voter leads: alone with the first one its id decides.
    pub(crate) fn start(environment: &Environment, layout: &str, extra: &str) -> Outcome<Self> {
        let mut ensemble = Self::configure(environment, layout, extra)?;
        ensemble.start_led_by_the_last_voter()?;
        Ok(ensemble)
    }

    /// Starts members of which none runs so that the last voter leads, all disks being equal.
    pub(crate) fn start_led_by_the_last_voter(&mut self) -> Outcome {
        let voters = (0..self.members.len())
            .filter(|index| !self.members[*index].observer)
            .collect::<Vec<_>>();
        let last = *voters.last().ok_or("nobody votes")?;
        let first = voters.len() / 2;
        for index in voters[..first].iter().copied().chain([last]) {
            self.members[index].start()?;
        }
        let leader = self.leader()?;
        if leader != last {
            return Err(format!(
                "member {} was to lead, and member {} does",
                last + 1,
                leader + 1
            ));
        }
        for member in &mut self.members {
            if !member.is_running() {
                member.start()?;
            }
        }
        self.wait_until_all_serve()
    }

    /// The connect string of all members.
    pub(crate) fn connect_string(&self) -> String {
        self.members
            .iter()
            .map(Member::address)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Waits until a member that runs leads and serves, and says which by its index.
    pub(crate) fn leader(&self) -> Outcome<usize> {
        wait_for("a leader", || {
            self.members
                .iter()
                .position(|member| member.mode().as_deref() == Some("leader"))
        })
    }

    /// Waits until all members that run serve.
    pub(crate) fn wait_until_all_serve(&self) -> Outcome {
        for member in self.members.iter().filter(|member| member.is_running()) {
            wait_for(&format!("{member} to serve"), || member.mode())?;
        }
        Ok(())
    }

    /// The ends of all logs, for whoever has to understand a failure.
    pub(crate) fn explain(&self) {
        for member in &self.members {
            let log = member.log();
            let lines = log.lines().collect::<Vec<_>>();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("--- the end of {member}'s log\n{tail}");
        }
        if let Ok(kept) = std::env::var("INTEROP_KEEP") {
            let copied = std::process::Command::new("cp")
                .arg("-r")
                .args([self.dir.path(), Path::new(&kept)])
                .status();
            eprintln!("--- the ensemble's directory is kept in {kept}: {copied:?}");
        }
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> Outcome<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(format!("waited in vain for {what}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
