//! The files of the dynamic configuration: what `dynamicConfigFile` names, with the versions that
//! reconfigurations make. Source: `QuorumPeerConfig.java` writeDynamicConfig, editStaticConfig;
//! `QuorumPeer.java` setQuorumVerifier, setLastSeenQuorumVerifier.

use super::error::StorageError;
use super::files;
use crate::config::DynamicConfig;
use std::path::{Path, PathBuf};

/// Where a member keeps its ensemble's configuration.
#[derive(Clone, Debug)]
pub struct DynamicConfigFiles {
    names: DynamicConfig,
    /// The file that names the newest one; `None` for a server without.
    zoo_cfg: Option<PathBuf>,
}

impl DynamicConfigFiles {
    /// The files of a server with this zoo.cfg.
    #[must_use]
    pub fn new(names: DynamicConfig, zoo_cfg: Option<PathBuf>) -> Self {
        DynamicConfigFiles { names, zoo_cfg }
    }

    /// Keeps a configuration that is proposed and not in force, or forgets the last one.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn set_next(&self, text: Option<&str>) -> Result<(), StorageError> {
        let Some(path) = self.names.next() else {
            return Ok(());
        };
        match text {
            Some(text) => files::replace(&path, lines(text, true).as_bytes()),
            None => files::remove(&path).map(|_| ()),
        }
    }

    /// Keeps the configuration that is in force now and has zoo.cfg name it. False where zoo.cfg
    /// can't be written. `erase_client_port`: the list says where clients connect, so zoo.cfg no
    /// longer does.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn set_current(
        &self,
        version: i64,
        text: &str,
        erase_client_port: bool,
    ) -> Result<bool, StorageError> {
        let (Some(path), Some(zoo_cfg)) = (self.names.versioned(version), &self.zoo_cfg) else {
            return Ok(true);
        };
        files::replace(&path, lines(text, false).as_bytes())?;
        let named = std::path::absolute(&path).unwrap_or(path);
        Ok(name_in(zoo_cfg, &named, erase_client_port).is_ok())
    }
}

/// One `key=value` a line, in order, without a line's end at the end.
fn lines(text: &str, with_version: bool) -> String {
    let mut lines = text
        .lines()
        .filter(|line| with_version || !line.starts_with("version"))
        .collect::<Vec<_>>();
    lines.sort_unstable();
    lines.join("\n")
}

/// Takes the members out of zoo.cfg and lets it name the dynamic file. Unlike Java it keeps the
/// comments and the order of what else is in it.
fn name_in(zoo_cfg: &Path, dynamic: &Path, erase_client_port: bool) -> Result<(), StorageError> {
    let old = std::fs::read_to_string(zoo_cfg).map_err(StorageError::io("read", zoo_cfg))?;
    let new = edited(&old, dynamic, erase_client_port);
    if new == old {
        return Ok(());
    }
    files::replace(zoo_cfg, new.as_bytes())
}

fn edited(zoo_cfg: &str, dynamic: &Path, erase_client_port: bool) -> String {
    let goes = |line: &str| {
        let key = line.trim_start();
        let listed = [
            "server.",
            "group",
            "weight",
            "dynamicConfigFile",
            "peerType",
        ];
        listed.iter().any(|start| key.starts_with(start))
            || (erase_client_port
                && key.starts_with("clientPort")
                && !key.starts_with("clientPortListenBacklog"))
    };
    let mut kept = String::new();
    let mut continues = false;
    let mut skips = false;
    for line in zoo_cfg.lines() {
        if !continues {
            skips = goes(line);
        }
        let backslashes = line.chars().rev().take_while(|c| *c == '\\').count();
        continues = backslashes % 2 == 1;
        if !skips {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept.push_str(&format!("dynamicConfigFile={}\n", dynamic.display()));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zoo_cfg_names_the_newest_file_and_keeps_what_else_is_in_it() {
        let cfg = "# three members\ntickTime=2000\nserver.1=a:1:2\nserver.2=\\\n  b:1:2\nclientPort=2181\nclientPortListenBacklog=5\n";
        assert_eq!(
            edited(cfg, Path::new("/c/zoo.cfg.dynamic.5"), false),
            "# three members\ntickTime=2000\nclientPort=2181\nclientPortListenBacklog=5\ndynamicConfigFile=/c/zoo.cfg.dynamic.5\n"
        );
        assert_eq!(
            edited("dynamicConfigFile=x\nclientPort=1\n", Path::new("/y"), true),
            "dynamicConfigFile=/y\n"
        );
    }

    #[test]
    fn the_files_are_those_that_java_reads() {
        let text = "server.2=b:1:2:participant\nserver.10=a:1:2:participant\nversion=500000001";
        assert_eq!(
            lines(text, false),
            "server.10=a:1:2:participant\nserver.2=b:1:2:participant"
        );
        assert!(lines(text, true).ends_with("\nversion=500000001"));
    }
}
