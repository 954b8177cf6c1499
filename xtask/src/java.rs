//! Apache ZooKeeper's jars for the tests that put a Java server beside ours, in the cache.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Progress;
use crate::project::Project;
use crate::{debian, hash, run};

/// Apache ZooKeeper's server.
const SERVER: &str = "tests/interop/pom.xml";
/// Curator, and what it wants.
const CURATOR: &str = "tests/applications/pom.xml";

/// The class path of Apache ZooKeeper's server; the jars are fetched first if the cache lacks them.
pub(crate) fn classpath(project: &Project, progress: &Progress) -> Result<OsString> {
    let jars = jars(project, progress, SERVER, "Apache ZooKeeper's")?;
    Ok(jars.join("*").into_os_string())
}

/// The directory of Curator's jars, likewise.
pub(crate) fn curator(project: &Project, progress: &Progress) -> Result<PathBuf> {
    jars(project, progress, CURATOR, "Curator's")
}

/// The jars that a POM names, each in its exact version.
fn jars(project: &Project, progress: &Progress, pom: &str, whose: &str) -> Result<PathBuf> {
    debian::require(project, progress, debian::FOR_JAVA)?;
    let pom = project.root.join(pom);
    let text = fs::read(&pom).with_context(|| format!("read {}", pom.display()))?;
    let jars = project.cache.join("java").join(&hash::hex(&text)[..16]);
    let complete = jars.join("complete");
    if complete.exists() {
        return Ok(jars);
    }
    let _alone = project.lock("java.fetch")?;
    if !complete.exists() {
        debian::require(project, progress, debian::FOR_JARS)?;
        progress.step(&format!("Fetch {whose} jars"), |_| {
            run::run_logged(
                Command::new("mvn")
                    .args(["-q", "-B", "-f"])
                    .arg(&pom)
                    .arg("dependency:copy-dependencies")
                    .arg(format!("-DoutputDirectory={}", jars.display())),
                &project.logs().join("mvn.log"),
            )
        })?;
        fs::write(&complete, "").with_context(|| format!("write {}", complete.display()))?;
    }
    Ok(jars)
}
