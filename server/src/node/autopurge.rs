//! Takes old snapshots and logs away by itself. Source: `DatadirCleanupManager.java`.

use crate::config::PurgeConfig;
use crate::storage::SnapshotDir;
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

/// Purges now and then every `purgeInterval` hours; `None` where that is 0.
pub(super) fn start(config: PurgeConfig, dir: SnapshotDir) -> Option<JoinHandle<()>> {
    if config.purge_interval_hours == 0 {
        return None;
    }
    let every = Duration::from_secs(u64::from(config.purge_interval_hours) * 3_600);
    Some(tokio::spawn(async move {
        let mut rounds = interval(every);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let dir = dir.clone();
            let retain = config.snap_retain_count;
            match spawn_blocking(move || dir.purge(retain)).await {
                Ok(Ok(purged)) => info!(files = purged.files.len(), "autopurge"),
                Ok(Err(error)) => error!(%error, "autopurge failed; it is tried again next time"),
                Err(error) => error!(%error, "autopurge ended unexpectedly"),
            }
        }
    }))
}
