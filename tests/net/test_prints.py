#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints of real runs: one for what is deterministic, one of six for three clients that race, none that counts after a loss; what is
repeated is folded, and what is shuffled has a shape."""
import json
import os
import subprocess
import sys

from harness import (BOP, ROOT, SHORT, SOAK, Running, agent_of, bop, equal, example, experiment, run_tests, show, store,
                     true, wait_for)

RUNS = 200 if SOAK else 12 if SHORT else 40
SAME = 10 if SHORT else 50
TWO = 60 if SOAK else 10

ECHO = """
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("", 53))
while True:
    data, peer = u.recvfrom(100)
    u.sendto(data.upper(), peer)
"""
ASK = """
import os, socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(5):
    u.sendto(b"%d" % i, ("s1", 53))
    u.recvfrom(100)
a, b = socket.socketpair()
if not os.fork():
    a.sendall(b.recv(10) + b"x")
    os._exit(0)
a.sendall(b"hello")
os.wait()
"""
LOCAL = f"""\
experiment: datagrams
boxes: [s1, c]
processes:
  - {{name: s1, box: s1, run: [python3, -c, {json.dumps(ECHO)}], ready: {{run: [sh, -c, "ss -Hlun 'sport = :53' | grep -q ."]}}}}
workload: {{name: client, box: c, run: [python3, -c, {json.dumps(ASK)}]}}
timeout: 20s
"""
WAITING = """\
experiment: waiting
boxes: [a]
workload: {name: w, box: a, run: [sleep, "60"]}
timeout: 70s
"""


LEVELS = ("exact", "folded", "shape")


def key(level, symmetric):
    return (level + "_symmetric").removeprefix("exact_") if symmetric else level


def hashes(run):
    """By level and whether it is symmetric."""
    return {(level, symmetric): run["print"][key(level, symmetric)]["hash"] for level in LEVELS for symmetric in (False, True)}


def agree(found):
    """What is equal at one level is so at the next, and up to the roles."""
    for finer, coarser in [((level, False), (level, True)) for level in LEVELS] + [
            ((a, symmetric), (b, symmetric)) for a, b in zip(LEVELS, LEVELS[1:]) for symmetric in (False, True)]:
        equal(len({(run[finer], run[coarser]) for run in found}), len({run[finer] for run in found}), f"{finer}, {coarser}")


def prints(file, runs, at):
    """hashes() of each run, all of which must be whole and good."""
    found = bop("run", file, "--runs", runs, "--json", "--store", at, timeout=1200).jsons()
    equal(len(found), runs, "runs")
    for run in found:
        equal((run["outcome"], run["lost"], run["holes"]), ("good", 0, 0), f"run {run['run']}")
        equal((run["print"]["counts"], run["print"]["why_not"]), (True, None), f"run {run['run']}")
        true(not any(run["print"][key(level, symmetric)]["approximate"] for level, symmetric in hashes(run)), "approximate")
    agree([hashes(run) for run in found])
    return [hashes(run) for run in found]


def count(found, level, symmetric=False):
    return len({run[level, symmetric] for run in found})


def test_three_clients():
    """quorum with three clients: at most 6 exact prints, the accept orders, and 1 up to the roles (200 runs: all 6)"""
    at = store()
    found = prints(example("quorum", "three-clients.yaml"), RUNS, at)
    equal(count(found, "exact", True), 1, "symmetric prints")
    equal((count(found, "folded"), count(found, "shape")), (count(found, "exact"), 1), "folded prints and shapes")
    orders = {}
    for number, run in enumerate(found, 1):
        accepts = [v["label"] for v in show(number, at)["vertices"] if v["kind"] == "accept" and v["process"] == "s1"]
        orders.setdefault(run["exact", False], set()).add(tuple(accepts))
    for exact, seen in orders.items():
        equal(len(seen), 1, f"accept orders of print {exact}: {seen}")
    equal(len(set.union(*orders.values())), len(orders), "accept orders and prints")
    true(1 < len(orders) <= 6, f"{len(orders)} prints in {RUNS} runs")
    if SOAK:
        equal(len(orders), 6, "exact prints")


def same(file):
    found = prints(file, SAME, store())
    equal([count(found, level) for level in LEVELS], [1, 1, 1], f"different prints in {SAME} runs")


def test_client_server():
    """client-server has one print in 50 of 50 runs"""
    same(example("client-server"))


def test_primary_backup():
    """primary-backup has one print in 50 of 50 runs"""
    same(example("primary-backup"))


def test_redis():
    """Redis with a single client has one print in 50 of 50 runs"""
    same(example("redis", "one-client.yaml"))


def test_redis_two():
    """Redis with two clients has more exact prints than folded ones, of which there are few, and one shape"""
    found = prints(example("redis", "two-clients.yaml"), TWO, store())
    true(count(found, "exact") > count(found, "folded") and count(found, "folded") <= 20, f"{count(found, 'folded')} folded")
    equal((count(found, "shape"), count(found, "shape", True)), (1, 1), "shapes")


def check(run):
    """An independent implementation finds the same in the JSON."""
    done = subprocess.run([os.path.join(ROOT, "tests/unit/print_check.py")], input=json.dumps(run), text=True,
                          capture_output=True, check=False)
    equal((done.returncode, done.stderr), (0, ""), done.stdout)


def test_local():
    """datagrams and unix-domain streams: one print in 10 runs, the one that the independent implementation finds"""
    at = store()
    equal(count(prints(experiment(LOCAL), 10, at), "exact"), 1, "different prints")
    run = show("last", at)
    found = [m["transport"] for m in run["messages"]]
    equal((found.count("udp"), found.count("unix")), (10, 2), "messages")
    check(run)


def test_shown():
    """bop run, bop show and bop show --json say the same print, and an independent implementation finds it in the JSON"""
    at = store()
    found = prints(example("quorum", "three-clients.yaml"), 1, at)[0]
    run = show("last", at)
    equal(hashes(run), found, "bop show --json")
    equal(run["roles"], {"server": ["s1", "s2", "s3"], "client": ["client1", "client2", "client3"]}, "roles")
    listed = bop("runs", "--prints", "--json", "--store", at).json()["runs"]
    equal([row["print"] for row in listed], [run["print"]], "bop runs --prints --json")
    true(bop("runs", "--prints", "--store", at).out.endswith("  ".join(["", *[found[level, False] for level in LEVELS]]) + "\n"),
         "bop runs --prints")
    text = bop("show", "last", "--store", at).out
    for head, level in (("print    ", "exact"), ("folded   ", "folded"), ("shape    ", "shape")):
        true(f"  {head} {found[level, False]}\n            {found[level, True]} up to its roles\n" in text, text)
    equal(show("last", at)["print"], json.loads(bop("show", "last", "--order", "thread", "--json", "--store", at).out)["print"],
          "print in the other order")
    check(run)


def test_not_whole():
    """the print of a run whose agent was killed does not count, and bop says why"""
    at = store()
    with_agent = Running(BOP, "run", experiment(WAITING), "--store", at)
    agent = wait_for("the agent", lambda: agent_of(with_agent.pid))
    wait_for("the workload", lambda: subprocess.run(["pgrep", "-P", str(agent), "sleep"], capture_output=True, check=False).stdout)
    os.kill(agent, 9)
    equal(with_agent.end().status, 3, "exit status")
    run = show("last", at)
    equal((run["print"]["counts"], run["print"]["why_not"]), (False, "the record ends before the run did"), "print")
    true(bop("runs", "--prints", "--store", at).out.split()[-3:] == ["-"] * 3, "bop runs --prints")
    true("does not count: the record ends before the run did" in bop("show", "last", "--store", at).out, "bop show")


sys.exit(run_tests(test_three_clients, test_client_server, test_primary_backup, test_redis, test_redis_two, test_local, test_shown,
                   test_not_whole))
