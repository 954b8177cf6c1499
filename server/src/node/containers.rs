//! Taking away what nobody uses any more: empty containers, and nodes whose time to live is over.
//! Only who decides does it. Source: `ContainerManager.java`.

use super::NodeError;
use super::engine::Engine;
use super::requests::wall_now;
use crate::config::ContainerConfig;
use crate::ids::{SessionId, WallMs, Xid};
use crate::jute::Writer;
use crate::proto::{Id, OpCode};
use crate::tree::{EphemeralKind, NodeRef, Tree};
use crate::txn::Request;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::debug;

/// When nodes are looked through, and what is to be deleted since.
pub(super) struct Containers {
    check_interval: Duration,
    /// Between two deletes, so that a burst of them does not keep clients waiting.
    pause: Duration,
    /// A round takes no more than this many; the rest waits for the next one.
    round_max: usize,
    never_used_max_ms: i64,
    /// None while somebody else decides.
    next_check: Option<Instant>,
    next_delete: Instant,
    candidates: VecDeque<String>,
}

impl Containers {
    pub(super) fn new(config: &ContainerConfig, now: Instant) -> Self {
        let per_minute = config.max_per_minute.max(1);
        Containers {
            check_interval: Duration::from_millis(config.check_interval_ms.max(1).into()),
            pause: Duration::from_secs(60) / per_minute,
            round_max: usize::try_from(per_minute).unwrap_or(usize::MAX),
            never_used_max_ms: config.never_used_interval_max_ms,
            next_check: None,
            next_delete: now,
            candidates: VecDeque::new(),
        }
    }

    /// When [`Engine::tend_containers`] has something to do, if ever.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.candidates.is_empty() {
            self.next_check
        } else {
            Some(self.next_delete)
        }
    }

    fn stop(&mut self) {
        self.next_check = None;
        self.candidates.clear();
    }

    fn look_through(&mut self, tree: &Tree, now: WallMs) {
        let never_used_max_ms = self.never_used_max_ms;
        let unused = |node: &NodeRef<'_>| is_unused(node, now, never_used_max_ms);
        self.candidates.extend(
            tree.containers()
                .chain(tree.ttls())
                .filter(unused)
                .map(|node| node.path())
                .take(self.round_max),
        );
    }
}

/// Whether nobody would miss the node. A container that never had a child stays unless it has had
/// `never_used_max_ms` (0 for ever) to get one: it may have been made just now.
fn is_unused(node: &NodeRef<'_>, now: WallMs, never_used_max_ms: i64) -> bool {
    if node.num_children() > 0 {
        return false;
    }
    let stat = node.stat_persisted();
    let unchanged_ms = now.0.saturating_sub(stat.mtime.0);
    match node.kind() {
        EphemeralKind::Container => {
            stat.cversion > 0 || (never_used_max_ms != 0 && unchanged_ms > never_used_max_ms)
        }
        EphemeralKind::Ttl(ttl_ms) => ttl_ms != 0 && unchanged_ms > ttl_ms,
        EphemeralKind::Persistent | EphemeralKind::Session(_) => false,
    }
}

