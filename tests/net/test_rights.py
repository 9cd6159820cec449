#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent keeps the capabilities that it says it needs, and no other; programs in boxes have their user's."""
import os
import re
import sys

from harness import (BOP, OUT, TFJ, Running, agent_of, bop, command, equal, experiment, is_outside, kill_quietly, leftovers,
                     nothing_left, one_line, run_tests, scratch, store, true, wait_for)

ASLEEP = """experiment: asleep
boxes: [a]
processes: [{name: mine, box: a, run: [sleep, '1000']}, {name: other, box: a, user: nobody, run: [sleep, '1001']}]
workload: {name: w, box: a, run: [sleep, '1002']}
"""


def needed():
    """The names that tfj probe lists, without CAP_ and in lower case."""
    return [right["name"][4:].lower() for right in command(TFJ, "probe", "--json").json()["rights"]]


def numbers():
    """{name: number} of all capabilities that setpriv knows."""
    return {name: i for i, name in enumerate(command("setpriv", "--list-caps").out.split())}


def sets_of(path):
    with open(f"{path}/status", encoding="ascii") as f:
        return {key: int(value, 16) for key, value in re.findall(r"^Cap(\w+):\s+(\w+)$", f.read(), re.M)}


def named(word):
    """The process whose last argument is that."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if is_outside(pid):
                continue
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().endswith(f"sleep\0{word}\0".encode()):
                    return pid
        except OSError:
            pass
    return None


def test_kept():
    """a running agent has in effect what tfj probe lists, its other threads nothing; programs have the usual rights"""
    before, numbered = leftovers(), numbers()
    mask = sum(1 << numbered[name] for name in needed())
    mine = sets_of("/proc/self")
    running = Running(BOP, "run", experiment(ASLEEP), "--store", store())
    try:
        wait_for("the workload", lambda: named("1002"))
        agent = agent_of(running.pid)
        tasks = {task: sets_of(f"/proc/{agent}/task/{task}") for task in os.listdir(f"/proc/{agent}/task")}
        true(len(tasks) > 1, f"only one thread: {tasks}")
        for task, sets in tasks.items():
            if int(task) == agent:
                equal(sets["Eff"], mask, "in effect")
                true(mask != mine["Eff"], "the test has no more rights than the agent needs")
            else:
                equal((sets["Eff"], sets["Prm"]), (0, 0), f"of thread {task}")
            equal((sets["Inh"], sets["Amb"]), (0, 0), "inheritable and ambient")
        for word in ("1000", "1002"):
            equal(sets_of(f"/proc/{named(word)}"), mine, "of root's program")
        other = sets_of(f"/proc/{named('1001')}")
        equal((other["Eff"], other["Prm"], other["Bnd"]), (0, 0, mine["Bnd"]), "of nobody's program")
    finally:
        kill_quietly(running.pid, 2)
        running.end()
    nothing_left(before)


def test_exactly():
    """with exactly those it works, for programs of other users, too"""
    before = leftovers()
    text = ("experiment: few\nboxes: [a, b]\n"
            f"path: [{OUT}/examples/client-server]\n"
            "processes: [{name: s, box: a, user: nobody, run: [server, '7000'], ready: {listen: 7000}}]\n"
            "workload: {name: c, box: b, run: [client, client, a, '7000', '1', '10']}\n")
    bounds = "-all," + ",".join(f"+{name}" for name in needed())
    at = store()
    command("setpriv", "--bounding-set", bounds, "--inh-caps", "-all", BOP, "run", experiment(text), "--store", at)
    equal(bop("show", "last", "--json", "--store", at).json()["lost"], 0, "lost")
    nothing_left(before)


def test_missing():
    """without one of them it says which, in one line"""
    for name in needed():
        result = command("setpriv", "--bounding-set", f"-{name}", TFJ, "--collector", f"ipc://{scratch()}/none", status=None)
        one_line(result, f"CAP_{name.upper()} (")
        true(result.err.count("CAP_") == 1, f"names more than what is missing: {result}")
    probed = command("setpriv", "--bounding-set", "-kill", TFJ, "probe").out
    true(re.search("CAP_KILL +no ", probed) and re.search("CAP_CHOWN +yes ", probed), f"probe: {probed}")


sys.exit(run_tests(test_kept, test_exactly, test_missing))
