//! Clients that ask for one thing after another whatever happens, and write down what they are told.

mod choice;
mod worker;

use crate::Outcome;
use crate::ensemble::wait_for;
use crate::history::{ClientHistory, History, Nanos, nanos};
use crate::member::PATIENCE;
use crate::random::Random;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

/// Groups of registers in use at a time.
const GROUPS: usize = 4;
/// Operations on one group before another takes its place: what a checker has to search grows
/// faster than a group's history.
const OPERATIONS_PER_GROUP: u64 = 160;
/// Nodes of a group.
pub const NODES_PER_GROUP: u8 = 2;

/// How far a run has come.
const RUNNING: usize = 0;
const SETTLING: usize = 1;
const OVER: usize = 2;

/// What the clients share.
#[derive(Debug)]
struct Shared {
    begun: Instant,
    addresses: RwLock<Vec<Ipv4Addr>>,
    phase: AtomicUsize,
    /// Sessions that stood when their clients had stopped asking.
    settled: Mutex<BTreeSet<i64>>,
    answered: AtomicU64,
    uses: [AtomicU64; GROUPS],
}

impl Shared {
    fn now(&self) -> Nanos {
        nanos(self.begun.elapsed())
    }

    fn phase(&self) -> usize {
        self.phase.load(Ordering::Acquire)
    }

    fn address(&self, member: usize) -> Option<Ipv4Addr> {
        let addresses = self
            .addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        addresses.get(member).copied()
    }

    fn settled(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> usize {
        let addresses = self
            .addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        addresses.len()
    }

    /// A group to do something with.
    fn group(&self, random: &mut Random) -> u64 {
        let slot = random.below(GROUPS);
        let uses = self.uses[slot].fetch_add(1, Ordering::Relaxed);
        slot as u64 + GROUPS as u64 * (uses / OPERATIONS_PER_GROUP)
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Workload {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<ClientHistory>>,
}

impl Workload {
    /// Makes the parents of all nodes through the first member, then sets `clients` clients to work.
    ///
    /// # Errors
    /// Where the parents can't be made.
    pub fn start(addresses: Vec<Ipv4Addr>, clients: usize, seed: u64) -> Outcome<Self> {
        worker::prepare(&addresses, clients)?;
        let shared = Arc::new(Shared {
            begun: Instant::now(),
            addresses: RwLock::new(addresses),
            phase: AtomicUsize::new(RUNNING),
            settled: Mutex::default(),
            answered: AtomicU64::new(0),
            uses: Default::default(),
        });
        let workers = (0..clients)
            .map(|client| {
                let shared = Arc::clone(&shared);
                let random = Random::of_part(seed, 1_000 + client as u64);
                std::thread::spawn(move || worker::Worker::new(shared, client, random).work())
            })
            .collect();
        Ok(Workload { shared, workers })
    }

    /// Tells the clients that the members are elsewhere now.
    pub fn set_addresses(&self, addresses: Vec<Ipv4Addr>) {
        let mut known = self
            .shared
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *known = addresses;
    }

    /// Writes that were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Time since the run began.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.shared.now()
    }

    /// Has the clients stop asking; each keeps its session until [`Workload::end`]. Says which
    /// sessions these are.
    ///
    /// # Errors
    /// Where a client can't get an answer though all is well again.
    pub fn settle(&self) -> Outcome<BTreeSet<i64>> {
        self.shared.phase.store(SETTLING, Ordering::Release);
        wait_for("every client to be served", PATIENCE, || {
            let settled = self.shared.settled();
            (settled.len() >= self.workers.len()).then(|| settled.clone())
        })
    }

    /// What the clients wrote down.
    ///
    /// # Errors
    /// Where a client panicked.
    pub fn end(self) -> Outcome<History> {
        self.shared.phase.store(OVER, Ordering::Release);
        let clients = self
            .workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| "a client panicked".to_owned()))
            .collect::<Outcome<Vec<_>>>()?;
        Ok(History { clients })
    }
}
