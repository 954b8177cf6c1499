//! The processes that hold the clients' sockets: this program again, told what to do by lines over
//! a socket of their own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// The variable that makes a worker of this program:
/// `CONTROL NUMBER OF-HOW-MANY SESSIONS ADDRESS,ADDRESS,…`.
pub(crate) const WORKER: &str = "MANY_SESSIONS_WORKER";
const WORKERS: usize = 2;
const TEST: &str = "half_of_twenty_thousand_sessions_die_at_once_and_the_others_feel_nothing";

/// What has happened at the clients.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) parents: usize,
    pub(crate) opened: usize,
    pub(crate) watching: usize,
    pub(crate) deleted: usize,
    pub(crate) changed: usize,
    pub(crate) sent_away: usize,
}

struct Worker {
    child: Child,
    lines: BufReader<TcpStream>,
}

pub(crate) struct Workers(Vec<Worker>);

impl Workers {
    pub(crate) fn start(members: &[SocketAddr], count: usize) -> Workers {
        let members: Vec<String> = members.iter().map(SocketAddr::to_string).collect();
        let start = |number| {
            let control = TcpListener::bind("127.0.0.1:0").unwrap();
            let task = format!(
                "{} {number} {WORKERS} {count} {}",
                control.local_addr().unwrap(),
                members.join(",")
            );
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
                .env(WORKER, task)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let (lines, _) = control.accept().unwrap();
            Worker {
                child,
                lines: BufReader::new(lines),
            }
        };
        Workers((0..WORKERS).map(start).collect())
    }

    pub(crate) fn tell(&mut self, what: &str) {
        for worker in &mut self.0 {
            writeln!(worker.lines.get_mut(), "{what}").unwrap();
        }
    }

    fn answers(&mut self) -> Vec<String> {
        let answer = |worker: &mut Worker| {
            let mut line = String::new();
            worker.lines.read_line(&mut line).unwrap();
            assert!(line.ends_with('\n'), "a worker has ended");
            line
        };
        self.0.iter_mut().map(answer).collect()
    }

    /// What has happened so far at all of them.
    pub(crate) fn tally(&mut self) -> Counts {
        self.tell("tally");
        let mut sum = [0; 7];
        for line in self.answers() {
            for (sum, word) in sum.iter_mut().zip(line.split_whitespace()) {
                *sum += word.parse::<usize>().unwrap();
            }
        }
        let [
            parents,
            opened,
            watching,
            deleted,
            changed,
            sent_away,
            failed,
        ] = sum;
        assert_eq!(failed, 0, "sessions failed; the first is named above");
        Counts {
            parents,
            opened,
            watching,
            deleted,
            changed,
            sent_away,
        }
    }

    /// Waits for their end: how long the pings since the killing took, in microseconds, sorted.
    pub(crate) fn finish(mut self) -> Vec<u32> {
        let mut pings = Vec::new();
        for line in self.answers() {
            pings.extend(line.split_whitespace().map(|us| us.parse::<u32>().unwrap()));
        }
        for worker in &mut self.0 {
            assert!(worker.child.wait().unwrap().success());
        }
        pings.sort_unstable();
        pings
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}
