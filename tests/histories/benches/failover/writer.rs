//! Writers that write down when each of their writes was acknowledged.

use histories::Outcome;
use histories::client::{Connection, Welcome};
use histories::ensemble::wait_for;
use histories::wire::{Out, code, op};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// A writer rests for so long between two writes, and between two attempts to get one through.
const PAUSE: Duration = Duration::from_millis(3);
/// A server that says nothing for so long is asked anew.
const PATIENCE: Duration = Duration::from_secs(2);
/// Far longer than any fail-over.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

struct Shared {
    begun: Instant,
    stop: AtomicBool,
    /// When writes were acknowledged, as they came.
    acknowledged: Mutex<Vec<Duration>>,
}

/// A writer at each of some members.
pub(crate) struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    pub(crate) fn start(addresses: &[SocketAddr]) -> Self {
        let shared = Arc::new(Shared {
            begun: Instant::now(),
            stop: AtomicBool::new(false),
            acknowledged: Mutex::default(),
        });
        let threads = addresses
            .iter()
            .map(|address| {
                let (shared, address) = (Arc::clone(&shared), *address);
                std::thread::spawn(move || {
                    while !shared.stop.load(Ordering::Relaxed) {
                        // The connection ends with its member's leader; the next is tried at once.
                        let _ended = write_on(&shared, address);
                        sleep(PAUSE);
                    }
                })
            })
            .collect();
        Writers { shared, threads }
    }

    /// Time since they began.
    pub(crate) fn now(&self) -> Duration {
        self.shared.begun.elapsed()
    }

    fn count(&self) -> usize {
        let times = self.shared.acknowledged.lock();
        times.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets them write for `length`; they must have come to write by its end.
    pub(crate) fn wait_for_writes(&self, length: Duration) -> Outcome {
        let before = self.count();
        sleep(length);
        wait_for("an acknowledged write", Duration::from_secs(60), || {
            (self.count() > before).then_some(())
        })
    }

    /// Ends them; the longest time without an acknowledged write from `since` on.
    pub(crate) fn end(self, since: Duration) -> Outcome<Duration> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| "a writer panicked".to_owned())?;
        }
        let mut times = self
            .shared
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        times.sort_unstable();
        let gaps = times
            .windows(2)
            .filter(|pair| pair[1] >= since)
            .map(|pair| pair[1] - pair[0]);
        gaps.max().ok_or_else(|| "nothing was written".to_owned())
    }
}

fn write_on(shared: &Shared, address: SocketAddr) -> io::Result<()> {
    let opened = Connection::open_at(address, None, 0, SESSION_TIMEOUT, PATIENCE)?;
    let Welcome::Open(mut connection, _session) = opened else {
        return Ok(());
    };
    let mut xid = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        xid += 1;
        let mut frame = Out::default();
        frame.int(xid).int(op::SET_DATA);
        frame.string("/").buffer(b"0123456789").int(-1);
        connection.send(&[frame])?;
        let reply = connection.receive()?;
        if reply.error != code::OK {
            return Err(io::Error::other(format!("error {}", reply.error)));
        }
        let now = shared.begun.elapsed();
        let times = shared.acknowledged.lock();
        times.unwrap_or_else(PoisonError::into_inner).push(now);
        sleep(PAUSE);
    }
    let mut close = Out::default();
    close.int(xid + 1).int(op::CLOSE_SESSION);
    connection.send(&[close])?;
    connection.receive().map(drop)
}
