//! The wire's truth: what Apache ZooKeeper 3.9.5's server answered its own client, for every type
//! of request and every error that one server can be brought to, is what ours answers. `golden/java`
//! has the program that recorded it.
//!
//! The same bytes are sent in the same order. Replies have to be the same bytes but for what each
//! run has of its own: zxids, times, session numbers and passwords. Those have to stand in the
//! same relation to each other.

// A test that unwraps what is not there has failed, which is what it is for.
#![allow(clippy::unwrap_used)]

mod names;
mod replies;
mod transcript;

use names::Names;
use replies::{Connect, Reply};
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use transcript::{Event, Line};

const WAIT: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    child: Child,
    _dir: TempDir,
}

impl Server {
    /// With what the recorded server was started with.
    fn start() -> Server {
        let dir = TempDir::new().unwrap();
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let config = format!(
            "tickTime=2000\nmaxSessionTimeout=60000\ndataDir={}\nclientPort={}\n\
             clientPortAddress=127.0.0.1\nadmin.enableServer=false\nextendedTypesEnabled=true\n\
             enforceQuota=true\nmaxClientCnxns=0\n\
             DigestAuthenticationProvider.superDigest=super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss=\n",
            dir.path().join("data").display(),
            address.port(),
        );
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("zoo.cfg"), config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_zookeeper-server"))
            .args(["run", "--log-level", "error"])
            .arg(dir.path().join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server {
            address,
            child,
            _dir: dir,
        };
        let began = Instant::now();
        while !server.serves() {
            assert!(began.elapsed() < WAIT, "the server does not serve");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    fn serves(&self) -> bool {
        let mut answer = String::new();
        TcpStream::connect(self.address)
            .and_then(|mut socket| {
                socket.write_all(b"srvr")?;
                socket.read_to_string(&mut answer)
            })
            .is_ok_and(|_| answer.contains("Mode:"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection of the recording, made again.
struct Connection {
    socket: TcpStream,
    greeted: bool,
    /// The types of requests whose replies have not come, by xid.
    asked: HashMap<i32, VecDeque<i32>>,
}

impl Connection {
    fn open(address: SocketAddr) -> Connection {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        socket.set_nodelay(true).unwrap();
        Connection {
            socket,
            greeted: false,
            asked: HashMap::new(),
        }
    }

    fn send(&mut self, content: &[u8]) {
        let len = u32::try_from(content.len()).unwrap();
        let frame = [&len.to_be_bytes(), content].concat();
        self.socket.write_all(&frame).unwrap();
    }

    /// The next frame, `None` at the end.
    fn frame(&mut self) -> Option<Vec<u8>> {
        let mut len = [0; 4];
        match self.socket.read_exact(&mut len) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                return None;
            }
            Err(error) => panic!("nothing came: {error}"),
        }
        let mut content = vec![0; u32::from_be_bytes(len) as usize];
        self.socket.read_exact(&mut content).unwrap();
        Some(content)
    }
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(i32::from_be_bytes(bytes))
}

/// Plays the recording; returns what differs.
fn play(lines: &[Line], server: &Server) -> Vec<String> {
    let mut connections: HashMap<&str, Connection> = HashMap::new();
    let mut names = Names::default();
    let mut differences = Vec::new();
    for line in lines {
        let Line {
            heading,
            connection: name,
            event,
        } = line;
        if matches!(event, Event::Open) {
            connections.insert(name, Connection::open(server.address));
            continue;
        }
        let Some(connection) = connections.get_mut(name.as_str()) else {
            continue;
        };
        match event {
            Event::Open => {}
            Event::Close => drop(connections.remove(name.as_str())),
            Event::Length(bytes) => connection.socket.write_all(bytes).unwrap(),
            Event::Asked(content) if !connection.greeted => {
                connection.send(&names.our_connect_request(content));
            }
            Event::Asked(content) => {
                if let (Some(xid), Some(op)) = (int(content, 0), int(content, 4)) {
                    connection.asked.entry(xid).or_default().push_back(op);
                }
                connection.send(content);
            }
            Event::Shut => {
                if let Some(more) = connection.frame() {
                    differences.push(format!("{heading}: Java ends here, ours sends {more:02x?}"));
                    connections.remove(name.as_str());
                }
            }
            Event::Answered(java) => {
                let Some(ours) = connection.frame() else {
                    differences.push(format!("{heading}: ours ends where Java sends {java:02x?}"));
                    connections.remove(name.as_str());
                    continue;
                };
                let result = if connection.greeted {
                    let xid = int(java, 0).unwrap();
                    let asked = connection.asked.get_mut(&xid);
                    let op = asked.and_then(VecDeque::pop_front);
                    Reply::compare(op, java, &ours, &mut names)
                } else {
                    connection.greeted = true;
                    Connect::compare(java, &ours, &mut names)
                };
                if let Err(difference) = result {
                    differences.push(format!(
                        "{heading}: {difference}\n  Java {java:02x?}\n  ours {ours:02x?}"
                    ));
                }
            }
        }
    }
    differences
}

#[test]
fn ours_answers_what_java_answers_byte_for_byte() {
    let lines = transcript::read(include_str!("../golden/client-3.9.5.txt"));
    let requests = |wanted: i32| {
        lines.iter().any(|line| match &line.event {
            Event::Asked(content) => int(content, 4) == Some(wanted),
            _ => false,
        })
    };
    // Every type that a client may send is in it; 16 is reconfig.
    let types = (1..=9).chain(11..=12).chain(14..=19).chain(21..=22);
    for wanted in types.chain(100..=107).chain([-11]) {
        assert!(requests(wanted), "no request of type {wanted} was recorded");
    }
    let server = Server::start();
    let differences = play(&lines, &server);
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
