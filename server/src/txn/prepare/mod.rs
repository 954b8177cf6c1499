//! From a request to its transaction, on the leader. Source: `PrepRequestProcessor.java`.
//!
//! Pure. It sees the tree as it will be once everything proposed before is applied, so requests
//! can be prepared without waiting for those in front of them. A refusal is a transaction too:
//! it has a position, so that every member answers in order.

mod change;
mod changes;
mod create;
mod multi;
mod reconfig;
mod session;
#[cfg(test)]
mod tests;

pub use reconfig::EnsembleView;

use super::{Request, SessionCheck, Txn, TxnDigest, TxnEntry, TxnHeader};
use crate::ids::{WallMs, Zxid};
use crate::jute::JuteError;
use crate::proto::{ErrorCode, OpCode, Perms};
use crate::tree::acl::{self, Schemes};
use crate::tree::quota::{self, StatsTrack};
use crate::tree::{DIGEST_VERSION, Database};
use changes::{Changes, State};

/// What of `zoo.cfg` concerns preparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareSettings {
    /// Nobody's permissions are checked (`skipACL`, off by default).
    pub skip_acl: bool,
    /// Hard quota limits are enforced (`enforceQuota`, off by default).
    pub enforce_quota: bool,
    /// TTL nodes may be created (`extendedTypesEnabled`, off by default).
    pub extended_types: bool,
    /// The ensemble may be changed (`reconfigEnabled`, off by default).
    pub reconfig_enabled: bool,
    /// Transactions carry the tree's digest (`digest.enabled`, on by default).
    pub digest: bool,
    /// Schemes that access lists may name.
    pub schemes: Schemes,
}

impl Default for PrepareSettings {
    fn default() -> Self {
        PrepareSettings {
            skip_acl: false,
            enforce_quota: false,
            extended_types: false,
            reconfig_enabled: false,
            digest: true,
            schemes: Schemes::default(),
        }
    }
}

/// The leader's view of what it has proposed and not applied.
#[derive(Debug)]
pub struct Preparer {
    settings: PrepareSettings,
    ensemble: Option<EnsembleView>,
    changes: Changes,
}

impl Preparer {
    /// One that has proposed nothing.
    #[must_use]
    pub fn new(settings: PrepareSettings) -> Self {
        Preparer {
            settings,
            ensemble: None,
            changes: Changes::default(),
        }
    }

    /// Turns a request into the transaction at `zxid`. It never fails: a request that is refused
    /// becomes an error transaction. `db` has to have applied at least everything that
    /// [`Preparer::applied`] was told of; what it has applied itself is noticed.
    pub fn prepare(
        &mut self,
        db: &Database,
        request: &Request,
        session: SessionCheck,
        zxid: Zxid,
        now: WallMs,
    ) -> TxnEntry {
        self.changes.forget(db.last_processed());
        let mut desk = Desk {
            settings: &self.settings,
            ensemble: self.ensemble.as_ref(),
            changes: &mut self.changes,
            db,
            request,
            session,
            zxid,
            now,
        };
        let prepared = match request.op {
            // Only inside a multi; nobody could read it from a log. Source: `Request.java` isValid.
            OpCode::CHECK => Err(ErrorCode::UNIMPLEMENTED),
            OpCode::MULTI => desk.multi(),
            op => desk.single(op),
        };
        let mut header = TxnHeader {
            client_id: request.session,
            cxid: request.xid,
            zxid,
            time: now,
            op: request.op,
        };
        match prepared {
            Ok(txn) => TxnEntry {
                header,
                txn,
                digest: self.settings.digest.then(|| TxnDigest {
                    version: DIGEST_VERSION,
                    tree_digest: self.changes.digest(&db.tree),
                }),
            },
            Err(err) => {
                header.op = OpCode::ERROR;
                TxnEntry {
                    header,
                    txn: Txn::Error { err },
                    // As in Java, where the digest is set behind the checks.
                    digest: None,
                }
            }
        }
    }

