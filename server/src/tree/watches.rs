//! Who wants to know. Source: `WatchManager.java`, `WatchStats.java`, `DataTree.java`.
//!
//! Two tables, as in Java: data watches (which existence, persistent and recursive ones use too)
//! and child watches (which persistent ones use too). A connection has a set of modes per path.

use super::store::Tree;
use crate::ids::{ConnId, Zxid};
use crate::proto::Acl;
use crate::room::GiveRoom as _;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// What happened. Source: `Watcher.java` Event.EventType.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum EventKind {
    /// The node is there.
    NodeCreated = 1,
    /// The node is gone.
    NodeDeleted = 2,
    /// Its data was set.
    NodeDataChanged = 3,
    /// A child came or went.
    NodeChildrenChanged = 4,
}

/// What a watcher is told. On the wire: kind, state SyncConnected (3), path; the zxid goes into
/// the reply header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// What happened.
    pub kind: EventKind,
    /// To which node.
    pub path: Arc<str>,
    /// By which transaction; -1 for what was missed while away (`WatchedEvent.java` NO_ZXID).
    pub zxid: Zxid,
}

/// An event for a connection.
#[derive(Clone, Debug)]
pub struct Fired {
    /// Whose watch it was.
    pub conn: ConnId,
    /// What to send.
    pub event: WatchEvent,
    /// Only to be sent where this list allows the connection to read
    /// (`NIOServerCnxn.java` process). `None` lets everyone see it.
    pub acl: Option<Arc<[Acl]>>,
}

/// How a watch behaves. Source: `WatcherMode.java`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// Fires once.
    Standard,
    /// Fires until it is removed.
    Persistent,
    /// Fires until it is removed, for every node below as well, but never NodeChildrenChanged.
    PersistentRecursive,
}

impl WatchMode {
    /// The mode of an addWatch request: 0 persistent, 1 recursive. Source: `ZooDefs.java`
    /// AddWatchModes; Java answers others with MARSHALLING_ERROR.
    #[must_use]
    pub fn from_request(mode: i32) -> Option<Self> {
        match mode {
            0 => Some(WatchMode::Persistent),
            1 => Some(WatchMode::PersistentRecursive),
            _ => None,
        }
    }

    fn bit(self) -> u8 {
        match self {
            WatchMode::Standard => 1,
            WatchMode::Persistent => 2,
            WatchMode::PersistentRecursive => 4,
        }
    }
}

/// Which watches a check or removal means. Source: `Watcher.java` WatcherType.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatcherType {
    /// One-shot ones on children.
    Children,
    /// One-shot ones on data or existence.
    Data,
    /// All.
    Any,
    /// Persistent ones.
    Persistent,
    /// Recursive ones.
    PersistentRecursive,
}

impl WatcherType {
    /// From a request's number; Java answers others with MARSHALLING_ERROR.
    #[must_use]
    pub fn from_request(value: i32) -> Option<Self> {
        Some(match value {
            1 => WatcherType::Children,
            2 => WatcherType::Data,
            3 => WatcherType::Any,
            4 => WatcherType::Persistent,
            5 => WatcherType::PersistentRecursive,
            _ => return None,
        })
    }
}

/// One of the two tables.
#[derive(Debug, Default)]
struct Table {
    /// Modes by path and connection. Most paths have one watcher, so a short list will do.
    by_path: HashMap<Arc<str>, Vec<(ConnId, u8)>>,
    by_conn: HashMap<ConnId, HashSet<Arc<str>>>,
    /// Recursive watches; without any, nobody looks at a path's parents.
    recursive: usize,
    total: usize,
}