impl Engine {
    /// Looks nodes through where it is time, and deletes what was found, one at a time.
    pub(super) fn tend_containers(&mut self) -> Result<(), NodeError> {
        let now = Instant::now();
        if !self.serving || !self.decides() {
            self.containers.stop();
            return Ok(());
        }
        let interval = self.containers.check_interval;
        let next_check = *self.containers.next_check.get_or_insert(now + interval);
        if self.containers.candidates.is_empty() && now >= next_check {
            self.containers.next_check = Some(now + interval);
            let database = self.service.database.read();
            self.containers.look_through(&database.tree, wall_now());
        }
        if now < self.containers.next_delete {
            return Ok(());
        }
        let Some(path) = self.containers.candidates.pop_front() else {
            return Ok(());
        };
        self.containers.next_delete = now + self.containers.pause;
        debug!(path, "deleting an unused container or TTL node");
        let mut body = Writer::new();
        body.string(&path);
        let nobody: Arc<[Id]> = Arc::from([]);
        // Whether it is still unused is decided where it is prepared, behind all that was proposed.
        let request = Request {
            session: SessionId(0),
            xid: Xid(0),
            op: OpCode::DELETE_CONTAINER,
            body: Bytes::from(body.into_vec()),
            auth: nobody,
        };
        self.propose(&request, self.me)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Zxid;
    use crate::tree::{Database, Watches, open_unsafe};
    use crate::txn::{Txn, TxnEntry, TxnHeader};

    fn config() -> ContainerConfig {
        ContainerConfig {
            check_interval_ms: 60_000,
            max_per_minute: 10_000,
            never_used_interval_max_ms: 0,
            extended_types_enabled: true,
            emulate_353_ttl_nodes: false,
        }
    }

    /// Applies these transactions, a millisecond after each other from 1 on.
    fn after(txns: Vec<(OpCode, Txn)>) -> Database {
        let mut database = Database::with_extended_types(true);
        for ((op, txn), zxid) in txns.into_iter().zip(1..) {
            let header = TxnHeader {
                client_id: SessionId(1),
                cxid: Xid(1),
                zxid: Zxid(zxid),
                time: WallMs(zxid),
                op,
            };
            let entry = TxnEntry {
                header,
                txn,
                digest: None,
            };
            database.apply(&entry, &mut Vec::new(), &mut Watches::default());
        }
        database
    }

    fn container(path: &str) -> (OpCode, Txn) {
        let txn = Txn::CreateContainer {
            path: path.to_owned(),
            data: None,
            acl: open_unsafe(),
            parent_cversion: 1,
        };
        (OpCode::CREATE_CONTAINER, txn)
    }

    fn lasting(path: &str, ttl_ms: i64) -> (OpCode, Txn) {
        let txn = Txn::CreateTtl {
            path: path.to_owned(),
            data: None,
            acl: open_unsafe(),
            parent_cversion: 1,
            ttl_ms,
        };
        (OpCode::CREATE_TTL, txn)
    }

    fn delete(path: &str) -> (OpCode, Txn) {
        let path = path.to_owned();
        (OpCode::DELETE, Txn::Delete { path })
    }

    fn found(config: &ContainerConfig, database: &Database, now: i64) -> Vec<String> {
        let mut containers = Containers::new(config, Instant::now());
        containers.look_through(&database.tree, WallMs(now));
        containers.candidates.into()
    }

    #[test]
    fn a_container_goes_once_it_has_lost_its_last_child_and_not_before_it_had_one() {
        let used = after(vec![
            container("/used"),
            container("/in-use"),
            container("/never-used"),
            lasting("/used/child", 1_000_000),
            lasting("/in-use/child", 1_000_000),
            delete("/used/child"),
        ]);
        assert_eq!(found(&config(), &used, 10_000), ["/used"]);
    }

    #[test]
    fn a_container_that_nobody_ever_used_goes_after_the_time_for_that() {
        let database = after(vec![container("/never-used")]);
        let config = ContainerConfig {
            never_used_interval_max_ms: 100,
            ..config()
        };
        assert!(found(&config, &database, 101).is_empty());
        assert_eq!(found(&config, &database, 102), ["/never-used"]);
    }

    #[test]
    fn a_ttl_node_goes_when_it_has_not_changed_for_its_time_and_has_no_child() {
        let database = after(vec![
            lasting("/short", 10),
            lasting("/parent", 10),
            lasting("/parent/child", 1_000),
        ]);
        assert!(found(&config(), &database, 11).is_empty());
        assert_eq!(found(&config(), &database, 100), ["/short"]);
    }

    #[test]
    fn a_round_takes_no_more_than_a_minute_allows() {
        let database = after((0..5).map(|n| lasting(&format!("/{n}"), 1)).collect());
        let config = ContainerConfig {
            max_per_minute: 3,
            ..config()
        };
        assert_eq!(found(&config, &database, 1_000).len(), 3);
    }
}
