//! Ports that no other test has, in whatever process it runs.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below those that the system gives to outgoing connections, which would otherwise take the port
/// of a server that is down.
const PORTS: Range<u16> = 12_000..31_000;
/// Ports that a process takes at a time. The first one is held by a listener for as long as the
/// process lives, and says that the others are taken, though their servers come and go.
const BLOCK: u16 = 40;

/// What this process has taken.
struct Taken {
    holders: Vec<TcpListener>,
    left: Range<u16>,
}

static TAKEN: Mutex<Taken> = Mutex::new(Taken {
    holders: Vec::new(),
    left: 0..0,
});

/// Ports on 127.0.0.1 that nobody listens on, none of them handed out twice, by this process or by
/// another one that runs.
///
/// # Panics
/// Where all are taken.
#[must_use]
pub fn free_ports(count: usize) -> Vec<u16> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = Vec::with_capacity(count);
    while ports.len() < count {
        match taken.left.next() {
            Some(port) => ports.extend(listen(port).map(|_| port)),
            None => taken.take_block(),
        }
    }
    ports
}

fn listen(port: u16) -> Option<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).ok()
}

impl Taken {
    fn take_block(&mut self) {
        let blocks = (PORTS.end - PORTS.start) / BLOCK;
        // Processes that start together look in different places first.
        let spread = u16::try_from(std::process::id() % u32::from(blocks)).unwrap_or(0);
        let (first, holder) = (0..blocks)
            .map(|offset| PORTS.start + (spread + offset) % blocks * BLOCK)
            .find_map(|first| Some((first, listen(first)?)))
            .expect("a block of ports that no test has");
        self.holders.push(holder);
        self.left = first + 1..first + BLOCK;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_is_given_twice() {
        let mut seen = BTreeSet::new();
        for count in [1, 7, 100, 3] {
            let ports = free_ports(count);
            assert_eq!(ports.len(), count);
            for port in ports {
                assert!(PORTS.contains(&port) && seen.insert(port), "{port}");
            }
        }
    }

    #[test]
    fn the_first_port_of_a_block_says_that_it_is_taken() {
        let port = free_ports(1)[0];
        let first = PORTS.start + (port - PORTS.start) / BLOCK * BLOCK;
        assert!(first < port && listen(first).is_none());
    }
}
