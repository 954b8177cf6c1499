//! A transaction in; the reply, the watch events and the digest out. Source: `DataTree.java`
//! processTxn, `FileTxnSnapLog.java` processTransaction.

use super::Database;
use super::digest::DIGEST_VERSION;
use super::ephemeral::{CONTAINER_OWNER, ttl_owner};
use super::node::Slot;
use super::paths::split;
use super::read::NodeRef;
use super::store::{NewNode, Tree};
use super::watches::{Change, Fired, Watches};
use crate::ids::{SessionId, Zxid};
use crate::proto::{Acl, ErrorCode, OpCode, Stat};
use crate::room::GiveRoom as _;
use crate::txn::{Txn, TxnEntry, TxnHeader};
use bytes::Bytes;
use std::sync::Arc;

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What the reply's header says. A refused multi says OK there; its parts have the errors.
    pub err: ErrorCode,
    /// What the reply's body needs.
    pub outcome: Outcome,
    /// Whether the tree is what the leader's was.
    pub digest: DigestCheck,
}

/// A transaction's effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was refused, or (in a replay) came to nothing.
    Failed,
    /// A node was made.
    Created {
        /// Its path, with the sequence number.
        path: String,
        /// Its stat; `create` doesn't tell it, the others do.
        stat: Stat,
    },
    /// A node was deleted.
    Deleted,
    /// Data was set.
    SetData(Stat),
    /// An access list was set.
    SetAcl(Stat),
    /// The configuration was set.
    Reconfigured {
        /// The configuration's text.
        config: Option<Bytes>,
        /// Its node's stat.
        stat: Stat,
    },
    /// A version was as expected.
    Checked,
    /// A session began.
    SessionCreated {
        /// Its timeout.
        timeout_ms: i32,
    },
    /// A session ended.
    SessionClosed,
    /// Several at once, each with its own result.
    Multi(Vec<Part>),
}

/// One operation of a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it was, [`OpCode::ERROR`] in a refused multi.
    pub op: OpCode,
    /// Its error: OK in front of the operation that failed, RUNTIME_INCONSISTENCY behind it.
    pub err: ErrorCode,
    /// Its effect.
    pub outcome: Outcome,
}

/// The tree's digest against the one that stands with the transaction.
/// Source: `DataTree.java` compareDigest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestCheck {
    /// None came along, it was of another version, or the tree is still behind a fuzzy snapshot.
    NotCompared,
    /// The same.
    Match,
    /// Not the same: this member's tree is not the leader's. Counted, never fatal.
    Mismatch {
        /// What the leader computed.
        expected: i64,
        /// What the tree has.
        actual: i64,
    },
}

impl Applied {
    /// Whether any part was refused because its session had moved to another server: the
    /// connection has to be closed then (ZOOKEEPER-710).
    #[must_use]
    pub fn session_moved(&self) -> bool {
        match &self.outcome {
            Outcome::Multi(parts) => parts.iter().any(|p| p.err == ErrorCode::SESSION_MOVED),
            _ => self.err == ErrorCode::SESSION_MOVED,
        }
    }
}

