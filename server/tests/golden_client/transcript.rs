//! The recordings' text.

/// What happens.
#[derive(Debug)]
pub(crate) enum Event {
    /// The client connects; in an ensemble to that member.
    Open(Option<String>),
    /// The client ends it.
    Close,
    /// The server has ended it.
    Shut,
    /// A frame from the client.
    Asked(Vec<u8>),
    /// A length from the client behind which nothing comes.
    Length(Vec<u8>),
    /// A frame from the server.
    Answered(Vec<u8>),
    /// The followers are stopped.
    Pause,
    /// They go on.
    Resume,
    /// Nothing happens for so many milliseconds.
    Wait(u64),
}

/// A line of the recording.
#[derive(Debug)]
pub(crate) struct Line {
    /// What is being done, and on which line of the file.
    pub(crate) heading: String,
    /// Empty where no connection is meant.
    pub(crate) connection: String,
    pub(crate) event: Event,
}

/// The ports of a member of Java's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) quorum: u16,
    pub(crate) election: u16,
    pub(crate) client: u16,
}

/// What the servers were started with.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    /// Members of the list, 1 for a server that is alone.
    pub(crate) members: usize,
    /// The first of them, which run.
    pub(crate) running: usize,
    /// Lines of every member's zoo.cfg.
    pub(crate) config: Vec<String>,
    /// Who may log in, with the password.
    pub(crate) passwords: Vec<(String, String)>,
    pub(crate) ports: Vec<Ports>,
}

/// What was done with the same servers.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    pub(crate) name: String,
    pub(crate) setup: Setup,
    pub(crate) lines: Vec<Line>,
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits of hex");
    (0..text.len()).step_by(2).map(digits).collect()
}

/// The scenes of a text; what stands before the first heading of one is a scene, too.
pub(crate) fn read(text: &str) -> Vec<Scene> {
    let mut scenes = vec![Scene::default()];
    let mut heading = "";
    let mut over = false;
    for (at, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("== ") {
            over = false;
            scenes.push(Scene {
                name: name.to_owned(),
                ..Scene::default()
            });
            continue;
        }
        let scene = scenes.last_mut().expect("one at least");
        over |= line == "end";
        if over {
            continue;
        }
        if let Some(what) = line.strip_prefix("# ") {
            heading = what;
        } else if !scene.setup.read(line) {
            let (connection, event) =
                event(line).unwrap_or_else(|| panic!("line {}: {line}", at + 1));
            scene.lines.push(Line {
                heading: format!("line {}, {heading}", at + 1),
                connection: connection.to_owned(),
                event,
            });
        }
    }
    scenes.retain(|scene| !scene.lines.is_empty());
    scenes
}

fn event(line: &str) -> Option<(&str, Event)> {
    let words: Vec<&str> = line.split(' ').collect();
    Some(match words[..] {
        ["pause"] => ("", Event::Pause),
        ["resume"] => ("", Event::Resume),
        ["wait", ms] => ("", Event::Wait(ms.parse().ok()?)),
        [connection, "open"] => (connection, Event::Open(None)),
        [connection, "open", whom] => (connection, Event::Open(Some(whom.to_owned()))),
        [connection, "close"] => (connection, Event::Close),
        [connection, "shut"] => (connection, Event::Shut),
        [connection, ">", hex] => match hex.strip_prefix('!') {
            Some(length) => (connection, Event::Length(unhex(length))),
            None => (connection, Event::Asked(unhex(hex))),
        },
        [connection, "<", hex] => (connection, Event::Answered(unhex(hex))),
        _ => return None,
    })
}

impl Setup {
    /// Takes a line that says what the servers were started with.
    fn read(&mut self, line: &str) -> bool {
        let Some((what, rest)) = line.split_once(' ') else {
            return false;
        };
        let number = |text: &str| text.parse().expect("a number");
        match what {
            "members" => self.members = number(rest),
            "running" => self.running = number(rest),
            "config" => self.config.push(rest.to_owned()),
            "password" => {
                let (name, password) = rest.split_once(' ').expect("a name and a password");
                self.passwords.push((name.to_owned(), password.to_owned()));
            }
            "ports" => {
                let ports: Vec<u16> = rest.split(' ').map(|it| it.parse().unwrap()).collect();
                let [id, quorum, election, client] = ports[..] else {
                    panic!("ports are four numbers, not {rest}");
                };
                self.ports.push(Ports {
                    quorum,
                    election,
                    client,
                });
                assert_eq!(usize::from(id), self.ports.len(), "members in their order");
            }
            _ => return false,
        }
        true
    }
}
