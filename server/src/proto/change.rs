//! Changing, deleting and checking nodes. Source: `zookeeper.jute` SetDataRequest, SetACLRequest,
//! DeleteRequest, CheckVersionRequest, ReconfigRequest.

use super::Acl;
use super::watches::path;
use crate::jute::{JuteError, Reader, Record, Writer};
use bytes::Bytes;

/// setData.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetDataRequest {
    /// Which node.
    pub path: String,
    /// The data; null and empty are different.
    pub data: Option<Bytes>,
    /// The version it must have, -1 for any.
    pub version: i32,
}

impl Record for SetDataRequest {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(SetDataRequest {
            path: input.string()?,
            data: input.buffer_or_null()?.map(Bytes::copy_from_slice),
            version: input.int()?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.string(&self.path);
        out.buffer_or_null(self.data.as_deref());
        out.int(self.version);
    }
}

/// setACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAclRequest {
    /// Which node.
    pub path: String,
    /// The list, as the client gave it.
    pub acl: Vec<Acl>,
    /// The aversion it must have, -1 for any.
    pub version: i32,
}

impl Record for SetAclRequest {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(SetAclRequest {
            path: input.string()?,
            acl: input.vector()?,
            version: input.int()?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.string(&self.path);
        out.vector(&self.acl);
        out.int(self.version);
    }
}

/// A path and the version that its node must have, -1 for any: delete and check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathVersion {
    /// Which node.
    pub path: String,
    /// Its version.
    pub version: i32,
}

impl Record for PathVersion {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(PathVersion {
            path: path(input)?.into_owned(),
            version: input.int()?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.string(&self.path);
        out.int(self.version);
    }
}

/// reconfig: either members that join and leave, or all new members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconfigRequest {
    /// `server.N=…` lines with commas between, null for none.
    pub joining_servers: Option<String>,
    /// Server numbers with commas between, null for none.
    pub leaving_servers: Option<String>,
    /// A whole new membership, null where the others say the change.
    pub new_members: Option<String>,
    /// The configuration's version that the change builds on, -1 for any.
    pub current_config_id: i64,
}

impl Record for ReconfigRequest {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(ReconfigRequest {
            joining_servers: input.string_or_null()?,
            leaving_servers: input.string_or_null()?,
            new_members: input.string_or_null()?,
            current_config_id: input.long()?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.string_or_null(self.joining_servers.as_deref());
        out.string_or_null(self.leaving_servers.as_deref());
        out.string_or_null(self.new_members.as_deref());
        out.long(self.current_config_id);
    }
}
