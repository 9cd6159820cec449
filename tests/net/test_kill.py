#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL at random moments: what was acknowledged is kept, what is ours goes away, what is not ours stays.

The moments come from a seed (BOP_TEST_SEED, else 1). Acknowledgements are written down by a preloaded library
(acks.c) before the agent hears of them.
"""
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

# The links that look like ours stand in a network namespace of this test, where bop and tfj then have their home.
if "BOP_TEST_INSIDE" not in os.environ:
    os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], {**os.environ, "BOP_TEST_INSIDE": "1"})
from harness import (BOP, OUT, ROOT, SOAK, TFJ, Running, Skip, agent_of, bop, cgroup_mounts,  # noqa: E402
                     children, command, equal, example, experiment, kill_quietly, leftovers, nothing_left, run_tests,
                     scratch, store, true, wait_for)

KILLS = 100 if SOAK else 10
TRAFFIC = f"""experiment: traffic
boxes: [s, c]
path: [{OUT}/examples/client-server]
processes:
  - {{name: server, box: s, run: [server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: client, box: c, run: [client, client, s, "7000", "4", "20000"]}}
timeout: 1m
"""


class Foreign:
    """Things that look like ours and are not. Their names say so to the other tests (harness.py)."""

    def __init__(self):
        self.space = f"bop-not-ours-{os.getpid()}"
        self.links = ("bop0", "port1")
        base = os.environ.get("BOP_TMPDIR", "/tmp")
        others = os.path.join(base, f"bop.run.{os.getpid():016x}")
        self.folders = [os.path.join(base, "bop.run.not-ours"), os.path.join(base, "bop.not-ours"), others]
        if not cgroup_mounts():
            raise Skip("no cgroup v2 is mounted")
        mount = cgroup_mounts()[0]
        self.cgroups = [os.path.join(mount, f"bop.{kind}{os.getpid()}") for kind in ("not-ours", "run.not-ours")]
        for folder in self.folders:
            os.mkdir(folder)
            with open(os.path.join(folder, "file"), "w", encoding="ascii") as f:
                f.write("not yours\n")
        os.chown(others, 65534, 65534)
        for cgroup in self.cgroups:
            os.mkdir(cgroup)
        self.sleeper = subprocess.Popen(["sleep", "100000"])
        with open(os.path.join(self.cgroups[0], "cgroup.procs"), "w", encoding="ascii") as f:
            f.write(str(self.sleeper.pid))
        command("ip", "netns", "add", self.space)
        command("ip", "link", "add", self.links[0], "type", "veth", "peer", "name", self.links[1])
        command("tc", "qdisc", "add", "dev", self.links[0], "clsact")
        self.before = self.state()

    def state(self):
        """Everything of it, as far as it can be seen."""
        files = [(path, open(os.path.join(path, "file"), encoding="ascii").read(), os.stat(path).st_uid)
                 for path in self.folders if os.path.isdir(path)]
        links = [command("ip", "-o", "link", "show", "dev", link, status=None).out for link in self.links]
        return {"files": files, "cgroups": [os.path.isdir(path) for path in self.cgroups], "links": links,
                "sleeper": self.sleeper.poll(), "qdisc": "clsact" in command("tc", "qdisc", "show", "dev", self.links[0]).out,
                "space": self.space in command("ip", "netns", "list").out}

    def remove(self):
        command("ip", "netns", "delete", self.space, status=None)
        command("ip", "link", "delete", self.links[0], status=None)
        self.sleeper.kill()
        self.sleeper.wait()
        for cgroup in self.cgroups:
            wait_for("the cgroup to be empty", lambda path=cgroup: remove_cgroup(path))
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def remove_cgroup(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def preload():
    """The library that writes acknowledgements down."""
    library = os.path.join(scratch(), "acks.so")
    command(os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", library,
            os.path.join(ROOT, "tests/net/acks.c"), "-ldl")
    return library


def acknowledged(path):
    """{run: highest number that the agent was told to be on disk}"""
    found = {}
    if os.path.exists(path):
        with open(path, encoding="ascii") as f:
            for line in f:
                run, number = map(int, line.split())
                found[run] = max(number, found.get(run, 0))
    return found


def kept(at):
    """{run: numbers of the batches in the store}, none if bop was killed before it had made the tables"""
    found = {}
    if os.path.exists(at):
        with sqlite3.connect(f"file:{at}?mode=rw", uri=True) as db:
            made = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'batch'").fetchone()[0]
            for run, number in db.execute("SELECT run, number FROM batch ORDER BY run, stream, number") if made else ():
                found.setdefault(run, []).append(number)
        db.close()
    return found


def kill_once(path, library, victim, late, delay):
    """Runs, kills after the delay, counted from the first acknowledgement if it is to be late, else from the start."""
    before, at = leftovers(), store()
    acks = os.path.join(os.path.dirname(at), "acks")
    running = Running(BOP, "run", path, "--store", at,
                      env={**os.environ, "LD_PRELOAD": library, "BOP_TEST_ACKS": acks})
    agent = wait_for("the agent", lambda: agent_of(running.pid) or running.process.poll() is not None)
    true(agent is not True, f"bop ended by itself: {running.result()}")
    if late:
        wait_for("an acknowledgement", lambda: os.path.exists(acks) or running.process.poll() is not None)
    try:
        running.process.wait(delay)
    except subprocess.TimeoutExpired:
        pass
    ended = running.process.poll() is not None
    kill_quietly(running.pid if victim == "bop" else agent, signal.SIGKILL)
    result = running.end()
    if not ended:
        ended = victim == "tfj" and result.status == 0  # the run was over when it was killed
    equal(result.status, 0 if ended else {"bop": -9, "tfj": 3}[victim], f"exit status of {result}")
    return before, at, acks, ended


def check_after(before, at, acks, ended, cleaner):
    """What must hold when the dust has settled."""
    if cleaner == "tfj clean":
        command(TFJ, "clean")
    else:
        bop("run", experiment("experiment: next\nboxes: [a]\nworkload: {name: w, box: a, run: ['true']}\n"),
            "--store", at)
    nothing_left(before)
    batches, promised = kept(at), acknowledged(acks)
    for run, number in promised.items():
        have = batches.get(run, [])
        equal(have[:number], list(range(1, number + 1)), f"batches kept of {number} acknowledged ones")
    rows = bop("runs", "--json", "--store", at, status=None) if os.path.exists(at) else None
    for row in rows.json()["runs"] if rows and rows.status == 0 else ():
        if row["experiment"] == "traffic":
            equal(row["incomplete"], not ended, f"incomplete of {row}")
        run = bop("show", row["run"], "--json", "--store", at).json()
        sends = [v["label"] for v in run["vertices"] if v["kind"] == "send"]
        equal(len(sends), len(set(sends)), "messages that count once")
    if rows and rows.status:
        equal(batches, {}, f"batches in a store of which bop says {rows}")
    return sum(promised.values())


def test_kill():
    """10 random SIGKILLs (100 in make soak) of bop and tfj: acknowledged is kept once, incomplete is said, ours is gone, others' stays"""
    rng = random.Random(os.environ.get("BOP_TEST_SEED", "1"))
    foreign, library, path, total, cut = Foreign(), preload(), experiment(TRAFFIC), 0, 0
    try:
        for i in range(KILLS):
            victim, late, delay = rng.choice(["bop", "tfj"]), i % 4 > 1, rng.uniform(0, 1)
            cleaner = ["tfj clean", "next start"][i % 2]
            try:
                before, at, acks, ended = kill_once(path, library, victim, late, delay)
                cut += not ended
                total += check_after(before, at, acks, ended, cleaner)
                equal(foreign.state(), foreign.before, "what is not ours")
            except AssertionError as e:
                raise AssertionError(f"kill {i}, {victim} {'late, ' if late else ''}after {delay:.3f} s, then {cleaner}: {e}") from e
        true(cut >= KILLS / 2, f"only {cut} runs were still going on")
        true(total > 0, "nothing was ever acknowledged")
    finally:
        foreign.remove()


def test_kill_both():
    """bop and tfj killed together: the next start sweeps what they left"""
    before, at = leftovers(), store()
    marker = os.path.join(scratch(0o777), "marker")
    path = experiment("experiment: both\nboxes: [a]\ntimeout: 10m\nworkload: {name: w, box: a, run: [sh, -c, "
                      f"'setsid sleep 1000 & echo >{marker}; sleep 1000']}}\n")
    running = Running(BOP, "run", path, "--store", at)
    wait_for("the workload", lambda: os.path.exists(marker))
    agent = agent_of(running.pid)
    os.kill(agent, signal.SIGSTOP)
    os.kill(running.pid, signal.SIGKILL)
    os.kill(agent, signal.SIGKILL)
    running.end()
    wait_for("the agent to be gone", lambda: not os.path.exists(f"/proc/{agent}"))
    bop("run", example("client-server"), "--store", at)
    nothing_left(before)
    rows = bop("runs", "--json", "--store", at).json()["runs"]
    equal([r["incomplete"] for r in rows], [True, False], "incomplete")


def test_clean_spares_the_living():
    """tfj clean beside a living run takes nothing from it"""
    before, at = leftovers(), store()
    running = Running(BOP, "run", experiment(TRAFFIC), "--store", at)
    wait_for("the programs", lambda: agent_of(running.pid) and children(agent_of(running.pid)))
    deadline = time.monotonic() + 60
    while running.process.poll() is None and time.monotonic() < deadline:
        command(TFJ, "clean")
    equal(running.end().status, 0, "exit status")
    nothing_left(before)


def test_clean_twice():
    """tfj clean with nothing to clean says so and succeeds"""
    result = command(TFJ, "clean")
    true(result.out.strip() or result.err.strip(), "it says nothing")


sys.exit(run_tests(test_kill, test_kill_both, test_clean_spares_the_living, test_clean_twice))
