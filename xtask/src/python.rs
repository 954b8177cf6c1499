//! The Python environment of the end-to-end tests' independent client, in the cache.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Progress;
use crate::project::Project;
use crate::{debian, hash, run};

/// Exact versions with hashes.
const REQUIREMENTS: &str = "deploy/local/requirements.txt";

/// The environment's Python; the environment is made first if the cache lacks it.
pub(crate) fn ready(project: &Project, progress: &Progress) -> Result<PathBuf> {
    let requirements = project.root.join(REQUIREMENTS);
    let text =
        fs::read(&requirements).with_context(|| format!("read {}", requirements.display()))?;
    let env = project.cache.join("python").join(&hash::hex(&text)[..16]);
    let (python, complete) = (env.join("bin/python"), env.join("complete"));
    // A Python that was upgraded leaves an environment whose link leads nowhere.
    if complete.exists() && run::succeeds(Command::new(&python).arg("--version")) {
        return Ok(python);
    }
    debian::require(project, progress, debian::FOR_PYTHON)?;
    let make_env = || {
        run::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&env),
        )
    };
    if let Err(failure) = make_env() {
        // Debian has the module in a package of its own, which no program on PATH tells of.
        if !debian::can_install() {
            return Err(failure.context("make a Python environment (Debian: python3-venv)"));
        }
        debian::install(project, progress, &["python3-venv"])?;
        make_env()?;
    }
    progress.step("Install the tests' Python client", |_| {
        run::run(
            Command::new(&python)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                ])
                .args([
                    "--require-hashes",
                    "--no-deps",
                    "--only-binary=:all:",
                    "--requirement",
                ])
                .arg(&requirements),
        )
    })?;
    fs::write(&complete, "").with_context(|| format!("write {}", complete.display()))?;
    Ok(python)
}
