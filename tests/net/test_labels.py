#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels tell the truth: the examples write into each message what they think it is called, and log what they receive.

They are the same in every run, also on a machine that has other things to do.
"""
import contextlib
import subprocess
import sys

from harness import bop, equal, example, run_tests, show, store, true

RUNS = 50
BUSY = 2  # loops that want a processor each


def logged(run, process, word):
    """What the program itself wrote down: (label, bytes) of the messages that it sent or received, in order."""
    text = "".join(p["stdout"] for p in run["processes"] if p["name"] == process)
    lines = [line.split() for line in text.splitlines() if line.startswith(word + " ")]
    return [(label, int(size)) for _, label, size in lines]


def in_process_order(run, process):
    """What the process did, by the edges of process order. An RST that its kernel took has no place in it."""
    mine = {v["id"]: v for v in run["vertices"] if v["process"] == process and v["kind"] != "reset"}
    after = {e["from"]: e["to"] for e in run["edges"]
             if e["rule"] in ("process", "thread") and e["from"] in mine and e["to"] in mine}
    first = set(mine) - set(after.values())
    equal(len(first), 1, f"first vertices of {process}")
    vertex, order = first.pop(), []
    while vertex is not None:
        order.append(mine[vertex])
        vertex = after.get(vertex)
    equal(len(order), len(mine), f"vertices of {process} in one chain")
    return order


def traced_sends(vertices):
    """A send that failed (the peer was gone) is no message."""
    return [(v["label"], v["bytes"]) for v in vertices if v["kind"] == "send" and "error" not in v]


def traced_receives(vertices):
    """A message counts where its last byte was received."""
    last = {}
    for place, vertex in enumerate(vertices):
        if vertex["kind"] == "recv":
            for rank, label in enumerate(vertex["labels"]):
                last[label] = (place, rank)
    return sorted(last, key=last.get)


def agrees(run):
    """Every label of the trace is the one that stood in the message; returns how many were compared."""
    compared = 0
    for process in run["processes"]:
        name = process["name"]
        vertices = in_process_order(run, name)
        sent, received = logged(run, name, "sent"), logged(run, name, "recv")
        equal(traced_sends(vertices), sent, f"messages that {name} sent")
        equal(traced_receives(vertices), [label for label, _ in received], f"messages that {name} received")
        compared += len(sent) + len(received)
    return compared


def names(run):
    """What an experiment calls its messages, and how long they are; no name may be a matter of luck."""
    equal([m["label"] for m in run["messages"] if m["racy"]], [], "racy labels")
    return {m["label"]: m["bytes"] for m in run["messages"]}


@contextlib.contextmanager
def busy():
    loops = [subprocess.Popen(["timeout", "900", "sh", "-c", "while :; do :; done"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for loop in loops:
            loop.terminate()
            loop.wait()


def fifty(folder, least, optional=()):
    """optional: messages that are not in every run, because a quorum does not wait for the slowest."""
    at, known = store(), None
    runs = bop("run", example(folder), "--runs", RUNS, "--json", "--store", at, timeout=800).jsons()
    equal(len(runs), RUNS, "runs")
    for summary in runs:
        equal((summary["outcome"], summary["lost"]), ("good", 0), f"run {summary['run']}")
        run = show(summary["run"], at)
        compared = agrees(run)
        true(compared >= least, f"only {compared} messages compared")
        mine = names(run)
        known = known or mine
        other = {label for label in mine | known if mine.get(label) != known.get(label) and
                 not (label in optional and None in (mine.get(label), known.get(label)))}
        equal(other, set(), f"messages of run {summary['run']} that are not as before")
        known = {**mine, **known}
    return {summary["print"]["exact"]["hash"] for summary in runs}


def test_quorum():
    """in 50 of 50 runs of quorum, label and decoded payload agree for every message, and a label is the same message"""
    fifty("quorum", 20, [f"client<s{k}:7000#1/{n}" for k in (1, 2, 3) for n in (1, 2)])


def test_primary_backup():
    """in 50 of 50 runs of primary-backup, label and decoded payload agree for every message; all runs have the same, and one print"""
    prints = fifty("primary-backup", 32)
    equal(len(prints), 1, f"prints: {prints}")


def test_busy():
    """the same for 50 of 50 runs of primary-backup beside two busy loops"""
    with busy():
        prints = fifty("primary-backup", 32)
    equal(len(prints), 1, f"prints: {prints}")


if __name__ == "__main__":
    sys.exit(run_tests(test_quorum, test_primary_backup, test_busy))
