//! Which addresses an instance of the local cluster has.
//!
//! All of them live in network namespaces of the instance, but for one end of a veth pair on the
//! host. They differ between instances, so that the host's routes to two of them never collide.

use std::net::Ipv4Addr;

/// How many nodes the local cluster has.
pub(crate) const NODES: u8 = 3;

/// The most instances at a time on one machine.
pub(crate) const INSTANCES_MAX: u8 = 32;

/// The addresses of one instance.
///
/// Nodes and services are in 198.18.0.0/15, which RFC 2544 keeps for test networks, so no real
/// network of the machine is hidden by the route that the host gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    index: u8,
}

impl Addresses {
    /// The addresses of the instance with this index, which is below [`INSTANCES_MAX`].
    pub(crate) fn new(index: u8) -> Option<Addresses> {
        (index < INSTANCES_MAX).then_some(Addresses { index })
    }

    /// The control plane, on the nodes' network.
    pub(crate) fn control(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.index, 1)
    }

    /// The node's address; nodes count from 1.
    pub(crate) fn node(self, node: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.index, 10 + node)
    }

    /// The host's end of the veth pair.
    pub(crate) fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.index, 254)
    }

    /// The node's pods: a /24.
    pub(crate) fn pods(self, node: u8) -> String {
        format!("10.{}.{node}.0/24", 208 + self.index)
    }

    /// Every node's pods: a /16.
    pub(crate) fn all_pods(self) -> String {
        format!("10.{}.0.0/16", 208 + self.index)
    }

    /// Services: a /21, so that a thousand ensembles have room.
    pub(crate) fn services(self) -> String {
        format!("198.19.{}.0/21", self.first_services())
    }

    /// The first of the eight /24 of its services.
    fn first_services(self) -> u8 {
        self.index * 8
    }

    /// The service of the API server, which is always the range's first.
    pub(crate) fn api_service(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 19, self.first_services(), 1)
    }

    /// The service of the cluster's DNS.
    pub(crate) fn dns_service(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 19, self.first_services(), 10)
    }

    /// The name of the host's end of the veth pair; Linux allows 15 bytes.
    pub(crate) fn host_link(self) -> String {
        format!("zke{}host", self.index)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_instances_share_an_address_or_a_link() {
        let mut seen = BTreeSet::new();
        for index in 0..INSTANCES_MAX {
            let at = Addresses::new(index).expect("below the limit");
            let mut names = vec![at.host_link(), at.services(), at.all_pods()];
            names.extend([at.control(), at.host()].map(|address| address.to_string()));
            names.extend((1..=NODES).map(|node| at.node(node).to_string()));
            for name in names {
                assert!(seen.insert(name.clone()), "{name} is there twice");
            }
            assert!(at.host_link().len() <= 15);
        }
    }

    #[test]
    fn the_last_instance_still_has_valid_ranges() {
        let last = Addresses::new(INSTANCES_MAX - 1).expect("below the limit");
        assert_eq!(last.pods(3), "10.239.3.0/24");
        // The end of 198.18.0.0/15.
        assert_eq!(last.services(), "198.19.248.0/21");
        assert_eq!(Addresses::new(INSTANCES_MAX), None);
    }
}
