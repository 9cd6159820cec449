#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels tell the truth: the examples write into each message what they think it is called, and log what they receive."""
import sys

from harness import bop, equal, example, run_tests, show, store, true

RUNS = 50


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


def fifty(folder, least):
    at = store()
    runs = bop("run", example(folder), "--runs", RUNS, "--json", "--store", at, timeout=600).jsons()
    equal(len(runs), RUNS, "runs")
    for summary in runs:
        equal((summary["outcome"], summary["lost"]), ("good", 0), f"run {summary['run']}")
        compared = agrees(show(summary["run"], at))
        true(compared >= least, f"only {compared} messages compared")


def test_quorum():
    """in 50 of 50 runs of quorum, label and decoded payload agree for every message"""
    fifty("quorum", 20)


def test_primary_backup():
    """in 50 of 50 runs of primary-backup, label and decoded payload agree for every message"""
    fifty("primary-backup", 32)


sys.exit(run_tests(test_quorum, test_primary_backup))
