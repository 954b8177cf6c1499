//! Writers that go on whatever happens, sessions that have to live on, and what was promised.

use crate::Outcome;
use crate::client::{Intended, connect, connector, ensure, open};
use crate::ensemble::Ensemble;
use crate::member::{Member, PATIENCE};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use zookeeper_client::{Client, CreateMode};

/// A writer under a node of its own.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Outcome<Report>>,
}

/// What a writer was promised.
pub(crate) struct Report {
    parent: String,
    pub(crate) acknowledged: BTreeSet<String>,
    pub(crate) unknown: usize,
    pub(crate) longest_gap: Duration,
}

impl Writer {
    /// Writes through whichever member it reaches, a pause after each acknowledgement.
    pub(crate) fn start(cluster: String, parent: &str, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(write(cluster, parent.to_owned(), pause, Arc::clone(&stop)));
        Writer { stop, task }
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> Outcome<Report> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.intended("the writer")?
    }
}

async fn write(
    cluster: String,
    parent: String,
    pause: Duration,
    stop: Arc<AtomicBool>,
) -> Outcome<Report> {
    let mut client = connect(&cluster).await?;
    ensure(&client, &parent).await?;
    let mut report = Report {
        parent: parent.clone(),
        acknowledged: BTreeSet::new(),
        unknown: 0,
        longest_gap: Duration::ZERO,
    };
    let mut last = Instant::now();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let path = format!("{parent}/{number:010}");
        let data = path.as_bytes();
        match client
            .create(&path, data, &open(CreateMode::Persistent))
            .await
        {
            Ok(_) => {
                report.acknowledged.insert(path);
                report.longest_gap = report.longest_gap.max(last.elapsed());
                last = Instant::now();
                tokio::time::sleep(pause).await;
            }
            Err(_) => {
                // Its outcome is unknown: it counts neither way.
                report.unknown += 1;
                if client.state().is_terminated() {
                    client = connect(&cluster).await?;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    Ok(report)
}

impl Report {
    /// Every promised node has to be there, as `member` sees it.
    pub(crate) async fn assert_kept(&self, member: &Member) -> Outcome {
        let client = connect(&member.address()).await?;
        client.sync("/").await.intended(member)?;
        let found = client
            .list_children(&self.parent)
            .await
            .intended(member)?
            .into_iter()
            .map(|name| format!("{}/{name}", self.parent))
            .collect::<BTreeSet<_>>();
        let lost = self.acknowledged.difference(&found).collect::<Vec<_>>();
        if lost.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{member} lost {} of {} acknowledged writes, such as {}",
            lost.len(),
            self.acknowledged.len(),
            lost[0]
        ))
    }
}

/// A session with an ephemeral, which no change of members may end.
pub(crate) struct Living {
    client: Client,
    path: String,
    czxid: i64,
}

impl Living {
    /// Opens one that starts at `member` and knows all of them.
    pub(crate) async fn open(ensemble: &Ensemble, index: usize) -> Outcome<Self> {
        // The first of the list is where it connects first.
        let mut addresses = ensemble
            .members
            .iter()
            .map(Member::address)
            .collect::<Vec<_>>();
        let count = addresses.len();
        addresses.rotate_left(index % count);
        let client = connector()
            .connect(&addresses.join(","))
            .await
            .intended("a session")?;
        ensure(&client, "/living").await?;
        let path = format!("/living/{index}");
        let (stat, _) = client
            .create(&path, b"", &open(CreateMode::Ephemeral))
            .await
            .intended(format!("create {path}"))?;
        Ok(Living {
            client,
            path,
            czxid: stat.czxid,
        })
    }

    /// The session lives, and its ephemeral is the same one.
    pub(crate) async fn assert_alive(&self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.client.check_stat(&self.path).await {
                Ok(Some(stat))
                    if stat.czxid == self.czxid
                        && stat.ephemeral_owner == self.client.session_id().0 =>
                {
                    return Ok(());
                }
                Ok(other) => {
                    return Err(format!("{} was made anew or is gone: {other:?}", self.path));
                }
                Err(error) if self.client.state().is_terminated() => {
                    return Err(format!("the session of {} ended: {error}", self.path));
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(format!("{} can't be read: {error}", self.path));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}
