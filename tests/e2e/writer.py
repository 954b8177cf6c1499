"""A client that remembers what it was promised, and a reader that checks every promise.

    writer.py write  --hosts H --journal F --root /R   write until SIGTERM, or --count operations
    writer.py verify --journal F --member NAME=HOST:PORT ...
    writer.py read   --hosts H /path                   print a node's data, or its children

`write` appends one JSON line per fact to the journal and flushes each. An
acknowledged write is recorded with its zxid; a write whose connection was lost
is recorded as unknown: it may or may not exist, and is never tried again under
the same name, so no retry can hide a loss. `verify` reads the journal and asks
every member by itself, after a sync. It may run while the writer does.

What proves that nothing was lost:
- a created node exists with the czxid and the data of its acknowledgement, and a
  deleted one does not;
- each acknowledged set of a key has a version of its own, and later ones have
  higher zxids: a lost set would give its version to the next one;
- the key's last version is at least the last acknowledged one, and has its data
  and mzxid where it is the same.

Needs kazoo 2.11; its automatic retries are for connecting only.
"""

import argparse
import json
import signal
import sys
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NoNodeError,
    OperationTimeoutError,
    SessionExpiredError,
)

# The outcome of these is not known: the request may have been carried out.
UNKNOWN = (ConnectionLoss, ConnectionClosedError, OperationTimeoutError, SessionExpiredError)
KEYS = 16
# A node is deleted when this many newer operations have been issued.
DELETE_AFTER = 96
# One in so many operations is of the kind; the rest set keys.
EACH = 12
READS_AT_ONCE = 400
FAULTS_SHOWN = 25


def client(hosts, session_timeout):
    # Patience without end, and never more than half a second between attempts: a gap in
    # the service must be the service's, not the client's.
    retry = {"max_tries": -1, "delay": 0.1, "backoff": 1.5, "max_delay": 0.5, "max_jitter": 0.1}
    return KazooClient(hosts, timeout=session_timeout, connection_retry=retry)


def payload(sequence, path):
    return f"{sequence}:{path}:".ljust(100, "x").encode()


class Journal:
    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def tell(self, event, **facts):
        line = json.dumps({"e": event, "t": time.time(), **facts}) + "\n"
        with self.lock:
            self.file.write(line)
            self.file.flush()


