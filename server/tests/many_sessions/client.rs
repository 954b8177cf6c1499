//! Sessions by the thousand: a task and a socket each, raw frames, and counters that they share.

use crate::{DYING_TIMEOUT, SURVIVORS_TIMEOUT};
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use zookeeper_server::jute::{Reader, Writer};

const CREATE: i32 = 1;
const GET_DATA: i32 = 4;
const GET_CHILDREN: i32 = 8;
const PING: i32 = 11;
const CLOSE: i32 = -11;
const PING_XID: i32 = -2;
const EVENT_XID: i32 = -1;
const NODE_EXISTS: i32 = -110;
const CLOSE_XID: i32 = 4;
const NODE_DELETED: i32 = 2;
const CHILDREN_CHANGED: i32 = 4;
const PARENTS: usize = 200;
/// Connections that are being made at once.
const AT_ONCE: usize = 64;
/// Addresses that the sockets come from, so that none runs out of ports.
const SOURCES: usize = 8;

/// What all sessions do at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    /// Ping.
    Idle,
    /// Set watches, then ping.
    Watch,
    /// Every other one dies, the others ping.
    Die,
    /// Those that are left close their session.
    Close,
}

/// What a session is there for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Survivor,
    /// Its socket goes.
    Torn,
    /// Its socket stays, and nothing more comes out of it.
    Mute,
}

impl Part {
    fn of(number: usize) -> Part {
        match number % 4 {
            0 | 2 => Part::Survivor,
            1 => Part::Torn,
            _ => Part::Mute,
        }
    }
}

/// What the sessions of a worker share.
struct Scene {
    members: Vec<SocketAddr>,
    parents: usize,
    life: watch::Sender<Life>,
    tally: Tally,
}

/// What has happened.
#[derive(Default)]
struct Tally {
    parents: AtomicUsize,
    opened: AtomicUsize,
    watching: AtomicUsize,
    deleted: AtomicUsize,
    changed: AtomicUsize,
    sent_away: AtomicUsize,
    failed: AtomicUsize,
    ping_us: Mutex<Vec<u32>>,
}

impl Tally {
    fn line(&self) -> String {
        let all = [
            &self.parents,
            &self.opened,
            &self.watching,
            &self.deleted,
            &self.changed,
            &self.sent_away,
            &self.failed,
        ];
        let words: Vec<String> = all.map(|count| count.load(Relaxed).to_string()).to_vec();
        words.join(" ") + "\n"
    }
}

/// What a worker does: everything for its share of the sessions.
pub(crate) fn work(task: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(serve(task));
}

