//! Creating nodes. Source: `PrepRequestProcessor.java` pRequest2TxnCreate.

use super::changes::State;
use super::{Desk, Prepared, bytes, marshalling};
use crate::ids::SessionId;
use crate::jute::Record;
use crate::proto::create::{CreateMode, CreateRequest, CreateTtlRequest};
use crate::proto::{ErrorCode, OpCode, Perms};
use crate::tree::{CONTAINER_OWNER, EphemeralKind, StatPersisted, acl, paths, ttl_owner};
use crate::txn::{SessionCheck, Txn};

impl Desk<'_> {
    pub(super) fn create_request(&mut self, op: OpCode) -> Prepared {
        let body = &self.request.body;
        if op == OpCode::CREATE_TTL {
            let request = CreateTtlRequest::from_slice(body).map_err(marshalling)?;
            self.create(op, request.create, request.ttl_ms)
        } else {
            let request = CreateRequest::from_slice(body).map_err(marshalling)?;
            self.create(op, request, -1)
        }
    }

    /// The order of the checks is Java's: of two things wrong, a client hears of the same one.
    pub(super) fn create(&mut self, op: OpCode, request: CreateRequest, ttl_ms: i64) -> Prepared {
        let CreateRequest {
            mut path,
            data,
            acl,
            flags,
        } = request;
        let mode = CreateMode::from_flags(flags).ok_or(ErrorCode::BAD_ARGUMENTS)?;
        self.validate(op, mode, ttl_ms)?;
        if self.is_path_null() {
            return Err(ErrorCode::MARSHALLING_ERROR);
        }
        let (parent_path, _) = paths::split(&path)
            .filter(|_| !path.contains('\0'))
            .ok_or(ErrorCode::BAD_ARGUMENTS)?;
        let parent_path = parent_path.to_owned();
        let list = acl::fix_up(&acl, &self.request.auth, self.settings.schemes)
            .ok_or(ErrorCode::INVALID_ACL)?;
        let parent = self.state(&parent_path)?;
        self.check_acl(&parent, Perms::CREATE)?;
        if mode.is_sequential() {
            // Signed, as Java's `%010d`: the counter may have wrapped.
            path.push_str(&format!("{:010}", parent.stat.cversion));
        }
        paths::validate(&path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
        if self.changes.exists(&self.db.tree, &path) {
            return Err(ErrorCode::NODE_EXISTS);
        }
        let extended = self.settings.extended_types;
        if EphemeralKind::of(parent.stat.ephemeral_owner, extended).is_session() {
            return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
        }
        let length = data.as_ref().map_or(0, |data| data.len());
        self.check_quota(&path, 1, bytes(length))?;

        let parent_cversion = parent.stat.cversion.wrapping_add(1);
        // The owner is what applying the transaction will give the node: by the operation, not
        // by the flags where the two differ.
        let owner = match op {
            OpCode::CREATE_CONTAINER => CONTAINER_OWNER,
            OpCode::CREATE_TTL => ttl_owner(ttl_ms).ok_or(ErrorCode::BAD_ARGUMENTS)?,
            _ if mode.is_ephemeral() => self.request.session,
            _ => SessionId(0),
        };
        let stat = StatPersisted::created(self.zxid, self.now, owner);
        let node = State::created(&path, data.as_deref(), stat, list.as_slice().into());
        let mut parent_after = parent.clone();
        parent_after.num_children = parent.num_children.saturating_add(1);
        parent_after.stat.cversion = parent_cversion;
        parent_after.stat.pzxid = self.zxid;
        self.push(&parent_path, Some(&parent), Some(parent_after));
        self.push(&path, None, Some(node));
        let acl = list;
        Ok(match op {
            OpCode::CREATE_CONTAINER => Txn::CreateContainer {
                path,
                data,
                acl,
                parent_cversion,
            },
            OpCode::CREATE_TTL => Txn::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl_ms,
            },
            _ => Txn::Create {
                path,
                data,
                acl,
                ephemeral: mode.is_ephemeral(),
                parent_cversion,
            },
        })
    }

    /// Null and the empty path are two ways to be wrong, and Java's checks find them at different
    /// times. Inside a multi, a null path is found beforehand.
    fn is_path_null(&self) -> bool {
        self.request.op != OpCode::MULTI && self.request.body.starts_with(&(-1_i32).to_be_bytes())
    }

    /// Source: validateCreateRequest, `EphemeralType.java` validateTTL.
    fn validate(&self, op: OpCode, mode: CreateMode, ttl_ms: i64) -> Result<(), ErrorCode> {
        if mode.is_ttl() && !self.settings.extended_types {
            return Err(ErrorCode::UNIMPLEMENTED);
        }
        let has_ttl = ttl_owner(ttl_ms).is_some();
        // Java lets createTTL pass with a mode and a number that both say "no TTL", and then
        // throws where the transaction is applied.
        let wrong = if mode.is_ttl() || op == OpCode::CREATE_TTL {
            !has_ttl || !mode.is_ttl()
        } else {
            ttl_ms >= 0
        };
        if wrong {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        if mode.is_ephemeral() && self.session == SessionCheck::Local {
            return Err(ErrorCode::EPHEMERAL_ON_LOCAL_SESSION);
        }
        self.check_session()
    }
}
