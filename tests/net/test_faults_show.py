#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults at an exact message: what the programs read, what bop shows, draws and counts of it.

The matrix is every message of a conversation, both directions, each way to break it off, over veth and loopback, IPv4 and IPv6;
`make test` takes a sample of it by a seed (BOP_TEST_SEED, else 1), `make soak` all.
"""
import os
import random
import shlex
import sys

from faulting import N, NETS, WAYS, check, conversation, fault_run, fired, vertices
from harness import ROOT, SHORT, SOAK, bop, equal, example, run_tests, scratch, show, store, true

SAMPLE = 3 if SHORT else 8
SEED = int(os.environ.get("BOP_TEST_SEED", "1"))


def matrix():
    """For every message, direction and way the receiver reads all before it and no byte of it"""
    cells = [(net, way, arrow, k) for net in NETS for way in WAYS for arrow in "><" for k in range(1, N + 1)]
    if not SOAK:
        rng = random.Random(SEED)
        by_way = {way: [cell for cell in cells if cell[1] == way] for way in WAYS}
        cells = [rng.choice(by_way[WAYS[i % len(WAYS)]]) for i in range(SAMPLE)]
    at = store()
    files = {net: conversation(net, "2s") for net in {cell[0] for cell in cells}}
    bad = []
    for net, way, arrow, k in cells:
        try:
            check(files[net], way, arrow, k, at)
        except AssertionError as wrong:
            bad.append(f"{net}, {way}, {arrow}/{k}: {wrong}")
    print(f"# {len(cells)} runs (seed {SEED}), {len(cells) - len(bad)} as asked", flush=True)
    equal(bad, [], "not as asked")


def texts():
    """bop show says what became of each fault, bop runs how many there were, the picture which messages were lost"""
    at, file = store(), example("quorum")
    bop("run", file, "--store", at)
    equal(bop("run", file, "--store", at, "--fault", "cut client>s2:7000#1/2", "--fault", "drop client>s1:7000#1/9", "--json",
              status=None).jsons()[0]["faults"], 2, "faults of the run")
    text = bop("show", "last", "--store", at).out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for wanted in ("plan 2 faults", "1 fired cut client>s2:7000#1/2", "2 never fired drop client>s1:7000#1/9"):
        true(wanted in lines, f"'{wanted}' is not in: {text}")
    true(any("in client, at send client>s2:7000#1/2" in line and "hit 1 message" in line for line in lines), f"no receipt: {text}")
    true(any(line.endswith("client>s2:7000#1/2 lost: fault 1") for line in lines), f"no lost message: {text}")
    rows = bop("runs", "--store", at, "--json").json()["runs"]
    equal([row["faults"] for row in rows], [0, 2], "bop runs")
    header, *table = [line.split() for line in bop("runs", "--store", at).out.splitlines()]
    column = header.index("FAULTS") + 1  # WHEN is two words
    equal([row[column] for row in table], ["-", "2"], "bop runs")
    picture = os.path.join(scratch(), "cut.svg")
    bop("graph", "last", "--store", at, "-o", picture)
    with open(picture, encoding="utf-8") as f:
        svg = f.read()
    for wanted in ("fault 1: cut client&gt;s2:7000#1/2: fired; ", "fault 2: drop client&gt;s1:7000#1/9: never fired",
                   ">fault 1: cut<", "lost: fault 1<", "a fault fired", "lost to a fault"):
        true(wanted in svg, f"'{wanted}' is not in the picture")


def many():
    """bop show lists the first hundred faults, says how many more there are, and with --all lists every one"""
    at, file, plan = store(), example("quorum"), os.path.join(scratch(), "many.txt")
    bop("run", file, "--store", at)
    for n, left in ((100, None), (102, "... 2 more: --all lists them, --json has everything")):
        with open(plan, "w", encoding="utf-8") as f:
            f.writelines(f"drop client>s1:7000#1/{k}\n" for k in range(1001, 1001 + n))
        bop("run", file, "--store", at, "--plan", plan, "--dry-run")
        for all_of_them in ((), ("--all",)):
            lines = [line.strip() for line in bop("show", "last", "--store", at, *all_of_them).out.splitlines()]
            equal(sum("drop client>s1:7000#1/1" in line for line in lines), n if all_of_them else 100, f"lines of {n} faults")
            equal([line for line in lines if line.startswith("...")], [left] if left and not all_of_them else [], f"the rest of {n}")


def prints():
    """A fault that fired is part of what happened: the same again is the same print, none or another one is another"""
    at, file = store(), example("client-server")
    lines = (None, "reset client>s:7000#1/2", "reset client<s:7000#1/2", "reset client>s:7000#1/2", "drop client>s:7000#9/1")
    found = []
    for line in lines:
        fault = ("--fault", line, "--racy") if line else ()
        run = bop("run", file, "--store", at, "--json", *fault, status=None).jsons()[0]
        equal((run["print"]["counts"], run["lost"], run["holes"]), (True, 0, 0), f"{line}: {run}")
        found.append(run["print"]["exact"]["hash"])
    equal(found[1], found[3], "prints of the same fault")
    equal(found[0], found[4], "prints without a fault, and with one that never fires")
    equal(len(set(found)), 3, "prints")


def dry():
    """A dry run decides and does nothing: it would have fired, everything arrives, the print is that of a run without faults"""
    at, file = store(), conversation("veth")
    plain = bop("run", file, "--store", at, "--json").jsons()[0]
    run, fault = fault_run(file, "cut client>s:7000#1/7", at, "--dry-run", statuses=(0,))
    equal((fault["state"], fault["acted"]), ("would-fire", False), f"{fault}")
    equal((run["outcome"], len(run["messages"]), {m["lost_by"] for m in run["messages"]}), ("good", 2 * N, {None}), "the run")
    equal(run["print"]["exact"], plain["print"]["exact"], "prints")
    true("would fire" in bop("show", "last", "--store", at).out, "bop show does not say that it would fire")


def wall():
    """A partition from a moment on: what was sent between the boxes from then on is lost by it, whatever connection it was on"""
    at, file = store(), example("quorum")
    run, fault = fault_run(file, "partition s3 | c from recv client>s3:7000#1/1", at)
    edges = fired(run, fault)
    lost = [m for m in run["messages"] if m["lost_by"] == 1]
    true(lost, "nothing was lost")
    for message in run["messages"]:
        between = "s3" in message["label"]
        equal((message["lost_by"], message["delivered"]) == (1, False), between and not message["delivered"], f"{message}")
    equal({edge[0] for edge in edges} - {fault["armed_vertex"], fault["fired_vertex"]}, set(), "where edges of the fault begin")
    equal(vertices(run, kind="fired")[0]["process"], "s3", "where it fired")


def refused():
    """A refused connect is shown as such, and the fault with it"""
    at, file = store(), example("client-server")
    run, fault = fault_run(file, "refuse client>s:7000#2", at)
    fired(run, fault)
    connection = next(c for c in run["connections"] if c["label"] == "client>s:7000#2")
    equal((connection["error"], connection["messages"]), ("ECONNREFUSED", [0, 0]), "the connection")
    equal(run["outcome"], "violated", "the outcome: the client says so")


def examples():
    """Each line of docs/faults.md that is there to be tried ends as it says, and every fault of it has fired"""
    with open(os.path.join(ROOT, "docs/faults.md"), encoding="utf-8") as f:
        lines = [line.strip() for line in f if line.startswith("    bop run examples/")]
    true(len(lines) > 15, "docs/faults.md has no examples")
    if not SOAK:
        random.Random(SEED).shuffle(lines)
        lines = lines[:2 if SHORT else 4]
    at, files = store(), {}
    for line in lines:
        argv = shlex.split(line, comments=True)[2:]
        name = argv[0].split("/")[1]
        if name not in files:
            files[name] = example(name)
            bop("run", files[name], "--store", at)  # labels are checked against this one
        done = bop("run", files[name], *argv[1:], "--store", at, "--json", status=None)
        equal(done.jsons()[0]["outcome"] if done.out else done.err, line.rpartition("# ")[2].strip(), f"outcome of {line}: {done}")
        for fault in show("last", at)["faults"]:
            true(fault["acted"], f"{line}: {fault}")


sys.exit(run_tests(texts, many, prints, dry, wall, refused, examples, matrix))
