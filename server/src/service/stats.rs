//! Counters over all connections. Written once per batch, so atomics cost nothing.
//! Source: `ServerStats.java`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Latency of several requests that were answered together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Requests.
    pub count: u64,
    /// Milliseconds of all of them.
    pub total_ms: u64,
    /// Milliseconds of the quickest; meaningless without requests.
    pub min_ms: u64,
    /// Milliseconds of the slowest.
    pub max_ms: u64,
}

impl Latency {
    /// Adds `count` requests that took `took` each.
    pub fn add(&mut self, count: u64, took: Duration) {
        if count == 0 {
            return;
        }
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.min_ms = if self.count == 0 {
            ms
        } else {
            self.min_ms.min(ms)
        };
        self.max_ms = self.max_ms.max(ms);
        self.count += count;
        self.total_ms = self.total_ms.saturating_add(ms.saturating_mul(count));
    }

    /// The mean in milliseconds, to four places as Java rounds it.
    #[must_use]
    pub fn average_ms(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let mean = self.total_ms as f64 / self.count as f64;
        (mean * 10_000.0).round() / 10_000.0
    }
}

/// The server's counters.
#[derive(Debug, Default)]
pub struct Stats {
    received: AtomicU64,
    sent: AtomicU64,
    count: AtomicU64,
    total_ms: AtomicU64,
    /// Biased by one so that 0 means "none yet".
    min_ms_plus_one: AtomicU64,
    max_ms: AtomicU64,
    outstanding: AtomicI64,
}

impl Stats {
    /// Counts packets that came in.
    pub fn received(&self, packets: u64) {
        self.received.fetch_add(packets, Relaxed);
    }

    /// Counts packets that went out.
    pub fn sent(&self, packets: u64) {
        self.sent.fetch_add(packets, Relaxed);
    }

    /// Counts requests answered.
    pub fn answered(&self, batch: &Latency) {
        if batch.count == 0 {
            return;
        }
        self.count.fetch_add(batch.count, Relaxed);
        if batch.total_ms > 0 {
            self.total_ms.fetch_add(batch.total_ms, Relaxed);
            self.max_ms.fetch_max(batch.max_ms, Relaxed);
        }
        let biased = batch.min_ms + 1;
        let known = self.min_ms_plus_one.load(Relaxed);
        if known == 0 || biased < known {
            // Two first batches at once may leave the larger; the next batch puts it right.
            self.min_ms_plus_one.store(biased, Relaxed);
        }
    }

    /// Requests that went under way (or, negative, came to their end).
    pub fn under_way(&self, change: i64) {
        self.outstanding.fetch_add(change, Relaxed);
    }

    /// Requests under way: writes, and reads that wait for them.
    #[must_use]
    pub fn outstanding(&self) -> i64 {
        self.outstanding.load(Relaxed)
    }

    /// Packets that came in.
    #[must_use]
    pub fn packets_received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Packets that went out.
    #[must_use]
    pub fn packets_sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Latency since the start or the last reset.
    #[must_use]
    pub fn latency(&self) -> Latency {
        Latency {
            count: self.count.load(Relaxed),
            total_ms: self.total_ms.load(Relaxed),
            min_ms: self.min_ms_plus_one.load(Relaxed).saturating_sub(1),
            max_ms: self.max_ms.load(Relaxed),
        }
    }

    /// Starts again from zero, but for what is under way.
    pub fn reset(&self) {
        for counter in [
            &self.received,
            &self.sent,
            &self.count,
            &self.total_ms,
            &self.min_ms_plus_one,
            &self.max_ms,
        ] {
            counter.store(0, Relaxed);
        }
    }
}