    /// The ensemble as it is, to be told before a reconfig is prepared; a standalone server has none.
    pub fn set_ensemble(&mut self, view: EnsembleView) {
        self.ensemble = Some(view);
    }

    /// Everything up to `zxid` has been applied to the database.
    pub fn applied(&mut self, zxid: Zxid) {
        self.changes.forget(zxid);
    }

    /// The leadership is over: what was proposed and not applied may never be.
    pub fn reset(&mut self) {
        self.changes.clear();
    }

    /// Changes of nodes that are proposed and not applied.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.changes.len()
    }
}

type Prepared = Result<Txn, ErrorCode>;

/// Everything that preparing one request needs.
struct Desk<'a> {
    settings: &'a PrepareSettings,
    ensemble: Option<&'a EnsembleView>,
    changes: &'a mut Changes,
    db: &'a Database,
    request: &'a Request,
    session: SessionCheck,
    zxid: Zxid,
    now: WallMs,
}

/// Bytes that are not the record they should be.
fn marshalling(_: JuteError) -> ErrorCode {
    ErrorCode::MARSHALLING_ERROR
}

impl Desk<'_> {
    fn single(&mut self, op: OpCode) -> Prepared {
        match op {
            OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                self.create_request(op)
            }
            OpCode::DELETE => self.delete_request(),
            OpCode::DELETE_CONTAINER => self.delete_container(),
            OpCode::SET_DATA => self.set_data_request(),
            OpCode::SET_ACL => self.set_acl(),
            OpCode::RECONFIG => self.reconfig(),
            OpCode::CREATE_SESSION => self.create_session(),
            OpCode::CLOSE_SESSION => self.close_session(),
            _ => Err(ErrorCode::UNIMPLEMENTED),
        }
    }

    /// Source: `SessionTrackerImpl.java` checkSession.
    fn check_session(&self) -> Result<(), ErrorCode> {
        match self.session {
            SessionCheck::Ok | SessionCheck::Local => Ok(()),
            SessionCheck::Expired => Err(ErrorCode::SESSION_EXPIRED),
            SessionCheck::Moved => Err(ErrorCode::SESSION_MOVED),
        }
    }

    /// Source: `ZooKeeperServer.java` checkACL.
    fn check_acl(&self, state: &State, wanted: Perms) -> Result<(), ErrorCode> {
        if self.settings.skip_acl || acl::allows(&state.acl, wanted, &self.request.auth) {
            Ok(())
        } else {
            Err(ErrorCode::NO_AUTH)
        }
    }

    /// The node as it will be. Source: getRecordForPath.
    fn state(&self, path: &str) -> Result<State, ErrorCode> {
        let state = self.changes.state(&self.db.tree, path);
        state.ok_or(ErrorCode::NO_NODE)
    }

    fn push(&mut self, path: &str, before: Option<&State>, after: Option<State>) {
        let tree = &self.db.tree;
        self.changes.push(tree, self.zxid, path, before, after);
    }

    /// Only the applied counts are looked at, as in Java. Source: `ZooKeeperServer.java`
    /// checkQuota.
    fn check_quota(&self, path: &str, count: i64, bytes: i64) -> Result<(), ErrorCode> {
        if !self.settings.enforce_quota {
            return Ok(());
        }
        let tree = &self.db.tree;
        let Some(subject) = tree.quota_prefix(path) else {
            return Ok(());
        };
        // Where a node says nothing that can be read, Java throws in the middle of preparing.
        let stats = |path: String| {
            let node = tree.get(&path)?;
            let stats = node.data().and_then(StatsTrack::parse);
            Some(stats.ok_or(ErrorCode::MARSHALLING_ERROR))
        };
        let Some(limits) = stats(quota::limit_path(subject)).transpose()? else {
            return Ok(());
        };
        if !limits.limits(count, bytes) {
            return Ok(());
        }
        match stats(quota::stat_path(subject)).transpose()? {
            Some(used) if limits.is_exceeded(&used, count, bytes) => Err(ErrorCode::QUOTA_EXCEEDED),
            _ => Ok(()),
        }
    }
}

fn bytes(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
