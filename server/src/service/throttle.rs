//! How much of the clients' asking may be in work at once: the request throttler and the bound on
//! large requests. Source: `RequestThrottler.java`, `ZooKeeperServer.java`
//! checkRequestSizeWhenReceivingMessage and requestFinished.
//!
//! Java queues every request of every client and lets them through one by one. Here a connection
//! whose turn has not come is not read from, and so costs what it had sent; it is woken when there
//! is room. What Java calls stale and drops, a request that has waited for longer than its
//! session's timeout, is a connection that was not heard from for that long, and is closed as such.

use super::Settings;
use super::connection::Connection;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// The bounds, and who waits at them.
pub(crate) struct Throttle {
    /// Changes in work at once, 0 for any number.
    requests_max: i64,
    /// How long a request may wait there; `None` for any time.
    wait_max: Option<Duration>,
    /// From how many bytes on a request is large; `None` where none is.
    large_from_bytes: Option<i64>,
    large_bytes_max: i64,
    /// Bytes of the large requests in work.
    large_bytes: AtomicI64,
    /// Connections to wake when there is room, the longest waiting first, each once.
    waiting: Mutex<VecDeque<Arc<Connection>>>,
}

impl Throttle {
    pub(super) fn new(settings: &Settings) -> Self {
        Throttle {
            requests_max: i64::from(settings.throttle_requests_max),
            wait_max: (settings.throttled_op_wait_ms > 0 && settings.throttle_requests_max > 0)
                .then(|| Duration::from_millis(settings.throttled_op_wait_ms.into())),
            large_from_bytes: settings.large_request_from_bytes,
            large_bytes_max: settings.large_request_bytes_max,
            large_bytes: AtomicI64::new(0),
            waiting: Mutex::new(VecDeque::new()),
        }
    }

    /// Whether it matters how long requests wait.
    pub(super) fn times_requests(&self) -> bool {
        self.wait_max.is_some()
    }

    /// Whether a request that has waited for so long is refused.
    pub(super) fn is_late(&self, waited: Duration) -> bool {
        self.wait_max.is_some_and(|most| waited > most)
    }

    /// Whether one more change may go under way beside `outstanding`. If not, the connection is
    /// woken once that may have changed.
    pub(super) fn lets_in(&self, connection: &Arc<Connection>, outstanding: i64) -> bool {
        if self.requests_max == 0 || outstanding < self.requests_max {
            return true;
        }
        if !connection.waits_for_room.swap(true, Ordering::AcqRel) {
            self.waiting.lock().push_back(Arc::clone(connection));
        }
        false
    }

    /// Wakes those that may find room beside `outstanding`. Call it whenever that has shrunk, and
    /// after [`Throttle::lets_in`] has put one on the list: room may have come in between.
    pub(super) fn wake(&self, outstanding: i64) {
        if self.requests_max == 0 || outstanding >= self.requests_max {
            return;
        }
        let mut waiting = self.waiting.lock();
        for _ in outstanding..self.requests_max {
            let Some(connection) = waiting.pop_front() else {
                return;
            };
            connection.waits_for_room.store(false, Ordering::Release);
            connection.wake();
        }
    }

    /// Takes a connection that has ended off the list.
    pub(super) fn forget(&self, connection: &Arc<Connection>) {
        if connection.waits_for_room.swap(false, Ordering::AcqRel) {
            self.waiting
                .lock()
                .retain(|waiting| !Arc::ptr_eq(waiting, connection));
        }
    }

    /// What a request of that length weighs: nothing unless it is large.
    fn weight(&self, len_bytes: usize) -> i64 {
        let len = i64::try_from(len_bytes).unwrap_or(i64::MAX);
        match self.large_from_bytes {
            Some(from) if len > from => len,
            _ => 0,
        }
    }

    /// Whether a request that is announced with that length has room.
    pub(super) fn has_room(&self, len_bytes: usize) -> bool {
        let weight = self.weight(len_bytes);
        weight == 0 || self.large_bytes.load(Ordering::Relaxed) + weight <= self.large_bytes_max
    }

    /// Counts a request that is in work from now on. False, and not counted, where it has no room.
    pub(super) fn take(&self, len_bytes: usize) -> bool {
        let weight = self.weight(len_bytes);
        if weight == 0 {
            return true;
        }
        let before = self.large_bytes.fetch_add(weight, Ordering::Relaxed);
        if before + weight > self.large_bytes_max {
            self.large_bytes.fetch_sub(weight, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// The request is done with.
    pub(super) fn give_back(&self, len_bytes: usize) {
        let weight = self.weight(len_bytes);
        if weight > 0 {
            self.large_bytes.fetch_sub(weight, Ordering::Relaxed);
        }
    }

    /// Bytes of the large requests in work.
    #[cfg(test)]
    fn large_bytes(&self) -> i64 {
        self.large_bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConnId;
    use std::net::{Ipv4Addr, SocketAddr};

    fn throttle(requests_max: u32, large: Option<i64>) -> Throttle {
        Throttle::new(&Settings {
            throttle_requests_max: requests_max,
            large_request_from_bytes: large,
            large_request_bytes_max: 1000,
            ..Settings::default()
        })
    }

    fn connection(id: u64) -> Arc<Connection> {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Arc::new(Connection::new(ConnId(id), peer))
    }

    fn signalled(connection: &Connection) -> bool {
        connection.signalled.swap(false, Ordering::AcqRel)
    }

    #[test]
    fn those_that_wait_are_woken_in_their_order_and_no_more_than_there_is_room_for() {
        let throttle = throttle(2, None);
        let all: Vec<_> = (1..=3).map(connection).collect();
        assert!(throttle.lets_in(&all[0], 1));
        for waiting in &all {
            assert!(!throttle.lets_in(waiting, 2));
            assert!(!throttle.lets_in(waiting, 2), "asked again");
        }
        throttle.wake(2);
        assert!(!all.iter().any(|one| signalled(one)), "there is no room");
        throttle.wake(1);
        let woken: Vec<bool> = all.iter().map(|one| signalled(one)).collect();
        assert_eq!(woken, [true, false, false]);
        throttle.forget(&all[1]);
        throttle.wake(0);
        let woken: Vec<bool> = all.iter().map(|one| signalled(one)).collect();
        assert_eq!(woken, [false, false, true]);
        assert!(throttle.waiting.lock().is_empty());
    }

    #[test]
    fn without_a_bound_nobody_waits() {
        let throttle = throttle(0, None);
        assert!(throttle.lets_in(&connection(1), i64::MAX));
        assert!(throttle.has_room(usize::MAX) && throttle.take(usize::MAX));
    }

    #[test]
    fn large_requests_share_their_bound_and_small_ones_pass() {
        let throttle = throttle(0, Some(100));
        assert!(throttle.take(600) && throttle.take(400));
        assert_eq!(throttle.large_bytes(), 1000);
        assert!(!throttle.has_room(101) && !throttle.take(101));
        assert!(throttle.has_room(100) && throttle.take(100), "not large");
        throttle.give_back(100);
        throttle.give_back(400);
        assert_eq!(throttle.large_bytes(), 600);
        assert!(throttle.has_room(400));
    }
}