class Writer:
    def __init__(self, arguments):
        self.arguments = arguments
        self.root = arguments.root.rstrip("/")
        self.journal = Journal(arguments.journal)
        self.connected = threading.Event()
        self.stop = threading.Event()
        self.window = threading.Semaphore(arguments.window)
        self.lock = threading.Lock()
        self.acknowledged = 0
        self.deletable = []

    def run(self):
        arguments = self.arguments
        self.zk = client(arguments.hosts, arguments.session_timeout)
        self.zk.add_listener(self.on_state)
        self.zk.start(timeout=60)
        for path in [self.root, f"{self.root}/c", f"{self.root}/s"]:
            self.zk.ensure_path(path)
        for key in range(KEYS):
            self.zk.ensure_path(f"{self.root}/k{key:02}")
        self.journal.tell("start", root=self.root, keys=KEYS)
        living = self.live() if arguments.living else None
        sequence = 0
        interval = 1.0 / arguments.rate if arguments.rate else 0.0
        due = time.monotonic()
        while not self.stop.is_set() and self.more():
            if not self.connected.wait(0.2):
                continue
            if not self.window.acquire(timeout=0.2):
                continue
            sequence += 1
            self.issue(sequence)
            due = max(due + interval, time.monotonic() - 0.05)
            self.stop.wait(max(0.0, due - time.monotonic()))
        # Answers are waited for; what does not come becomes unknown when the session is closed.
        drained = sum(self.window.acquire(timeout=5) for _ in range(arguments.window))
        self.zk.stop()
        self.zk.close()
        drained += sum(self.window.acquire(timeout=5) for _ in range(arguments.window - drained))
        if drained < arguments.window:
            self.journal.tell("undrained", missing=arguments.window - drained)
        self.journal.tell("stopped", issued=sequence)
        if living is not None:
            # Its ephemeral node stays until the verification is over: the session is left
            # to expire by itself, as closing it would delete the node.
            self.journal.tell("living-left")
            if arguments.linger:
                signal.pause()

    def more(self):
        count = self.arguments.count
        return not count or self.acknowledged < count

    def on_state(self, state):
        self.journal.tell("state", state=str(state))
        if state == KazooState.CONNECTED:
            self.connected.set()
        else:
            self.connected.clear()

    def live(self):
        """A second session, which holds an ephemeral node and must never expire."""
        zk = client(self.arguments.hosts, self.arguments.living)
        path = f"{self.root}/living"

        def on_state(state):
            self.journal.tell("living-state", state=str(state))

        zk.add_listener(on_state)
        zk.start(timeout=60)
        _, stat = zk.create(path, b"living", ephemeral=True, include_data=True)
        session = zk.client_id[0]
        self.journal.tell("living", path="living", session=hex(session), zxid=hex(stat.czxid))
        return zk

    def issue(self, sequence):
        kind = sequence % EACH
        if kind == 0:
            path = f"c/n{sequence:09}"
            done = self.zk.create_async(
                f"{self.root}/{path}", payload(sequence, path), include_data=True
            )
            facts = {"op": "create", "path": path}
        elif kind == 1:
            path = "s/i-"
            done = self.zk.create_async(
                f"{self.root}/{path}", payload(sequence, path), sequence=True, include_data=True
            )
            facts = {"op": "sequential", "path": path}
        elif kind == 2 and (path := self.oldest_deletable(sequence)):
            # Told beforehand, so that a verification under way does not miss the node.
            self.journal.tell("deleting", path=path)
            done = self.zk.delete_async(f"{self.root}/{path}")
            facts = {"op": "delete", "path": path}
        else:
            path = f"k{sequence % KEYS:02}"
            done = self.zk.set_async(f"{self.root}/{path}", payload(sequence, path))
            facts = {"op": "set", "path": path}
        done.rawlink(lambda answer: self.answered(sequence, facts, answer))

    def oldest_deletable(self, sequence):
        with self.lock:
            if self.deletable and self.deletable[0][0] + DELETE_AFTER < sequence:
                return self.deletable.pop(0)[1]
        return None

    def answered(self, sequence, facts, answer):
        try:
            value = answer.get(block=False)
        except UNKNOWN as error:
            self.journal.tell("unknown", seq=sequence, why=type(error).__name__, **facts)
        except KazooException as error:
            # A node that must exist and does not, or the other way round.
            self.journal.tell("contradiction", seq=sequence, why=type(error).__name__, **facts)
        else:
            self.acknowledge(sequence, facts, value)
        finally:
            self.window.release()

    def acknowledge(self, sequence, facts, value):
        op = facts["op"]
        if op == "set":
            facts |= {"version": value.version, "zxid": hex(value.mzxid)}
        elif op in ("create", "sequential"):
            path, stat = value
            facts |= {"path": path.removeprefix(self.root + "/"), "zxid": hex(stat.czxid)}
        self.journal.tell("ack", seq=sequence, **facts)
        with self.lock:
            self.acknowledged += 1
            # Half of the created nodes stay for good.
            if op == "create" and sequence % (2 * EACH) == 0:
                self.deletable.append((sequence, facts["path"]))


class Promises:
    """What a journal says must hold."""

    def __init__(self, path):
        self.path = path
        self.faults = []
        self.root = None
        self.created = {}  # path -> (zxid, data)
        self.may_exist = set()
        self.unknown_items = set()  # data of sequential creates with unknown outcome
        self.gone = set()
        self.deleting = set()
        self.sets = {}  # key -> last acknowledged (version, zxid, data, seq)
        self.unknown_sets = {}  # key -> data of sets with unknown outcome
        self.versions = {}  # key -> how many sets were acknowledged
        self.living = None
        self.acknowledged = self.unknown = 0
        self.zxids = {}  # in the order of issue, which is a session's order of execution
        self.stopped = False
        self.read()
        self.judge_order()

    def read(self):
        with open(self.path, "rb") as file:
            text = file.read()
        # The writer may be in the middle of its last line.
        whole = text.rfind(b"\n") + 1
        for line in text[:whole].splitlines():
            self.fact(json.loads(line))

    def judge_order(self):
        last = (0, 0)
        for sequence, zxid in sorted(self.zxids.items()):
            if zxid <= last[1]:
                self.faults.append(
                    f"operation {sequence} has zxid {zxid:#x}, the earlier {last[0]} has {last[1]:#x}"
                )
            last = (sequence, zxid)

    def fact(self, fact):
        event = fact["e"]
        if event == "start":
            self.root = fact["root"]
        elif event == "ack":
            self.acknowledged += 1
            self.ack(fact)
        elif event == "unknown":
            self.unknown += 1
            data = payload(fact["seq"], fact["path"])
            if fact["op"] == "create":
                self.may_exist.add(fact["path"])
            elif fact["op"] == "sequential":
                self.unknown_items.add(data)
            elif fact["op"] == "set":
                self.unknown_sets.setdefault(fact["path"], set()).add(data)
        elif event == "deleting":
            self.deleting.add(fact["path"])
        elif event == "living":
            self.living = fact
        elif event == "living-state" and fact["state"] == KazooState.LOST and self.living:
            self.faults.append(f"the session {self.living['session']} that was kept alive was lost")
        elif event == "contradiction":
            self.faults.append(f"{fact['op']} {fact['path']} was answered with {fact['why']}")
        elif event == "stopped":
            self.stopped = True
        elif event == "undrained":
            self.faults.append(f"{fact['missing']} requests were never answered")

    def ack(self, fact):
        op, path, sequence = fact["op"], fact["path"], fact["seq"]
        if op == "delete":
            self.gone.add(path)
            return
        zxid = int(fact["zxid"], 16)
        self.zxids[sequence] = zxid
        if op == "set":
            version = fact["version"]
            before = self.sets.get(path)
            if before and version <= before[0]:
                self.faults.append(
                    f"set {path} got version {version} twice: an acknowledged set was lost"
                )
            self.sets[path] = (version, zxid, payload(sequence, path), sequence)
            self.versions[path] = self.versions.get(path, 0) + 1
        else:
            if path in self.created:
                self.faults.append(f"{op} {path} was acknowledged twice: the first one was lost")
            asked = path if op == "create" else "s/i-"
            self.created[path] = (zxid, payload(sequence, asked))


