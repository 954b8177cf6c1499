//! Sessions begin and end. Source: `PrepRequestProcessor.java` pRequest2Txn.

use super::{Desk, Prepared, marshalling};
use crate::ids::SessionId;
use crate::jute::Reader;
use crate::txn::Txn;
use std::collections::BTreeSet;

impl Desk<'_> {
    pub(super) fn create_session(&mut self) -> Prepared {
        let mut body = Reader::new(&self.request.body);
        let timeout_ms = body.int().map_err(marshalling)?;
        Ok(Txn::CreateSession { timeout_ms })
    }

    /// The session's nodes go with it, those included whose creation is still on its way. The
    /// session is not checked: expiry asks for this too, from no connection.
    pub(super) fn close_session(&mut self) -> Prepared {
        let session = self.request.session;
        if session == SessionId(0) {
            // No session; as an owner, 0 says that a node has none.
            let paths_to_delete = Some(Vec::new());
            return Ok(Txn::CloseSession { paths_to_delete });
        }
        let mut paths: BTreeSet<String> = self.db.tree.ephemerals(session).into_iter().collect();
        for (path, state) in self.changes.iter() {
            match state {
                None => {
                    paths.remove(path);
                }
                Some(state) if state.stat.ephemeral_owner == session => {
                    paths.insert(path.to_owned());
                }
                Some(_) => {}
            }
        }
        // All of them are there, by what was just looked up; one that is not has nothing to note.
        paths.retain(|path| self.push_delete(path).is_ok());
        Ok(Txn::CloseSession {
            paths_to_delete: Some(paths.into_iter().collect()),
        })
    }
}