impl Table {
    fn add(&mut self, path: &str, conn: ConnId, mode: WatchMode) -> bool {
        let key = match self.by_path.get_key_value(path) {
            Some((key, _)) => Arc::clone(key),
            None => Arc::from(path),
        };
        let watchers = self.by_path.entry(Arc::clone(&key)).or_default();
        let added = match watchers.iter_mut().find(|(other, _)| *other == conn) {
            Some((_, modes)) => {
                let added = *modes & mode.bit() == 0;
                *modes |= mode.bit();
                added
            }
            None => {
                watchers.push((conn, mode.bit()));
                self.by_conn.entry(conn).or_default().insert(key);
                self.total += 1;
                true
            }
        };
        if added && mode == WatchMode::PersistentRecursive {
            self.recursive += 1;
        }
        added
    }

    fn modes(&self, path: &str, conn: ConnId) -> u8 {
        let watchers = self.by_path.get(path);
        let found = watchers.and_then(|list| list.iter().find(|(other, _)| *other == conn));
        found.map_or(0, |(_, modes)| *modes)
    }

    /// Takes `bits` away; returns whether any of them was there.
    fn remove(&mut self, path: &str, conn: ConnId, bits: u8) -> bool {
        let Some(watchers) = self.by_path.get_mut(path) else {
            return false;
        };
        let Some(at) = watchers.iter().position(|(other, _)| *other == conn) else {
            return false;
        };
        let before = watchers[at].1;
        let after = before & !bits;
        watchers[at].1 = after;
        if before & !after & WatchMode::PersistentRecursive.bit() != 0 {
            self.recursive -= 1;
        }
        if after == 0 {
            watchers.remove(at);
            if watchers.is_empty() {
                self.by_path.remove(path);
                self.by_path.give_room();
            }
            self.forget(conn, path);
        }
        before != after
    }

    fn forget(&mut self, conn: ConnId, path: &str) {
        self.total -= 1;
        if let Some(paths) = self.by_conn.get_mut(&conn) {
            paths.remove(path);
            if paths.is_empty() {
                self.by_conn.remove(&conn);
                self.by_conn.give_room();
            }
        }
    }

    fn remove_all(&mut self, conn: ConnId) {
        for path in self.by_conn.remove(&conn).into_iter().flatten() {
            let Some(watchers) = self.by_path.get_mut(&path) else {
                continue;
            };
            if let Some(at) = watchers.iter().position(|(other, _)| *other == conn) {
                let (_, modes) = watchers.remove(at);
                self.total -= 1;
                if modes & WatchMode::PersistentRecursive.bit() != 0 {
                    self.recursive -= 1;
                }
            }
            if watchers.is_empty() {
                self.by_path.remove(&path);
            }
        }
        self.by_path.give_room();
        self.by_conn.give_room();
    }

    /// Who is to be told of an event at `path`: everyone watching it, then the recursive watchers
    /// of its parents, each once. One-shot watches are gone afterwards.
    fn trigger(&mut self, path: &str) -> Vec<ConnId> {
        let mut told: Vec<ConnId> = Vec::new();
        if self.by_path.is_empty() {
            return told;
        }
        if let Some(watchers) = self.by_path.get_mut(path) {
            let mut done = Vec::new();
            for (conn, modes) in watchers.iter_mut() {
                told.push(*conn);
                *modes &= !WatchMode::Standard.bit();
                if *modes == 0 {
                    done.push(*conn);
                }
            }
            watchers.retain(|(_, modes)| *modes != 0);
            if watchers.is_empty() {
                self.by_path.remove(path);
                self.by_path.give_room();
            }
            for conn in done {
                self.forget(conn, path);
            }
        }
        if self.recursive > 0 {
            let mut at = path;
            while at != "/"
                && let Some((parent, _)) = at.rsplit_once('/')
            {
                at = if parent.is_empty() { "/" } else { parent };
                for (conn, modes) in self.by_path.get(at).into_iter().flatten() {
                    let recursive = modes & WatchMode::PersistentRecursive.bit() != 0;
                    if recursive && !told.contains(conn) {
                        told.push(*conn);
                    }
                }
            }
        }
        told
    }
}

/// All watches of a server's connections.
#[derive(Debug, Default)]
pub struct Watches {
    data: Table,
    child: Table,
}

