//! The recording's text.

/// What happens on a connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// The client connects.
    Open,
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
}

/// A line of the recording.
#[derive(Debug)]
pub(crate) struct Line {
    /// What is being done, and on which line of the file.
    pub(crate) heading: String,
    pub(crate) connection: String,
    pub(crate) event: Event,
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits of hex");
    (0..text.len()).step_by(2).map(digits).collect()
}

pub(crate) fn read(text: &str) -> Vec<Line> {
    let mut heading = "";
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(what) = line.strip_prefix("# ") {
            heading = what;
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let (connection, event) = match words[..] {
            [connection, "open"] => (connection, Event::Open),
            [connection, "close"] => (connection, Event::Close),
            [connection, "shut"] => (connection, Event::Shut),
            [connection, ">", hex] => match hex.strip_prefix('!') {
                Some(length) => (connection, Event::Length(unhex(length))),
                None => (connection, Event::Asked(unhex(hex))),
            },
            [connection, "<", hex] => (connection, Event::Answered(unhex(hex))),
            _ => panic!("line {}: {line}", at + 1),
        };
        lines.push(Line {
            heading: format!("line {}, {heading}", at + 1),
            connection: connection.to_owned(),
            event,
        });
    }
    lines
}
