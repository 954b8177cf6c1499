#!/usr/bin/env python3
"""Runs the test suites of two foreign clients, unchanged, against our server.

The suites start and stop their own servers, believing that these are Java's: here a `java` and a
`zkServer.sh` that stand first in their way start ours instead. Their clients, ensembles and
expectations stay their own. With `--java CLASSPATH` they really start Java: the way to find out
which tests fail there too.

A test that fails must stand in `<suite>-excluded.txt` with a reason; one that stands there as
`not built yet` must fail, so that the list shrinks with what we build.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

HERE = pathlib.Path(__file__).resolve().parent

GO_MODULE = "github.com/go-zookeeper/zk@v1.0.4"
GO_SUM = "h1:DPzxraQx7OrPyXq2phlGlNSIyWEsAox0RJmjTseMV6I="

KINDS = ("fails on Java too", "not built yet", "depends on the machine")

# kazoo's files are shared out among processes, each of which has ensembles of its own on ports of
# its own. Most of the time they wait for elections, so more of them than processors is right.
KAZOO_PORTS_EACH = 100

# The slowest first, for else they are what the others wait for in the end.
KAZOO_SLOW_FIRST = (
    "test_sasl",
    "test_client",
    "test_connection",
    "test_eventlet_handler",
    "test_gevent_handler",
    "test_watchers",
    "test_partitioner",
    "test_lock",
)

# No file takes longer than this, in seconds, unless a test hangs.
FILE_LIMIT = 240
TEST_LIMIT = 60


def exclusions(suite):
    """The tests that must not count, each with its kind."""
    found = {}
    path = HERE / f"{suite}-excluded.txt"
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, reason = line.partition(" ")
        kind = next((kind for kind in KINDS if reason.strip().startswith(kind)), None)
        if kind is None:
            sys.exit(f"{path}:{number}: the reason for {name} begins with none of {KINDS}")
        found[name] = kind
    return found


def write_script(path, text):
    path.write_text(text)
    path.chmod(0o755)


def write_shims(directory, server):
    """What the suites start instead of Java."""
    directory.mkdir()
    # Only the -D properties and the configuration's path mean anything to our server.
    write_script(
        directory / "java",
        "#!/bin/sh\n"
        "set -f\n"
        "for argument do\n"
        "  shift\n"
        '  case "$argument" in\n'
        '  -D*) set -- "$@" "$argument" ;;\n'
        '  *) configuration="$argument" ;;\n'
        "  esac\n"
        "done\n"
        f'exec "{server}" run "$@" "$configuration"\n',
    )
    write_script(
        directory / "zkServer.sh",
        "#!/bin/sh\n"
        '[ "$1" = start-foreground ] || { echo "$0: cannot $1" >&2; exit 2; }\n'
        "set -f\n"
        f'exec "{server}" run $SERVER_JVMFLAGS "$2"\n',
    )


def write_java_shim(directory, classpath):
    """Java as the suite in Go starts it; the one in Python starts it by itself."""
    directory.mkdir()
    write_script(
        directory / "zkServer.sh",
        "#!/bin/sh\n"
        f'exec java -cp "{classpath}" $SERVER_JVMFLAGS '
        'org.apache.zookeeper.server.quorum.QuorumPeerMain "$2"\n',
    )


def python_with_kazoo(cache):
    """An interpreter that has the pinned requirements and nothing else."""
    requirements = HERE / "requirements.txt"
    home = cache / "python"
    marker = home / "requirements.txt"
    python = home / "bin" / "python"
    if not marker.exists() or marker.read_bytes() != requirements.read_bytes():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            + ["--require-hashes", "--no-deps", "-r", requirements],
            check=True,
        )
        shutil.copy(requirements, marker)
    return python


def run_kazoo_file(python, file, port, patience, environment, scratch):
    """The results of one of kazoo's files: {test: outcome}."""
    name = file.stem
    report = scratch / f"{name}.xml"
    log = scratch / f"{name}.log"
    environment = dict(environment, ZOOKEEPER_PORT_OFFSET=str(port))
    began = time.monotonic()
    with log.open("w") as out:
        # A group of its own, so that a file that hangs takes its servers along.
        process = subprocess.Popen(
            [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1"]
            + [f"--timeout={TEST_LIMIT * patience}", f"--junitxml={report}", "--pyargs", f"kazoo.tests.{name}"],
            env=environment,
            cwd=scratch,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(timeout=FILE_LIMIT * patience)
        except subprocess.TimeoutExpired:
            pass
        end_group(process)
    results = {}
    if report.exists():
        for case in ElementTree.parse(report).iter("testcase"):
            # Some files run other files' classes again, so the file is part of the name.
            test = ".".join([name, case.get("classname").rpartition(".")[2], case.get("name")])
            if case.find("failure") is not None or case.find("error") is not None:
                results[test] = "failed"
            elif case.find("skipped") is not None:
                results.setdefault(test, "skipped")
            else:
                results.setdefault(test, "passed")
    else:
        results[f"{name}.the-whole-file"] = "failed"
    print(f"  kazoo {name}: {len(results)} tests, {time.monotonic() - began:.0f} s", flush=True)
    return results


def end_group(process):
    """Ends a suite's process and the servers that it left behind: by its own group."""
    for signal in (15, 9):
        try:
            os.killpg(process.pid, signal)
        except ProcessLookupError:
            break
        time.sleep(0.2)
    process.wait()


def run_kazoo(arguments, environment, scratch):
    python = python_with_kazoo(arguments.cache)
    listing = subprocess.run(
        [python, "-c", "import kazoo.tests as t; print(t.__path__[0])"],
        check=True, capture_output=True, text=True,
    )
    files = sorted(pathlib.Path(listing.stdout.strip()).glob("test_*.py"))
    if arguments.only:
        files = [file for file in files if arguments.only in file.stem]
    slow = {name: at for at, name in enumerate(KAZOO_SLOW_FIRST)}
    files.sort(key=lambda file: slow.get(file.stem, len(slow)))
    # Its harness takes the features to be tested from these.
    environment = dict(
        environment, ZOOKEEPER_VERSION="3.9.5", CI="true",
        ZOOKEEPER_CLASSPATH=arguments.java or "unused", ZOOKEEPER_CLUSTER_SIZE="3",
    )
    results = {}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        runs = [
            pool.submit(run_kazoo_file, python, file, port, arguments.patience, environment, scratch)
            for port, file in zip(itertools.count(arguments.ports, KAZOO_PORTS_EACH), files)
        ]
        for run in runs:
            results.update(run.result())
    return results


def go_test_binary(cache):
    """The suite in Go, compiled from a copy of the module that the checksum database vouches for."""
    home = cache / "go"
    binary = home / "zk.test"
    if binary.exists():
        return binary
    home.mkdir(parents=True, exist_ok=True)
    (home / "go.mod").write_text("module suites\n\ngo 1.20\n")
    download = subprocess.run(
        ["go", "mod", "download", "-json", GO_MODULE], cwd=home, check=True, capture_output=True,
        text=True,
    )
    module = json.loads(download.stdout)
    if module["Sum"] != GO_SUM:
        sys.exit(f"{GO_MODULE} has checksum {module['Sum']} instead of {GO_SUM}")
    copy = home / "zk"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(module["Dir"], copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)
    subprocess.run(["go", "test", "-c", "-o", binary, "."], cwd=copy, check=True)
    return binary


def run_go(arguments, environment, scratch):
    """The results of the suite in Go, each test in a process of its own: {test: outcome}.

    One process for all of them loses those behind a test that panics.
    """
    binary = go_test_binary(arguments.cache)
    listing = subprocess.run([binary, "-test.list", "."], check=True, capture_output=True, text=True)
    tests = [name for name in listing.stdout.split() if name.startswith("Test")]
    if arguments.only:
        tests = [name for name in tests if arguments.only in name]
    # Without a version it skips what needs a newer server than 3.4.
    environment = dict(environment, ZOOKEEPER_BIN_PATH=str(arguments.shims), ZK_VERSION="3.9.5")
    results = {}
    # One after the other: each picks ports at random and would now and then pick another's.
    for test in tests:
        began = time.monotonic()
        with (scratch / f"{test}.log").open("w") as out:
            process = subprocess.Popen(
                [binary, "-test.v", "-test.run", f"^{test}$", f"-test.timeout={TEST_LIMIT}s"],
                env=environment, cwd=scratch, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(timeout=TEST_LIMIT + 10)
            except subprocess.TimeoutExpired:
                pass
            code = process.poll()
            end_group(process)
        text = (scratch / f"{test}.log").read_text(errors="replace")
        if code == 0 and f"--- PASS: {test}" in text:
            results[test] = "passed"
        elif code == 0 and f"--- SKIP: {test}" in text:
            results[test] = "skipped"
        else:
            results[test] = "failed"
        seconds = time.monotonic() - began
        if seconds > 5 or results[test] == "failed":
            print(f"  go {test}: {results[test]}, {seconds:.0f} s", flush=True)
    return results


def judge(suite, results, whole, java):
    """Prints what came out, and whether it is as it must be."""
    excluded = exclusions(suite)
    failed = sorted(test for test, outcome in results.items() if outcome == "failed")
    passed = sorted(test for test, outcome in results.items() if outcome == "passed")
    skipped = sorted(test for test, outcome in results.items() if outcome == "skipped")
    counts = f"{suite}: {len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped"
    if java:
        print(counts)
        for test in failed:
            print(f"  failed on Java: {test}")
        return True
    wrong = []
    for test in failed:
        if test not in excluded:
            wrong.append(f"{test} failed")
    for test in passed:
        if excluded.get(test) == "not built yet":
            wrong.append(f"{test} passed: take it off {suite}-excluded.txt")
    if whole:
        for test in sorted(set(excluded) - set(results)):
            wrong.append(f"{test} is in {suite}-excluded.txt and not in the suite")
        if not passed:
            wrong.append("no test passed: the suite did not run")
    print(f"{counts}, of the failed {sum(test in excluded for test in failed)} excluded")
    for line in wrong:
        print(f"  {suite}: {line}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", type=pathlib.Path, nargs="?", help="our zookeeper-server binary")
    parser.add_argument("--java", metavar="CLASSPATH", help="run against Java instead")
    parser.add_argument("--suite", choices=("kazoo", "go"), action="append", help="only this one")
    parser.add_argument("--only", metavar="PART", help="only kazoo's files, Go's tests, so named")
    parser.add_argument("--jobs", type=int, default=4, help="kazoo's files at a time (4)")
    parser.add_argument("--ports", type=int, default=20000, help="first port for kazoo's servers (20000)")
    parser.add_argument("--patience", type=int, default=1, help="multiplies what may take how long (1)")
    parser.add_argument("--cache", type=pathlib.Path, default=HERE.parents[1] / "target" / "suites")
    parser.add_argument("--logs", type=pathlib.Path, help="keep all output here")
    arguments = parser.parse_args()
    if bool(arguments.java) == bool(arguments.server):
        parser.error("give the server's binary, or --java")
    if arguments.server and not os.access(arguments.server, os.X_OK):
        parser.error(f"{arguments.server} is no program: build it first")

    arguments.cache = arguments.cache.resolve()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    # The suites try behaviour and not disks: memory, where there is such a file system, spares
    # their many fresh ensembles thousands of waits for one.
    memory = pathlib.Path("/dev/shm")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="suites-", dir=memory if memory.is_dir() else None))
    began = time.monotonic()
    try:
        arguments.shims = scratch / "bin"
        if arguments.java:
            write_java_shim(arguments.shims, arguments.java)
        else:
            write_shims(arguments.shims, arguments.server.resolve())
        environment = dict(
            os.environ, TMPDIR=str(scratch), PATH=f"{arguments.shims}:{os.environ['PATH']}"
        )
        suites = [s for s in (("kazoo", run_kazoo), ("go", run_go)) if s[0] in (arguments.suite or ("kazoo", "go"))]
        with concurrent.futures.ThreadPoolExecutor(len(suites)) as pool:
            runs = [(name, pool.submit(run, arguments, environment, scratch)) for name, run in suites]
            results = [(name, run.result()) for name, run in runs]
        good = all([judge(n, r, not arguments.only, arguments.java) for n, r in results])
        passed = sum(o == "passed" for _, r in results for o in r.values())
        failed = sum(o == "failed" for _, r in results for o in r.values())
        print(f"{passed} passed, {failed} failed, in {time.monotonic() - began:.0f} s")
        if arguments.logs:
            arguments.logs.mkdir(parents=True, exist_ok=True)
            for path in [*scratch.glob("*.log"), *scratch.glob("*.xml")]:
                shutil.copy(path, arguments.logs)
            (arguments.logs / "results.json").write_text(json.dumps(dict(results), indent=1))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