class Member:
    """One member's own view, after a sync."""

    def __init__(self, name, address, promises, tail):
        self.name, self.promises, self.tail = name, promises, tail
        self.faults = []
        self.nodes = {}  # path -> (data, stat)
        self.zk = client(address, 15)

    def fault(self, text):
        self.faults.append(f"{self.name}: {text}")

    def check(self):
        try:
            self.zk.start(timeout=20)
            self.zk.sync(self.promises.root)
            self.look()
        except Exception as error:  # noqa: BLE001 - whatever it is, the member failed the check
            self.fault(f"cannot be read: {type(error).__name__} {error}")
        finally:
            self.zk.stop()
            self.zk.close()

    def look(self):
        promises = self.promises
        self.names = set()
        for folder in "cs":
            children = self.zk.get_children(f"{promises.root}/{folder}")
            self.names.update(f"{folder}/{child}" for child in children)
        wanted = list(promises.created)
        if self.tail is not None:
            wanted = wanted[max(0, len(wanted) - self.tail) :]
        wanted = [path for path in wanted if path in self.names]
        if self.tail is None:
            wanted += sorted(self.names - set(wanted))
        wanted += list(promises.sets)
        if promises.living:
            wanted.append(promises.living["path"])
        for start in range(0, len(wanted), READS_AT_ONCE):
            part = wanted[start : start + READS_AT_ONCE]
            answers = [self.zk.get_async(f"{promises.root}/{path}") for path in part]
            for path, answer in zip(part, answers):
                try:
                    self.nodes[path] = answer.get(timeout=30)
                except NoNodeError:
                    self.names.discard(path)

    def judge(self):
        promises = self.promises
        for path, (zxid, data) in promises.created.items():
            if path in promises.deleting:
                continue
            if path not in self.names:
                self.fault(f"{path} (zxid {zxid:#x}) was acknowledged and is missing")
            elif path in self.nodes:
                found, stat = self.nodes[path]
                if found != data or stat.czxid != zxid:
                    self.fault(f"{path} has czxid {stat.czxid:#x} and {found[:40]}, not {zxid:#x} and {data[:40]}")
        for path in promises.gone & self.names:
            self.fault(f"{path} is back: its delete was acknowledged")
        if promises.stopped:
            for path in sorted(self.names - promises.created.keys() - promises.may_exist):
                data = self.nodes[path][0] if path in self.nodes else b""
                if data not in promises.unknown_items:
                    self.fault(f"{path} exists and nobody created it")
        self.judge_sets()
        if promises.living:
            path, session = promises.living["path"], int(promises.living["session"], 16)
            if path not in self.nodes:
                self.fault("the ephemeral node of the living session is gone")
            else:
                stat = self.nodes[path][1]
                if stat.ephemeralOwner != session:
                    self.fault(f"{path} belongs to session {stat.ephemeralOwner:#x}, not {session:#x}")
                if stat.czxid != int(promises.living["zxid"], 16):
                    self.fault(f"{path} was made again: czxid {stat.czxid:#x}")

    def judge_sets(self):
        promises = self.promises
        for key, (version, zxid, data, sequence) in promises.before_sets.items():
            if key not in self.nodes:
                self.fault(f"{key} is missing")
                continue
            found, stat = self.nodes[key]
            if stat.version < version:
                self.fault(f"{key} has version {stat.version}, {version} was acknowledged")
            elif stat.version == version:
                if found != data or stat.mzxid != zxid:
                    self.fault(f"{key} version {version} has mzxid {stat.mzxid:#x} and {found[:40]}, not {zxid:#x} and {data[:40]}")
            elif int(found.split(b":")[0]) <= sequence:
                self.fault(f"{key} version {stat.version} has older data than version {version}")
            elif promises.stopped and found not in promises.unknown_sets.get(key, ()):
                self.fault(f"{key} version {stat.version} has data that was never acknowledged")
            if promises.stopped:
                most = promises.versions[key] + len(promises.unknown_sets.get(key, ()))
                if stat.version > most:
                    self.fault(f"{key} has version {stat.version} after at most {most} sets")


