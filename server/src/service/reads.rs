//! Requests that are answered from this member's tree. Source: `FinalRequestProcessor.java`.

use super::auth::user_name;
use crate::ids::{ConnId, SessionId};
use crate::jute::{JuteError, Reader, Record, Writer};
use crate::proto::watches::{SetWatches, WatchedRead, path};
use crate::proto::{Acl, ErrorCode, Id, OpCode, Perms};
use crate::tree::{Database, Lost, NodeRef, WatchEvent, WatchMode, WatcherType, Watches, acl};
use parking_lot::{Mutex, MutexGuard};

/// The watches, locked only once a batch asks for them.
pub(super) enum WatchAccess<'a> {
    /// Not asked for yet.
    Free(&'a Mutex<Watches>),
    /// Ours until the batch ends.
    Locked(MutexGuard<'a, Watches>),
}

impl WatchAccess<'_> {
    pub(super) fn get(&mut self) -> &mut Watches {
        if let WatchAccess::Free(mutex) = *self {
            *self = WatchAccess::Locked(mutex.lock());
        }
        match self {
            WatchAccess::Locked(watches) => watches,
            WatchAccess::Free(_) => unreachable!("it was locked just above"),
        }
    }
}

/// Why a read has no body in its reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) ErrorCode);

impl From<JuteError> for Refusal {
    fn from(_: JuteError) -> Self {
        Refusal(ErrorCode::MARSHALLING_ERROR)
    }
}

/// One client's reads during one hold of the database's lock.
pub(super) struct Reads<'a, 'w> {
    pub(super) db: &'a Database,
    pub(super) watches: &'a mut WatchAccess<'w>,
    pub(super) conn: ConnId,
    pub(super) session: SessionId,
    pub(super) auth: &'a [Id],
    pub(super) skip_acl: bool,
}

