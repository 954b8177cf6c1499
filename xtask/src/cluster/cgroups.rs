//! The cgroup that each node's pods live in, in every hierarchy of the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long the kernel gets to empty the cgroups of processes that were killed.
const EMPTY_MAX: Duration = Duration::from_secs(10);

/// The path of a node's cgroup in each hierarchy, as kubelet wants it.
pub(crate) fn of_node(instance: &str, node: u8) -> String {
    format!("{}/node{node}", of_instance(instance))
}

/// The parent of the cgroups of an instance's nodes.
pub(crate) fn of_instance(instance: &str) -> String {
    format!("/zookeeper-ensemble/{instance}")
}

/// Makes the cgroup in every hierarchy. With cgroup v1, cpuset's settings are handed down, since a
/// new cpuset allows no processor; with v2, the controllers are.
pub(crate) fn make(cgroup: &str) -> Result<()> {
    for root in hierarchies(Path::new("/sys/fs/cgroup"))? {
        let mut at = root;
        for part in cgroup.split('/').filter(|part| !part.is_empty()) {
            hand_down_controllers(&at)?;
            let child = at.join(part);
            fs::create_dir_all(&child).with_context(|| format!("make {}", child.display()))?;
            for setting in ["cpuset.cpus", "cpuset.mems"] {
                inherit(&at.join(setting), &child.join(setting))?;
            }
            at = child;
        }
        hand_down_controllers(&at)?;
    }
    Ok(())
}

/// Removes the cgroup and all below it from every hierarchy.
pub(crate) fn remove(cgroup: &str) -> Result<()> {
    let deadline = Instant::now() + EMPTY_MAX;
    for root in hierarchies(Path::new("/sys/fs/cgroup"))? {
        let path = root.join(cgroup.trim_start_matches('/'));
        remove_tree(&path, deadline)
            .with_context(|| format!("remove the cgroup {}", path.display()))?;
    }
    Ok(())
}

/// Removes the parent of all instances' cgroups where no instance is left.
pub(crate) fn remove_empty_parent() {
    for root in hierarchies(Path::new("/sys/fs/cgroup")).unwrap_or_default() {
        // Another instance's cgroup in it is the reason it may stay.
        let _ = fs::remove_dir(root.join("zookeeper-ensemble"));
    }
}

/// The roots of the mounted hierarchies: of v1 one a controller, of v2 the only one.
fn hierarchies(mount: &Path) -> Result<Vec<PathBuf>> {
    if mount.join("cgroup.controllers").exists() {
        return Ok(vec![mount.to_path_buf()]);
    }
    let entries = fs::read_dir(mount).with_context(|| format!("list {}", mount.display()))?;
    let mut roots = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("list {}", mount.display()))?
            .path();
        // `cpu` may be a link to `cpu,cpuacct`; making a folder twice does no harm.
        if path.is_dir() && path.join("cgroup.procs").exists() {
            roots.push(path);
        }
    }
    Ok(roots)
}

fn hand_down_controllers(dir: &Path) -> Result<()> {
    let Ok(available) = fs::read_to_string(dir.join("cgroup.controllers")) else {
        return Ok(());
    };
    for controller in available.split_whitespace() {
        // A controller that can't be handed down is one that kubelet then does without.
        let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
    }
    Ok(())
}

fn inherit(from: &Path, to: &Path) -> Result<()> {
    if !to.exists() || dir_is_unified(to) {
        return Ok(());
    }
    let value = fs::read_to_string(from).with_context(|| format!("read {}", from.display()))?;
    fs::write(to, value.trim()).with_context(|| format!("write {}", to.display()))
}

fn dir_is_unified(setting: &Path) -> bool {
    setting
        .parent()
        .is_some_and(|dir| dir.join("cgroup.controllers").exists())
}

fn remove_tree(dir: &Path, deadline: Instant) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path(), deadline)?;
        }
    }
    loop {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // Killed processes leave their cgroup a moment after they are gone from /proc.
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unified_hierarchy_is_told_from_one_for_each_controller() {
        let dir = tempfile::tempdir().expect("a folder");
        for controller in ["cpu", "memory"] {
            fs::create_dir(dir.path().join(controller)).expect("made");
            fs::write(dir.path().join(controller).join("cgroup.procs"), "").expect("written");
        }
        assert_eq!(hierarchies(dir.path()).expect("listed").len(), 2);
        fs::write(dir.path().join("cgroup.controllers"), "cpu").expect("written");
        assert_eq!(hierarchies(dir.path()).expect("listed"), [dir.path()]);
    }

    #[test]
    fn removing_what_is_not_there_succeeds() {
        remove_tree(Path::new("/no/such/cgroup"), Instant::now()).expect("nothing to do");
    }
}
