//! Processes of a cluster: started in their namespaces, recorded by id, ended by id.
//!
//! Each machine of the cluster has a *holder*, the first process of a PID namespace with mounts
//! of its own. The kernel ends everything in that namespace when its first process ends, so no
//! shim or container outlives its machine, and the machine's mounts go with it.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};

use crate::run;

/// How long processes get to disappear after SIGKILL; a disk that stalls delays them.
const END_MAX: Duration = Duration::from_secs(30);

/// A process that was started, told apart from a later one with the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pid: i32,
    /// Clock ticks after boot, from `/proc/<pid>/stat`.
    started: u64,
    /// The boot that the id belongs to.
    boot: String,
}

impl Process {
    fn of(pid: i32) -> Result<Process> {
        let (_, started) = stat(pid).with_context(|| format!("process {pid} ended at once"))?;
        Ok(Process {
            pid,
            started,
            boot: boot_id()?,
        })
    }

    /// The id in the host's PID namespace.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it runs still; a zombie does not.
    pub(crate) fn alive(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot)
            && stat(self.pid)
                .is_some_and(|(state, started)| state != 'Z' && started == self.started)
    }

    /// Ends it with SIGKILL, if it runs still.
    pub(crate) fn kill(&self) {
        if self.alive() {
            // It may end by itself between the two calls.
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }

    fn to_line(&self) -> String {
        format!("{} {} {}\n", self.pid, self.started, self.boot)
    }

    fn from_line(line: &str) -> Option<Process> {
        let mut words = line.split_whitespace();
        let pid = words.next()?.parse().ok()?;
        let started = words.next()?.parse().ok()?;
        Some(Process {
            pid,
            started,
            boot: words.next()?.to_owned(),
        })
    }
}

/// The process's state letter and start time (proc_pid_stat(5), fields 3 and 22).
fn stat(pid: i32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<(char, u64)> {
    // The program's name, field 2, may itself hold spaces and parentheses.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn boot_id() -> Result<String> {
    let text =
        fs::read_to_string("/proc/sys/kernel/random/boot_id").context("read the boot's id")?;
    Ok(text.trim().to_owned())
}

/// The records of a cluster's processes, one file each.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    dir: PathBuf,
}

impl Records {
    /// Records in `dir`.
    pub(crate) fn new(dir: PathBuf) -> Records {
        Records { dir }
    }

    /// The file that holds the process's id as its first word.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The recorded process, if it runs.
    pub(crate) fn running(&self, name: &str) -> Option<Process> {
        let line = fs::read_to_string(self.path(name)).ok()?;
        Process::from_line(&line).filter(Process::alive)
    }

    /// Every recorded process that runs.
    pub(crate) fn all_running(&self) -> Vec<Process> {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| self.running(&entry.file_name().to_string_lossy()))
            .collect()
    }

    fn record(&self, name: &str, pid: u32) -> Result<Process> {
        let process = Process::of(i32::try_from(pid).context("a process id")?)?;
        fs::create_dir_all(&self.dir).with_context(|| format!("make {}", self.dir.display()))?;
        let path = self.path(name);
        fs::write(&path, process.to_line()).with_context(|| format!("write {}", path.display()))?;
        Ok(process)
    }
}

/// Kills the processes and waits until they are gone.
pub(crate) fn end(processes: &[Process]) -> Result<()> {
    for process in processes {
        process.kill();
    }
    let deadline = Instant::now() + END_MAX;
    while let Some(process) = processes.iter().find(|process| process.alive()) {
        if Instant::now() > deadline {
            bail!("process {} does not end, even by SIGKILL", process.pid);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The processes in the network namespace at `path`.
pub(crate) fn in_network_namespace(path: &Path) -> Result<Vec<Process>> {
    use std::os::unix::fs::MetadataExt;
    let Ok(wanted) = fs::metadata(path) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("list /proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // Processes come and go while they are listed.
        let Ok(theirs) = fs::metadata(entry.path().join("ns/net")) else {
            continue;
        };
        if (theirs.dev(), theirs.ino()) == (wanted.dev(), wanted.ino()) {
            found.extend(Process::of(pid).ok());
        }
    }
    Ok(found)
}

/// A mount that a holder makes before it starts.
#[derive(Debug)]
struct Mount {
    source: Option<CString>,
    target: CString,
    kind: Option<CString>,
    flags: MsFlags,
}

impl Mount {
    fn new(source: &str, target: &str, kind: &str, flags: MsFlags) -> Result<Mount> {
        let text = |value: &str| CString::new(value).with_context(|| format!("a path: {value}"));
        let optional = |value: &str| match value {
            "" => Ok(None),
            value => text(value).map(Some),
        };
        Ok(Mount {
            source: optional(source)?,
            target: text(target)?,
            kind: optional(kind)?,
            flags,
        })
    }

    fn make(&self) -> nix::Result<()> {
        let none: Option<&std::ffi::CStr> = None;
        mount(
            self.source.as_deref(),
            self.target.as_c_str(),
            self.kind.as_deref(),
            self.flags,
            none,
        )
    }
}

/// Starts the first process of a machine: in the network namespace at `netns`, with a PID and a
/// mount namespace of its own, an empty `/run`, and `binds` (from, onto) in place.
pub(crate) fn start_holder(
    records: &Records,
    name: &str,
    pause: &Path,
    netns: &Path,
    binds: &[(PathBuf, PathBuf)],
) -> Result<Process> {
    let mut mounts = vec![
        // Private, so that nothing mounted by the machine shows up on the host.
        Mount::new("", "/", "", MsFlags::MS_REC | MsFlags::MS_PRIVATE)?,
        Mount::new("proc", "/proc", "proc", MsFlags::empty())?,
        Mount::new("tmpfs", "/run", "tmpfs", MsFlags::empty())?,
    ];
    for (from, onto) in binds {
        mounts.push(Mount::new(
            &from.to_string_lossy(),
            &onto.to_string_lossy(),
            "",
            MsFlags::MS_BIND,
        )?);
    }
    let net = open_namespace(netns)?;
    let mut command = Command::new(pause);
    quiet(&mut command);
    // SAFETY: between fork and exec the closure only makes system calls with memory made before.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            setns(net.as_fd(), CloneFlags::CLONE_NEWNET)?;
            unshare(CloneFlags::CLONE_NEWNS)?;
            mounts
                .iter()
                .try_for_each(Mount::make)
                .map_err(io::Error::from)
        });
    }
    let pid = spawn_in_thread(command, || unshare(CloneFlags::CLONE_NEWPID))?;
    records.record(name, pid)
}

