//! `zookeeper-server leave`: waits until this member may stop. It runs before the server of a pod is
//! told to, where there is no shell.

use super::{FAILED, USAGE, fail};
use crate::admin::leave::{Answer, Said, ask};
use crate::config::{IdNeed, read_config};
use crate::ensemble::HostPort;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often it is asked.
const PAUSE: Duration = Duration::from_millis(250);
/// How long nobody may know before nothing is to be waited for: an election is over sooner, and where
/// there is no quorum, staying helps nobody.
const UNKNOWN_MAX: Duration = Duration::from_secs(3);

/// Options of `leave`.
#[derive(Args)]
pub(super) struct Leave {
    /// The member's zoo.cfg, for its AdminServer.
    config: PathBuf,
    /// Stay for so many seconds in any case, so that clients are led elsewhere meanwhile.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    at_least: u64,
    /// Wait no longer than so many seconds, whatever the quorum needs.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    at_most: u64,
}

impl Leave {
    pub(super) fn execute(self) -> ExitCode {
        let config = match read_config(&self.config, &[], IdNeed::Ignored) {
            Ok(config) => config,
            Err(error) => return fail(USAGE, error),
        };
        let admin = config.admin;
        let host = match admin.address.as_str() {
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            host => host,
        };
        let server = HostPort::new(host, admin.port);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return fail(FAILED, format!("can't start a runtime: {error}")),
        };
        println!("{}", runtime.block_on(self.wait(&server)));
        ExitCode::SUCCESS
    }

    /// Returns when it is time, with the reason.
    async fn wait(&self, server: &HostPort) -> String {
        let begun = Instant::now();
        let mut patience = Patience {
            at_least: Duration::from_secs(self.at_least),
            at_most: Duration::from_secs(self.at_most),
            known: Duration::ZERO,
        };
        loop {
            let said = ask(server, "/leave").await.unwrap_or_else(|error| {
                Said::unknown(format!("the server does not answer: {error}"))
            });
            if patience.is_over(begun.elapsed(), said.answer) {
                return said.because;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// When waiting ends.
#[derive(Clone, Copy, Debug)]
struct Patience {
    at_least: Duration,
    at_most: Duration,
    /// When anybody knew anything last.
    known: Duration,
}

impl Patience {
    /// Whether it ends with this answer.
    fn is_over(&mut self, elapsed: Duration, answer: Answer) -> bool {
        if answer != Answer::Unknown {
            self.known = elapsed;
        }
        if elapsed >= self.at_most {
            return true;
        }
        let may_go = match answer {
            Answer::Free | Answer::Go => true,
            Answer::Hold => false,
            Answer::Unknown => elapsed - self.known >= UNKNOWN_MAX,
        };
        may_go && elapsed >= self.at_least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Answer::{Free, Go, Hold, Unknown};

    /// When it ends, in quarters of a second; the last answer goes on for ever.
    fn ends_after(at_least: u64, at_most: u64, answers: &[(u32, Answer)]) -> u32 {
        let mut patience = Patience {
            at_least: Duration::from_secs(at_least),
            at_most: Duration::from_secs(at_most),
            known: Duration::ZERO,
        };
        let mut passed = 0;
        loop {
            let mut until = 0;
            let answer = answers.iter().find(|(quarters, _)| {
                until += quarters;
                passed < until
            });
            let answer = answer.or(answers.last()).unwrap().1;
            if patience.is_over(PAUSE * passed, answer) {
                return passed;
            }
            passed += 1;
        }
    }

    #[test]
    fn it_waits_for_as_long_as_it_is_needed_and_no_longer_than_it_may() {
        for (answers, quarters) in [
            (&[(1, Free)][..], 8),
            (&[(1, Go)], 8),
            (&[(20, Hold), (1, Go)], 20),
            (&[(1, Hold)], 200),
            // What was allowed at first counts no longer once it is held.
            (&[(6, Go), (10, Hold), (1, Go)], 16),
            // Nobody knows during an election.
            (&[(4, Unknown), (1, Go)], 8),
            (&[(20, Hold), (4, Unknown), (8, Hold), (1, Go)], 32),
            // There is no quorum that could need it.
            (&[(1, Unknown)], 12),
            (&[(20, Hold), (1, Unknown)], 31),
        ] {
            assert_eq!(ends_after(2, 50, answers), quarters, "{answers:?}");
        }
        assert_eq!(ends_after(2, 2, &[(1, Hold)]), 8);
        assert_eq!(ends_after(0, 50, &[(1, Go)]), 0);
    }
}
