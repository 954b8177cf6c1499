//! When the requests came that wait for their turn at the request throttler: one that has waited
//! for longer than `throttled_op_wait_time` is refused instead of carried out.
//! Source: `RequestThrottler.java` shouldThrottleOp.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes that come so soon after others count as come with them, so that a client that sends byte
/// by byte costs no more than one that sends them at once.
const TOGETHER: Duration = Duration::from_millis(10);

/// The bytes of a connection that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    pieces: VecDeque<(Instant, usize)>,
    bytes: usize,
}

impl Arrivals {
    /// Bytes that have come.
    pub(crate) fn came(&mut self, at: Instant, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.bytes += bytes;
        match self.pieces.back_mut() {
            Some((since, piece)) if at.duration_since(*since) < TOGETHER => *piece += bytes,
            _ => self.pieces.push_back((at, bytes)),
        }
    }

    /// Of `bytes` that wait, those that were not known yet come now.
    pub(crate) fn wait(&mut self, at: Instant, bytes: usize) {
        self.came(at, bytes.saturating_sub(self.bytes));
    }

    /// A request of so many bytes is taken from the front: how long it has waited. One whose bytes
    /// came piece by piece has waited since the last of them.
    pub(crate) fn take(&mut self, now: Instant, bytes: usize) -> Duration {
        let mut left = bytes.min(self.bytes);
        self.bytes -= left;
        let mut waited = Duration::ZERO;
        while left > 0
            && let Some((since, piece)) = self.pieces.front_mut()
        {
            waited = now.duration_since(*since);
            let part = left.min(*piece);
            *piece -= part;
            left -= part;
            if *piece == 0 {
                self.pieces.pop_front();
            }
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_request_has_waited_since_its_last_byte_came() {
        let start = Instant::now();
        let mut arrivals = Arrivals::default();
        arrivals.wait(start, 100);
        arrivals.wait(start + 50 * MS, 100);
        arrivals.came(start + 200 * MS, 30);
        arrivals.came(start + 205 * MS, 30);
        let now = start + 1000 * MS;
        assert_eq!(arrivals.take(now, 60), 1000 * MS);
        assert_eq!(arrivals.take(now, 40), 1000 * MS);
        assert_eq!(arrivals.take(now, 60), 800 * MS);
        assert_eq!(arrivals.take(now, 60), Duration::ZERO, "it came just now");
        assert!(arrivals.pieces.is_empty() && arrivals.bytes == 0);
    }

    #[test]
    fn a_request_in_two_pieces_has_waited_since_the_second() {
        let start = Instant::now();
        let mut arrivals = Arrivals::default();
        arrivals.wait(start, 10);
        arrivals.came(start + 400 * MS, 10);
        assert_eq!(arrivals.take(start + 500 * MS, 15), 100 * MS);
        assert_eq!(arrivals.take(start + 500 * MS, 5), 100 * MS);
    }
}
