//! Where log lines go, and what they look like: standard error, coloured for a person's terminal
//! alone.

use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Options of every command that logs.
#[derive(Args)]
pub(super) struct Logging {
    /// How log lines are written.
    #[arg(long, value_enum, default_value = "text")]
    log_format: Format,
    /// What is logged: error, warn, info, debug, trace, or directives as in `info,zookeeper_server::zab=debug`.
    #[arg(long, default_value = "info", value_parser = filter)]
    log_level: String,
}

fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

impl Logging {
    /// Begins to log.
    pub(super) fn start(&self) {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(&self.log_level))
            .with_writer(std::io::stderr);
        match self.log_format {
            Format::Json => subscriber.json().flatten_event(true).init(),
            Format::Text => {
                let colour =
                    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
                subscriber.with_ansi(colour).init();
            }
        }
    }
}
