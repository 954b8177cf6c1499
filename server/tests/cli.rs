//! The commands of `zookeeper-server` as a person or a pod's init container runs them.

// What a test calls fails as the test itself does.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn server(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zookeeper-server"))
        .args(args)
        .output()
        .expect("the binary was built for this test")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn golden(name: &str) -> String {
    format!(
        "{}/tests/golden/java-3.9.5/{name}",
        env!("CARGO_MANIFEST_DIR")
    )
}

/// A directory with a zoo.cfg; both paths as text.
fn member(extra: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let cfg = dir.path().join("zoo.cfg");
    let text = format!(
        "dataDir={0}/data\ndataLogDir={0}/log\nclientPort=2181\n{extra}",
        dir.path().display()
    );
    fs::write(&cfg, text).unwrap();
    (dir, cfg.display().to_string())
}

#[test]
fn the_version_is_apaches_with_ours_behind_it() {
    let output = server(&["--version"]);
    assert!(
        stdout(&output).starts_with("zookeeper-server 3.9.5-"),
        "{output:?}"
    );
}

#[test]
fn a_bad_configuration_is_one_line_and_exit_code_2() {
    let (dir, cfg) = member("tickTime=soon\n");
    let output = server(&["run", &cfg]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        format!(
            "zookeeper-server: {cfg}:4: tickTime: `soon` must be a whole number from 1 to 3600000\n"
        )
    );
    let output = server(&["run", &format!("{}/none.cfg", dir.path().display())]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output).lines().count(), 1);
    assert_eq!(server(&["walk"]).status.code(), Some(2));
}

