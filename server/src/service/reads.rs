//! Requests that are answered from this member's tree. Source: `FinalRequestProcessor.java`.

use super::auth::user_name;
use crate::ids::{ConnId, SessionId};
use crate::jute::{JuteError, Reader, Record, Writer};
use crate::proto::multi::{MultiHeader, MultiRead};
use crate::proto::record;
use crate::proto::watches::{SetWatches, WatchedRead, path, watched_path};
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

/// Why a read is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its reply has no body.
    Bare(ErrorCode),
    /// What was written so far goes along.
    WithBody(ErrorCode),
}

impl From<ErrorCode> for Refusal {
    fn from(err: ErrorCode) -> Self {
        Refusal::Bare(err)
    }
}

impl From<JuteError> for Refusal {
    fn from(_: JuteError) -> Self {
        Refusal::Bare(ErrorCode::MARSHALLING_ERROR)
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
            // Changes come here where their bytes are no record.
            op if !record::is_whole(op, body) => {
                return Err(Refusal::Bare(ErrorCode::MARSHALLING_ERROR));
            }
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
                // Java's table has the root twice, and under "" the one counts the other.
                let twice = usize::from(path.is_empty());
                let count = self.db.tree.descendants(&path).unwrap_or(0) + twice;
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
                let path = watched_path(&mut input)?;
                let mode = WatchMode::from_request(input.int()?)
                    .ok_or(Refusal::Bare(ErrorCode::MARSHALLING_ERROR))?;
                self.watches.get().add(&path, self.conn, mode);
                out.int(0);
            }
            OpCode::SET_WATCHES | OpCode::SET_WATCHES2 => {
                let request = SetWatches::read(&mut input, op == OpCode::SET_WATCHES2)?;
                self.set_watches(&request, events);
                if request.ends_at_null {
                    return Err(Refusal::Bare(ErrorCode::MARSHALLING_ERROR));
                }
            }
            OpCode::CHECK_WATCHES | OpCode::REMOVE_WATCHES => {
                let path = watched_path(&mut input)?;
                let kind = WatcherType::from_request(input.int()?)
                    .ok_or(Refusal::Bare(ErrorCode::MARSHALLING_ERROR))?;
                let watches = self.watches.get();
                let found = if op == OpCode::CHECK_WATCHES {
                    watches.contains(&path, self.conn, kind)
                } else {
                    watches.remove(&path, self.conn, kind)
                };
                if !found {
                    return Err(Refusal::Bare(ErrorCode::NO_WATCHER));
                }
            }
            _ => return Err(Refusal::Bare(ErrorCode::UNIMPLEMENTED)),
        }
        Ok(())
    }

    fn allows(&self, node: &NodeRef<'_>, wanted: Perms) -> bool {
        self.skip_acl || acl::allows(node.acl(), wanted, self.auth)
    }

    fn readable(&self, path: &str) -> Result<NodeRef<'a>, Refusal> {
        let db: &'a Database = self.db;
        let node = db.tree.get(path).ok_or(Refusal::Bare(ErrorCode::NO_NODE))?;
        if self.allows(&node, Perms::READ) {
            Ok(node)
        } else {
            Err(Refusal::Bare(ErrorCode::NO_AUTH))
        }
    }

    fn exists(&mut self, request: &WatchedRead<'_>, out: &mut Writer) -> Result<(), Refusal> {
        if request.path.contains('\0') {
            return Err(Refusal::Bare(ErrorCode::BAD_ARGUMENTS));
        }
        let db: &'a Database = self.db;
        let node = db.tree.get(&request.path);
        if let Some(node) = &node
            && !self.allows(node, Perms::READ)
        {
            return Err(Refusal::Bare(ErrorCode::NO_AUTH));
        }
        // The watch is set whether there is a node or not: its creation is what some wait for.
        if request.watch {
            let watches = self.watches.get();
            watches.add_data(&request.path, self.conn);
        }
        let node = node.ok_or(Refusal::Bare(ErrorCode::NO_NODE))?;
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
        let node = tree.get(path).ok_or(Refusal::Bare(ErrorCode::NO_NODE))?;
        if !self.allows(&node, Perms(Perms::READ.0 | Perms::ADMIN.0)) {
            return Err(Refusal::Bare(ErrorCode::NO_AUTH));
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

    /// Where Java stumbles in the middle, what it had so far goes along with the error.
    fn multi_read(&mut self, input: &mut Reader<'_>, out: &mut Writer) -> Result<(), Refusal> {
        let stumbled = Refusal::WithBody(ErrorCode::MARSHALLING_ERROR);
        let mut end = Ok(());
        let reads = match MultiRead::read(input)? {
            MultiRead::Reads(reads) => reads,
            MultiRead::Writes => {
                MultiHeader::END.write(out);
                return Err(stumbled);
            }
        };
        for (op, path) in reads {
            let Some(path) = path else {
                end = Err(stumbled);
                break;
            };
            let start = out.len();
            MultiHeader {
                op,
                done: false,
                err: 0,
            }
            .write(out);
            let result = if op == OpCode::GET_CHILDREN {
                self.get_children(&path, false, false, out)
            } else {
                self.get_data(&path, false, out)
            };
            if let Err(Refusal::Bare(err) | Refusal::WithBody(err)) = result {
                out.truncate(start);
                MultiHeader {
                    op: OpCode::ERROR,
                    done: false,
                    err: err.0,
                }
                .write(out);
                out.int(err.0);
            }
        }
        MultiHeader::END.write(out);
        end
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
