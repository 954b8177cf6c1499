//! Networks that can be cut: a namespace for each member, joined by a bridge in the namespace of
//! this process, where the clients are.
//!
//! Nothing has a name in the machine: namespaces live as long as this process keeps them open, so
//! none is left behind however a run ends.

use crate::Outcome;
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// The number of the next network of this process; it is in its addresses.
static NEXT: AtomicU8 = AtomicU8::new(1);
/// The last byte of the clients' address.
const CLIENTS: u8 = 254;

/// Moves this process out of the machine's network. To be called before it has other threads.
///
/// # Errors
/// Where the system refuses.
pub fn leave_the_machines_network() -> Outcome {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("can't make a network namespace: {error}"))?;
    run(Command::new("ip").args(["link", "set", "lo", "up"]), "")
}

/// Where something is in a network: the last byte of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(pub u8);

/// Packets that don't arrive: from the first to the second.
pub type Cuts = BTreeSet<(Host, Host)>;

/// Members' namespaces and the bridge that joins them.
#[derive(Debug)]
pub struct Network {
    number: u8,
    spaces: Vec<File>,
    /// The last byte of each member's present address.
    hosts: Vec<Host>,
}

impl Network {
    /// A network of `count` members.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn new(count: usize) -> Outcome<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let spaces = (0..count)
            .map(|_| new_namespace())
            .collect::<Outcome<Vec<_>>>()?;
        let hosts = (1..=count)
            .map(|id| u8::try_from(id).map(Host))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "more members than addresses".to_owned())?;
        let network = Network {
            number,
            spaces,
            hosts,
        };
        let mut here = format!(
            "link add bridge{number} type bridge forward_delay 0\n\
             address add {}/24 dev bridge{number}\n\
             link set bridge{number} up\n",
            network.address(Host(CLIENTS))
        );
        for (index, space) in network.spaces.iter().enumerate() {
            here += &format!(
                "link add port{number}-{index} type veth peer name eth0 netns {}\n\
                 link set port{number}-{index} master bridge{number}\n\
                 link set port{number}-{index} up\n",
                path_of(space)
            );
        }
        run(Command::new("ip").args(["-batch", "-"]), &here)?;
        // The clients' own end refuses in this process's namespace, which all networks share: each
        // has a chain of its own there.
        let chain = format!("*filter\n:FROM{number} - [0:0]\n-A INPUT -j FROM{number}\nCOMMIT\n");
        restore(Command::new("iptables-restore"), true, &chain)?;
        for index in 0..count {
            network.ip_at(
                index,
                &format!(
                    "link set lo up\naddress add {}/24 dev eth0\nlink set eth0 up\n",
                    network.address(network.hosts[index])
                ),
            )?;
        }
        Ok(network)
    }

    fn address(&self, host: Host) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, host.0)
    }

    /// The clients' place.
    #[must_use]
    pub fn clients(&self) -> Host {
        Host(CLIENTS)
    }

    /// A member's place, by its index.
    #[must_use]
    pub fn host(&self, member: usize) -> Host {
        self.hosts[member]
    }

    /// A member's present address.
    #[must_use]
    pub fn address_of(&self, member: usize) -> Ipv4Addr {
        self.address(self.hosts[member])
    }

    /// A command that runs in a member's network and ends with the thread that starts it.
    #[must_use]
    pub fn command_at(&self, member: usize) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "nsenter"])
            .arg(format!("--net={}", path_of(&self.spaces[member])));
        command
    }

    /// Lets no packet through that `cuts` names, and every other one.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn cut(&self, cuts: &Cuts) -> Outcome {
        self.spoil(cuts, 0)
    }

    /// The same, and has members lose so many of a hundred packets that come to them.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn spoil(&self, cuts: &Cuts, loss_percent: u8) -> Outcome {
        for (index, host) in self.hosts.iter().enumerate() {
            let from = cuts.iter().filter(|(_, to)| to == host);
            self.refuse(index, from.map(|(from, _)| *from), loss_percent)?;
        }
        let mut rules = format!("*filter\n:FROM{} - [0:0]\n", self.number);
        for (from, to) in cuts {
            if *to == self.clients() {
                rules += &format!(
                    "-A FROM{} -s {} -j DROP\n",
                    self.number,
                    self.address(*from)
                );
            }
        }
        rules += "COMMIT\n";
        restore(Command::new("iptables-restore"), true, &rules)
    }

    /// Ends all cuts.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn heal(&self) -> Outcome {
        self.cut(&Cuts::new())
    }

    /// Gives a member another address.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn move_to(&mut self, member: usize, host: Host) -> Outcome {
        let (old, new) = (self.address_of(member), self.address(host));
        self.ip_at(
            member,
            &format!("address del {old}/24 dev eth0\naddress add {new}/24 dev eth0\n"),
        )?;
        self.hosts[member] = host;
        // A machine that takes an address over announces it; until then the others would go on
        // speaking to the one that had it.
        for other in 0..self.hosts.len() {
            self.ip_at(other, "neighbour flush dev eth0\n")?;
        }
        let bridge = format!("bridge{}", self.number);
        run(
            Command::new("ip").args(["neighbour", "flush", "dev", &bridge]),
            "",
        )
    }

    fn refuse(&self, member: usize, from: impl Iterator<Item = Host>, loss_percent: u8) -> Outcome {
        let mut rules = "*filter\n:INPUT ACCEPT\n".to_owned();
        for host in from {
            rules += &format!("-A INPUT -s {} -j DROP\n", self.address(host));
        }
        if loss_percent > 0 {
            rules += &format!(
                "-A INPUT -m statistic --mode random --probability 0.{loss_percent:02} -j DROP\n"
            );
        }
        rules += "COMMIT\n";
        let mut command = self.command_at(member);
        command.arg("iptables-restore");
        restore(command, false, &rules)
    }

    fn ip_at(&self, member: usize, batch: &str) -> Outcome {
        let mut command = self.command_at(member);
        run(command.args(["ip", "-batch", "-"]), batch)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let bridge = format!("bridge{}", self.number);
        // Where it is gone already there is nothing to do.
        let _gone = run(Command::new("ip").args(["link", "delete", &bridge]), "");
    }
}

fn restore(mut command: Command, keep_others: bool, rules: &str) -> Outcome {
    command.arg("--wait");
    if keep_others {
        command.arg("--noflush");
    }
    run(&mut command, rules)
}

/// A namespace that nobody is in, kept by the file.
fn new_namespace() -> Outcome<File> {
    let failed = |error: std::io::Error| format!("can't make a network namespace: {error}");
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| failed(error.into()))?;
        File::open("/proc/thread-self/ns/net").map_err(failed)
    })
    .join()
    .map_err(|_| "the thread that makes a namespace panicked".to_owned())?
}

/// A path by which other programs of this machine find the namespace while we keep it.
fn path_of(space: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), space.as_raw_fd())
}

fn run(command: &mut Command, input: &str) -> Outcome {
    match feed(command, input) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!(
                "{command:?} ended with {}: {said}\n{input}",
                output.status
            ))
        }
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

fn feed(command: &mut Command, input: &str) -> std::io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early says more than the broken pipe would.
        let _ended = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}
