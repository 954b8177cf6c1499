//! Processes that end in order.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{self, Error, ErrorKind};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// SIGTERM, and waits for the end. Who does not end is killed.
///
/// # Errors
/// Where the process can't be signalled or waited for, and [`ErrorKind::TimedOut`] where it did not
/// end.
pub fn terminate(mut child: Child, patience: Duration) -> io::Result<ExitStatus> {
    let id = i32::try_from(child.id()).map_err(Error::other)?;
    kill(Pid::from_raw(id), Signal::SIGTERM)?;
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Err(ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_asked_to_end_and_killed_where_it_does_not() {
        let sleeper = Command::new("sleep").arg("60").spawn().expect("sleep");
        let status = terminate(sleeper, Duration::from_secs(60)).expect("it ends");
        assert!(!status.success());
        let mut deaf = Command::new("sh")
            .args(["-c", "trap '' TERM; echo; while :; do sleep 1; done"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut line = [0];
        let mut told = deaf.stdout.take().expect("a pipe");
        io::Read::read_exact(&mut told, &mut line).expect("it is deaf by now");
        let ended = terminate(deaf, Duration::from_millis(50));
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