/// Where one-shot watches were before a client lost its connection. Source: `zookeeper.jute`
/// SetWatches, SetWatches2 (without the last two, SetWatches).
#[derive(Clone, Copy, Debug, Default)]
pub struct Lost<'a> {
    /// Watches of getData.
    pub data: &'a [String],
    /// Watches of exists on nodes that were not there.
    pub exist: &'a [String],
    /// Watches of getChildren.
    pub child: &'a [String],
    /// Persistent ones.
    pub persistent: &'a [String],
    /// Recursive ones.
    pub persistent_recursive: &'a [String],
}

impl Watches {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A one-shot watch of getData, or of exists (where the node need not be).
    pub fn add_data(&mut self, path: &str, conn: ConnId) {
        self.data.add(path, conn, WatchMode::Standard);
    }

    /// A one-shot watch of getChildren.
    pub fn add_child(&mut self, path: &str, conn: ConnId) {
        self.child.add(path, conn, WatchMode::Standard);
    }

    /// A watch of addWatch. Source: `DataTree.java` addWatch.
    pub fn add(&mut self, path: &str, conn: ConnId, mode: WatchMode) {
        self.data.add(path, conn, mode);
        if mode != WatchMode::PersistentRecursive {
            self.child.add(path, conn, mode);
        }
    }

    /// Whether such a watch is there. Source: `DataTree.java` containsWatcher.
    #[must_use]
    pub fn contains(&self, path: &str, conn: ConnId, kind: WatcherType) -> bool {
        let (data, child) = (self.data.modes(path, conn), self.child.modes(path, conn));
        match kind {
            WatcherType::Children => child & WatchMode::Standard.bit() != 0,
            WatcherType::Data => data & WatchMode::Standard.bit() != 0,
            WatcherType::Persistent => data & WatchMode::Persistent.bit() != 0,
            WatcherType::PersistentRecursive => data & WatchMode::PersistentRecursive.bit() != 0,
            WatcherType::Any => data | child != 0,
        }
    }

    /// Removes watches; false (NO_WATCHER) where there was none.
    /// Source: `DataTree.java` removeWatch.
    pub fn remove(&mut self, path: &str, conn: ConnId, kind: WatcherType) -> bool {
        let (data, child) = (&mut self.data, &mut self.child);
        match kind {
            WatcherType::Children => child.remove(path, conn, WatchMode::Standard.bit()),
            WatcherType::Data => data.remove(path, conn, WatchMode::Standard.bit()),
            WatcherType::Persistent => {
                let bit = WatchMode::Persistent.bit();
                // Both are asked: `|` does not stop at the first.
                child.remove(path, conn, bit) | data.remove(path, conn, bit)
            }
            WatcherType::PersistentRecursive => {
                data.remove(path, conn, WatchMode::PersistentRecursive.bit())
            }
            WatcherType::Any => {
                child.remove(path, conn, u8::MAX) | data.remove(path, conn, u8::MAX)
            }
        }
    }

    /// The connection is gone.
    pub fn remove_all(&mut self, conn: ConnId) {
        self.data.remove_all(conn);
        self.child.remove_all(conn);
    }

