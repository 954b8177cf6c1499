//! Four-letter words.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The answer of a server to a four-letter word, where it gives one in time.
#[must_use]
pub fn four_letter_word(server: SocketAddr, word: &str, patience: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&server, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// `leader`, `follower`, `observer` or `standalone`, where the server serves.
#[must_use]
pub fn mode(server: SocketAddr, patience: Duration) -> Option<String> {
    let answer = four_letter_word(server, "srvr", patience)?;
    let mode = answer
        .lines()
        .find_map(|line| line.strip_prefix("Mode: "))?;
    Some(mode.to_owned())
}
