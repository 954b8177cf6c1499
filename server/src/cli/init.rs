//! `zookeeper-server init`: a member's disk before its first start. It runs as a pod's init
//! container, where there is no shell.

use super::{FAILED, USAGE, fail};
use crate::config::{IdNeed, read_config};
use crate::ids::ServerId;
use crate::storage::{
    Directories, StorageError, is_empty_disk, remove_initialize_marker, write_cluster_id,
    write_initialize_marker, write_myid,
};
use clap::Args;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `init`.
#[derive(Args)]
pub(super) struct Init {
    /// The member's zoo.cfg, for dataDir and dataLogDir.
    config: PathBuf,
    /// The member's number.
    #[arg(long, value_name = "N", required_unless_present = "id_from_hostname")]
    id: Option<u8>,
    /// Take the number from the end of the host name, as in `demo-2`.
    #[arg(long, conflicts_with = "id")]
    id_from_hostname: bool,
    /// The number of the host name's ordinal 0.
    #[arg(
        long,
        value_name = "B",
        default_value_t = 1,
        requires = "id_from_hostname"
    )]
    first_server_id: u8,
    /// The cluster that the disk belongs to; a disk of another one is refused.
    #[arg(long, value_name = "ID")]
    cluster_id: Option<String>,
    /// Let an empty disk vote: only while the ensemble is made.
    #[arg(long, value_name = "true|false", default_value_t = false, action = clap::ArgAction::Set)]
    bootstrap: bool,
    /// Read `--bootstrap` from a file; a missing one means false. Numbers between commas instead
    /// of `true` let the empty disks of these members vote, and no others.
    #[arg(long, value_name = "FILE", conflicts_with = "bootstrap")]
    bootstrap_file: Option<PathBuf>,
}

/// Why a disk was not prepared.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the host name `{0}` does not end in a number; give the member's number by --id")]
    NoOrdinal(String),
    #[error("server ids go from 1 to 255; ordinal {ordinal} of a first id {first} is past that")]
    TooLarge { ordinal: u64, first: u8 },
    #[error("read the bootstrap file {path}: {source}")]
    BootstrapFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "the bootstrap file {path} says `{found}`; it must say true, false or members' numbers"
    )]
    BootstrapText { path: PathBuf, found: String },
}

impl Init {
    pub(super) fn execute(self) -> ExitCode {
        let config = match read_config(&self.config, &[], IdNeed::Ignored) {
            Ok(config) => config,
            Err(error) => return fail(USAGE, error),
        };
        let prepared = || -> Result<(), InitError> {
            let id = self.server_id()?;
            let bootstrap = self.may_bootstrap(id)?;
            let directories = Directories::open(&config.data_dir, &config.data_log_dir, true)?;
            let (data, log) = (directories.data_dir(), directories.log_dir());
            // The cluster first: nothing is written on a disk that belongs to another.
            if let Some(cluster_id) = &self.cluster_id {
                write_cluster_id(data, cluster_id)?;
            }
            write_myid(data, id)?;
            let empty = is_empty_disk(data, log)?;
            if bootstrap && empty {
                write_initialize_marker(data, log)?;
            } else {
                // A marker of an earlier attempt must not outlive the ensemble's making.
                remove_initialize_marker(data, log)?;
            }
            let may_vote = match (empty, bootstrap) {
                (true, true) => "empty, may bootstrap",
                (true, false) => "empty, joins without a vote until it is synchronised",
                (false, _) => "has data",
            };
            println!("server.{id} in {}: {may_vote}", data.display());
            Ok(())
        };
        match prepared() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(FAILED, error),
        }
    }

    fn server_id(&self) -> Result<ServerId, InitError> {
        if let Some(id) = self.id {
            return Ok(ServerId(i64::from(id)));
        }
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        from_hostname(&name, self.first_server_id)
    }

    fn may_bootstrap(&self, id: ServerId) -> Result<bool, InitError> {
        let Some(path) = &self.bootstrap_file else {
            return Ok(self.bootstrap);
        };
        match fs::read_to_string(path) {
            Ok(text) => match text.trim() {
                "true" => Ok(true),
                "false" => Ok(false),
                found => bootstraps(found, id).ok_or_else(|| InitError::BootstrapText {
                    path: path.clone(),
                    found: found.to_owned(),
                }),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(InitError::BootstrapFile {
                path: path.clone(),
                source,
            }),
        }
    }
}

/// Whether this member is among the numbers; None where they are no numbers.
fn bootstraps(numbers: &str, id: ServerId) -> Option<bool> {
    let ids: Option<Vec<i64>> = numbers.split(',').map(|n| n.trim().parse().ok()).collect();
    ids.map(|ids| ids.contains(&id.0))
}

/// The number of a StatefulSet's pod.
fn from_hostname(name: &str, first: u8) -> Result<ServerId, InitError> {
    // A host name may carry its domain; the ordinal ends the first label.
    let label = name.split('.').next().unwrap_or(name);
    let ordinal = label
        .rsplit_once('-')
        .and_then(|(_, ordinal)| ordinal.parse::<u64>().ok())
        .ok_or_else(|| InitError::NoOrdinal(name.to_owned()))?;
    let id = ordinal
        .checked_add(u64::from(first))
        .and_then(|id| u8::try_from(id).ok())
        .filter(|id| *id > 0)
        .ok_or(InitError::TooLarge { ordinal, first })?;
    Ok(ServerId(i64::from(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_numbered_members_may_bootstrap() {
        assert_eq!(bootstraps("2,5", ServerId(5)), Some(true));
        assert_eq!(bootstraps("2, 5", ServerId(3)), Some(false));
        assert_eq!(bootstraps("maybe", ServerId(3)), None);
        assert_eq!(bootstraps("", ServerId(3)), None);
    }

    #[test]
    fn a_pods_number_is_its_ordinal_behind_the_first_id() {
        let id = |name, first| from_hostname(name, first).map(|id| id.0).ok();
        assert_eq!(id("demo-0", 1), Some(1));
        assert_eq!(id("my-zk-12", 100), Some(112));
        assert_eq!(id("demo-2.demo-headless.default.svc", 1), Some(3));
        assert_eq!(id("demo", 1), None);
        assert_eq!(id("demo-255", 1), None);
        assert_eq!(id("demo-x", 1), None);
    }
}