    /// Watches, a persistent one counted in both tables. Source: `DataTree.java` getWatchCount.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.total + self.child.total
    }

    /// Whether nobody watches anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections that watch data, and how many paths they watch: what `wchs` shows.
    #[must_use]
    pub fn data_summary(&self) -> (usize, usize, usize) {
        (
            self.data.by_conn.len(),
            self.data.by_path.len(),
            self.data.total,
        )
    }

    /// Data watches by connection: what `wchc` shows.
    pub fn data_by_conn(&self) -> impl Iterator<Item = (ConnId, impl Iterator<Item = &str>)> {
        let table = self.data.by_conn.iter();
        table.map(|(conn, paths)| (*conn, paths.iter().map(|path| &**path)))
    }

    /// Data watches by path: what `wchp` shows.
    pub fn data_by_path(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnId>)> {
        let table = self.data.by_path.iter();
        table.map(|(path, conns)| (&**path, conns.iter().map(|(conn, _)| *conn)))
    }

    /// A client is back and names its watches: tells what it missed since `relative_zxid` and sets
    /// the others again. The events have no zxid and are not filtered, as in Java.
    /// Source: `DataTree.java` setWatches.
    pub fn restore(
        &mut self,
        tree: &Tree,
        conn: ConnId,
        relative_zxid: Zxid,
        lost: Lost<'_>,
    ) -> Vec<WatchEvent> {
        let mut missed = Vec::new();
        let mut tell = |kind, path: &str| {
            missed.push(WatchEvent {
                kind,
                path: path.into(),
                zxid: Zxid(-1),
            });
        };
        for path in lost.data {
            match tree.get(path).map(|node| node.stat_persisted().mzxid) {
                None => tell(EventKind::NodeDeleted, path),
                Some(mzxid) if mzxid > relative_zxid => tell(EventKind::NodeDataChanged, path),
                Some(_) => self.add_data(path, conn),
            }
        }
        for path in lost.exist {
            match tree.get(path) {
                Some(_) => tell(EventKind::NodeCreated, path),
                None => self.add_data(path, conn),
            }
        }
        for path in lost.child {
            match tree.get(path).map(|node| node.stat_persisted().pzxid) {
                None => tell(EventKind::NodeDeleted, path),
                Some(pzxid) if pzxid > relative_zxid => tell(EventKind::NodeChildrenChanged, path),
                Some(_) => self.add_child(path, conn),
            }
        }
        for path in lost.persistent {
            self.add(path, conn, WatchMode::Persistent);
        }
        for path in lost.persistent_recursive {
            self.add(path, conn, WatchMode::PersistentRecursive);
        }
        missed
    }

    /// A node was made.
    pub(super) fn created(&mut self, at: &Change<'_>, fired: &mut Vec<Fired>) {
        let told = self.data.trigger(at.path);
        at.fire(EventKind::NodeCreated, at.path, &told, at.acl, fired);
        self.child_changed(at, fired);
    }

    /// A node was deleted: who watched both its data and its children hears of it once.
    pub(super) fn deleted(&mut self, at: &Change<'_>, fired: &mut Vec<Fired>) {
        let mut told = self.data.trigger(at.path);
        for conn in self.child.trigger(at.path) {
            if !told.contains(&conn) {
                told.push(conn);
            }
        }
        at.fire(EventKind::NodeDeleted, at.path, &told, at.acl, fired);
        self.child_changed(at, fired);
    }

    /// A node's data was set.
    pub(super) fn data_changed(&mut self, at: &Change<'_>, fired: &mut Vec<Fired>) {
        let told = self.data.trigger(at.path);
        at.fire(EventKind::NodeDataChanged, at.path, &told, at.acl, fired);
    }

    fn child_changed(&mut self, at: &Change<'_>, fired: &mut Vec<Fired>) {
        let parent = match at.path.rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((parent, _)) => parent,
        };
        let told = self.child.trigger(parent);
        let kind = EventKind::NodeChildrenChanged;
        at.fire(kind, parent, &told, at.parent_acl, fired);
    }
}

/// A change that watchers hear of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub path: &'a str,
    pub zxid: Zxid,
    pub acl: &'a Arc<[Acl]>,
    pub parent_acl: &'a Arc<[Acl]>,
}

impl Change<'_> {
    fn fire(
        &self,
        kind: EventKind,
        path: &str,
        told: &[ConnId],
        acl: &Arc<[Acl]>,
        fired: &mut Vec<Fired>,
    ) {
        if told.is_empty() {
            return;
        }
        let path: Arc<str> = path.into();
        fired.extend(told.iter().map(|conn| Fired {
            conn: *conn,
            event: WatchEvent {
                kind,
                path: Arc::clone(&path),
                zxid: self.zxid,
            },
            acl: Some(Arc::clone(acl)),
        }));
    }
}
