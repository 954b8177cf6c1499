//! `zookeeper-server run`: a member in the foreground.

use super::logging::Logging;
use super::{FAILED, USAGE, fail, key_value, memory};
use crate::config::{IdNeed, ServerConfig, read_config};
use crate::node::{self, NodeError};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `run`.
#[derive(Args)]
pub(super) struct Run {
    /// The configuration that Apache's server reads too. Without one: a standalone server on
    /// 127.0.0.1:2181 with its data in ./zookeeper-data.
    config: Option<PathBuf>,
    /// A key that Java takes as a system property, with or without `zookeeper.` in front.
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = key_value)]
    define: Vec<(String, String)>,
    #[command(flatten)]
    logging: Logging,
}

impl Run {
    pub(super) fn execute(self) -> ExitCode {
        self.logging.start();
        let config = match &self.config {
            Some(file) => read_config(file, &self.define, IdNeed::Required),
            None => ServerConfig::without_file(&self.define),
        };
        let config = match config {
            Ok(config) => config,
            Err(error) => return fail(USAGE, error),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .on_thread_park(memory::give_back)
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return fail(FAILED, format!("can't start threads: {error}")),
        };
        match runtime.block_on(node::run(config)) {
            Ok(()) => ExitCode::SUCCESS,
            // The stores belong to the configuration.
            Err(error @ NodeError::Tls(_)) => fail(USAGE, error),
            Err(error) => fail(FAILED, error),
        }
    }
}
