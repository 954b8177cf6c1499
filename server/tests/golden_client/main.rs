//! The wire's truth: what Apache ZooKeeper 3.9.5's servers answered its own client, for every type
//! of request and every error that servers can be brought to, is what ours answer. `golden/java`
//! has the programs that recorded it.
//!
//! The same bytes are sent in the same order. Replies have to be the same bytes but for what each
//! run has of its own: zxids, times, session numbers and passwords, ports, nonces. Those have to
//! stand in the same relation to each other.

// A test that unwraps what is not there has failed, which is what it is for.
#![allow(clippy::unwrap_used)]

#[path = "../digest_md5/mod.rs"]
mod digest_md5;
mod logins;
mod names;
mod replies;
mod servers;
mod transcript;

use logins::Logins;
use names::Names;
use replies::{Connect, Reply};
use servers::Servers;
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use transcript::{Event, Scene};

/// The longest that anything here may take: machines that run tests stall.
const WAIT: Duration = Duration::from_secs(60);

const SASL: i32 = 102;

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
        // Whether the server has ended the connection is seen by what comes, or does not.
        let _ = self.socket.write_all(&frame);
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

/// Plays a scene; returns what differs.
fn play(scene: &Scene, servers: &mut Servers) -> Vec<String> {
    let mut connections: HashMap<&str, Connection> = HashMap::new();
    let mut names = Names::of_members(&scene.setup.ports, &servers.ports);
    let mut logins = Logins::new(&scene.setup.passwords);
    let mut differences = Vec::new();
    for line in &scene.lines {
        let (heading, name) = (&line.heading, line.connection.as_str());
        match &line.event {
            Event::Open(whom) => {
                let address = servers.member(whom.as_deref());
                connections.insert(name, Connection::open(address));
                continue;
            }
            Event::Pause => servers.pause(),
            Event::Resume => servers.resume(),
            Event::Wait(ms) => std::thread::sleep(Duration::from_millis(*ms)),
            _ => {}
        }
        let Some(connection) = connections.get_mut(name) else {
            continue;
        };
        match &line.event {
            Event::Open(_) | Event::Pause | Event::Resume | Event::Wait(_) => {}
            Event::Close => drop(connections.remove(name)),
            Event::Length(bytes) => connection.socket.write_all(bytes).unwrap(),
            Event::Asked(content) if !connection.greeted => {
                connection.send(&names.our_connect_request(content));
            }
            Event::Asked(content) => {
                let op = int(content, 4);
                if let (Some(xid), Some(op)) = (int(content, 0), op) {
                    connection.asked.entry(xid).or_default().push_back(op);
                }
                match op {
                    Some(SASL) => connection.send(&logins.our_request(name, content)),
                    _ => connection.send(content),
                }
            }
            Event::Shut => {
                if let Some(more) = connection.frame() {
                    differences.push(format!("{heading}: Java ends here, ours sends {more:02x?}"));
                    connections.remove(name);
                }
            }
            Event::Answered(java) => {
                let Some(ours) = connection.frame() else {
                    differences.push(format!("{heading}: ours ends where Java sends {java:02x?}"));
                    connections.remove(name);
                    continue;
                };
                let result = if connection.greeted {
                    let xid = int(java, 0).unwrap();
                    let asked = connection.asked.get_mut(&xid);
                    let op = asked.and_then(VecDeque::pop_front);
                    let java = match op {
                        Some(SASL) => logins.expected(name, java, &ours),
                        _ => java.clone(),
                    };
                    Reply::compare(op, &java, &ours, &mut names)
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

/// What one server answers, as it is started for it.
fn of_one_server() -> Scene {
    let scenes = transcript::read(include_str!("../golden/client-3.9.5.txt"));
    let [mut scene]: [Scene; 1] = scenes.try_into().expect("one scene");
    scene.setup.members = 1;
    scene.setup.running = 1;
    scene.setup.config = [
        "maxSessionTimeout=60000",
        "extendedTypesEnabled=true",
        "enforceQuota=true",
    ]
    .map(str::to_owned)
    .to_vec();
    scene
}

fn of_several() -> Vec<Scene> {
    transcript::read(include_str!("../golden/ensemble-3.9.5.txt"))
}

fn assert_same(scene: &Scene) {
    let mut servers = Servers::start(&scene.setup);
    let differences = play(scene, &mut servers);
    assert!(
        differences.is_empty(),
        "{}: {} differences:\n{}",
        scene.name,
        differences.len(),
        differences.join("\n")
    );
}

/// Everything that is played.
fn all() -> Vec<Scene> {
    let mut all = of_several();
    all.push(of_one_server());
    all
}

#[test]
fn every_request_and_every_error_that_can_be_provoked_was_recorded() {
    let all = all();
    let frames = |wanted: fn(&Event) -> Option<i32>, value: i32| {
        let mut lines = all.iter().flat_map(|scene| &scene.lines);
        lines.any(|line| wanted(&line.event) == Some(value))
    };
    // Every type that a client may send is in it; 16 is reconfig.
    let types = (1..=9).chain(11..=12).chain(14..=19).chain(21..=22);
    for op in types.chain(100..=107).chain([-11]) {
        let asked = |event: &Event| match event {
            Event::Asked(content) => int(content, 4),
            _ => None,
        };
        assert!(frames(asked, op), "no request of type {op} was recorded");
    }
    // docs/clients.md has those that never are on the wire, and why.
    let errors = [
        -5, -6, -8, -13, -14, -101, -102, -103, -108, -110, -111, -114, -115, -119, -120, -121,
        -123, -124, -125, -127,
    ];
    for err in errors {
        let answered = |event: &Event| match event {
            Event::Answered(content) => int(content, 12),
            _ => None,
        };
        assert!(frames(answered, err), "no error {err} was recorded");
    }
}

#[test]
fn one_server_of_ours_answers_what_java_answers_byte_for_byte() {
    assert_same(&of_one_server());
}

fn named(name: &str) -> Scene {
    let mut scenes = of_several().into_iter();
    let found = scenes.find(|scene| scene.name == name);
    found.unwrap_or_else(|| panic!("no scene {name} was recorded"))
}

#[test]
fn a_login_by_sasl_goes_as_javas() {
    assert_same(&named("a login"));
}

#[test]
fn whoever_has_to_log_in_and_does_not_is_answered_as_java_answers() {
    assert_same(&named("a login required"));
}

#[test]
fn a_member_without_a_quorum_answers_what_javas_answers() {
    assert_same(&named("a member without a quorum"));
}

#[test]
fn local_sessions_are_refused_ephemeral_nodes_as_by_java() {
    assert_same(&named("local sessions"));
}

#[test]
fn a_connection_that_its_session_left_ends_as_with_java() {
    assert_same(&named("sessions that move"));
}

#[test]
fn reconfigurations_are_answered_as_by_java() {
    assert_same(&named("reconfigurations"));
}

#[test]
fn requests_that_waited_too_long_are_answered_as_by_java() {
    assert_same(&named("requests that had to wait"));
}
