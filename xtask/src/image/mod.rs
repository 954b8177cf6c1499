//! `cargo xtask image`: both programs, static, in one image made without a container engine.

mod archive;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) use archive::{Archive, Entry};

use crate::progress::Progress;
use crate::project::{IMAGE, Project, VERSION};
use crate::{debian, hash, run};

/// The only platform that the image is built for.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// The two programs in the image, and the most bytes that each may have.
const PROGRAMS: [(&str, Option<u64>); 2] = [
    ("zookeeper-server", Some(12_000_000)),
    ("zookeeper-operator", None),
];

/// An image in a file.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The docker-archive.
    pub tar: PathBuf,
    /// SHA-256 of the image's configuration: two images with one id are the same.
    pub id: String,
    /// `name:version-digest`, another one whenever the image's content is another.
    pub unique_reference: String,
}

/// Builds both programs and the image around them.
pub(crate) fn build(project: &Project, progress: &Progress) -> Result<Image> {
    debian::require(project, progress, debian::FOR_IMAGE)?;
    require_target(progress)?;
    progress.step("Build both programs, static", |_| build_programs(project))?;
    let release = project.target.join(TARGET).join("release");
    let mut entries = Vec::new();
    for (program, bytes_max) in PROGRAMS {
        let path = release.join(program);
        let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let size = content.len() as u64;
        progress.note(&format!("{program} {}", megabytes(size)));
        if let Some(max) = bytes_max.filter(|max| size >= *max) {
            bail!(
                "{program} has {}, but must stay below {}",
                megabytes(size),
                megabytes(max)
            );
        }
        entries.push(Entry::program(program, content));
    }
    // The volumes' mount points belong to the user, so a volume made by an engine does too.
    entries.push(Entry::directory("data"));
    entries.push(Entry::directory("data-log"));
    let archive = Archive::new(&entries, "/zookeeper-server")?;
    let id = archive.id();
    let reference = format!("{IMAGE}:{VERSION}");
    let unique_reference = format!("{reference}-{}", &id[..12]);
    let dir = project.target.join("image");
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let tar = dir.join(format!("zookeeper-{VERSION}.tar"));
    let bytes = archive.to_tar(&[&reference, &unique_reference])?;
    write_if_changed(&tar, &bytes)?;
    progress.note(&format!(
        "{} {} {unique_reference}",
        tar.display(),
        megabytes(bytes.len() as u64)
    ));
    Ok(Image {
        tar,
        id,
        unique_reference,
    })
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn build_programs(project: &Project) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(["-p", "zookeeper-server", "-p", "zookeeper-operator"])
        .current_dir(&project.root)
        .env("CARGO_TARGET_DIR", &project.target)
        // Debian's musl-gcc wrapper compiles the C parts of dependencies.
        .env("CC_x86_64_unknown_linux_musl", "musl-gcc");
    run::run(&mut cargo)
}

/// Adds the musl target to the toolchain if it lacks it.
fn require_target(progress: &Progress) -> Result<()> {
    if target_installed() {
        return Ok(());
    }
    let impossible = "no static build without the standard library for musl";
    if run::find("rustup").is_none() {
        bail!("{impossible}: install rustup, or your toolchain's {TARGET} target");
    }
    progress.step(&format!("Add the target {TARGET}"), |_| {
        run::run(Command::new("rustup").args(["target", "add", TARGET]))
            .with_context(|| format!("{impossible}: `rustup target add {TARGET}` failed"))
    })
}

fn target_installed() -> bool {
    let Ok(sysroot) = run::output(Command::new("rustc").args(["--print", "sysroot"])) else {
        return false;
    };
    Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
}

/// Makes an image of one static program, as the local cluster's pause image.
pub(crate) fn single(program: &Path, name: &str, tar: &Path, reference: &str) -> Result<()> {
    let content = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let archive = Archive::new(&[Entry::program(name, content)], &format!("/{name}"))?;
    write_if_changed(tar, &archive.to_tar(&[reference])?)
}

/// Leaves an equal file alone, so that what looks at times sees no change.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| hash::hex(&old) == hash::hex(bytes)) {
        return Ok(());
    }
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, bytes).with_context(|| format!("write {}", unfinished.display()))?;
    fs::rename(&unfinished, path).with_context(|| format!("rename to {}", path.display()))
}