def verify(arguments):
    promises = Promises(arguments.journal)
    if promises.root is None:
        sys.exit("the journal has no start: the writer never connected")
    promises.before_sets = dict(promises.sets)
    members = []
    for member in arguments.member:
        name, address = member.split("=", 1)
        members.append(Member(name, address, promises, arguments.tail))
    threads = [threading.Thread(target=member.check) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acknowledged = promises.acknowledged
    if not promises.stopped:
        # What was promised when the reading began must hold, but for what was deleted since.
        now = Promises(arguments.journal)
        promises.deleting = now.deleting
    faults = list(promises.faults)
    for member in members:
        if not member.faults:
            member.judge()
        faults += member.faults
    if promises.stopped and not faults:
        faults += differences(members)
    for fault in faults[:FAULTS_SHOWN]:
        print(fault, file=sys.stderr)
    if faults:
        sys.exit(f"{len(faults)} faults; {acknowledged} writes were acknowledged")
    print(
        json.dumps(
            {
                "acknowledged": acknowledged,
                "unknown": promises.unknown,
                "nodes": len(members[0].names) + len(promises.sets),
                "members": len(members),
            }
        )
    )


def differences(members):
    """Where two members give different data or another Stat for a node."""
    first, *others = members
    for other in others:
        for path in sorted(first.nodes.keys() | other.nodes.keys()):
            left, right = first.nodes.get(path), other.nodes.get(path)
            if left != right:
                yield f"{path}: {first.name} has {left}, {other.name} has {right}"


def read(arguments):
    zk = client(arguments.hosts, 10)
    zk.start(timeout=20)
    try:
        zk.sync(arguments.path)
        data, stat = zk.get(arguments.path)
        children = zk.get_children(arguments.path)
        print(json.dumps({"data": data.decode(errors="replace"), "stat": stat._asdict(), "children": children}))
    finally:
        zk.stop()
        zk.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    write = commands.add_parser("write", help="write and keep a journal")
    write.add_argument("--hosts", required=True)
    write.add_argument("--journal", required=True)
    write.add_argument("--root", required=True)
    write.add_argument("--session-timeout", type=float, default=6.0, help="seconds")
    write.add_argument("--rate", type=float, default=0.0, help="operations per second; 0: as many as go")
    write.add_argument("--window", type=int, default=8, help="requests under way at once")
    write.add_argument("--count", type=int, default=0, help="stop after so many acknowledgements")
    write.add_argument("--living", type=float, default=0.0, help="session timeout of an ephemeral's holder")
    write.add_argument("--linger", action="store_true", help="keep that session after the last write")
    write.set_defaults(action="write")
    check = commands.add_parser("verify", help="check a journal against every member")
    check.add_argument("--journal", required=True)
    check.add_argument("--member", action="append", required=True)
    check.add_argument("--tail", type=int, help="read the data of only so many of the latest nodes")
    check.set_defaults(action="verify")
    look = commands.add_parser("read", help="print a node")
    look.add_argument("--hosts", required=True)
    look.add_argument("path")
    look.set_defaults(action="read")
    arguments = parser.parse_args()
    if arguments.action == "write":
        writer = Writer(arguments)
        signal.signal(signal.SIGTERM, lambda *_: writer.stop.set())
        writer.run()
    elif arguments.action == "verify":
        verify(arguments)
    else:
        read(arguments)


if __name__ == "__main__":
    main()
