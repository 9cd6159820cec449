#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints of real runs: one for what is deterministic, one of six for three clients that race, none that counts after a loss."""
import json
import os
import subprocess
import sys

from harness import (BOP, ROOT, SHORT, SOAK, Running, agent_of, bop, equal, example, experiment, run_tests, show, store,
                     true, wait_for)

RUNS = 200 if SOAK else 12 if SHORT else 40
SAME = 10 if SHORT else 50

REDIS = """\
experiment: redis-one-client
boxes: [r1, c]
processes:
  - {name: server, box: r1, run: [redis-server, --port, "6379", --bind, 0.0.0.0, --protected-mode, "no", --save, "",
                                  --appendonly, "no"], ready: {listen: 6379}}
workload: {name: client, box: c, run: [redis-benchmark, -h, r1, -n, "50", -c, "1", -t, "set,get"]}
timeout: 20s
"""
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


def prints(file, runs, at):
    """(exact, symmetric) of each run, all of which must be whole and good."""
    found = bop("run", file, "--runs", runs, "--json", "--store", at, timeout=1200).jsons()
    equal(len(found), runs, "runs")
    for run in found:
        equal((run["outcome"], run["lost"], run["holes"]), ("good", 0, 0), f"run {run['run']}")
        equal((run["print"]["counts"], run["print"]["why_not"]), (True, None), f"run {run['run']}")
        true(not run["print"]["exact"]["approximate"] and not run["print"]["symmetric"]["approximate"], "approximate")
    return [(run["print"]["exact"]["hash"], run["print"]["symmetric"]["hash"]) for run in found]


def test_three_clients():
    """quorum with three clients: at most 6 exact prints, the accept orders, and 1 up to the roles (200 runs: all 6)"""
    at = store()
    found = prints(example("quorum", "three-clients.yaml"), RUNS, at)
    equal(len({symmetric for _, symmetric in found}), 1, "symmetric prints")
    orders = {}
    for number, (exact, _) in enumerate(found, 1):
        accepts = [v["label"] for v in show(number, at)["vertices"] if v["kind"] == "accept" and v["process"] == "s1"]
        orders.setdefault(exact, set()).add(tuple(accepts))
    for exact, seen in orders.items():
        equal(len(seen), 1, f"accept orders of print {exact}: {seen}")
    equal(len(set.union(*orders.values())), len(orders), "accept orders and prints")
    true(1 < len(orders) <= 6, f"{len(orders)} prints in {RUNS} runs")
    if SOAK:
        equal(len(orders), 6, "exact prints")


def same(file):
    found = prints(file, SAME, store())
    equal(len(set(found)), 1, f"different prints in {SAME} runs")


def test_client_server():
    """client-server has one print in 50 of 50 runs"""
    same(example("client-server"))


def test_primary_backup():
    """primary-backup has one print in 50 of 50 runs"""
    same(example("primary-backup"))


def test_redis():
    """Redis with a single client has one print in 50 of 50 runs"""
    same(experiment(REDIS))


def check(run):
    """An independent implementation finds the same in the JSON."""
    done = subprocess.run([os.path.join(ROOT, "tests/unit/print_check.py")], input=json.dumps(run), text=True,
                          capture_output=True, check=False)
    equal((done.returncode, done.stderr), (0, ""), done.stdout)


def test_local():
    """datagrams and unix-domain streams: one print in 10 runs, the one that the independent implementation finds"""
    at = store()
    equal(len(set(prints(experiment(LOCAL), 10, at))), 1, "different prints")
    run = show("last", at)
    found = [m["transport"] for m in run["messages"]]
    equal((found.count("udp"), found.count("unix")), (10, 2), "messages")
    check(run)


def test_shown():
    """bop run, bop show and bop show --json say the same print, and an independent implementation finds it in the JSON"""
    at = store()
    exact, symmetric = prints(example("quorum", "three-clients.yaml"), 1, at)[0]
    run = show("last", at)
    equal((run["print"]["exact"]["hash"], run["print"]["symmetric"]["hash"]), (exact, symmetric), "bop show --json")
    equal(run["roles"], {"server": ["s1", "s2", "s3"], "client": ["client1", "client2", "client3"]}, "roles")
    listed = bop("runs", "--prints", "--json", "--store", at).json()["runs"]
    equal([row["print"] for row in listed], [run["print"]], "bop runs --prints --json")
    true(bop("runs", "--prints", "--store", at).out.endswith(f"  {exact}\n"), "bop runs --prints")
    text = bop("show", "last", "--store", at).out
    true(f"print     {exact}\n" in text and f"{symmetric} up to its roles\n" in text, text)
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
    true(bop("runs", "--prints", "--store", at).out.endswith("  -\n"), "bop runs --prints")
    true("does not count: the record ends before the run did" in bop("show", "last", "--store", at).out, "bop show")


sys.exit(run_tests(test_three_clients, test_client_server, test_primary_backup, test_redis, test_local, test_shown,
                   test_not_whole))
