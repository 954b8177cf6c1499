//! Where things are: the project, its build directory, the cache and the state of clusters.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The name of the image that holds both programs, without its tag.
pub(crate) const IMAGE: &str = "ensemble.dev/zookeeper";

/// The workspace's version; the image is tagged with it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The directories that tasks read and write.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// The repository's root.
    pub root: PathBuf,
    /// Cargo's build directory, which `CARGO_TARGET_DIR` moves.
    pub target: PathBuf,
    /// What is costly to make again and safe to lose: built tools, Python environments.
    pub cache: PathBuf,
    /// One directory for each local cluster, gone after `down`.
    pub state: PathBuf,
}

impl Project {
    /// Finds the directories from the environment.
    pub(crate) fn locate() -> Result<Project> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask is a folder of the workspace")
            .to_path_buf();
        // A build directory shared by several clones may hold an xtask built in another one,
        // so the place that cargo reports at run time goes before the one compiled in.
        // Under another crate's tests cargo reports that crate's place, which says nothing here.
        let root = env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .filter(|dir| dir.file_name().is_some_and(|name| name == "xtask"))
            .and_then(|dir| dir.parent().map(Path::to_path_buf))
            .unwrap_or(root);
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => absolute(PathBuf::from(dir))?,
            None => root.join("target"),
        };
        Ok(Project {
            target,
            cache: base_dir("XDG_CACHE_HOME", ".cache")?,
            state: base_dir("XDG_STATE_HOME", ".local/state")?,
            root,
        })
    }

    /// Where the output of the steps of a task goes.
    pub(crate) fn logs(&self) -> PathBuf {
        self.target.join("xtask-logs")
    }

    /// Waits for the right to change what the name stands for, so that two tasks don't do it at once.
    /// The file is in the cache and stays: were it removed, two waiters could hold locks on two
    /// files.
    pub(crate) fn lock(&self, name: &str) -> Result<File> {
        let dir = self.cache.join("locks");
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let path = dir.join(name);
        let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        file.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        Ok(file)
    }

    /// The Helm chart of the operator.
    pub(crate) fn chart(&self) -> PathBuf {
        self.root.join("charts/zookeeper-operator")
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path).with_context(|| format!("make {} absolute", path.display()))
}

/// `$variable/zookeeper-ensemble`, or `$HOME/<fallback>/zookeeper-ensemble`.
fn base_dir(variable: &str, fallback: &str) -> Result<PathBuf> {
    // The XDG specification says that relative paths are to be ignored.
    let base = env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let base = match (base, env::var_os("HOME")) {
        (Some(base), _) => base,
        (None, Some(home)) => PathBuf::from(home).join(fallback),
        (None, None) => bail!("neither {variable} nor HOME is set: set one of them"),
    };
    Ok(base.join("zookeeper-ensemble"))
}
