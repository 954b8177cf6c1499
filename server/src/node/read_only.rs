//! Serving reads while there is no quorum, to clients that ask for it: `readonlymode.enabled`.
//! Source: `QuorumPeer.java` run, `ReadOnlyZooKeeperServer.java`.

use super::NodeError;
use super::engine::{Engine, Order};
use crate::config::ServerConfig;
use crate::service::Serving;
use crate::zab::Standing;
use std::time::{Duration, Instant};
use tracing::info;

/// An election that ends this soon is none of a client's business. Source: `QuorumPeer.java` run.
const GRACE_MIN: Duration = Duration::from_secs(2);

/// When to begin with reads alone.
pub(super) struct ReadOnly {
    enabled: bool,
    grace: Duration,
    /// Set while a leader is looked for, until reads are served.
    begin_at: Option<Instant>,
}

impl ReadOnly {
    pub(super) fn new(config: &ServerConfig) -> Self {
        let tick = Duration::from_millis(u64::try_from(config.tick_time_ms).unwrap_or(0));
        ReadOnly {
            enabled: config.client.read_only_mode,
            grace: tick.max(GRACE_MIN),
            begin_at: None,
        }
    }

    /// A leader is looked for from now on.
    pub(super) fn looking(&mut self, now: Instant) {
        self.begin_at = self.enabled.then(|| now + self.grace);
    }

    /// Nothing is looked for.
    pub(super) fn stop(&mut self) {
        self.begin_at = None;
    }

    /// When [`Engine::tend_read_only`] has something to do, if ever.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.begin_at
    }
}

impl Engine {
    /// Begins to serve reads where no leader was found for long enough.
    pub(super) fn tend_read_only(&mut self) -> Result<(), NodeError> {
        if self.read_only.begin_at.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        self.read_only.begin_at = None;
        let Order::Ensemble(zab) = &self.order else {
            return Ok(());
        };
        if zab.standing() != Standing::Looking {
            return Ok(());
        }
        self.flush()?;
        info!("no leader found: serving reads to clients that asked for a read-only server");
        // `serving` stays false: for the ensemble this member serves nobody.
        self.service.start_serving(Serving::ReadOnly);
        self.status_is_stale = true;
        Ok(())
    }

    /// The election is over. Clients come again, for the whole service: what they hold here, their
    /// sessions included, nobody else knows.
    pub(super) fn end_read_only(&mut self) {
        self.read_only.begin_at = None;
        if self.service.serving() == Some(Serving::ReadOnly) {
            self.service.stop_serving();
            self.status_is_stale = true;
        }
    }
}
