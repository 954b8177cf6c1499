//! Members on a file system that is really full: small ones in memory, in a mount namespace of the
//! test's own.

use crate::assert_all_there;
use crate::harness::{Ensemble, Member, PATIENCE, connect, create, wait_for};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zookeeper_client::{Acls, Client, CreateMode};

/// Log files grow in small steps, so that a small disk is full soon.
const SMALL_STEPS: &str = "preAllocSize=64\n";
const DISK_BYTES: u64 = 16 << 20;
const DATA_BYTES: usize = 4096;

/// A small file system where a member has its data. It ends with the test, whatever becomes of it:
/// only processes in its namespace hold it.
struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    /// Puts one under the member's data, and the member on it.
    fn under(member: &mut Member) -> Self {
        let at = member.dir.join("data");
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg("mount -t tmpfs -o size=$1 tmpfs \"$2\" && echo mounted && exec sleep 600")
            .args(["sh", &DISK_BYTES.to_string()])
            .arg(&at)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare, of util-linux");
        let mut line = String::new();
        let output = holder.stdout.as_mut().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert_eq!(
            line, "mounted\n",
            "this test mounts a file system of its own, so it needs root and CAP_SYS_ADMIN"
        );
        let disk = SmallDisk { holder, at };
        let myid = fs::read(member.dir.join("data/myid")).expect("myid");
        fs::write(disk.path().join("myid"), myid).expect("myid on the small disk");
        member.wrapper = ["nsenter", "--mount", "--target"]
            .map(String::from)
            .into_iter()
            .chain([disk.holder.id().to_string(), "--".into()])
            .collect();
        disk
    }

    /// The data's directory, as seen from outside of the namespace.
    fn path(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.id());
        Path::new(&root).join(self.at.strip_prefix("/").expect("an absolute path"))
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file on the small disk");
        let mut step = 1 << 20;
        let zeros = vec![0; step];
        while step > 0 {
            if ballast.write_all(&zeros[..step]).is_err() {
                step /= 2;
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).expect("the ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// An ensemble with each member on a small disk, started.
fn on_small_disks(count: usize) -> (Ensemble, Vec<SmallDisk>) {
    let mut ensemble = Ensemble::configure(count, SMALL_STEPS);
    let disks = ensemble.members.iter_mut().map(SmallDisk::under).collect();
    for member in &mut ensemble.members {
        member.start();
    }
    ensemble.wait_until_all_serve();
    (ensemble, disks)
}

/// Status and text of a page of the AdminServer.
fn page(member: &Member, path: &str) -> Option<(u16, String)> {
    let (status, _, text) = member.page("GET", path, "", b"")?;
    Some((status, String::from_utf8_lossy(&text).into_owned()))
}

/// Whether the member says that it serves nobody for want of room.
fn says_it_is_full(member: &Member) -> bool {
    page(member, "/ready")
        .is_some_and(|(status, text)| status == 503 && text.starts_with("the disk is full: "))
}

/// A client that writes, and what was acknowledged to it.
struct Load {
    client: Client,
    cluster: String,
    number: u64,
    acknowledged: BTreeSet<String>,
}

impl Load {
    async fn new(cluster: String) -> Self {
        let client = connect(&cluster).await;
        create(&client, "/w", b"").await.expect("the parent");
        Load {
            client,
            cluster,
            number: 0,
            acknowledged: BTreeSet::new(),
        }
    }

    /// One write; whether it was acknowledged.
    async fn write(&mut self) -> bool {
        self.number += 1;
        let name = format!("/w/{:010}", self.number);
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let data = [b'x'; DATA_BYTES];
        let written = self.client.create(&name, &data, &options).await.is_ok();
        if written {
            self.acknowledged.insert(name);
        }
        written
    }

    /// One write, after which another can be tried.
    async fn try_write(&mut self) {
        if !self.write().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if self.client.state().is_terminated() {
                self.client = connect(&self.cluster).await;
            }
        }
    }

    /// Writes until `done`, whether acknowledged or not.
    async fn write_until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            self.try_write().await;
        }
    }

    /// Writes until something new was acknowledged.
    async fn goes_on(&mut self) {
        let before = self.acknowledged.len();
        let deadline = Instant::now() + PATIENCE;
        while self.acknowledged.len() == before {
            assert!(Instant::now() < deadline, "no write is acknowledged");
            self.try_write().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_server_on_a_full_disk_refuses_writes_and_goes_on_by_itself_with_room() {
    let mut ensemble = Ensemble::configure(1, SMALL_STEPS);
    let member = &mut ensemble.members[0];
    member.make_standalone();
    let disk = SmallDisk::under(member);
    member.start();
    let member = &ensemble.members[0];
    wait_for("the server", || member.mode());
    let address = format!("127.0.0.1:{}", member.client_port);
    let mut load = Load::new(address.clone()).await;
    load.goes_on().await;
    disk.fill();
    // What was reserved in advance is still used.
    load.write_until("a full disk", || says_it_is_full(member))
        .await;
    // It lives, looks for room now and then, and finds none.
    let until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until {
        assert_eq!(page(member, "/live").map(|(status, _)| status), Some(200));
        assert!(says_it_is_full(member));
        assert_eq!(member.mode(), None);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    disk.make_room();
    wait_for("the server to go on", || member.mode());
    assert!(load.acknowledged.len() > 1);
    assert_all_there(member, "/w", &load.acknowledged).await;
    load.client = connect(&address).await;
    load.goes_on().await;

    let member = &mut ensemble.members[0];
    assert!(member.still_runs());
    member.kill();
    member.start();
    wait_for("the server", || member.mode());
    assert_all_there(member, "/w", &load.acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_on_a_full_disk_steps_aside_while_the_others_go_on_and_comes_back_with_room() {
    let (mut ensemble, disks) = on_small_disks(3);
    let leader = ensemble.leader();
    let follower = (leader + 1) % 3;
    let mut load = Load::new(ensemble.connect_string()).await;
    load.goes_on().await;
    disks[follower].fill();
    let full = &ensemble.members[follower];
    load.write_until("a full disk", || says_it_is_full(full))
        .await;
    load.goes_on().await;
    assert_eq!(ensemble.leader(), leader, "nobody else had to move");
    assert_eq!(page(full, "/live").map(|(status, _)| status), Some(200));
    disks[follower].make_room();
    wait_for("the follower", || {
        (full.mode()? == "follower").then_some(())
    });
    assert_all_there(full, "/w", &load.acknowledged).await;
    assert!(ensemble.members[follower].still_runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_on_a_full_disk_hands_over_and_follows_once_there_is_room() {
    let (mut ensemble, disks) = on_small_disks(3);
    let leader = ensemble.leader();
    let mut load = Load::new(ensemble.connect_string()).await;
    load.goes_on().await;
    disks[leader].fill();
    let full = &ensemble.members[leader];
    load.write_until("a full disk", || says_it_is_full(full))
        .await;
    load.goes_on().await;
    assert_ne!(ensemble.leader(), leader);
    disks[leader].make_room();
    wait_for("the old leader", || {
        (full.mode()? == "follower").then_some(())
    });
    load.goes_on().await;
    for member in &ensemble.members {
        assert_all_there(member, "/w", &load.acknowledged).await;
    }
    assert!(ensemble.members[leader].still_runs());
}
