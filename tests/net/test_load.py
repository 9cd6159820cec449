#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many connections: 2,000 at once, and many short ones that use the same ports again. Each one's bytes are known."""
import os
import re
import sys
import time

from harness import (BOP, OUT, SOAK, WAIT, Running, agent_of, bop, equal, experiment, leftovers, nothing_left, run_tests,
                     store, true)

TOGETHER = 2000
SHORT_ONES = 300000 if SOAK else 20000
PORTS = 2000  # that the client of short ones has
AT_A_TIME = 50

# Bytes of memory, at most. What comes beside the fixed part must not grow with the run.
TFJ_FIXED = 64 << 20
BOP_FIXED, BOP_AN_EVENT = 64 << 20, 400
LOOK_SECONDS = 60  # until which a show or a picture has to be there: a bound for hangs, not for speed

FILE = """experiment: load
boxes: [s, c]
path: [{out}/tests/load]
processes:
  - {{name: server, box: s, run: [load-server, "7000"], ready: {{listen: 7000}}}}
workload:
  name: client
  box: c
  run: [sh, -c, "echo {ports} >/proc/sys/net/ipv4/ip_local_port_range && exec load-client s 7000 {what}"]
timeout: 10m
"""


def messages_of(k):
    """As in tests/load/message.h."""
    return 1 + k % 3


def bytes_of(k):
    return sum(4 + (k * 37 + number * 101) % 509 for number in range(1, messages_of(k) + 1))


def peak(pid):
    """Most memory that the process ever had, bytes; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return next((int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


def run_watched(*argv):
    """bop run; returns its result and the peaks of bop's memory and tfj's."""
    running = Running(BOP, "run", *argv)
    deadline = time.monotonic() + 10 * WAIT
    peaks = {"bop": 0, "tfj": 0}
    agent = None
    while running.process.poll() is None and time.monotonic() < deadline:
        agent = agent or agent_of(running.pid)
        for name, pid in (("bop", running.pid), ("tfj", agent)):
            peaks[name] = max(peaks[name], peak(pid) if pid else 0)
        time.sleep(0.005)  # between two looks, not for something
    return running.end(1), peaks


def look(what, *argv):
    """A command that looks at the run; says how long it took."""
    began = time.monotonic()
    result = bop(*argv, timeout=LOOK_SECONDS)
    print(f"# {what}: {time.monotonic() - began:.2f} s")
    return result


def connections_shown(text):
    """[(label, > messages, > bytes, < messages, < bytes, end)] of `bop show --all`."""
    table = text.split("\nconnections\n", 1)[1].split("\n\n", 1)[0]
    rows = [line.split() for line in table.splitlines()[1:]]
    return [(row[0], *map(int, row[1:5]), " ".join(row[5:])) for row in rows]


def load(count, ports, what):
    before, at = leftovers(), store()
    result, peaks = run_watched(experiment(FILE.format(out=OUT, ports=ports, what=what)), "--json", "--store", at)
    equal(result.status, 0, str(result))
    run = result.jsons()[0]
    equal((run["outcome"], run["lost"], run["holes"]), ("good", 0, 0), "outcome, lost, holes")

    shown = connections_shown(look("bop show --all", "show", "last", "--all", "--store", at).out)
    wanted = [(f"client>s:7000#{k}", messages_of(k), bytes_of(k), messages_of(k), bytes_of(k), "closed")
              for k in range(1, count + 1)]
    wrong = [pair for pair in zip(shown, wanted) if pair[0] != pair[1]]
    equal((len(shown), wrong[:3]), (count, []), "connections shown, and what should be")
    brief = look("bop show", "show", "last", "--store", at).out
    true(len(brief.splitlines()) < 200, "bop show is short enough to read")
    rest = [sum(row[i] for row in wanted[6:]) for i in range(1, 5)]
    true([f"{count - 6}", "more", "of", "client>s:7000", *map(str, rest), f"{count - 6}", "closed"] in
         [line.split() for line in brief.splitlines()], f"the rest is summed up in: {brief}")

    said = bop("show", "last", "--output", "--store", at).out
    messages, size = sum(map(messages_of, range(1, count + 1))), sum(map(bytes_of, range(1, count + 1)))
    counted = re.search(r"opened (\d+) connections from (\d+) ports, sent (\d+) messages of (\d+) bytes", said)
    equal(tuple(int(counted[i]) for i in (1, 3, 4)), (count, messages, size), "what the client counted")
    true(f"accepted {count} connections, echoed {size} bytes" in said, f"what the server counted: {said}")
    equal(run["messages"], 2 * messages, "messages of the run")

    pictures = os.path.dirname(at)
    for kind in ("svg", "png"):
        look(f"bop graph, {kind}", "graph", "last", "-o", f"{pictures}/load.{kind}", "--store", at)
        true(os.path.getsize(f"{pictures}/load.{kind}") < 2 << 20, f"the {kind} is one to look at")
    print(f"# {run['events']} events; peak memory of bop {peaks['bop'] >> 20} MiB, of tfj {peaks['tfj'] >> 20} MiB")
    true(0 < peaks["tfj"] <= TFJ_FIXED, f"tfj had {peaks['tfj']} bytes")
    true(0 < peaks["bop"] <= BOP_FIXED + BOP_AN_EVENT * run["events"], f"bop had {peaks['bop']} bytes")
    nothing_left(before)
    return int(counted[2])


def test_together():
    """2,000 connections at once: bytes and messages of each one are what was sent, nothing is lost, memory is bounded"""
    load(TOGETHER, "32768 60999", f"{TOGETHER} {TOGETHER} together")


def test_short():
    ports = load(SHORT_ONES, f"40000 {40000 + PORTS - 1}", f"{SHORT_ONES} {AT_A_TIME}")
    true(ports <= PORTS, f"{ports} ports were used")


test_short.__doc__ = f"""{SHORT_ONES} short connections from {PORTS} ports, used again and again: bytes and messages of each
    one are what was sent, nothing is lost, memory is bounded"""

sys.exit(run_tests(test_together, test_short))
