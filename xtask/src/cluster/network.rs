//! The cluster's networks: a namespace for each machine, joined by a bridge, and a way in for the
//! host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::addresses::{Addresses, NODES};
use super::process;
use crate::run;

/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/run/netns";

/// The network namespaces of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    instance: String,
    addresses: Addresses,
}

impl Network {
    /// The network of the named instance.
    pub(crate) fn new(instance: &str, addresses: Addresses) -> Network {
        Network {
            instance: instance.to_owned(),
            addresses,
        }
    }

    /// The namespace of the control plane, from which nodes, pods and services are reached.
    pub(crate) fn control(&self) -> PathBuf {
        namespace_path(&self.name("control"))
    }

    /// The namespace of a node.
    pub(crate) fn node(&self, node: u8) -> PathBuf {
        namespace_path(&self.name(&format!("node{node}")))
    }

    fn name(&self, machine: &str) -> String {
        format!("{}{machine}", prefix(&self.instance))
    }

    /// Whether every namespace is there.
    pub(crate) fn complete(&self) -> bool {
        self.control().exists() && (1..=NODES).all(|node| self.node(node).exists())
    }

    /// Makes the namespaces, the bridge, the veth pairs and the routes.
    pub(crate) fn make(&self) -> Result<()> {
        let control = self.name("control");
        let mut outside = format!("netns add {control}\n");
        for node in 1..=NODES {
            outside.push_str(&format!(
                "netns add {}\n",
                self.name(&format!("node{node}"))
            ));
        }
        ip_batch(None, &outside)?;
        let at = self.addresses;
        let host_link = at.host_link();
        ip_batch(
            None,
            &format!(
                "link add {host_link} type veth peer name host netns {control}\n\
                 address add {}/24 dev {host_link}\n\
                 link set {host_link} up\n",
                at.host()
            ),
        )?;
        ip_batch(
            Some(&control),
            &control_commands(at, |node| self.name(&format!("node{node}"))),
        )?;
        for node in 1..=NODES {
            ip_batch(
                Some(&self.name(&format!("node{node}"))),
                &node_commands(at, node),
            )?;
            process::in_network(&self.node(node), forward)?;
        }
        process::in_network(&self.control(), forward)
    }

    /// Cuts a node off from the others, or joins it again.
    pub(crate) fn connect(&self, node: u8, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        ip_batch(
            Some(&self.name("control")),
            &format!("link set node{node} {state}\n"),
        )
    }
}

fn prefix(instance: &str) -> String {
    format!("zookeeper-{instance}-")
}

fn namespace_path(name: &str) -> PathBuf {
    Path::new(NAMESPACES).join(name)
}

/// The names of an instance's namespaces that exist, whatever else of it does.
pub(crate) fn existing(instance: &str) -> Vec<String> {
    let prefix = prefix(instance);
    let Ok(entries) = fs::read_dir(NAMESPACES) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| is_machine_of(name, &prefix))
        .collect()
}

/// Tells `zookeeper-a-node1` of instance `a` from `zookeeper-a-b-node1` of instance `a-b`.
fn is_machine_of(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| rest == "control" || rest.strip_prefix("node").is_some_and(is_number))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Deletes the instance's namespaces; the veth pairs with an end in them go too.
pub(crate) fn delete(instance: &str, addresses: Option<Addresses>) -> Result<()> {
    // The kernel gets round to it later; the end on the host is to be gone when `down` is.
    if let Some(link) = addresses.map(Addresses::host_link)
        && Path::new("/sys/class/net").join(&link).exists()
    {
        run::run(Command::new("ip").args(["link", "delete", &link]))?;
    }
    for name in existing(instance) {
        run::run(Command::new("ip").args(["netns", "delete", &name]))?;
    }
    Ok(())
}

/// The file that stands for a namespace, to find the processes in it.
pub(crate) fn path_of(name: &str) -> PathBuf {
    namespace_path(name)
}

fn control_commands(at: Addresses, node_name: impl Fn(u8) -> String) -> String {
    let mut text = format!(
        "link set lo up\n\
         link add nodes type bridge\n\
         link set host master nodes\n\
         link set host up\n\
         address add {}/24 dev nodes\n\
         link set nodes up\n",
        at.control()
    );
    for node in 1..=NODES {
        text.push_str(&format!(
            "link add node{node} type veth peer name eth0 netns {}\n\
             link set node{node} master nodes\n\
             link set node{node} up\n\
             route add {} via {}\n",
            node_name(node),
            at.pods(node),
            at.node(node)
        ));
    }
    // Services are translated on the way out, which takes a route to begin with.
    text.push_str(&format!("route add {} dev nodes\n", at.services()));
    text
}

fn node_commands(at: Addresses, node: u8) -> String {
    let mut text = format!(
        "link set lo up\n\
         address add {}/24 dev eth0\n\
         link set eth0 up\n\
         route add default via {}\n",
        at.node(node),
        at.control()
    );
    for other in (1..=NODES).filter(|other| *other != node) {
        text.push_str(&format!(
            "route add {} via {}\n",
            at.pods(other),
            at.node(other)
        ));
    }
    text
}

/// Lets the machine pass packets between its pods and the others', seen by its service rules.
fn forward() -> Result<()> {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("turn on forwarding in a namespace")?;
    let bridged = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
    if bridged.exists() {
        fs::write(bridged, "1").context("let iptables see the bridge's packets")?;
    }
    Ok(())
}

fn ip_batch(namespace: Option<&str>, commands: &str) -> Result<()> {
    let mut ip = Command::new("ip");
    if let Some(namespace) = namespace {
        ip.args(["-n", namespace]);
    }
    run::run_with_input(ip.args(["-batch", "-"]), commands)
        .with_context(|| format!("set up the network:\n{commands}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instance_never_takes_the_namespaces_of_another() {
        let prefix = prefix("a");
        assert!(is_machine_of("zookeeper-a-node1", &prefix));
        assert!(is_machine_of("zookeeper-a-control", &prefix));
        assert!(!is_machine_of("zookeeper-a-b-node1", &prefix));
        assert!(!is_machine_of("zookeeper-a-nodes", &prefix));
        assert!(!is_machine_of("zookeeper-ab-node1", &prefix));
    }

    #[test]
    fn every_node_has_a_route_to_the_pods_of_each_other_node() {
        let at = Addresses::new(2).expect("below the limit");
        let commands = node_commands(at, 1);
        assert!(commands.contains("route add 10.210.2.0/24 via 198.18.2.12"));
        assert!(commands.contains("route add 10.210.3.0/24 via 198.18.2.13"));
        assert!(
            !commands.contains("10.210.1.0/24"),
            "its own pods are on its own bridge"
        );
    }
}
