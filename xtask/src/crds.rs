//! `cargo xtask crds`: the CRD as YAML, from the operator's types.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::project::Project;
use crate::run;

/// The file's name, in `crds/` and in the chart.
const FILE: &str = "zookeeperclusters.yaml";

/// Writes the CRD where it is kept, or with `check` fails when a copy differs.
pub(crate) fn crds(project: &Project, check: bool) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([
            "run",
            "--quiet",
            "--locked",
            "--package",
            "zookeeper-operator",
            "--bin",
            "zookeeper-operator",
            "--",
            "crd",
        ])
        .current_dir(&project.root);
    let generated = run::output(&mut cargo)?;
    if !generated.contains("kind: CustomResourceDefinition") {
        bail!("`zookeeper-operator crd` printed no CustomResourceDefinition");
    }
    for path in copies(project) {
        match check {
            true => compare(&path, &generated)?,
            false => write(&path, &generated)?,
        }
    }
    Ok(())
}

/// Where the CRD is kept.
fn copies(project: &Project) -> [PathBuf; 2] {
    [
        project.root.join("crds").join(FILE),
        project.chart().join("files").join(FILE),
    ]
}

fn compare(path: &Path, generated: &str) -> Result<()> {
    let kept = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    if kept != generated {
        bail!(
            "{} is stale: `cargo xtask crds` writes it anew",
            path.display()
        );
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let dir = path.parent().context("a file has a folder")?;
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_copy_is_stale() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("crds").join(FILE);
        compare(&path, "a").expect_err("it is missing");
        write(&path, "a").expect("written");
        compare(&path, "a").expect("equal");
        compare(&path, "b").expect_err("different");
    }
}
