//! Who is connected.

use super::connection::Connection;
use super::status::Serving;
use crate::ids::{ConnId, SessionId};
use crate::room::GiveRoom as _;
use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// All connections, by number, by session and by address.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) serving: Option<Serving>,
    connections: HashMap<ConnId, Arc<Connection>>,
    sessions: HashMap<SessionId, Arc<Connection>>,
    addresses: HashMap<IpAddr, u32>,
    last_id: u64,
}

impl Registry {
    pub(crate) fn next_id(&mut self) -> ConnId {
        self.last_id += 1;
        ConnId(self.last_id)
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Connections from the address.
    pub(crate) fn count_of_address(&self, ip: IpAddr) -> u32 {
        self.addresses.get(&ip).copied().unwrap_or(0)
    }

    pub(crate) fn insert(&mut self, connection: Arc<Connection>) {
        *self.addresses.entry(connection.peer.ip()).or_insert(0) += 1;
        self.connections.insert(connection.id, connection);
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Arc<Connection>> {
        self.connections.get(&id)
    }

    pub(crate) fn by_session(&self, session: SessionId) -> Option<&Arc<Connection>> {
        self.sessions.get(&session)
    }

    /// Gives the session to the connection; returns the one that had it.
    pub(crate) fn bind(
        &mut self,
        session: SessionId,
        connection: &Arc<Connection>,
    ) -> Option<Arc<Connection>> {
        self.sessions.insert(session, Arc::clone(connection))
    }

    /// Forgets the connection, and its session unless that has moved on to another.
    pub(crate) fn remove(&mut self, connection: &Arc<Connection>, session: SessionId) {
        if self.connections.remove(&connection.id).is_some() {
            self.connections.give_room();
            let ip = connection.peer.ip();
            if let Some(count) = self.addresses.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    self.addresses.remove(&ip);
                }
            }
        }
        let owner = self.sessions.get(&session);
        if owner.is_some_and(|owner| Arc::ptr_eq(owner, connection)) {
            self.sessions.remove(&session);
            self.sessions.give_room();
        }
    }

    pub(crate) fn with_sessions(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.sessions.values()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.connections.values()
    }

    /// Every connection. They stay registered until their tasks have ended, but lose their
    /// sessions at once.
    pub(crate) fn drain(&mut self) -> Vec<Arc<Connection>> {
        self.sessions.clear();
        self.connections.values().cloned().collect()
    }
}
