//! Snapshots for people: taken and restored while the member runs.

use super::NodeEvent;
use super::disk::long;
use super::engine::{Engine, Order};
use super::error::NodeError;
use crate::ids::Zxid;
use crate::service::{DirectorySizes, Maintenance, RestoreError, Service, TakenSnapshot};
use crate::storage::{SnapshotDir, StorageError, read_sent_snapshot};
use crate::tree::Database;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Weak, mpsc};
use std::time::SystemTime;
use tracing::{info, warn};

/// A tree on its way to the engine.
pub(crate) struct Restore {
    database: Box<Database>,
    done: mpsc::Sender<Result<Zxid, RestoreError>>,
}

/// The service's way to the disk.
pub(super) struct Keeper {
    /// Not owned: the service owns this.
    service: Weak<Service>,
    dir: SnapshotDir,
    extended_types: bool,
    events: mpsc::Sender<NodeEvent>,
}

impl Keeper {
    pub(super) fn new(
        service: &Arc<Service>,
        dir: SnapshotDir,
        extended_types: bool,
        events: mpsc::Sender<NodeEvent>,
    ) -> Self {
        Keeper {
            service: Arc::downgrade(service),
            dir,
            extended_types,
            events,
        }
    }
}

impl Maintenance for Keeper {
    fn take_snapshot(&self) -> Result<TakenSnapshot, StorageError> {
        let frozen = match self.service.upgrade() {
            Some(service) => service.database.read().freeze(),
            // Nobody is left to ask.
            None => Database::new().freeze(),
        };
        let zxid = frozen.last_processed();
        let path = self.dir.save_if_room(zxid, &frozen)?;
        info!(%zxid, file = %path.display(), "snapshot written on request");
        let opened = File::open(&path).and_then(|file| {
            let bytes = file.metadata()?.len();
            Ok(TakenSnapshot { zxid, file, bytes })
        });
        opened.map_err(|source| StorageError::Io {
            doing: "read",
            path,
            source,
        })
    }

    fn restore(&self, sent: &mut dyn Read) -> Result<Zxid, RestoreError> {
        let (mut database, zxid) =
            read_sent_snapshot(sent, self.extended_types).map_err(RestoreError::NotWhole)?;
        database.set_last_processed(zxid);
        let (done, result) = mpsc::channel();
        let database = Box::new(database);
        let event = NodeEvent::Restore(Restore { database, done });
        self.events.send(event).map_err(|_| RestoreError::Refused)?;
        result.recv().unwrap_or(Err(RestoreError::Refused))
    }

    fn last_snapshot(&self) -> Result<Option<(Zxid, SystemTime)>, StorageError> {
        self.dir.newest()
    }

    fn directory_sizes(&self) -> Result<DirectorySizes, StorageError> {
        let (data, log) = self.dir.sizes()?;
        Ok(DirectorySizes { data, log })
    }
}

impl Engine {
    /// Takes a tree that a person sent for our own. It gets a position of its own, behind all that
    /// was logged: what was before can't be mistaken for its past, neither by a client that saw it
    /// nor by a later start. Java restores in memory alone, and a restart there undoes it.
    pub(super) fn restore(&mut self, restore: Restore) -> Result<(), NodeError> {
        let Restore { mut database, done } = restore;
        let Order::Alone(alone) = &self.order else {
            let _gone = done.send(Err(RestoreError::InEnsemble));
            return Ok(());
        };
        let behind = alone.last_proposed().max(database.last_processed());
        let zxid = behind.next();
        warn!(%zxid, nodes = database.tree.node_count(), "restoring a snapshot in place of the tree");
        self.stop_serving()?;
        database.set_last_processed(zxid);
        let (snapshots, log, tree) = (&self.snapshots, &mut self.log, database.freeze());
        long(&self.service, || {
            log.flush()?;
            snapshots.write_now(zxid, &tree)?;
            log.continue_behind(zxid)
        })?;
        self.service.replace_database(*database);
        self.order = Order::Alone(super::alone::Alone::new(zxid));
        self.serve()?;
        // Nobody may be left to be told.
        let _gone = done.send(Ok(zxid));
        Ok(())
    }
}