impl Database {
    /// Applies a transaction: the one door for recovery, replication and tests.
    ///
    /// It never refuses. What is applied again over a snapshot that has it already, in whole or
    /// in part, changes nothing that is newer. Events go to `fired` in Java's order.
    pub fn apply(
        &mut self,
        entry: &TxnEntry,
        fired: &mut Vec<Fired>,
        watches: &mut Watches,
    ) -> Applied {
        let TxnEntry {
            header,
            txn,
            digest,
        } = entry;
        let mut hand = Hand {
            tree: &mut self.tree,
            header,
            fired,
            watches,
        };
        let (err, outcome) = match txn {
            Txn::Multi { txns } => (ErrorCode::OK, Outcome::Multi(hand.multi(txns))),
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(header.client_id, *timeout_ms);
                let timeout_ms = *timeout_ms;
                (ErrorCode::OK, Outcome::SessionCreated { timeout_ms })
            }
            Txn::CloseSession { paths_to_delete } => {
                hand.kill_session(header.client_id, paths_to_delete.as_deref());
                self.sessions.remove(&header.client_id);
                self.sessions.give_room();
                (ErrorCode::OK, Outcome::SessionClosed)
            }
            txn => hand.one(header.op, txn),
        };
        self.last_processed = self.last_processed.max(header.zxid);
        let digest = self.compare(header.zxid, digest.as_ref());
        if let DigestCheck::Mismatch { .. } = digest {
            self.digest_mismatches += 1;
        }
        Applied {
            err,
            outcome,
            digest,
        }
    }

    fn compare(&mut self, zxid: Zxid, digest: Option<&crate::txn::TxnDigest>) -> DigestCheck {
        let actual = self.tree.digest();
        let expected = match self.fuzzy_until {
            // A snapshot that was written while transactions were applied holds parts of later
            // ones; only the digest written behind it says when the tree is whole again.
            Some((until, _)) if zxid < until => return DigestCheck::NotCompared,
            Some((until, digest)) => {
                self.fuzzy_until = None;
                if zxid == until { digest } else { None }
            }
            None => digest
                .filter(|digest| digest.version == DIGEST_VERSION)
                .map(|digest| digest.tree_digest),
        };
        match expected {
            None => DigestCheck::NotCompared,
            Some(expected) if expected == actual => DigestCheck::Match,
            Some(expected) => DigestCheck::Mismatch { expected, actual },
        }
    }
}

/// What applying one transaction needs.
struct Hand<'a> {
    tree: &'a mut Tree,
    header: &'a TxnHeader,
    fired: &'a mut Vec<Fired>,
    watches: &'a mut Watches,
}

type Verdict = (ErrorCode, Outcome);