#[test]
fn init_prepares_a_disk_once_and_refuses_another_members() {
    let (dir, cfg) = member("");
    let data = dir.path().join("data");
    let init = |args: &[&str]| {
        let all = [&["init", cfg.as_str()][..], args].concat();
        server(&all)
    };
    let output = init(&["--id", "3", "--cluster-id", "c-1", "--bootstrap", "true"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(data.join("myid")).unwrap(), "3\n");
    assert_eq!(
        fs::read_to_string(data.join("cluster-id")).unwrap(),
        "c-1\n"
    );
    assert!(data.join("version-2").is_dir() && dir.path().join("log/version-2").is_dir());
    // Where Java's script writes the marker, and where Java's server looks for it.
    assert!(data.join("initialize").exists() && dir.path().join("log/initialize").exists());

    // Run again by a pod that joins later, the marker is gone and all else as it was.
    assert!(init(&["--id", "3", "--cluster-id", "c-1"]).status.success());
    assert!(!data.join("initialize").exists() && !dir.path().join("log/initialize").exists());

    let other = init(&["--id", "4"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        stderr(&other).contains("says 3, not 4"),
        "{}",
        stderr(&other)
    );
    let other = init(&["--id", "3", "--cluster-id", "c-2"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        stderr(&other).contains("says c-1, not c-2"),
        "{}",
        stderr(&other)
    );
}

#[test]
fn init_marks_no_disk_that_holds_data() {
    let (dir, cfg) = member("");
    let version = dir.path().join("data/version-2");
    fs::create_dir_all(&version).unwrap();
    fs::copy(golden("version-2/snapshot.0"), version.join("snapshot.0")).unwrap();
    let output = server(&["init", &cfg, "--id", "1", "--bootstrap", "true"]);
    assert!(output.status.success(), "{output:?}");
    assert!(!dir.path().join("data/initialize").exists());
}

#[test]
fn the_bootstrap_file_says_true_false_or_is_missing() {
    let (dir, cfg) = member("");
    let file = dir.path().join("bootstrap").display().to_string();
    let marker = dir.path().join("data/initialize");
    let init = || server(&["init", &cfg, "--id", "1", "--bootstrap-file", &file]);
    assert!(init().status.success());
    assert!(!marker.exists());
    fs::write(&file, "true\n").unwrap();
    assert!(init().status.success());
    assert!(marker.exists());
    fs::write(&file, "perhaps").unwrap();
    assert_eq!(init().status.code(), Some(1));
}

#[test]
fn verify_tells_whole_snapshots_from_damaged_ones() {
    let output = server(&["snapshot", "verify", &golden("")]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout(&output).lines().count(), 4);
    assert!(
        stdout(&output)
            .lines()
            .all(|line| line.contains(": whole, zxid "))
    );

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("snapshot.17");
    let mut bytes = fs::read(golden("version-2/snapshot.17")).unwrap();
    bytes[900] ^= 4;
    fs::write(&file, bytes).unwrap();
    let output = server(&["snapshot", "verify", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains(": damaged: "), "{output:?}");
}

#[test]
fn a_snapshot_is_dumped_as_text_and_as_json_lines() {
    let file = golden("version-2/snapshot.17.snappy");
    let text = stdout(&server(&["snapshot", "dump", "--data", &file]));
    assert!(
        text.starts_with("zxid 0x17, 17 nodes\nsession 0x100002e5c280000 timeout 30000 ms\n/\n"),
        "{text}"
    );
    assert!(text.contains("\n/ünïcödé\n"), "{text}");
    assert!(text.contains("\n  data count=100,bytes=-1\n"), "{text}");
    let json = stdout(&server(&["snapshot", "dump", "-o", "json", &file]));
    let lines: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1 + 17);
    let plain = lines.iter().find(|line| line["path"] == "/plain").unwrap();
    assert_eq!(
        (&plain["version"], &plain["mzxid"]),
        (&1.into(), &"0xb".into())
    );
}

#[test]
fn a_log_is_dumped_and_verified() {
    let log = golden("version-2/log.1");
    let text = stdout(&server(&["txnlog", "dump", &log]));
    assert_eq!(text.lines().count(), 23);
    assert!(
        text.lines()
            .next()
            .unwrap()
            .ends_with("createSession timeout 30000 ms"),
        "{text}"
    );
    assert!(
        text.contains(" multi [create /m; setData /m; check /m]\n"),
        "{text}"
    );
    assert!(text.contains(" error -110\n"), "{text}");
    let json = stdout(&server(&[
        "txnlog", "dump", "-o", "json", "--from", "0x17", &log,
    ]));
    let line: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!(line["zxid"], "0x17");
    assert_eq!(line["path"], "/zookeeper/quota/plain/zookeeper_stats");

    let output = server(&["txnlog", "verify", &golden("")]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        stdout(&output).ends_with("23 transactions, 0x1 to 0x17\n"),
        "{output:?}"
    );
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    bytes[200] ^= 1;
    fs::write(dir.path().join("log.1"), bytes).unwrap();
    let output = server(&[
        "txnlog",
        "verify",
        "-o",
        "json",
        &dir.path().display().to_string(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains(r#""whole":false"#), "{output:?}");
}

#[test]
fn a_log_is_trimmed_behind_a_transaction_and_behind_the_last_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.1");
    let path = log.display().to_string();
    let bytes = fs::read(golden("version-2/log.1")).unwrap();
    fs::write(&log, &bytes).unwrap();

    let output = server(&["txnlog", "trim", "--to", "0x10", &path]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        stdout(&output),
        format!("{path}.trimmed: 16 transactions, 0x1 to 0x10\n")
    );
    assert_eq!(
        fs::read(&log).unwrap(),
        bytes,
        "the log itself is as it was"
    );
    let trimmed = fs::read(dir.path().join("log.1.trimmed")).unwrap();
    assert_eq!(bytes[..trimmed.len()], trimmed);
    let output = server(&["txnlog", "verify", &format!("{path}.trimmed")]);
    assert!(stdout(&output).ends_with("16 transactions, 0x1 to 0x10\n"));
    // A file that is there is not written over.
    let output = server(&["txnlog", "trim", "--to", "0x10", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains(".trimmed: File exists"),
        "{output:?}"
    );
    let output = server(&["txnlog", "trim", "--to", "0x99", &path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).ends_with("transaction 0x99 is not in it; it goes from 0x1 to 0x17\n"),
        "{output:?}"
    );

    // The last whole transaction before damage that others follow.
    let mut damaged = bytes.clone();
    damaged[trimmed.len() + 30] ^= 1;
    fs::write(&log, &damaged).unwrap();
    let output = server(&["txnlog", "trim", "--in-place", "-o", "json", &path]);
    assert!(output.status.success(), "{output:?}");
    let line: serde_json::Value = serde_json::from_str(stdout(&output).trim()).unwrap();
    assert_eq!(
        (&line["transactions"], &line["last"]),
        (&16.into(), &"0x10".into())
    );
    assert!(
        line["leftOut"]
            .as_str()
            .unwrap()
            .contains("transaction 0x12 stands whole"),
        "{line}"
    );
    assert_eq!(fs::read(&log).unwrap(), trimmed);
}

/// A log of these records of another one, each changed in the last byte of its time where that is
/// asked for. Source of the form: `FileTxnLog.java`.
fn log_of(
    bytes: &[u8],
    wanted: impl Fn(usize) -> bool,
    changed: impl Fn(usize) -> bool,
) -> Vec<u8> {
    let (mut log, mut at) = (bytes[..16].to_vec(), 16);
    for number in 1.. {
        let len = u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap());
        let (payload, end) = (at + 12, at + 12 + len as usize + 1);
        if len == 0 {
            break;
        }
        if wanted(number) {
            let mut payload = bytes[payload..end - 1].to_vec();
            payload[27] ^= u8::from(changed(number));
            let (a, b) = payload.iter().fold((1_u64, 0_u64), |(a, b), byte| {
                let a = (a + u64::from(*byte)) % 65_521;
                (a, (b + a) % 65_521)
            });
            log.extend((b << 16 | a).to_be_bytes());
            log.extend(len.to_be_bytes());
            log.extend(payload);
            log.push(0x42);
        }
        at = end;
    }
    log.extend([0; 64]);
    log
}

#[test]
fn logs_are_compared_as_far_as_both_reach() {
    let dir = tempfile::tempdir().unwrap();
    let whole = golden("version-2/log.1");
    let bytes = fs::read(&whole).unwrap();
    let make = |name: &str, wanted: &dyn Fn(usize) -> bool, changed: &dyn Fn(usize) -> bool| {
        let path = dir.path().join(name);
        fs::write(&path, log_of(&bytes, wanted, changed)).unwrap();
        path.display().to_string()
    };
    let part = make("log.5", &|number| (5..=16).contains(&number), &|_| false);
    let output = server(&["txnlog", "compare", &whole, &part]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        stdout(&output),
        "0x1 to 0x17, 0x5 to 0x10: 12 the same, 0 only left, 0 only right, 0 changed\n"
    );
    let other = make("log.1", &|number| number != 7, &|number| number == 9);
    let output = server(&["txnlog", "compare", &whole, &other]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stdout(&output),
        "- 0x7\n~ 0x9 header\n0x1 to 0x17, 0x1 to 0x17: 21 the same, 1 only left, 0 only right, 1 changed\n"
    );
    let output = server(&["txnlog", "compare", "-o", "json", &other, &whole]);
    let text = stdout(&output);
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["zxid"], &first["in"]),
        (&"0x7".into(), &"right".into())
    );
    assert!(text.ends_with("\"same\":21}\n"), "{text}");
}

#[test]
fn snapshots_are_compared_node_by_node_and_by_subtree() {
    let (old, new) = (
        golden("version-2/snapshot.0"),
        golden("version-2/snapshot.17"),
    );
    let packed = golden("version-2/snapshot.17.gz");
    let output = server(&["snapshot", "compare", &new, &packed]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        stdout(&output),
        "0x17 with 17 nodes, 0x17 with 17: 0 only left, 0 only right, 0 changed\n"
    );

    let output = server(&["snapshot", "compare", &old, &new]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("\n+ /plain\n"), "{text}");
    assert!(text.contains("+ session 0x100002e5c280000\n"), "{text}");
    assert!(text.contains("~ / pzxid cversion\n"), "{text}");
    assert!(
        text.ends_with("0x0 with 4 nodes, 0x17 with 17: 0 only left, 14 only right, 2 changed\n"),
        "{text}"
    );

    let output = server(&[
        "snapshot", "compare", "--nodes", "12", "-o", "json", &old, &new,
    ]);
    let lines: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0]["path"], "/");
    assert_eq!(lines[0]["right"]["nodes"], 16);
    assert_eq!(lines[1]["onlyRight"], 14);
    assert_eq!(
        server(&["snapshot", "compare", &old, "zoo.cfg"])
            .status
            .code(),
        Some(2)
    );
}

/// Runs a member that can't start, and returns its exit code and its last word.
fn refused(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().expect("the program can be run");
    let text = stderr(&output);
    let last = text.lines().last().unwrap_or_default().to_owned();
    (output.status.code(), last)
}

fn run(cfg: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zookeeper-server"));
    command.args(["run", cfg]);
    command
}

#[test]
fn directories_that_the_server_may_not_use_are_one_line_and_exit_code_1() {
    let (dir, cfg) = member("admin.enableServer=false\n");
    // Root may do everything, so that somebody else is needed: nobody's number, who must be able
    // to get at the program.
    let program = dir.path().join("zookeeper-server");
    fs::copy(env!("CARGO_BIN_EXE_zookeeper-server"), &program).unwrap();
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(dir.path(), 0o755);
    let run_as_other = || {
        if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(&program)
                .args(["run", &cfg]);
            command
        } else {
            run(&cfg)
        }
    };
    let data = dir.path().join("data");
    let advice =
        "Permission denied (os error 13); the user that runs the server needs to read and write it";
    if rustix::process::geteuid().is_root() {
        assert_eq!(
            refused(&mut run_as_other()),
            (
                Some(1),
                format!(
                    "zookeeper-server: can't create {}/version-2: {advice}",
                    data.display()
                )
            )
        );
    }
    fs::create_dir_all(data.join("version-2")).unwrap();
    fs::create_dir_all(dir.path().join("log/version-2")).unwrap();
    allow(&data, 0o777);
    allow(&dir.path().join("log"), 0o777);
    allow(&data.join("version-2"), 0o555);
    let (code, line) = refused(&mut run_as_other());
    assert_eq!(code, Some(1));
    assert!(
        line.starts_with(&format!(
            "zookeeper-server: can't write {}/version-2/",
            data.display()
        )) && line.ends_with(advice),
        "{line}"
    );
    allow(&data.join("version-2"), 0o777);
    let logs = dir.path().join("log/version-2");
    allow(&logs, 0o777);
    fs::copy(golden("version-2/log.1"), logs.join("log.1")).unwrap();
    allow(&logs.join("log.1"), 0o000);
    assert_eq!(
        refused(&mut run_as_other()),
        (
            Some(1),
            format!(
                "zookeeper-server: can't make durable {}/log.1: {advice}",
                logs.display()
            )
        )
    );
}

#[test]
fn a_disk_that_would_lose_data_is_one_line_that_says_what_to_do_and_exit_code_1() {
    let (dir, cfg) = member("admin.enableServer=false\nextendedTypesEnabled=true\n");
    let data = dir.path().join("data/version-2");
    let logs = dir.path().join("log/version-2");
    fs::create_dir_all(&data).unwrap();
    fs::create_dir_all(&logs).unwrap();
    let mut bytes = fs::read(golden("version-2/log.1")).unwrap();
    fs::write(logs.join("log.1"), &bytes).unwrap();
    let (code, line) = refused(&mut run(&cfg));
    assert_eq!(code, Some(1));
    assert!(
        line.contains(" has transaction logs, but ") && line.contains("snapshot.trust.empty"),
        "{line}"
    );
    fs::copy(golden("version-2/snapshot.0"), data.join("snapshot.0")).unwrap();
    bytes[200] ^= 1;
    fs::write(logs.join("log.1"), &bytes).unwrap();
    let (code, line) = refused(&mut run(&cfg));
    assert_eq!(code, Some(1));
    assert!(
        line.contains("/log.1 is damaged at byte ")
            && line.ends_with("or empty this member's disk and let it sync from the others"),
        "{line}"
    );
}

#[test]
fn an_epoch_file_that_makes_no_sense_is_one_line_and_exit_code_1() {
    let (dir, cfg) = member(
        "admin.enableServer=false\nstandaloneEnabled=false\ninitLimit=5\nsyncLimit=5\nserver.1=127.0.0.1:2888:3888\n",
    );
    let data = dir.path().join("data/version-2");
    fs::create_dir_all(&data).unwrap();
    fs::write(dir.path().join("data/myid"), "1\n").unwrap();
    for content in ["", "1x", "-1"] {
        fs::write(data.join("currentEpoch"), content).unwrap();
        let (code, line) = refused(&mut run(&cfg));
        assert_eq!(code, Some(1), "{line}");
        assert!(
            line.contains(&format!(
                "/currentEpoch: `{content}` is no epoch; restore the file"
            )),
            "{line}"
        );
    }
}

#[test]
fn purge_deletes_what_no_kept_snapshot_needs() {
    let (dir, cfg) = member("");
    let (data, log) = (
        dir.path().join("data/version-2"),
        dir.path().join("log/version-2"),
    );
    fs::create_dir_all(&data).unwrap();
    fs::create_dir_all(&log).unwrap();
    for zxid in ["0", "4", "9", "17"] {
        fs::copy(
            golden("version-2/snapshot.17"),
            data.join(format!("snapshot.{zxid}")),
        )
        .unwrap();
    }
    for zxid in ["1", "5", "a"] {
        fs::copy(golden("version-2/log.1"), log.join(format!("log.{zxid}"))).unwrap();
    }
    let output = server(&["purge", "-n", "2", &cfg]);
    assert_eq!(
        output.status.code(),
        Some(2),
        "fewer than 3 are refused, as in Java"
    );
    let output = server(&["purge", &cfg]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        stdout(&output),
        format!("deleted {}\n", data.join("snapshot.0").display())
    );
    fs::copy(golden("version-2/snapshot.17"), data.join("snapshot.18")).unwrap();
    let output = server(&[
        "purge",
        "--data-dir",
        &parent(&data),
        "--data-log-dir",
        &parent(&log),
    ]);
    assert_eq!(
        stdout(&output),
        format!(
            "deleted {}\ndeleted {}\n",
            data.join("snapshot.4").display(),
            log.join("log.1").display()
        )
    );
    assert_eq!(stdout(&server(&["purge", &cfg])), "nothing to delete\n");
    assert_eq!(
        stdout(&server(&["purge", "-o", "json", &cfg])),
        "{\"deleted\":[],\"oldestKept\":\"0x9\"}\n"
    );
}

fn parent(path: &Path) -> String {
    path.parent().unwrap().display().to_string()
}
