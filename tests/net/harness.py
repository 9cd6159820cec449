# SPDX-License-Identifier: GPL-3.0-or-later
"""What the end-to-end tests share: TAP, running bop, and looking for what is left behind.

O is the build folder (default build). Each test is a function whose docstring is its specification.
"""
import atexit
import fcntl
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
OUT = os.path.realpath(os.path.join(ROOT, os.environ.get("O", "build")))
BOP = os.path.join(OUT, "bop")
TFJ = os.path.join(OUT, "tfj")
SHORT = bool(os.environ.get("BOP_TEST_SHORT"))
SOAK = bool(os.environ.get("BOP_TEST_SOAK"))  # the full matrix, not a sample of it
WAIT = 60  # seconds after which something that should happen has not happened


class Skip(Exception):
    """This cannot be tested here; the text says why."""


def run_tests(*tests):
    """Runs the tests in order, prints TAP, returns what the program should exit with."""
    failed = 0
    for number, test in enumerate(tests, 1):
        name = " ".join((test.__doc__ or test.__name__).split())
        try:
            test()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            sys.stdout.flush()
    print(f"1..{len(tests)}")
    return 1 if failed else 0


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def scratch(mode=0o700):
    """A folder that goes away with the test program."""
    path = tempfile.mkdtemp(prefix="bop-net-test-")
    os.chmod(path, mode)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


# Folders of runs go where no other test, and nobody else, has theirs.
os.environ.setdefault("BOP_TMPDIR", scratch(0o755))


def store():
    return os.path.join(scratch(), "runs.db")


def example(folder, file="experiment.yaml"):
    """An example as it is in the project, with programs from this build folder."""
    copy = os.path.join(scratch(0o755), folder)
    shutil.copytree(os.path.join(ROOT, "examples", folder), copy)
    path = os.path.join(copy, file)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("../../build/examples", os.path.join(OUT, "examples")))
    return path


def experiment(text, name="experiment.yaml"):
    """An experiment file with this text."""
    path = os.path.join(scratch(0o755), name)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path


class Result:
    """What a command did."""

    def __init__(self, argv, status, out, err):
        self.argv, self.status = argv, status
        self.out, self.err = out.decode(errors="replace"), err.decode(errors="replace")

    def __str__(self):
        return f"{' '.join(self.argv)} -> {self.status}\nstdout: {self.out[-2000:]}\nstderr: {self.err[-2000:]}"

    def json(self):
        return json.loads(self.out)

    def jsons(self):
        """One object a line."""
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]


def command(*argv, status=0, timeout=300, **kwargs):
    """Runs it to its end. status None: any."""
    argv = kept(argv)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
                          check=False, **kwargs)
    result = Result(argv, done.returncode, done.stdout, done.stderr)
    if status is not None and result.status != status:
        raise AssertionError(f"wanted exit status {status}: {result}")
    return result


def kept(argv):
    """The same command, but each run keeps its events, unless the test says what is kept: a test that looks at two runs is not to
    see one of them twice."""
    argv = [str(a) for a in argv]
    for at in range(len(argv) - 1):
        if argv[at] == BOP and argv[at + 1] in ("run", "replay") and not any(a.startswith("--keep=") or a == "--keep" for a in argv):
            return argv[:at + 2] + ["--keep", "all"] + argv[at + 2:]
    return argv


def bop(*argv, **kwargs):
    return command(BOP, *argv, **kwargs)


def show(run, at):
    return bop("show", run, "--json", "--store", at).json()


class Running:
    """A command that runs, for tests that do something to it meanwhile."""

    def __init__(self, *argv, **kwargs):
        self.argv = kept(argv)
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        for f in (self.out, self.err):  # result() moves the place in the file that the program shares
            fcntl.fcntl(f, fcntl.F_SETFL, os.O_APPEND)
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err,
                                        start_new_session=True, **kwargs)
        self.pid = self.process.pid

    def signal(self, number):
        os.kill(self.pid, number)

    def end(self, timeout=WAIT):
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running after {timeout} s: {self.result()}") from None
        return self.result()

    def result(self):
        texts = []
        for f in (self.out, self.err):
            f.seek(0)
            texts.append(f.read())
        return Result(self.argv, self.process.returncode, *texts)


def wait_for(what, condition, timeout=WAIT):
    """Waits until condition() is true and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.01)


def children(pid):
    """Direct children, of whichever thread."""
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(path, encoding="ascii") as f:
                found += [int(word) for word in f.read().split()]
        except OSError:
            pass
    return found


def program_of(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def agent_of(pid):
    """The tfj that this bop has started, None if there is none (yet)."""
    return next((child for child in children(pid) if program_of(child) == "tfj"), None)


def _locked():
    """(device, inode) of all that is locked by flock(): what belongs to somebody who lives."""
    found = set()
    with open("/proc/locks", encoding="ascii") as locks:
        for line in locks:
            words = line.split()
            if "FLOCK" in words:
                major, minor, inode = next(word for word in words if word.count(":") == 2).split(":")
                found.add((os.makedev(int(major, 16), int(minor, 16)), int(inode)))
    return found


def _lives(path, locked):
    """Is this a run's folder, or its cgroup, whose owner lives? Then another test, or user, is at work."""
    try:
        st = os.stat(path)
    except OSError:
        return True
    return (st.st_dev, st.st_ino) in locked


