//! The engine on a disk that fails: a standalone server's, so that no peer is needed.

use super::log_thread::LogThread;
use super::start::{Parts, prepare};
use super::{NodeError, NodeEvent};
use crate::config::ServerConfig;
use crate::ids::{ConnId, SessionId, Xid, Zxid};
use crate::jute::Writer;
use crate::proto::{Id, OpCode};
use crate::service::{Service, WriteRequest};
use crate::storage::log::faulty::{Faults, faulty_log};
use crate::storage::{LogOptions, StorageError};
use crate::txn::Request;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server's engine on a thread of its own.
struct Server {
    dir: tempfile::TempDir,
    config: ServerConfig,
    service: Arc<Service>,
    events: mpsc::Sender<NodeEvent>,
    faults: Faults,
    engine: JoinHandle<Result<(), NodeError>>,
}

impl Server {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().display().to_string();
        let config = ServerConfig::without_file(&[("dataDir".into(), data)]).unwrap();
        let (events, received) = mpsc::channel();
        let Parts { service, make, .. } = prepare(&config, &events).await.unwrap();
        let mut engine = make();
        let options = LogOptions::of(&config.storage);
        let (log, faults) = faulty_log(&dir.path().join("version-2"), options);
        engine.log = LogThread::start(log, events.clone(), 0).unwrap();
        let engine = thread::spawn(move || engine.run(&received));
        let server = Server {
            dir,
            config,
            service,
            events,
            faults,
            engine,
        };
        server.wait("the server to serve", || server.service.serving().is_some());
        server
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A client's wish for a session, the simplest change there is.
    fn create_session(&self, session: i64) {
        let mut body = Writer::new();
        body.int(10_000);
        let nobody: Arc<[Id]> = Arc::from([]);
        let request = WriteRequest {
            conn: ConnId(1),
            request: Request {
                session: SessionId(session),
                xid: Xid(0),
                op: OpCode::CREATE_SESSION,
                body: body.into_vec().into(),
                auth: nobody,
            },
        };
        self.events.send(NodeEvent::Submit(request)).unwrap();
    }

    fn has_session(&self, session: i64) -> bool {
        let database = self.service.database.read();
        database.sessions().contains_key(&SessionId(session))
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_after_an_fsync_failed_and_the_server_ends() {
    let server = Server::start().await;
    server.create_session(1);
    server.wait("the first session", || server.has_session(1));
    server.faults.next("sync", io::ErrorKind::Other);
    server.create_session(2);
    let Server {
        dir,
        config,
        service,
        engine,
        ..
    } = server;
    let ended = engine.join().unwrap().unwrap_err();
    assert!(
        matches!(ended, NodeError::Storage(StorageError::Io { .. })),
        "{ended}"
    );
    assert!(
        !service
            .database
            .read()
            .sessions()
            .contains_key(&SessionId(2))
    );
    assert_eq!(service.serving(), None);
    drop(service);
    // The next process finds what was acknowledged and nothing else.
    let (events, _received) = mpsc::channel();
    let parts = prepare(&config, &events).await.unwrap();
    let database = parts.service.database.read();
    assert_eq!(database.last_processed(), Zxid(1));
    assert!(database.sessions().contains_key(&SessionId(1)));
    drop(dir);
}

#[tokio::test]
async fn a_write_that_found_no_room_is_forgotten_and_the_server_goes_on_from_its_disk() {
    let server = Server::start().await;
    server.create_session(1);
    server.wait("the first session", || server.has_session(1));
    server.faults.next("write", io::ErrorKind::StorageFull);
    server.create_session(2);
    // Refused, or not heard at all, until there was room.
    server.wait("the third session", || {
        server.create_session(3);
        server.has_session(3)
    });
    assert!(server.has_session(1) && !server.has_session(2));
    assert_eq!(server.service.status.read().fault, None);
    server.events.send(NodeEvent::Shutdown).unwrap();
    server.engine.join().unwrap().unwrap();
}
