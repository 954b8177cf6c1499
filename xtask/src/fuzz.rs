//! `cargo xtask fuzz`: the fuzz targets of `server/fuzz`, without cargo-fuzz and on the stable
//! toolchain. What cargo-fuzz adds to a build is coverage, which stable compilers give through
//! flags of LLVM; address sanitizers, which they don't, have little to find in safe code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::progress::Progress;
use crate::project::Project;
use crate::{debian, run};

/// The bins of `server/fuzz/Cargo.toml`.
const TARGETS: [&str; 7] = [
    "requests",
    "transactions",
    "quorum",
    "snapshots",
    "logs",
    "credentials",
    "configuration",
];

/// What cargo-fuzz passes with `--sanitizer none`.
const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=4",
];

/// Inputs for each target in continuous integration, all of them derived from the committed corpus
/// by one seed: a change is judged by what it changes, not by a new find in something else. To look
/// for those, `fuzz` goes on from whatever it found before.
const SHORT_INPUTS: u32 = 50_000;
/// Where a machine is slow, it tries the first of them.
const SHORT_SECONDS: u32 = 15;

/// What `fuzz` is asked for.
#[derive(Debug, Clone, Args)]
pub(crate) struct FuzzOptions {
    /// Only this target
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Keep of what was found the least that covers the same, in the project's own corpus
    #[arg(long)]
    merge: bool,
}

/// Runs the targets for as long as asked.
pub(crate) fn fuzz(project: &Project, progress: &Progress, options: &FuzzOptions) -> Result<()> {
    let log = project.logs().join("fuzz.log");
    let fuzz = Fuzz::build(project, progress, &log)?;
    for target in TARGETS {
        if options.target.as_deref().is_some_and(|only| only != target) {
            continue;
        }
        progress.step(&format!("Fuzz {target}"), |_| {
            fuzz.search(target, options.seconds, &log)
        })?;
        if options.merge {
            fuzz.merge(target, &log)?;
        }
    }
    Ok(())
}

/// The short run of continuous integration.
pub(crate) fn short(project: &Project, progress: &Progress, log: &Path) -> Result<()> {
    let fuzz = Fuzz::build(project, progress, log)?;
    TARGETS
        .into_iter()
        .try_for_each(|target| fuzz.check(target, log))
}

/// The built targets.
struct Fuzz {
    /// With the committed corpus.
    source: PathBuf,
    /// What runs leave behind.
    work: PathBuf,
    programs: PathBuf,
}

impl Fuzz {
    fn build(project: &Project, progress: &Progress, log: &Path) -> Result<Fuzz> {
        debian::require(project, progress, debian::FOR_FUZZ)?;
        let source = project.root.join("server/fuzz");
        let work = project.target.join("fuzz");
        let host = host()?;
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // What the server comes to need has to reach this lock file, too: `cargo update -w` in there.
        cargo
            .args(["build", "--release", "--locked", "--target", &host])
            .current_dir(&source)
            .env("CARGO_TARGET_DIR", &work)
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
        run::run_logged(&mut cargo, log)?;
        Ok(Fuzz {
            programs: work.join(host).join("release"),
            source,
            work,
        })
    }

    /// Looks for something new, from all that was found before.
    fn search(&self, target: &str, seconds: u32, log: &Path) -> Result<()> {
        let found = self.work.join("corpus").join(target);
        fs::create_dir_all(&found).with_context(|| format!("make {}", found.display()))?;
        let mut program = self.program(target)?;
        program
            .arg(format!("-max_total_time={seconds}"))
            .arg(found)
            .arg(self.corpus(target)?);
        self.run(target, &mut program, log)
    }

    /// Tries the same inputs each time.
    fn check(&self, target: &str, log: &Path) -> Result<()> {
        // Of several folders only the first gets what is found.
        let found = self.work.join("unkept").join(target);
        if found.exists() {
            fs::remove_dir_all(&found).with_context(|| format!("remove {}", found.display()))?;
        }
        fs::create_dir_all(&found).with_context(|| format!("make {}", found.display()))?;
        let mut program = self.program(target)?;
        program
            .arg("-seed=1")
            .arg(format!("-runs={SHORT_INPUTS}"))
            .arg(format!("-max_total_time={SHORT_SECONDS}"))
            .arg(found)
            .arg(self.corpus(target)?);
        self.run(target, &mut program, log)
    }

    fn program(&self, target: &str) -> Result<Command> {
        let artifacts = self.work.join("artifacts");
        fs::create_dir_all(&artifacts).with_context(|| format!("make {}", artifacts.display()))?;
        let mut program = Command::new(self.programs.join(target));
        program
            .args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=8192"])
            .arg("-print_final_stats=1")
            .arg(format!(
                "-artifact_prefix={}/{target}-",
                artifacts.display()
            ));
        Ok(program)
    }

    fn run(&self, target: &str, program: &mut Command, log: &Path) -> Result<()> {
        run::run_logged(program, log).with_context(|| {
            let artifacts = self.work.join("artifacts");
            format!("{target} failed; its input is in {}", artifacts.display())
        })
    }

    fn corpus(&self, target: &str) -> Result<PathBuf> {
        let corpus = self.source.join("corpus").join(target);
        if !corpus.is_dir() {
            bail!("{} is missing", corpus.display());
        }
        Ok(corpus)
    }

    fn merge(&self, target: &str, log: &Path) -> Result<()> {
        let mut program = Command::new(self.programs.join(target));
        program
            .args(["-merge=1", "-max_len=8192"])
            .arg(self.corpus(target)?)
            .arg(self.work.join("corpus").join(target));
        run::run_logged(&mut program, log)
    }
}

/// The triple that this compiler builds for. Named explicitly, it keeps the flags from build
/// scripts.
fn host() -> Result<String> {
    let version = run::output(Command::new("rustc").arg("-vV"))?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc does not name its host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_manifest_is_run() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/fuzz/Cargo.toml");
        let text = fs::read_to_string(manifest).expect("it is in the repository");
        let bins = text.split("[[bin]]").skip(1).map(|bin| {
            let name = bin.lines().find_map(|line| line.strip_prefix("name = "));
            name.expect("a name").trim_matches('"')
        });
        assert!(bins.eq(TARGETS));
    }
}
