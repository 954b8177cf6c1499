//! Apache ZooKeeper's jars for the tests that put a Java server beside ours, in the cache.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Progress;
use crate::project::Project;
use crate::{debian, hash, run};

/// Exact versions of everything on the class path.
const POM: &str = "tests/interop/pom.xml";

/// The class path of Apache ZooKeeper's server; the jars are fetched first if the cache lacks them.
pub(crate) fn classpath(project: &Project, progress: &Progress) -> Result<OsString> {
    debian::require(project, progress, debian::FOR_JAVA)?;
    let pom = project.root.join(POM);
    let text = fs::read(&pom).with_context(|| format!("read {}", pom.display()))?;
    let jars = project.cache.join("java").join(&hash::hex(&text)[..16]);
    let complete = jars.join("complete");
    if !complete.exists() {
        debian::require(project, progress, debian::FOR_JARS)?;
        progress.step("Fetch Apache ZooKeeper's jars", |_| {
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
    let all: PathBuf = jars.join("*");
    Ok(all.into_os_string())
}
