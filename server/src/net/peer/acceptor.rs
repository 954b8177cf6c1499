//! A listening socket that can move: a reconfiguration may give a member another address.

use super::{Bind, listen};
use parking_lot::Mutex;
use std::future::Future;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{info, warn};

/// Between two attempts to listen at a new place: the old one may still be in its way.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The task that accepts.
#[derive(Default)]
pub(super) struct Acceptor {
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Acceptor {
    /// Accepts by `task` from now on, and by no other. Connections that stand go on.
    pub(super) fn run(&self, task: JoinHandle<()>) {
        if let Some(old) = self.task.lock().replace(task) {
            old.abort();
        }
    }

    /// Accepts no longer. Connections that stand go on.
    pub(super) fn stop(&self) {
        if let Some(old) = self.task.lock().take() {
            old.abort();
        }
    }

    /// Listens at `bind` from now on and has `accept` take the connections in, once that can be.
    pub(super) fn move_to<F, T>(&self, runtime: &Handle, what: &'static str, bind: Bind, accept: F)
    where
        F: FnOnce(TcpListener) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.run(runtime.spawn(async move {
            let mut pause = RETRY_MIN;
            let listener = loop {
                match listen(&bind).await {
                    Ok(listener) => break listener,
                    Err(error) => {
                        warn!(%bind, %error, "can't listen {what} yet");
                    }
                }
                sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            };
            info!(%bind, "listening {what}");
            accept(listener).await;
        }));
    }
}
