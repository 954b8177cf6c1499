//! `cargo xtask mutants`: that the simulation notices what it is there to notice. Each mutation
//! takes one guard out of a copy of the consensus; the simulation is built on the copy, and the test
//! that stands for the guard must fail.

mod list;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::project::Project;
use crate::run;
use list::{MUTATIONS, Mutation};

/// What of the project the simulation is built from.
const CONSENSUS: &str = "server/src/zab";
const SIMULATION: &str = "server/tests/simulation";
/// How long one test may take. A mutant may wait for ever.
const TEST_LIMIT: Duration = Duration::from_secs(600);

/// What `mutants` is asked for.
#[derive(Debug, Clone, Args)]
pub(crate) struct MutantOptions {
    /// Only mutations whose line or test has this in it
    #[arg(default_value = "")]
    filter: String,
    /// Random lives to run each mutant through as well, to tell the first seed that fails
    #[arg(long, default_value_t = 0)]
    seeds: u64,
}

/// The simulation as a package on its own, without the rest of the workspace.
const MANIFEST: &str = r#"[package]
name = "simulation"
version = "0.0.0"
edition = "2024"
publish = false

[lib]
path = "server/tests/simulation/lib.rs"
doctest = false

[dependencies]
bytes = "1"

[profile.dev]
opt-level = 1
debug = false
incremental = false

[workspace]
"#;

/// How a run of tests went.
enum Outcome {
    Passed,
    /// With what was printed.
    Failed(String),
    TimedOut,
}

/// Runs every mutation, prints a table of them, and fails where one lives.
pub(crate) fn mutants(project: &Project, options: &MutantOptions) -> Result<()> {
    let place = project.target.join("mutants");
    prepare(&project.root, &place)?;
    let chosen = MUTATIONS
        .iter()
        .filter(|mutation| {
            let lines = [mutation.breaks, mutation.bug, mutation.caught_by];
            lines.iter().any(|line| line.contains(&options.filter))
        })
        .collect::<Vec<_>>();
    for mutation in &chosen {
        // Unmutated, it must pass, or its failure says nothing.
        if let Outcome::Failed(output) = test(&place, mutation.caught_by, 0)? {
            bail!(
                "{} fails without any mutation:\n{output}",
                mutation.caught_by
            );
        }
    }
    println!("| without its guard | bug | fails | first seed |\n| --- | --- | --- | --- |");
    let mut living = Vec::new();
    for mutation in chosen {
        let (path, sound) = find(&place, mutation)?;
        fs::write(&path, sound.replace(mutation.old, mutation.new))?;
        let caught = test(&place, mutation.caught_by, 0);
        let seed = first_seed(&place, options.seeds);
        fs::write(&path, sound)?;
        let result = match caught? {
            Outcome::Failed(output) if output.contains("FAILED") => mutation.caught_by,
            Outcome::Failed(output) => bail!("{} can't be built:\n{output}", mutation.breaks),
            Outcome::Passed => {
                living.push(mutation.breaks);
                "NOTHING"
            }
            Outcome::TimedOut => {
                living.push(mutation.breaks);
                "NOTHING within its time"
            }
        };
        let seed = seed?;
        println!(
            "| {} | {} | `{result}` | {seed} |",
            mutation.breaks, mutation.bug
        );
    }
    if !living.is_empty() {
        bail!("{} mutants live: {}", living.len(), living.join("; "));
    }
    Ok(())
}

/// Copies the sources of the simulation to a place of their own.
fn prepare(root: &Path, place: &Path) -> Result<()> {
    for folder in [CONSENSUS, SIMULATION] {
        let to = place.join(folder);
        if to.exists() {
            fs::remove_dir_all(&to).with_context(|| format!("remove {}", to.display()))?;
        }
        for file in files_of(&root.join(folder))? {
            let below = file.strip_prefix(root).context("a file of the project")?;
            let copy = place.join(below);
            fs::create_dir_all(copy.parent().context("a folder")?)?;
            fs::copy(&file, &copy).with_context(|| format!("copy {}", file.display()))?;
        }
    }
    fs::copy(
        root.join("server/src/ids.rs"),
        place.join("server/src/ids.rs"),
    )?;
    fs::copy(root.join("Cargo.lock"), place.join("Cargo.lock"))?;
    fs::remove_file(place.join(SIMULATION).join("Cargo.toml"))?;
    fs::write(place.join("Cargo.toml"), MANIFEST).context("write the copy's manifest")
}

/// All files below a folder, in order.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_of(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The file that a mutation changes, with its text.
fn find(root: &Path, mutation: &Mutation) -> Result<(PathBuf, String)> {
    let mut found = Vec::new();
    for file in files_of(&root.join(CONSENSUS))? {
        let text = fs::read_to_string(&file)?;
        let meant = file.to_string_lossy().contains(mutation.file) && !file.ends_with("tests.rs");
        for _ in 0..text.matches(mutation.old).count() * usize::from(meant) {
            found.push((file.clone(), text.clone()));
        }
    }
    let count = found.len();
    match found.pop() {
        Some(one) if count == 1 => Ok(one),
        _ => bail!("{:?} stands {count} times in {CONSENSUS}", mutation.old),
    }
}

/// The first of so many random lives that fails.
fn first_seed(place: &Path, seeds: u64) -> Result<String> {
    if seeds == 0 {
        return Ok(String::new());
    }
    let text = match test(place, "random_lives", seeds)? {
        Outcome::Passed => "none".into(),
        Outcome::TimedOut => "too slow".into(),
        Outcome::Failed(output) => {
            let seed = output.lines().find_map(|line| {
                let (seed, _) = line.strip_prefix("seed ")?.split_once(':')?;
                Some(seed.to_owned())
            });
            seed.unwrap_or_else(|| "?".into())
        }
    };
    Ok(text)
}

fn test(place: &Path, name: &str, seeds: u64) -> Result<Outcome> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let log = place.join("test.log");
    let output = fs::File::create(&log)?;
    let mut child = command
        .args(["test", "--quiet", "--offline", "--", name])
        .current_dir(place)
        .env("CARGO_TARGET_DIR", place.join("target"))
        .env("SIMULATION_SEEDS", seeds.max(1).to_string())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", run::shown(&command)))?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            let printed = fs::read_to_string(&log)?;
            let ran = printed.contains("1 passed") || printed.contains("1 failed");
            return match status.success() {
                true if ran => Ok(Outcome::Passed),
                true => bail!("{name} is no test:\n{printed}"),
                false => Ok(Outcome::Failed(printed)),
            };
        }
        if began.elapsed() > TEST_LIMIT {
            // Cargo and the test that it waits for.
            let group = Pid::from_raw(i32::try_from(child.id())?);
            killpg(group, Signal::SIGKILL).context("end a mutant's test")?;
            child.wait()?;
            return Ok(Outcome::TimedOut);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn every_mutation_has_its_place() {
        for mutation in MUTATIONS {
            let place = find(&root(), mutation);
            assert!(place.is_ok(), "{}: {:?}", mutation.breaks, place.err());
        }
    }

    #[test]
    fn every_mutation_has_its_test() {
        let mut tests = String::new();
        for folder in [CONSENSUS, SIMULATION] {
            for file in files_of(&root().join(folder)).expect("a folder of the project") {
                tests.push_str(&fs::read_to_string(file).expect("a source"));
            }
        }
        for mutation in MUTATIONS {
            let line = format!("#[test]\nfn {}()", mutation.caught_by);
            assert!(tests.contains(&line), "no test {}", mutation.caught_by);
        }
    }
}
