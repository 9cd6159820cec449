#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""examples/controller-python finds through the API alone what is known to be wrong with the protocols of the LDFI paper.

With BOP_TEST_SOAK also those that survive their whole budget, and each violation as often as it takes to believe it.
"""
import itertools
import os
import random
import re
import sys
import types
import xml.etree.ElementTree as ET

from harness import ROOT, SOAK, bop, command, equal, example, experiment, one_line, run_tests, scratch, true
from serving import Server

CONTROLLER = os.path.join(ROOT, "examples/controller-python/ldfi.py")
sys.path.insert(0, os.path.dirname(CONTROLLER))
BROKEN = {"simple-deliv": 2, "retry-deliv": 3, "classic-deliv": 5, "2pc": 2, "2pc-ctp": 3, "3pc": 55}  # runs, in the paper
WHOLE = ("redun-deliv", "ack-deliv")
AGAIN = 20 if SOAK else 2
# other budgets: losses until, crashes
OTHER = [("simple-deliv", "1", "1"), ("retry-deliv", "3", "0"), ("ack-deliv", "2", "1"), ("classic-deliv", "1", "1"), ("2pc", "1", "1"),
         ("2pc", "4", "0"), ("3pc", "2", "0")] + SOAK * [("2pc-ctp", "4", "0"), ("2pc-ctp", "3", "1"), ("3pc", "5", "0")]


def goals_by_chance(chance, names, sent):
    """Goals that stand on some of the messages; their crashes."""
    for name in names:
        support = sorted(chance.sample(range(len(sent)), chance.randint(1, 4)))
        yield types.SimpleNamespace(
            name=name, messages=[sent[i] for i in support],
            crashes=[types.SimpleNamespace(process=vars(sent[i])["from"], moment=f"send {sent[i].label}") for i in support])


def all_smallest(lineage, name, context, explored):
    """What breaks the goal, by trying every plan in the budget: the smallest that contain no explored one that breaks it."""
    blocked = [plan for plan in explored if lineage.breaks(plan, name, context)]
    for size in range(len(lineage.failures) + 1):
        found = set()
        for plan in map(frozenset, itertools.combinations(lineage.failures, size)):
            who = [lineage.failures[line].crashes for line in plan if lineage.failures[line].crashes]
            fits = len(who) <= lineage.crashes and size - len(who) <= (size if lineage.losses is None else lineage.losses)
            if fits and len(who) == len(set(who)) and not any(b <= plan for b in blocked) and lineage.breaks(plan, name, context):
                found.add(plan)
        if found:
            return found
    return None


def test_plans():
    """for goals by chance, with and without the failures that they need, the solver's smallest plans are those that trying all plans finds"""
    from plans import Lineage  # needs packages that only this test and the controller do  pylint: disable=import-outside-toplevel
    compared = 0
    for seed in range(150):
        chance = random.Random(seed)
        sent = [types.SimpleNamespace(**{"label": f"{p}>x:1#{i}/1", "from": p, "time": chance.randint(1, 3)})
                for i, p in enumerate(chance.choices("abc", k=5))]
        lineage = Lineage(3, chance.randint(0, 2), chance.choice([None, 1, 2]))
        lineage.learn(frozenset(), list(goals_by_chance(chance, "pq", sent)))
        explored = {frozenset(chance.sample(sorted(lineage.failures), min(len(lineage.failures), chance.randint(1, 2))))
                    for _ in range(3)}
        for plan in sorted(explored, key=sorted)[:2]:
            lineage.learn(plan, list(goals_by_chance(chance, "pqr", sent)))
        for name, supports in lineage.goals.items():
            for context in {s.context for s in supports}:
                found = lineage.smallest(name, context, explored)
                equal(found and set(found), all_smallest(lineage, name, context, explored), f"seed {seed}, goal {name}")
                compared += bool(found)
    true(compared > 100, f"only {compared} goals could be broken")


def control(server, path, *argv, status=None, timeout=600):
    return command(CONTROLLER, path, f"--server={server.api}", *argv, status=status, timeout=timeout, cwd=scratch())


def budget(path):
    """Of the paper, as the file has it."""
    with open(path, encoding="utf-8") as f:
        _, until, crashes = re.search(r"^# Bounds of the paper: EOT (\d+), EFF (\d+), crashes (\d+)\.$", f.read(), re.M).groups()
    return ["--losses-until", until, "--crashes", crashes]


def outcome(server, path, plan):
    faults = [word for line in plan for word in ("--fault", line)]
    return server.run(path, "--json", *faults, status=None).json()["outcome"]


