#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""bop diff on real runs: a repeat is the same, what a fault did is explained by it, and what cannot be compared is refused."""
import json
import os
import sys
import xml.etree.ElementTree

from harness import bop, equal, example, run_tests, scratch, show, store, true
from serving import Server


def diff(at, *argv, status):
    """What it says as JSON, and as text."""
    said = json.loads(bop("diff", *argv, "--json", "--store", at, status=status).out)
    return said, bop("diff", *argv, "--store", at, status=status).out


def alike(at, runs):
    """Two of these runs in which the same processes have ended: a run's end does not wait for the children of its servers."""
    seen = {}
    for run in range(1, runs + 1):
        ends = tuple(sorted((p["name"], str(p["status"]), str(p["signal"])) for p in show(run, at)["processes"]))
        if ends in seen:
            return seen[ends], run
        seen[ends] = run
    raise AssertionError(f"no two runs have ended alike: {list(seen)}")


def test_repeat():
    """a repeat of a deterministic run: nothing differs, exit status 0"""
    at = store()
    bop("run", example("client-server"), "--runs", 6, "--store", at)
    one, other = alike(at, 6)
    said, text = diff(at, one, other, status=0)
    equal((said["runs"], said["changes"], said["equal"]), ([one, other], [], {"exact": True, "folded": True, "shape": True}), "diff")
    equal(said["messages_in_both"], len([m for m in show(one, at)["messages"]]), "messages in both")
    true(text.startswith(f"run {other}, compared with run {one}: the same messages in the same causal order\n"), text)
    found, named = (bop("diff", *runs, "--json", "--store", at, status=None).json() for runs in (["last"], [5, 6]))
    if found["nearest"]["same"]:  # all did the same
        equal({**found, "nearest": None}, named, "the last run, and the one before it")


def test_fault():
    """a message that a fault cut: it and the replies that never came are all that came and went, and explained by the fault"""
    at, file, line = store(), example("quorum"), "cut client>s3:7000#1/1"
    bop("run", file, "--store", at)
    bop("run", file, "--fault", line, "--store", at)
    said, text = diff(at, "last", status=1)
    equal(said["runs"], [1, 2], "runs")
    changes = [c for c in said["changes"] if c["kind"] != "reordered"]
    equal((changes[0]["kind"], changes[0]["text"]), ("fault", f"fault 1 fired: {line}"), "the fault")
    equal([c for c in changes[1:] if c["explained_by"] is None and "s3" in c["text"]], [], "what is not explained of s3")
    taken = [m for c in changes if c["explained_by"] and c["explained_by"]["taken"] for m in c["messages"]]
    equal(taken, ["client>s3:7000#1/1", "client>s3:7000#1/2"][:len(taken) or 1], "what it took")
    gone = {m for c in changes if c["kind"] == "messages_removed" for m in c["messages"]}
    sent = {m["label"] for m in show(1, at)["messages"]} - {m["label"] for m in show(2, at)["messages"]}
    true(gone and gone <= sent, f"what is not there: {gone}, {sent}")  # s3 may have been late without a fault, too
    true(f"  * fault 1 fired: {line}\n  . client>s3:7000#1/1 was sent, and not received (lost to fault 1)\n" in text, text)
    back, text = diff(at, 2, 1, status=1)
    equal(back["changes"][0]["text"], f"fault 1 of the other run did not fire: {line}", "the other way round")
    true("(lost to fault 1 of the other run)" in text, text)


