//! Running other programs, with errors that say what they printed.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// How many of a failed program's last lines an error shows.
const TAIL_LINES: usize = 30;

/// Runs the program to its end; its output is shown only when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs the program to its end and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", shown(command)))?;
    if !output.status.success() {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        bail!(
            "{} ended with {}\n{}",
            shown(command),
            output.status,
            tail(&text, TAIL_LINES)
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("read the output of {}", shown(command)))
}

/// Whether the program starts and ends with success; what it prints is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs the program with `input` on its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", shown(command)))?;
    let mut stdin = child
        .stdin
        .take()
        .expect("standard input was asked for as a pipe");
    // A program that ends early closes the pipe; its own message says more than ours would.
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child
        .wait_with_output()
        .with_context(|| format!("wait for {}", shown(command)))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} ended with {}\n{}",
            shown(command),
            output.status,
            tail(&text, TAIL_LINES)
        );
    }
    written.with_context(|| format!("write to {}", shown(command)))
}

/// Runs the program with its output appended to a file, whose end a failure shows.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let mut file = log_file(log)?;
    writeln!(file, "$ {}", shown(command)).with_context(|| format!("write {}", log.display()))?;
    let errors = file
        .try_clone()
        .with_context(|| format!("share {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .status()
        .with_context(|| format!("start {}", shown(command)))?;
    if !status.success() {
        let text = fs::read(log).with_context(|| format!("read {}", log.display()))?;
        let text = String::from_utf8_lossy(&text);
        bail!(
            "{} ended with {status}; the end of {}:\n{}",
            shown(command),
            log.display(),
            tail(&text, TAIL_LINES * 2)
        );
    }
    Ok(())
}

/// Opens a log for appending and makes its folder.
pub(crate) fn log_file(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

/// The program on `PATH`, if there is one.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    // Debian keeps iptables and its like where only root's PATH points.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The last `lines` lines of `text`.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The command as a person would type it, as far as that is readable.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_what_the_program_printed() {
        let failure = run(Command::new("sh").args(["-c", "echo the cause >&2; exit 3"]))
            .expect_err("the program ended with 3");
        let text = failure.to_string();
        assert!(
            text.contains("the cause") && text.contains("exit status: 3"),
            "{text}"
        );
    }

    #[test]
    fn the_tail_keeps_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 5), "a");
    }

    #[test]
    fn input_reaches_the_program() {
        run_with_input(Command::new("grep").args(["-q", "word"]), "a word").expect("found");
        run_with_input(Command::new("grep").args(["-q", "word"]), "none").expect_err("absent");
    }
}