/// A program to start on one of the cluster's machines.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// The name of its record and of its log.
    pub name: &'a str,
    /// What to start.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// Starts a program in the namespaces of `holder`, its output appended to `log`.
pub(crate) fn start(
    records: &Records,
    holder: &Process,
    program: &Program<'_>,
    log: &Path,
) -> Result<Process> {
    let mut command = Command::new(&program.path);
    command.args(&program.arguments);
    let log = run::log_file(log)?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share a log")?)
        .stderr(log);
    let pid = spawn_on(holder, command).with_context(|| format!("start {}", program.name))?;
    records.record(program.name, pid)
}

/// Runs a command in the namespaces of `holder` to its end.
pub(crate) fn run_on(holder: &Process, program: &str, arguments: &[&str]) -> Result<()> {
    // nsenter keeps the pipes of its caller, which plain spawning in a thread would lose.
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--target={}", holder.pid()))
        .args(["--net", "--mount", "--pid", "--", program])
        .args(arguments);
    run::run(&mut command)
}

fn spawn_on(holder: &Process, mut command: Command) -> Result<u32> {
    let namespace =
        |kind: &str| open_namespace(Path::new(&format!("/proc/{}/ns/{kind}", holder.pid())));
    let (net, mnt, pid) = (namespace("net")?, namespace("mnt")?, namespace("pid")?);
    command.current_dir("/").env_clear().env(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    // SAFETY: between fork and exec the closure only makes system calls.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            Ok(())
        });
    }
    spawn_in_thread(command, move || {
        // A thread shares its root and working directory with the process until it unshares them,
        // and only then may it change its mounts.
        unshare(CloneFlags::CLONE_FS)?;
        setns(net.as_fd(), CloneFlags::CLONE_NEWNET)?;
        setns(pid.as_fd(), CloneFlags::CLONE_NEWPID)?;
        setns(mnt.as_fd(), CloneFlags::CLONE_NEWNS)
    })
}

/// Spawns from a thread of its own, whose namespaces end with it.
fn spawn_in_thread(
    mut command: Command,
    enter: impl FnOnce() -> nix::Result<()> + Send,
) -> Result<u32> {
    thread::scope(|scope| {
        scope
            .spawn(move || -> Result<u32> {
                enter().context("enter the machine's namespaces (is this root?)")?;
                let child = command
                    .spawn()
                    .with_context(|| format!("start {}", run::shown(&command)))?;
                Ok(child.id())
            })
            .join()
            .map_err(|_| anyhow!("the thread that starts a process panicked"))?
    })
}

/// Does something in the network namespace at `netns`, such as writing to `/proc/sys/net`.
pub(crate) fn in_network<T: Send>(
    netns: &Path,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let net = open_namespace(netns)?;
    thread::scope(|scope| {
        scope
            .spawn(move || {
                setns(net.as_fd(), CloneFlags::CLONE_NEWNET)
                    .context("enter a network namespace")?;
                work()
            })
            .join()
            .map_err(|_| anyhow!("the thread in {} panicked", netns.display()))?
    })
}

fn open_namespace(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("open the namespace {}", path.display()))
}

fn quiet(command: &mut Command) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_being_written_down() {
        let process = Process {
            pid: 7,
            started: 99,
            boot: "b".into(),
        };
        assert_eq!(Process::from_line(&process.to_line()), Some(process));
        assert_eq!(Process::from_line("7 x"), None);
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(parse_stat(stat), Some(('S', 4242)));
    }

    #[test]
    fn a_later_process_with_the_same_id_is_not_ours() {
        let ours = Process::of(std::process::id() as i32).expect("this process runs");
        assert!(ours.alive());
        let other = Process {
            started: ours.started + 1,
            ..ours.clone()
        };
        assert!(!other.alive());
        let before_reboot = Process {
            boot: "another".into(),
            ..ours
        };
        assert!(!before_reboot.alive());
    }
}