impl Hand<'_> {
    fn one(&mut self, op: OpCode, txn: &Txn) -> Verdict {
        let done = match txn {
            Txn::Create {
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            } => {
                let owner = if *ephemeral {
                    self.header.client_id
                } else {
                    SessionId(0)
                };
                self.create(path, data.as_ref(), acl, owner, *parent_cversion, op)
            }
            Txn::CreateContainer {
                path,
                data,
                acl,
                parent_cversion,
            } => self.create(
                path,
                data.as_ref(),
                acl,
                CONTAINER_OWNER,
                *parent_cversion,
                op,
            ),
            Txn::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl_ms,
            } => match ttl_owner(*ttl_ms) {
                Some(owner) => self.create(path, data.as_ref(), acl, owner, *parent_cversion, op),
                // Java throws; no leader prepares it.
                None => Err(ErrorCode::BAD_ARGUMENTS),
            },
            Txn::Delete { path } => self.delete(path).map(|()| Outcome::Deleted),
            Txn::SetData {
                path,
                data,
                version,
            } => self
                .set_data(path, data.as_ref(), *version)
                .map(|stat| match op {
                    OpCode::RECONFIG => Outcome::Reconfigured {
                        config: data.clone(),
                        stat,
                    },
                    _ => Outcome::SetData(stat),
                }),
            Txn::SetAcl { path, acl, version } => self
                .tree
                .set_acl(path, acl, *version)
                .map(|slot| Outcome::SetAcl(NodeRef::new(self.tree, slot).stat())),
            Txn::Check { .. } => Ok(Outcome::Checked),
            Txn::Error { err } => return (*err, Outcome::Failed),
            // Sessions and multis are taken care of above, and never stand inside a multi.
            Txn::CreateSession { .. } | Txn::CloseSession { .. } | Txn::Multi { .. } => {
                Err(ErrorCode::UNIMPLEMENTED)
            }
        };
        match done {
            Ok(outcome) => (ErrorCode::OK, outcome),
            Err(err) => (err, Outcome::Failed),
        }
    }

    fn create(
        &mut self,
        path: &str,
        data: Option<&Bytes>,
        acl: &[Acl],
        owner: SessionId,
        parent_cversion: i32,
        op: OpCode,
    ) -> Result<Outcome, ErrorCode> {
        let TxnHeader { zxid, time, .. } = *self.header;
        let made = self.tree.create(NewNode {
            path,
            data: data.map(|data| &data[..]),
            acl,
            owner,
            parent_cversion,
            zxid,
            time,
        });
        let (slot, stat) = match made {
            Ok(made) => made,
            Err(ErrorCode::NODE_EXISTS) if op == OpCode::CREATE => {
                // Only a replay comes here: the parent may be older than the child.
                let parent = split(path).map_or("", |(parent, _)| parent);
                self.tree
                    .set_cversion_pzxid(parent, parent_cversion, zxid)?;
                return Err(ErrorCode::NODE_EXISTS);
            }
            Err(err) => return Err(err),
        };
        if !self.watches.is_empty() {
            let (acl, parent_acl) = self.acls_of(slot);
            let at = Change {
                path,
                zxid,
                acl: &acl,
                parent_acl: &parent_acl,
            };
            self.watches.created(&at, self.fired);
        }
        Ok(Outcome::Created {
            path: path.to_owned(),
            stat,
        })
    }

    fn delete(&mut self, path: &str) -> Result<(), ErrorCode> {
        let zxid = self.header.zxid;
        let acls = self.tree.delete(path, zxid)?;
        let at = Change {
            path,
            zxid,
            acl: &acls.node,
            parent_acl: &acls.parent,
        };
        self.watches.deleted(&at, self.fired);
        Ok(())
    }

    fn set_data(
        &mut self,
        path: &str,
        data: Option<&Bytes>,
        version: i32,
    ) -> Result<Stat, ErrorCode> {
        let TxnHeader { zxid, time, .. } = *self.header;
        let data = data.map(|data| &data[..]);
        let (slot, stat) = self.tree.set_data(path, data, version, zxid, time)?;
        if !self.watches.is_empty() {
            let (acl, parent_acl) = self.acls_of(slot);
            let at = Change {
                path,
                zxid,
                acl: &acl,
                parent_acl: &parent_acl,
            };
            self.watches.data_changed(&at, self.fired);
        }
        Ok(stat)
    }

    fn acls_of(&self, slot: Slot) -> (Arc<[Acl]>, Arc<[Acl]>) {
        let node = self.tree.slab.get(slot);
        let acl = self.tree.acls.list(node.acl);
        let parent = match node.parent.some() {
            Some(parent) => self.tree.acls.list(self.tree.slab.get(parent).acl),
            None => acl,
        };
        (Arc::clone(acl), Arc::clone(parent))
    }

    /// All or nothing: with an error among them, none is carried out.
    fn multi(&mut self, txns: &[(OpCode, Txn)]) -> Vec<Part> {
        let refused = txns.iter().any(|(op, _)| *op == OpCode::ERROR);
        let mut failed = false;
        let mut parts = Vec::with_capacity(txns.len());
        for (op, txn) in txns {
            let (op, err, outcome) = match txn {
                Txn::Error { err } => {
                    failed = true;
                    (OpCode::ERROR, *err, Outcome::Failed)
                }
                _ if refused => {
                    let err = if failed {
                        ErrorCode::RUNTIME_INCONSISTENCY
                    } else {
                        ErrorCode::OK
                    };
                    (OpCode::ERROR, err, Outcome::Failed)
                }
                txn => {
                    let (err, outcome) = self.one(*op, txn);
                    (*op, err, outcome)
                }
            };
            parts.push(Part { op, err, outcome });
        }
        parts
    }

    /// Deletes a session's nodes: those that the leader named, then whatever else it still has.
    /// Source: `DataTree.java` killSession.
    fn kill_session(&mut self, session: SessionId, named: Option<&[String]>) {
        for path in named.unwrap_or_default() {
            // Gone already in a replay, which is fine.
            let _ = self.delete(path);
        }
        for path in self.tree.ephemerals(session) {
            let _ = self.delete(&path);
        }
    }
}