def test_picture():
    """both runs in one picture: each change is in it, and what the graph of both is made of is acyclic"""
    at, folder, file = store(), scratch(), example("primary-backup")
    bop("run", file, "--store", at)
    bop("run", file, "--fault", "crash backup at recv primary>b:7001#1/2", "--store", at, status=None)
    out = {kind: os.path.join(folder, f"both.{kind}") for kind in ("svg", "png", "dot", "json")}
    for path in out.values():
        equal(bop("diff", 1, 2, "-o", path, "--store", at, status=1).out, "", f"what it prints beside {path}")
    with open(out["json"], encoding="utf-8") as f:
        both = json.load(f)
    said, _ = diff(at, 1, 2, status=1)
    equal({key: both[key] for key in said}, said, "what --json says")
    sides = {vertex["side"] for vertex in both["vertices"]}
    true({"common", "added", "removed", "changed"} <= sides, sides)
    equal({c for vertex in both["vertices"] for c in vertex["changes"]}, set(range(len(said["changes"]))), "changes that show")
    after = {vertex["id"]: set() for vertex in both["vertices"]}
    for edge in both["edges"]:
        after[edge["to"]].add(edge["from"])
    for one, other in zip(both["vertices"], both["vertices"][1:]):
        if one["process"] and one["process"] == other["process"]:
            after[other["id"]].add(one["id"])
    while free := [v for v in after if not after[v] & after.keys()]:
        for v in free:
            del after[v]
    equal(after, {}, "vertices on a circle")
    text = "".join(xml.etree.ElementTree.parse(out["svg"]).getroot().itertext())
    for change in said["changes"]:
        true(change["text"] in text, change["text"])
    with open(out["png"], "rb") as f:
        equal(f.read(8), b"\x89PNG\r\n\x1a\n", "PNG")
    for argv in (["-o", os.path.join(folder, "both.pdf")], ["-o", out["svg"], "--json"], ["-o", os.path.join(folder, "no", "both.svg")]):
        result = bop("diff", 1, 2, *argv, "--store", at, status=3)
        true(result.out == "" and len(result.err.splitlines()) == 1, result.err)
    equal(sorted(os.listdir(folder)), sorted(os.path.basename(path) for path in out.values()), "files")


def runs_of(at):
    return {row["run"]: row for row in bop("runs", "--json", "--store", at).json()["runs"]}


def test_nearest():
    """one run is compared with the nearest of what was found before it, a repeat as the run that it repeats; a server says the same"""
    with Server() as server:
        at, file = server.store, example("quorum")
        bop("run", file, "--store", at)
        for _ in range(30):
            if any(row["kept"] not in (0, None, number) for number, row in runs_of(at).items()):
                break
            bop("run", file, "--keep", "new", "--fault", "cut client>s3:7000#1/1", "--store", at)
        runs = runs_of(at)
        for number, row in runs.items():
            said, text = diff(at, number, status=1)
            before, near = said["runs"][0], said["nearest"]
            equal((said["runs"][1], said["events_of"]), (number, [before, row["kept"]]), "whose events")
            true(near["class"] == runs[before]["class"] != row["class"], f"the class: {near}")
            # of what was found before, one that is not very near may be missed
            equal(near["later"], near["class"] > row["class"], f"{number}: what is nearest was found later")
            true(near["later"] or row["class"] != 1, f"{number}: nothing was found before it")
            true(near["similarity"] > 0.3 and not near["same"], near)
            equal(f"run {number} did the same as run {row['kept']}, whose events are compared" in text, row["kept"] != number, text)
            true(f"run {number}, compared with run {before}: " in text and " in common with it, some " in text, text)
            if row["kept"] != number:
                kept, _ = diff(at, row["kept"], status=1)
                equal(*([c["text"] for c in of["changes"]] for of in (kept, said)), "what a repeat differs in, as the run that it repeats")
            for argv in ([], ["--json"], ["--all"]):
                both = [bop("diff", number, *argv, *where, status=1).out for where in (["--store", at], [f"--server={server.api}"])]
                equal(both[0], both[1], "what a store says, and a server")
        for name in ("a.svg", "a.png", "a.dot", "a.json"):
            drawn = []
            for where in (["--store", at], [f"--server={server.api}"]):
                path = f"{scratch()}/{name}"
                bop("diff", 2, "-o", path, *where, status=1)
                with open(path, "rb") as f:
                    drawn.append(f.read())
            true(len(drawn[0]) > 500, f"{name}: {len(drawn[0])} bytes")
            equal(drawn[0] == drawn[1], True, f"{name} of a store and of a server")
        equal(bop("diff", 1, 1, f"--server={server.api}", status=0).out.splitlines()[0],
              "run 1, compared with run 1: the same messages in the same causal order", "a run beside itself")
        for argv in ([1, 99], [99], ["x"]):
            result = bop("diff", *argv, f"--server={server.api}", status=3)
            true(not result.out and len(result.err.splitlines()) == 1, result.err)


def test_refused():
    """no such run, nothing to compare with: one clear line, exit status 3"""
    at = store()
    bop("run", example("client-server"), "--store", at)
    for argv, words in (([1, 7], "run 7"), (["x", "1"], "x"), ([1], "no other whole run")):
        result = bop("diff", *argv, "--store", at, status=3)
        equal(result.out, "", "stdout")
        true(words in result.err and len(result.err.splitlines()) == 1, result.err)


sys.exit(run_tests(test_repeat, test_fault, test_picture, test_nearest, test_refused))