async fn serve(task: &str) {
    let words: Vec<&str> = task.split(' ').collect();
    let [control, number, workers, count, members] = words[..] else {
        panic!("a worker's task is five words, not {task}");
    };
    let number: usize = number.parse().unwrap();
    let workers: usize = workers.parse().unwrap();
    let count: usize = count.parse().unwrap();
    let scene = Arc::new(Scene {
        members: members.split(',').map(|it| it.parse().unwrap()).collect(),
        parents: PARENTS.min(count / 4),
        life: watch::Sender::new(Life::Idle),
        tally: Tally::default(),
    });
    let mut control = BufReader::new(TcpStream::connect(control).await.unwrap());
    let mut tasks = JoinSet::new();
    let mut line = String::new();
    // Neighbours, an even number and the next, are one worker's.
    let pairs = || (0..count / 2).filter(|pair| pair % workers == number);
    loop {
        line.clear();
        if control.read_line(&mut line).await.unwrap() == 0 {
            return;
        }
        match line.trim_end() {
            "parents" if number == 0 => scene.make_parents().await,
            "parents" => {}
            "survivors" => pairs().for_each(|pair| open(&mut tasks, &scene, pair * 2)),
            "dying" => pairs().for_each(|pair| open(&mut tasks, &scene, pair * 2 + 1)),
            "watch" => scene.go(Life::Watch),
            "die" => scene.go(Life::Die),
            "close" => {
                scene.go(Life::Close);
                break;
            }
            "tally" => {
                let counts = scene.tally.line();
                control.write_all(counts.as_bytes()).await.unwrap();
            }
            other => panic!("a worker knows nothing of {other}"),
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let mut pings = String::new();
    for us in scene.tally.ping_us.lock().unwrap().iter() {
        write!(pings, "{us} ").unwrap();
    }
    pings.push('\n');
    control.write_all(pings.as_bytes()).await.unwrap();
}

/// Has a session opened, and lived to its end.
fn open(tasks: &mut JoinSet<()>, scene: &Arc<Scene>, number: usize) {
    static GATE: Semaphore = Semaphore::const_new(AT_ONCE);
    let scene = Arc::clone(scene);
    tasks.spawn(async move {
        let permit = GATE.acquire().await.unwrap();
        let session = Session::open(Arc::clone(&scene), number).await;
        drop(permit);
        let ended = match session {
            Ok(session) => session.live().await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended
            && scene.tally.failed.fetch_add(1, Relaxed) == 0
        {
            eprintln!("session {number}: {error}");
        }
    });
}

impl Scene {
    fn go(&self, life: Life) {
        self.life.send_replace(life);
    }

    async fn make_parents(&self) {
        let mut link = Link::open(self, 0).await.unwrap();
        for parent in 0..self.parents {
            let created = link.ask(CREATE, |out| create(out, &format!("/p{parent}"), 0));
            let created = created.await.unwrap();
            assert!(created == 0 || created == NODE_EXISTS, "error {created}");
        }
        link.ask(CLOSE, |_| ()).await.unwrap();
        self.tally.parents.fetch_add(1, Relaxed);
    }

    /// Two neighbours share a parent.
    fn parent_of(&self, number: usize) -> String {
        format!("/p{}", number / 2 % self.parents)
    }

    fn node_of(&self, number: usize) -> String {
        format!("{}/s{number}", self.parent_of(number))
    }
}

fn create(out: &mut Writer, path: &str, flags: i32) {
    out.string(path);
    out.buffer(b"here");
    out.count(1);
    out.int(31);
    out.string("world");
    out.string("anyone");
    out.int(flags);
}

fn watched(out: &mut Writer, path: &str) {
    out.string(path);
    out.boolean(true);
}

/// A connection with its session.
struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    xid: i32,
}

fn timeout_of(number: usize) -> Duration {
    match Part::of(number) {
        Part::Survivor => SURVIVORS_TIMEOUT,
        Part::Torn | Part::Mute => DYING_TIMEOUT,
    }
}

fn wrong(what: String) -> io::Error {
    io::Error::other(what)
}

impl Link {
    async fn open(scene: &Scene, number: usize) -> io::Result<Link> {
        let socket = TcpSocket::new_v4()?;
        let source = Ipv4Addr::new(127, 0, 1, 1 + (number / 2 % SOURCES) as u8);
        socket.bind(SocketAddr::from((source, 0)))?;
        // Neighbours sit at different members.
        let member = scene.members[number % scene.members.len()];
        let stream = socket.connect(member).await?;
        stream.set_nodelay(true)?;
        let mut link = Link {
            stream,
            input: Vec::new(),
            xid: 0,
        };
        let timeout_ms = timeout_of(number).as_millis() as i32;
        let mut hello = Writer::new();
        hello.int(0);
        hello.long(0);
        hello.int(timeout_ms);
        hello.long(0);
        hello.buffer(&[0; 16]);
        hello.boolean(false);
        link.send(hello.as_slice()).await?;
        let reply = link.frame().await?;
        match Reader::new(&reply[4..]).int() {
            Ok(granted) if granted == timeout_ms => Ok(link),
            other => Err(wrong(format!("a timeout of {other:?} was granted"))),
        }
    }

    async fn send(&mut self, content: &[u8]) -> io::Result<()> {
        let mut frame = Writer::new();
        frame.buffer(content);
        self.stream.write_all(frame.as_slice()).await
    }

    async fn request(
        &mut self,
        xid: i32,
        op: i32,
        body: impl FnOnce(&mut Writer),
    ) -> io::Result<()> {
        let mut out = Writer::new();
        out.int(xid);
        out.int(op);
        body(&mut out);
        self.send(out.as_slice()).await
    }

    /// The next frame. May be dropped at any await without losing any of it.
    async fn frame(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some((len, rest)) = self.input.split_first_chunk::<4>() {
                let len = u32::from_be_bytes(*len) as usize;
                if rest.len() >= len {
                    let frame = rest[..len].to_vec();
                    self.input.drain(..4 + len);
                    return Ok(frame);
                }
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends a request and reads its reply's error.
    async fn ask(&mut self, op: i32, body: impl FnOnce(&mut Writer)) -> io::Result<i32> {
        self.xid += 1;
        let xid = self.xid;
        self.request(xid, op, body).await?;
        let frame = self.frame().await?;
        let mut reply = Reader::new(&frame);
        assert_eq!(reply.int(), Ok(xid));
        reply.long().unwrap();
        Ok(reply.int().unwrap())
    }
}

/// One session of the many.
struct Session {
    scene: Arc<Scene>,
    number: usize,
    link: Link,
    ping_sent: Option<Instant>,
    ping_us: Vec<u32>,
}

impl Session {
    async fn open(scene: Arc<Scene>, number: usize) -> io::Result<Session> {
        let mut link = Link::open(&scene, number).await?;
        let node = scene.node_of(number);
        let err = link.ask(CREATE, |out| create(out, &node, 1)).await?;
        if err != 0 {
            return Err(wrong(format!("create {node}: error {err}")));
        }
        scene.tally.opened.fetch_add(1, Relaxed);
        Ok(Session {
            scene,
            number,
            link,
            ping_sent: None,
            ping_us: Vec::new(),
        })
    }

    /// Does what all do at a time, pings in between, and takes what comes.
    async fn live(mut self) -> io::Result<()> {
        let mut life = self.scene.life.subscribe();
        // Clients ping once they have been idle for a third of the timeout.
        let mut pings = tokio::time::interval(timeout_of(self.number) / 3);
        loop {
            tokio::select! {
                _ = life.changed() => {
                    let now = *life.borrow_and_update();
                    match (now, Part::of(self.number)) {
                        (Life::Idle, _) => {}
                        (Life::Watch, _) => self.watch().await?,
                        (Life::Die, Part::Torn) => return Ok(()),
                        (Life::Die, Part::Mute) => return self.be_mute().await,
                        (Life::Die, Part::Survivor) => {
                            self.ping_us.clear();
                            // From now on often enough to meet whatever may be slow.
                            pings = tokio::time::interval(DYING_TIMEOUT / 3);
                        }
                        (Life::Close, _) => return self.close().await,
                    }
                }
                frame = self.link.frame() => self.take(&frame?)?,
                _ = pings.tick() => self.ping().await?,
            }
        }
    }

    async fn ping(&mut self) -> io::Result<()> {
        // One on its way is enough: what is measured is how long it takes.
        if self.ping_sent.is_none() {
            self.ping_sent = Some(Instant::now());
            self.link.request(PING_XID, PING, |_| ()).await?;
        }
        Ok(())
    }

    fn take(&mut self, frame: &[u8]) -> io::Result<()> {
        let mut input = Reader::new(frame);
        let (xid, _, err) = (input.int().unwrap(), input.long(), input.int().unwrap());
        if err != 0 {
            return Err(wrong(format!("xid {xid}: error {err}")));
        }
        let tally = &self.scene.tally;
        match xid {
            PING_XID => {
                let took = self
                    .ping_sent
                    .take()
                    .map_or(0, |sent| sent.elapsed().as_micros());
                self.ping_us.push(u32::try_from(took).unwrap_or(u32::MAX));
            }
            EVENT_XID => {
                let (kind, _, path) = (input.int().unwrap(), input.int(), input.string().unwrap());
                // A survivor's neighbour dies.
                let (expected, count) = match kind {
                    NODE_DELETED => (self.scene.node_of(self.number ^ 1), &tally.deleted),
                    CHILDREN_CHANGED => (self.scene.parent_of(self.number), &tally.changed),
                    _ => return Err(wrong(format!("an event of type {kind}"))),
                };
                if path != expected {
                    return Err(wrong(format!("an event of {path}, not of {expected}")));
                }
                count.fetch_add(1, Relaxed);
            }
            // The second of the two reads that set watches.
            3 => {
                tally.watching.fetch_add(1, Relaxed);
            }
            _ => {}
        }
        Ok(())
    }

    async fn watch(&mut self) -> io::Result<()> {
        let neighbour = self.scene.node_of(self.number ^ 1);
        let parent = self.scene.parent_of(self.number);
        let link = &mut self.link;
        link.request(2, GET_DATA, |out| watched(out, &neighbour))
            .await?;
        link.request(3, GET_CHILDREN, |out| watched(out, &parent))
            .await
    }

    async fn be_mute(mut self) -> io::Result<()> {
        // It may still be told that others have gone before it, until the server ends it.
        while self.link.frame().await.is_ok() {}
        self.scene.tally.sent_away.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn close(mut self) -> io::Result<()> {
        self.link.request(CLOSE_XID, CLOSE, |_| ()).await?;
        while let Ok(frame) = self.link.frame().await {
            self.take(&frame)?;
        }
        let mut all = self.scene.tally.ping_us.lock().unwrap();
        all.append(&mut self.ping_us);
        Ok(())
    }
}