impl<'a> Reads<'a, '_> {
    /// Answers `op`: appends the reply's body to `out`, and to `events` what has to go out before
    /// the reply.
    ///
    /// # Errors
    /// The code for the reply's header; what stands in `out` behind the header is void then.
    pub(super) fn answer(
        &mut self,
        op: OpCode,
        body: &[u8],
        out: &mut Writer,
        events: &mut Vec<WatchEvent>,
    ) -> Result<(), Refusal> {
        let mut input = Reader::new(body);
        match op {
            OpCode::PING => {}
            OpCode::EXISTS => self.exists(&WatchedRead::read(&mut input)?, out)?,
            OpCode::GET_DATA => {
                let request = WatchedRead::read(&mut input)?;
                self.get_data(&request.path, request.watch, out)?;
            }
            OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2 => {
                let request = WatchedRead::read(&mut input)?;
                let with_stat = op == OpCode::GET_CHILDREN2;
                self.get_children(&request.path, request.watch, with_stat, out)?;
            }
            OpCode::GET_ACL => self.get_acl(&path(&mut input)?, out)?,
            OpCode::GET_ALL_CHILDREN_NUMBER => {
                let path = path(&mut input)?;
                self.readable(&path)?;
                let count = self.db.tree.descendants(&path).unwrap_or(0);
                out.int(i32::try_from(count).unwrap_or(i32::MAX));
            }
            OpCode::GET_EPHEMERALS => self.get_ephemerals(&mut input, out)?,
            OpCode::WHO_AM_I => {
                out.count(self.auth.len());
                for id in self.auth {
                    out.string(&id.scheme);
                    out.string(user_name(id));
                }
            }
            OpCode::MULTI_READ => self.multi_read(&mut input, out)?,
            OpCode::ADD_WATCH => {
                let path = path(&mut input)?;
                let mode = WatchMode::from_request(input.int()?)
                    .ok_or(Refusal(ErrorCode::MARSHALLING_ERROR))?;
                self.watches.get().add(&path, self.conn, mode);
                out.int(0);
            }
            OpCode::SET_WATCHES | OpCode::SET_WATCHES2 => {
                let request = SetWatches::read(&mut input, op == OpCode::SET_WATCHES2)?;
                self.set_watches(&request, events);
            }
            OpCode::CHECK_WATCHES | OpCode::REMOVE_WATCHES => {
                let path = path(&mut input)?;
                let kind = WatcherType::from_request(input.int()?)
                    .ok_or(Refusal(ErrorCode::MARSHALLING_ERROR))?;
                let watches = self.watches.get();
                let found = if op == OpCode::CHECK_WATCHES {
                    watches.contains(&path, self.conn, kind)
                } else {
                    watches.remove(&path, self.conn, kind)
                };
                if !found {
                    return Err(Refusal(ErrorCode::NO_WATCHER));
                }
            }
            _ => return Err(Refusal(ErrorCode::UNIMPLEMENTED)),
        }
        Ok(())
    }

    fn allows(&self, node: &NodeRef<'_>, wanted: Perms) -> bool {
        self.skip_acl || acl::allows(node.acl(), wanted, self.auth)
    }

    fn readable(&self, path: &str) -> Result<NodeRef<'a>, Refusal> {
        let db: &'a Database = self.db;
        let node = db.tree.get(path).ok_or(Refusal(ErrorCode::NO_NODE))?;
        if self.allows(&node, Perms::READ) {
            Ok(node)
        } else {
            Err(Refusal(ErrorCode::NO_AUTH))
        }
    }

    fn exists(&mut self, request: &WatchedRead<'_>, out: &mut Writer) -> Result<(), Refusal> {
        if request.path.contains('\0') {
            return Err(Refusal(ErrorCode::BAD_ARGUMENTS));
        }
        let db: &'a Database = self.db;
        let node = db.tree.get(&request.path);
        if let Some(node) = &node
            && !self.allows(node, Perms::READ)
        {
            return Err(Refusal(ErrorCode::NO_AUTH));
        }
        // The watch is set whether there is a node or not: its creation is what some wait for.
        if request.watch {
            let watches = self.watches.get();
            watches.add_data(&request.path, self.conn);
        }
        let node = node.ok_or(Refusal(ErrorCode::NO_NODE))?;
        node.stat().write(out);
        Ok(())
    }

    fn get_data(&mut self, path: &str, watch: bool, out: &mut Writer) -> Result<(), Refusal> {
        let node = self.readable(path)?;
        out.buffer_or_null(node.data());
        node.stat().write(out);
        if watch {
            self.watches.get().add_data(path, self.conn);
        }
        Ok(())
    }

    fn get_children(
        &mut self,
        path: &str,
        watch: bool,
        with_stat: bool,
        out: &mut Writer,
    ) -> Result<(), Refusal> {
        let node = self.readable(path)?;
        out.count(node.num_children());
        for child in node.children() {
            out.string(child.name());
        }
        if with_stat {
            node.stat().write(out);
        }
        if watch {
            self.watches.get().add_child(path, self.conn);
        }
        Ok(())
    }

    fn get_acl(&self, path: &str, out: &mut Writer) -> Result<(), Refusal> {
        let tree = &self.db.tree;
        let node = tree.get(path).ok_or(Refusal(ErrorCode::NO_NODE))?;
        if !self.allows(&node, Perms(Perms::READ.0 | Perms::ADMIN.0)) {
            return Err(Refusal(ErrorCode::NO_AUTH));
        }
        // Only those who may change the list see the hashes in it.
        let whole = self.allows(&node, Perms::ADMIN);
        out.count(node.acl().len());
        for acl in node.acl() {
            if !whole && acl.id.scheme == "digest" {
                let user = acl.id.id.split(':').next().unwrap_or_default();
                let masked = if user.len() < acl.id.id.len() {
                    format!("{user}:x")
                } else {
                    user.to_owned()
                };
                Acl {
                    perms: acl.perms,
                    id: Id::new("digest", masked),
                }
                .write(out);
            } else {
                acl.write(out);
            }
        }
        node.stat().write(out);
        Ok(())
    }

    fn get_ephemerals(&self, input: &mut Reader<'_>, out: &mut Writer) -> Result<(), Refusal> {
        let prefix = input.string_or_null()?.unwrap_or_default();
        let all = matches!(prefix.trim(), "" | "/");
        let mut paths = self.db.tree.ephemerals(self.session);
        paths.retain(|path| all || path.starts_with(&prefix));
        out.strings(&paths);
        Ok(())
    }

    fn multi_read(&mut self, input: &mut Reader<'_>, out: &mut Writer) -> Result<(), Refusal> {
        loop {
            let op = OpCode(input.int()?);
            let done = input.boolean()?;
            let _err = input.int()?;
            if done {
                break;
            }
            let request = WatchedRead::read(input)?;
            let start = out.len();
            multi_header(out, op.0, false, -1);
            let result = match op {
                OpCode::GET_CHILDREN => self.get_children(&request.path, false, false, out),
                OpCode::GET_DATA => self.get_data(&request.path, false, out),
                _ => return Err(Refusal(ErrorCode::MARSHALLING_ERROR)),
            };
            if let Err(Refusal(err)) = result {
                out.truncate(start);
                multi_header(out, OpCode::ERROR.0, false, err.0);
                out.int(err.0);
            } else {
                // The header's error is that of the result, 0 here.
                out.set_int(start + 5, 0);
            }
        }
        multi_header(out, -1, true, -1);
        Ok(())
    }

    fn set_watches(&mut self, request: &SetWatches, events: &mut Vec<WatchEvent>) {
        let lost = Lost {
            data: &request.data,
            exist: &request.exist,
            child: &request.child,
            persistent: &request.persistent,
            persistent_recursive: &request.persistent_recursive,
        };
        let watches = self.watches.get();
        let missed = watches.restore(&self.db.tree, self.conn, request.relative_zxid, lost);
        events.extend(missed);
    }
}

fn multi_header(out: &mut Writer, kind: i32, done: bool, err: i32) {
    out.int(kind);
    out.boolean(done);
    out.int(err);
}
