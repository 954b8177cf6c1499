//! What a task needs from the machine: installed on Debian as root, named one a line elsewhere.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::progress::Progress;
use crate::project::Project;
use crate::run;

/// A program that a task needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// A program on `PATH`, or an absolute path of any file.
    program: &'static str,
    /// The Debian package that has it; none when Debian's is too old or there is none.
    package: Option<&'static str>,
    /// What to do where the package can't be installed.
    advice: &'static str,
}

const fn debian(program: &'static str, package: &'static str) -> Need {
    Need {
        program,
        package: Some(package),
        advice: "install it with the system's package manager",
    }
}

/// For the static build of the two programs.
pub(crate) const FOR_IMAGE: &[Need] = &[debian("musl-gcc", "musl-tools")];

/// For building the local cluster's programs.
pub(crate) const FOR_TOOLS: &[Need] = &[Need {
    program: "go",
    package: None,
    advice: "install Go 1.25 or newer from https://go.dev/dl/",
}];

/// For running the local cluster.
pub(crate) const FOR_CLUSTER: &[Need] = &[
    debian("containerd", "containerd"),
    debian("ctr", "containerd"),
    debian("runc", "runc"),
    debian("/usr/lib/cni/bridge", "containernetworking-plugins"),
    debian("iptables", "iptables"),
    debian("ip", "iproute2"),
    debian("etcd", "etcd-server"),
    debian("conntrack", "conntrack"),
    debian("openssl", "openssl"),
    debian("mount", "mount"),
];

/// For ensembles whose members have networks of their own.
pub(crate) const FOR_HISTORIES: &[Need] = &[
    debian("ip", "iproute2"),
    debian("iptables-restore", "iptables"),
    debian("nsenter", "util-linux"),
    debian("setpriv", "util-linux"),
];

/// For the end-to-end tests' independent client.
pub(crate) const FOR_PYTHON: &[Need] = &[debian("python3", "python3")];

/// For running Apache ZooKeeper beside our server.
pub(crate) const FOR_JAVA: &[Need] = &[debian("java", "default-jre-headless")];

/// For the programs that use ZooKeeper as applications do.
pub(crate) const FOR_APPLICATIONS: &[Need] = &[
    debian("javac", "default-jdk-headless"),
    debian("cc", "gcc"),
    debian("/usr/include/zookeeper/zookeeper.h", "libzookeeper-mt-dev"),
];

/// For libFuzzer, which the fuzz targets build from its sources.
pub(crate) const FOR_FUZZ: &[Need] = &[debian("c++", "g++")];

/// For fetching Apache ZooKeeper.
pub(crate) const FOR_JARS: &[Need] = &[debian("mvn", "maven")];

/// Those of `needs` that the machine lacks.
fn lacking(needs: &[Need]) -> Vec<Need> {
    needs
        .iter()
        .filter(|need| match need.program.starts_with('/') {
            true => !Path::new(need.program).exists(),
            false => run::find(need.program).is_none(),
        })
        .copied()
        .collect()
}

/// Makes sure that everything in `needs` is there.
///
/// On Debian as root what lacks is installed. Elsewhere each missing program is named in a line
/// of its own.
pub(crate) fn require(project: &Project, progress: &Progress, needs: &[Need]) -> Result<()> {
    let missing = lacking(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().filter_map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() && can_install() {
        install(project, progress, &packages)?;
    }
    let still: Vec<String> = lacking(needs).iter().map(advice).collect();
    if !still.is_empty() {
        bail!("{}", still.join("\n"));
    }
    Ok(())
}

fn advice(need: &Need) -> String {
    match need.package {
        Some(package) => format!(
            "missing {}: {} (Debian: {package})",
            need.program, need.advice
        ),
        None => format!("missing {}: {}", need.program, need.advice),
    }
}

pub(crate) fn can_install() -> bool {
    nix::unistd::geteuid().is_root() && run::find("apt-get").is_some()
}

/// Installs Debian packages; their services are not started.
pub(crate) fn install(project: &Project, progress: &Progress, packages: &[&str]) -> Result<()> {
    progress.step(&format!("Install {}", packages.join(" ")), |_| {
        // Another stage may install something right now, and Debian's tools don't wait for each other.
        let _alone = project.lock("packages.install")?;
        let log = project.logs().join("apt.log");
        // etcd and containerd come with services; ours run in namespaces of their own.
        let policy = Path::new("/usr/sbin/policy-rc.d");
        let own_policy = !policy.exists();
        if own_policy {
            fs::write(policy, "#!/bin/sh\nexit 101\n")?;
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(policy, fs::Permissions::from_mode(0o755))?;
        }
        let installed = run::run_logged(apt().arg("update"), &log).and_then(|()| {
            run::run_logged(
                apt()
                    .args(["install", "-y", "--no-install-recommends"])
                    .args(packages),
                &log,
            )
        });
        if own_policy {
            fs::remove_file(policy)?;
        }
        installed
    })
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let need = debian("no-such-program-anywhere", "its-package");
        assert_eq!(lacking(&[need, debian("sh", "dash")]), vec![need]);
        let line = advice(&need);
        assert!(
            line.contains("no-such-program-anywhere") && line.contains("its-package"),
            "{line}"
        );
        assert!(!line.contains('\n'));
    }
}
