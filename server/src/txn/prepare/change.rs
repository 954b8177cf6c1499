//! Changing, deleting and checking nodes. Source: `PrepRequestProcessor.java` pRequest2Txn.

use super::{Desk, Prepared, bytes, marshalling};
use crate::ids::SessionId;
use crate::jute::{Reader, Record};
use crate::proto::change::{PathVersion, SetAclRequest, SetDataRequest};
use crate::proto::{ErrorCode, Perms};
use crate::tree::{CONFIG_NODE, EphemeralKind, acl, paths, quota};
use crate::txn::Txn;

/// The version after a change. Source: checkAndIncVersion; 3.9.5 wraps from the largest number to
/// the smallest.
fn next_version(current: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != current {
        return Err(ErrorCode::BAD_VERSION);
    }
    Ok(current.wrapping_add(1))
}

/// The parent of a node that may be deleted. Source: getParentPathAndValidate, `DataTree.java`
/// isSpecialPath.
fn deletable(path: &str) -> Result<&str, ErrorCode> {
    let special = ["/", "/zookeeper", quota::QUOTA_ROOT, CONFIG_NODE];
    if path.contains('\0') || special.contains(&path) {
        return Err(ErrorCode::BAD_ARGUMENTS);
    }
    let (parent, _) = paths::split(path).ok_or(ErrorCode::BAD_ARGUMENTS)?;
    Ok(parent)
}

fn valid(path: &str) -> Result<(), ErrorCode> {
    paths::validate(path).map_err(|_| ErrorCode::BAD_ARGUMENTS)
}

impl Desk<'_> {
    pub(super) fn delete_request(&mut self) -> Prepared {
        let request = PathVersion::from_slice(&self.request.body).map_err(marshalling)?;
        self.delete(request)
    }

    pub(super) fn delete(&mut self, request: PathVersion) -> Prepared {
        self.check_session()?;
        let PathVersion { path, version } = request;
        let parent_path = deletable(&path)?;
        let parent = self.state(parent_path)?;
        self.check_acl(&parent, Perms::DELETE)?;
        let node = self.state(&path)?;
        next_version(node.stat.version, version)?;
        if node.num_children > 0 {
            return Err(ErrorCode::NOT_EMPTY);
        }
        self.push_delete(&path)?;
        Ok(Txn::Delete { path })
    }

    /// The ensemble's own request, for containers and TTL nodes that nobody needs any more. A
    /// client that sends it is refused, which Java forgets: there it deletes any empty node
    /// without a permission.
    pub(super) fn delete_container(&mut self) -> Prepared {
        if self.request.session != SessionId(0) {
            return Err(ErrorCode::UNIMPLEMENTED);
        }
        let mut body = Reader::new(&self.request.body);
        let path = body.string().map_err(marshalling)?;
        deletable(&path)?;
        let node = self.state(&path)?;
        if node.num_children > 0 {
            return Err(ErrorCode::NOT_EMPTY);
        }
        let extended = self.settings.extended_types;
        if EphemeralKind::of(node.stat.ephemeral_owner, extended).is_session() {
            return Err(ErrorCode::BAD_VERSION);
        }
        self.push_delete(&path)?;
        Ok(Txn::Delete { path })
    }

    /// Notes that a node will be gone and its parent have a child fewer.
    pub(super) fn push_delete(&mut self, path: &str) -> Result<(), ErrorCode> {
        let parent_path = deletable(path)?;
        let parent = self.state(parent_path)?;
        let node = self.state(path)?;
        let mut parent_after = parent.clone();
        parent_after.num_children = parent.num_children.saturating_sub(1);
        parent_after.stat.pzxid = self.zxid;
        self.push(parent_path, Some(&parent), Some(parent_after));
        self.push(path, Some(&node), None);
        Ok(())
    }

    pub(super) fn set_data_request(&mut self) -> Prepared {
        let request = SetDataRequest::from_slice(&self.request.body).map_err(marshalling)?;
        self.set_data(request)
    }

    pub(super) fn set_data(&mut self, request: SetDataRequest) -> Prepared {
        self.check_session()?;
        let SetDataRequest {
            path,
            data,
            version,
        } = request;
        valid(&path)?;
        let node = self.state(&path)?;
        self.check_acl(&node, Perms::WRITE)?;
        let length = data.as_ref().map_or(0, |data| data.len());
        self.check_quota(&path, 0, bytes(length) - bytes(node.data_length))?;
        let version = next_version(node.stat.version, version)?;
        let mut after = node.clone();
        after.stat.version = version;
        after.stat.mtime = self.now;
        after.stat.mzxid = self.zxid;
        after.set_data(&path, data.as_deref());
        self.push(&path, Some(&node), Some(after));
        Ok(Txn::SetData {
            path,
            data,
            version,
        })
    }

    pub(super) fn set_acl(&mut self) -> Prepared {
        let request = SetAclRequest::from_slice(&self.request.body).map_err(marshalling)?;
        self.check_session()?;
        let SetAclRequest { path, acl, version } = request;
        valid(&path)?;
        let acl = acl::fix_up(&acl, &self.request.auth, self.settings.schemes)
            .ok_or(ErrorCode::INVALID_ACL)?;
        let node = self.state(&path)?;
        self.check_acl(&node, Perms::ADMIN)?;
        let version = next_version(node.stat.aversion, version)?;
        let mut after = node.clone();
        after.stat.aversion = version;
        // Java leaves the old list in force until the change is applied; here requests behind
        // this one are checked against the new one, as the order of transactions says.
        after.acl = acl.as_slice().into();
        self.push(&path, Some(&node), Some(after));
        Ok(Txn::SetAcl { path, acl, version })
    }

    pub(super) fn check(&mut self, request: PathVersion) -> Prepared {
        self.check_session()?;
        let PathVersion { path, version } = request;
        valid(&path)?;
        let node = self.state(&path)?;
        self.check_acl(&node, Perms::READ)?;
        let version = next_version(node.stat.version, version)?;
        Ok(Txn::Check { path, version })
    }
}