def violation(server, protocol):
    path, picture = example("ldfi", f"{protocol}.yaml"), os.path.join(scratch(), "violation.svg")
    found = control(server, path, *budget(path), "--picture", picture, status=1)
    runs = re.search(r"^VIOLATED after (\d+) runs; again with exactly this plan: violated$", found.out, re.M)
    true(runs and int(runs[1]) <= BROKEN[protocol], f"{protocol} took more than {BROKEN[protocol]} runs: {found}")
    equal(len(re.findall(r"^run ", found.out, re.M)), int(runs[1]), f"runs that were told of: {found}")
    plan = re.findall(r"^  (\S.*)$", found.out, re.M)
    true(plan, f"no plan: {found}")
    equal({outcome(server, path, plan) for _ in range(AGAIN)}, {"violated"}, f"outcome with {plan}")
    for line in plan:
        less = [other for other in plan if other != line]
        true(outcome(server, path, less) != "violated", f"{protocol} is violated with {less} alone")
    equal(ET.parse(picture).getroot().tag, "{http://www.w3.org/2000/svg}svg", "root of the picture")


def test_violations():
    """it finds what breaks simple-deliv, retry-deliv, classic-deliv, 2pc, 2pc-ctp and 3pc in no more runs than the paper; the plan breaks it again, and no fault of it can be left out; there is a picture"""
    with Server() as server:
        server.agent()
        for protocol in BROKEN:
            violation(server, protocol)


def test_survives():
    """ack-deliv and redun-deliv survive one crash and losses that end: it tries all that could break them, and says so"""
    with Server() as server:
        server.agent()
        for protocol in WHOLE:
            path = example("ldfi", f"{protocol}.yaml")
            done = control(server, path, *(budget(path) if SOAK else ("--losses-until", "3", "--crashes", "1")), status=0)
            runs = int(re.search(r"^SURVIVES after (\d+) runs", done.out, re.M)[1])
            equal(len(re.findall(r"^run ", done.out, re.M)), runs, f"runs that were told of: {done}")
            true(runs > 5 and "violated" not in done.out, f"{done}")


def test_agrees():
    """bop ldfi says the same of every protocol, with the paper's bounds and with others"""
    with Server() as server:
        server.agent()
        for protocol, until, crashes in [*OTHER, *((name, None, None) for name in (*BROKEN, *(WHOLE if SOAK else ())))]:
            path = example("ldfi", f"{protocol}.yaml")
            bounds = ["--losses-until", until, "--crashes", crashes] if until else budget(path)
            mine = control(server, path, *bounds)
            true(mine.status in (0, 1), f"{mine}")
            bop("ldfi", path, f"--server={server.api}", *bounds, status=mine.status, timeout=600, cwd=scratch())


def test_roles():
    """of two plans that are the same for nodes that can change places it runs one; a crash before the first of two sends and one before the second are not"""
    with Server() as server:
        server.agent()
        path = example("ldfi", "classic-deliv.yaml")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        ran = {}
        for roles in (True, False):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text if roles else re.sub(r"^roles:.*\n", "", text, flags=re.M))
            done = control(server, path, "--losses-until", "2", status=0)
            ran[roles] = re.findall(r"^run \d+ +\S+ +(cut \S+)$", done.out, re.M)
        control(server, example("ldfi", "simple-deliv.yaml"), "--crashes", "1", status=1)
        equal((len(ran[True]), sorted(ran[False])), (1, ["cut a>b:7000#1/1", "cut a>c:7000#1/1"]), "single cuts that were run")


def test_refusals():
    """a file that is wrong, a system that is not good without faults, and a server that is not there are an error in one line"""
    with Server() as server:
        server.agent()
        bad = experiment("experiment: bad\nboxes: [a]\nworkload: {name: w, box: b, run: [true]}\n")
        one_line(control(server, bad, "--crashes=1"), "experiment.yaml", "b")
        never = experiment("experiment: never\nboxes: [a]\nworkload: {name: w, box: a, run: ['false']}\n")
        one_line(control(server, never, "--crashes=1"), "without faults")
        one_line(control(server, never), "no failure in this budget")
        one_line(control(server, "/nowhere.yaml", "--crashes=1"), "nowhere.yaml")
        one_line(control(server, never, "--crashes=-1"), "--crashes", "-1")
        told = control(server, never, "--crashes=1", "--proto=/nowhere/api.proto", status=3).err
        true(told.endswith("ldfi.py: protoc could not read /nowhere/api.proto\n"), told)
        one_line(command(CONTROLLER, bad, "--crashes=1", "--server=nowhere", status=None), "nowhere")
        one_line(command(CONTROLLER, bad, f"--server=ipc://{scratch()}/api", "--crashes=1", "--patience=1", status=None), "nobody answers")


if __name__ == "__main__":
    sys.exit(run_tests(test_plans, test_violations, test_survives, test_agrees, test_roles, test_refusals))
