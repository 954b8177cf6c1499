#!/usr/bin/env python3
"""Programs that use ZooKeeper as applications do, against a three-member ensemble of ours whose leader is killed in
the middle.

    run.py --jars DIRECTORY SERVER-PROGRAM [recipes] [c] [kafka] [bookkeeper] [solr] [hbase]

Each program is told the connect string. Where it prints `kill the leader`, the leader is killed with -9, the others
elect, and the member comes back; the program is told by an empty line and goes on.
"""

import argparse
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 60


class Failed(Exception):
    """What went wrong, in a line."""


def free_ports(count):
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [it.getsockname()[1] for it in sockets]
    for it in sockets:
        it.close()
    return ports


class Member:
    """One server process."""

    def __init__(self, program, directory, port):
        self.program, self.directory, self.port = program, directory, port
        self.process = None

    def start(self):
        with open(self.directory / "log.txt", "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "run", "--log-level", "info", self.directory / "zoo.cfg"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def mode(self):
        """`leader` or `follower` where it serves."""
        if self.process is None:
            return None
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as asked:
                asked.sendall(b"srvr")
                answer = b""
                while part := asked.recv(4096):
                    answer += part
        except OSError:
            return None
        modes = [line[6:] for line in answer.decode().splitlines() if line.startswith("Mode: ")]
        return modes[0] if modes else None


class Ensemble:
    """Three of them."""

    def __init__(self, program, directory):
        ports = free_ports(9)
        servers = "".join(f"server.{n + 1}=127.0.0.1:{ports[n]}:{ports[n + 3]}\n" for n in range(3))
        self.members = []
        for n in range(3):
            place = directory / f"member-{n + 1}"
            (place / "data").mkdir(parents=True)
            (place / "data" / "myid").write_text(f"{n + 1}\n")
            (place / "zoo.cfg").write_text(
                f"tickTime=1000\ninitLimit=10\nsyncLimit=5\ndataDir={place / 'data'}\nclientPort={ports[n + 6]}\n"
                "clientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n"
                f"extendedTypesEnabled=true\n4lw.commands.whitelist=*\n{servers}")
            self.members.append(Member(program, place, ports[n + 6]))
        self.connect = ",".join(f"127.0.0.1:{member.port}" for member in self.members)

    def start(self):
        for member in self.members:
            member.start()
        self.wait_until_all_serve()

    def wait_until(self, what, holds):
        until = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > until:
                raise Failed(f"waited in vain until {what}")
            time.sleep(0.05)

    def wait_until_all_serve(self):
        self.wait_until("every member serves", lambda: all(member.mode() for member in self.members))

    def replace_leader(self):
        """kill -9 of the leader; it comes back once the others have another."""
        leader = next((member for member in self.members if member.mode() == "leader"), None)
        if leader is None:
            raise Failed("nobody leads")
        began = time.monotonic()
        leader.kill()
        self.wait_until("another leads", lambda: any(member.mode() == "leader" for member in self.members))
        print(f"  the leader was killed; another serves after {time.monotonic() - began:.1f} s", flush=True)
        leader.start()
        self.wait_until_all_serve()

    def stop(self):
        for member in self.members:
            member.kill()

    def logs(self):
        for member in self.members:
            lines = (member.directory / "log.txt").read_text(errors="replace").splitlines()
            print("\n".join([f"--- the end of {member.directory.name}'s log"] + lines[-20:]), file=sys.stderr)


def converse(command, ensemble, environment=None):
    """Runs a program to its end and does what it asks for."""
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        for line in program.stdout:
            if line.strip() == "kill the leader":
                ensemble.replace_leader()
                program.stdin.write("\n")
                program.stdin.flush()
            else:
                print(f"  {line.rstrip()}", flush=True)
        if program.wait(timeout=PATIENCE) != 0:
            raise Failed(f"{command[0]} ended with {program.returncode}")
    finally:
        if program.poll() is None:
            program.kill()
            program.wait()


def compiled(source, jars, out, *others):
    """The class path with what was compiled of Java sources."""
    out.mkdir(exist_ok=True)
    path = f"{jars}/*"
    subprocess.run(["javac", "-nowarn", "-cp", path, "-d", out, source, *others], check=True)
    return f"{out}:{path}:{HERE / 'java'}"


def java(main, class_path, *arguments):
    # Hadoop looks into what Java closes.
    opens = [f"--add-opens=java.base/{it}=ALL-UNNAMED" for it in ("java.lang", "java.lang.reflect", "java.nio", "sun.nio.ch")]
    return ["java", *opens, "-Xmx800m", "-XX:TieredStopAtLevel=1", "-cp", class_path, main, *arguments]


def recipes(ensemble, jars, scratch):
    converse(java("Recipes", compiled(HERE / "java" / "Recipes.java", jars, scratch / "recipes"), ensemble.connect), ensemble)


def c(ensemble, jars, scratch):
    program = scratch / "client"
    subprocess.run(["cc", "-Wall", "-Werror", "-O1", "-o", program, HERE / "c" / "client.c", "-lzookeeper_mt", "-lpthread"],
                   check=True)
    converse([program, ensemble.connect], ensemble)


def application(name):
    """One of the applications that share java/Program.java."""
    def run(ensemble, jars, scratch):
        class_path = compiled(HERE / "java" / f"{name}.java", jars, scratch / "classes", HERE / "java" / "Program.java")
        converse(java(name, class_path, ensemble.connect, str(scratch / "application")), ensemble)
    return run


PROGRAMS = {"recipes": recipes, "c": c, "kafka": application("Kafka"), "bookkeeper": application("BookKeeper"),
            "solr": application("Solr"), "hbase": application("HBase")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jars", required=True, help="the directory of the jars that pom.xml names")
    parser.add_argument("server", help="the server's program")
    parser.add_argument("programs", nargs="*", default=["recipes", "c"], help="which of: " + ", ".join(PROGRAMS))
    options = parser.parse_args()
    unknown = [name for name in options.programs if name not in PROGRAMS]
    if unknown:
        parser.error(f"there is no {unknown[0]}")
    memory = pathlib.Path("/dev/shm")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="applications-", dir=memory if memory.is_dir() else None))
    failed = []
    try:
        for name in options.programs:
            print(f"{name}:", flush=True)
            began = time.monotonic()
            place = scratch / name
            place.mkdir()
            ensemble = Ensemble(os.path.abspath(options.server), place)
            try:
                ensemble.start()
                PROGRAMS[name](ensemble, options.jars, place)
                print(f"  passed in {time.monotonic() - began:.1f} s", flush=True)
            except (Failed, subprocess.SubprocessError) as error:
                print(f"  FAILED: {error}", flush=True)
                ensemble.logs()
                failed.append(name)
            finally:
                ensemble.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{len(options.programs) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
