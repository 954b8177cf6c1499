//! The local cluster's own programs, built from Go modules pinned by checksum.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::progress::{Progress, Step};
use crate::project::Project;
use crate::{debian, hash, run};

/// The module whose `tool` directives name the programs.
const MODULE: &str = "deploy/local/tools";

/// What decides how the programs come out.
const SOURCES: [&str; 3] = ["go.mod", "go.sum", "pause/main.go"];

/// The programs that the build makes.
const PROGRAMS: [&str; 9] = [
    "coredns",
    "helm",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
    "pause",
];

/// Packages compiled by a build from nothing, for the progress shown.
const PACKAGES_ABOUT: usize = 2_400;

/// Built programs in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    bin: PathBuf,
}

impl Tools {
    /// The programs, built first if the cache lacks them.
    pub(crate) fn ready(project: &Project, progress: &Progress) -> Result<Tools> {
        let tools = Tools::in_cache(project)?;
        if tools.complete() {
            return Ok(tools);
        }
        let _alone = project.lock("tools.build")?;
        if tools.complete() {
            return Ok(tools);
        }
        debian::require(project, progress, debian::FOR_TOOLS)?;
        progress.step(
            "Build Kubernetes, CoreDNS and Helm from Go modules (minutes, once)",
            |step| {
                build(
                    &project.root.join(MODULE),
                    &tools.bin,
                    &project.logs().join("tools.log"),
                    step,
                )
            },
        )?;
        Ok(tools)
    }

    /// Where the programs are or will be.
    pub(crate) fn in_cache(project: &Project) -> Result<Tools> {
        let module = project.root.join(MODULE);
        let mut inputs = Vec::new();
        for source in SOURCES {
            let path = module.join(source);
            inputs.extend(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
        }
        let key = hash::hex(&inputs);
        Ok(Tools {
            bin: project.cache.join("tools").join(&key[..16]),
        })
    }

    /// Whether every program is there.
    pub(crate) fn complete(&self) -> bool {
        PROGRAMS.iter().all(|program| self.path(program).is_file())
    }

    /// The path of one program.
    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }
}

fn build(module: &Path, bin: &Path, log: &Path, step: &Step) -> Result<()> {
    let version = kubernetes_version(&module.join("go.mod"))?;
    // A build that is cut off leaves a directory that no later build takes for whole.
    let unfinished = bin.with_extension("unfinished");
    fs::create_dir_all(&unfinished).with_context(|| format!("make {}", unfinished.display()))?;
    let mut command = Command::new("go");
    command
        .args([
            "build",
            "-v",
            "-trimpath",
            "-mod=readonly",
            "-ldflags",
            &link_flags(&version),
            "-o",
        ])
        .arg(&unfinished)
        .arg("tool")
        .current_dir(module)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "")
        .env("GOWORK", "off");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", run::shown(&command)))?;
    let printed = child
        .stderr
        .take()
        .expect("standard error was asked for as a pipe");
    let mut log_file = run::log_file(log)?;
    let mut compiled = 0;
    for line in BufReader::new(printed).lines() {
        let line = line.context("read what go prints")?;
        writeln!(log_file, "{line}").with_context(|| format!("write {}", log.display()))?;
        if !line.starts_with("go: ") {
            compiled += 1;
        }
        step.detail(&format!("{compiled} of about {PACKAGES_ABOUT} packages"));
    }
    let status = child.wait().context("wait for go")?;
    if !status.success() {
        let text = fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
        bail!(
            "go build ended with {status}; the end of {}:\n{}",
            log.display(),
            run::tail(&text, 30)
        );
    }
    if bin.exists() {
        fs::remove_dir_all(bin).with_context(|| format!("remove {}", bin.display()))?;
    }
    fs::rename(&unfinished, bin).with_context(|| format!("rename to {}", bin.display()))
}

/// The version of `k8s.io/kubernetes` that the module requires, such as `v1.35.4`.
fn kubernetes_version(go_mod: &Path) -> Result<String> {
    let text = fs::read_to_string(go_mod).with_context(|| format!("read {}", go_mod.display()))?;
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .find_map(|rest| rest.split_whitespace().next())
        .map(str::to_owned)
        .with_context(|| format!("{} requires no k8s.io/kubernetes", go_mod.display()))
}

/// Release builds of Kubernetes learn their version from the linker.
fn link_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_reaches_the_linker() {
        let module = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(MODULE)
            .join("go.mod");
        let version = kubernetes_version(&module).expect("go.mod names it");
        assert!(version.starts_with("v1."), "{version}");
        assert!(link_flags("v1.35.4").ends_with("gitVersion=v1.35.4 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=35"));
    }

    #[test]
    fn every_program_started_is_one_that_the_module_names() {
        let module = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(MODULE)
            .join("go.mod");
        let text = fs::read_to_string(module).expect("go.mod is in the repository");
        let tools = text
            .split("tool (")
            .nth(1)
            .and_then(|rest| rest.split(')').next())
            .expect("a tool block");
        let mut named: Vec<&str> = tools
            .split_whitespace()
            .filter_map(|path| path.rsplit('/').next())
            .collect();
        named.sort_unstable();
        assert_eq!(named, PROGRAMS);
    }
}