def is_outside(pid):
    """Is it of another test? Each has a root of cgroups of its own (tests/jobs.py)."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
        return bool(re.search(r"^0::/(\.\.|bop-test\.)", f.read(), re.M))


def _processes(locked):
    """Ours: programs of this build folder, and whatever a run has started that has no owner any more."""
    for proc in glob.glob("/proc/[0-9]*"):
        try:
            if is_outside(proc[6:]):
                continue
            exe = os.readlink(f"{proc}/exe")
            with open(f"{proc}/environ", "rb") as f:
                variables = dict(v.split(b"=", 1) for v in f.read().split(b"\0") if b"=" in v)
        except OSError:
            continue
        folder = variables.get(b"BOP_RUN_DIR")
        if exe.startswith((OUT + "/bop", OUT + "/tfj", OUT + "/examples/")) or folder and not _lives(folder, locked):
            yield f"process {proc[6:]} {exe}"


def _of_another_test(namespace):
    """Tests put their pid into the names of their namespaces (serving.py)."""
    pid = re.match(r"bopnet(\d+)", namespace)
    return bool(pid) and int(pid[1]) != os.getpid() and os.path.exists(f"/proc/{pid[1]}")


def cgroup_mounts():
    with open("/proc/mounts", encoding="utf-8") as mounts:
        return [words[1] for words in map(str.split, mounts) if words[2] == "cgroup2"]


def leftovers():
    """All that a run of ours could leave on this machine: cgroups, folders, processes, links, named namespaces."""
    locked = _locked()
    found = set(_processes(locked))
    for top in [*cgroup_mounts(), os.environ["BOP_TMPDIR"]]:
        ours = (os.path.join(top, name) for name in os.listdir(top) if name.startswith("bop."))
        found |= {path for path in ours if not _lives(path, locked)}
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=False).stdout
    found |= {f"link {re.split(': |@', line)[1]}" for line in links.splitlines()}
    spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    found |= {f"namespace {name}" for name in (line.split()[0] for line in spaces.splitlines() if line.strip())
              if not _of_another_test(name)}
    return {thing for thing in found if "not-ours" not in thing}  # test_kill.py makes those


def _describe(thing):
    """A process is worth a word about what it is waiting for."""
    text = thing
    if thing.startswith("process "):
        for name in ("status", "stack"):
            try:
                with open(f"/proc/{thing.split()[1]}/{name}", encoding="utf-8") as f:
                    text += " | " + " ".join(f.read().split())[:300]
            except OSError:
                pass
    return text


def nothing_left(before, timeout=10):
    """Nothing is there now that was not there before. What ends by itself gets a moment to do so."""
    deadline = time.monotonic() + timeout
    while True:
        left = leftovers() - before
        if not left:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"left behind: {sorted(_describe(thing) for thing in left)}")
        time.sleep(0.05)


def one_line(result, *words):
    """It refused with status 3 and one line on stderr that has the words."""
    equal(result.status, 3, f"exit status of {result}")
    lines = result.err.splitlines()
    equal(len(lines), 1, f"lines on stderr of {result}")
    for word in words:
        true(word in lines[0], f"'{word}' is not in: {lines[0]}")


def succeeds_by_rank(vertices, edges):
    """A topological order of vertex ids, or None if there is a cycle."""
    after, waiting = {}, {v["id"]: 0 for v in vertices}
    for edge in edges:
        after.setdefault(edge["from"], []).append(edge["to"])
        waiting[edge["to"]] += 1
    free = [v for v, n in waiting.items() if n == 0]
    order = []
    while free:
        vertex = free.pop()
        order.append(vertex)
        for successor in after.get(vertex, []):
            waiting[successor] -= 1
            if not waiting[successor]:
                free.append(successor)
    return order if len(order) == len(waiting) else None


def bytes_match(run):
    """What was sent was received, but for what a reader that closed its end had not read yet: the last of its direction."""
    equal((run["holes"], run["unmatched_bytes"]), ([], 0), "holes and unmatched bytes")
    closed = {(v["connection"], v["process"]) for v in run["vertices"] if v["kind"] in ("close", "reset")}
    ended = {v["process"] for v in run["vertices"] if v["kind"] == "exit" and "thread" not in (v.get("flags") or [])}
    ends = {c["label"]: (c["from"], c["to"]) for c in run["connections"]}
    unread = set()
    streams = [m for m in run["messages"] if "~" not in m["label"]]  # a datagram may get lost
    for message in sorted(streams, key=lambda m: m["number"]):
        way = (message["connection"], message["direction"])
        if way in unread:
            equal(message["received"], 0, f"bytes of {message['label']} received, behind others that were not")
        if message["received"] == message["bytes"]:
            continue
        reader = ends[message["connection"]][message["direction"] == ">"]
        true((message["connection"], reader) in closed or reader in ended,
             f"{message} was not received, and {reader} had not closed its end")
        unread.add(way)


def kill_quietly(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
