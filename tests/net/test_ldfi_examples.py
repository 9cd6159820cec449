#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocols of the LDFI paper: good without faults, broken or not by the plans that are known for them, alike in every run.

With BOP_TEST_SOAK each is run as often as it takes to believe it, also beside busy loops.
"""
import os
import re
import sys

from harness import ROOT, SOAK, equal, example, run_tests, show, true
from serving import Server
from test_labels import agrees, busy, names

RUNS = 20 if SOAK else 3
# messages of a good run
PROTOCOLS = {"simple-deliv": 2, "retry-deliv": 8, "redun-deliv": 62, "ack-deliv": 18, "classic-deliv": 6,
             "2pc": 9, "2pc-ctp": 9, "3pc": 15}
GOALS = {"deliv": {"b-delivers", "c-delivers"}, "commit": {"a-commits", "b-commits", "d-commits"}}
GOOD, VIOLATED, VACUOUS = "good", "violated", "vacuous"
PLANS = [
    ("simple-deliv", ["cut a>b:7000#1/1"], VIOLATED, "violated: c got the message, but b did not"),
    ("simple-deliv", ["cut a>b:7000#1/1", "cut a>c:7000#1/1"], VACUOUS, "vacuous: no node that lives has got the message"),
    ("retry-deliv", ["cut a>b:7000#1/1"], GOOD, "goal b-delivers: recv a>b:7000#2/1"),
    ("retry-deliv", ["crash a at send a>b:7000#1/1"], VACUOUS, "vacuous: no node that lives has got the message"),
    ("retry-deliv", ["crash a at send a>c:7000#1/1"], VIOLATED, "violated: b got the message, but c did not"),
    ("retry-deliv", ["cut a>c:7000#1/1", "crash a at send a>b:7000#2/1"], VIOLATED, "violated: b got the message, but c did not"),
    ("redun-deliv", ["crash a at send a>c:7000#1/1"], GOOD, "goal c-delivers: recv b>c:7000#1/1"),
    ("redun-deliv", ["crash a at send a>c:7000#1/1", "cut b>c:7000#1/1"], GOOD, "goal c-delivers: recv b>c:7000#2/1"),
    ("redun-deliv", ["isolate b"], VIOLATED, "violated: c got the message, but b did not"),
    ("ack-deliv", ["crash a at send a>c:7000#1/1"], GOOD, "goal c-delivers: recv b>c:7000#1/1"),
    ("ack-deliv", ["cut b>a:7000#1/1", "cut a>b:7000#2/1"], GOOD, "goal b-delivers: recv a>b:7000#1/1"),
    ("classic-deliv", ["cut a>b:7000#1/1"], GOOD, "goal b-delivers: recv c>b:7000#1/1"),
    ("classic-deliv", ["cut a>b:7000#1/1", "cut c>b:7000#1/1"], VIOLATED, "violated: c got the message, but b did not"),
    ("2pc", ["cut a>C:7000#1/1"], GOOD, "goal b-aborts: recv C>b:7000#2/1"),
    ("2pc", ["crash a at send a>C:7000#1/1"], GOOD, "goal b-aborts: recv C>b:7000#2/1"),
    ("2pc", ["crash C at send C>a:7000#1/1"], VACUOUS, "vacuous: no agent that lives has voted"),
    ("2pc", ["crash C at send C>a:7000#2/1"], VIOLATED, "violated: a b d voted and cannot decide"),
    ("2pc", ["crash C at send C>b:7000#2/1"], VIOLATED, "violated: b d voted and cannot decide"),
    ("2pc-ctp", ["crash C at send C>b:7000#2/1"], GOOD, "goal d-commits: recv a>d:7000#1/1"),
    ("2pc-ctp", ["crash C at send C>b:7000#1/1"], GOOD, "goal b-aborts: recv a>b:7000#1/1"),
    ("2pc-ctp", ["crash C at send C>a:7000#2/1"], VIOLATED, "violated: a b d voted and cannot decide"),
    ("3pc", ["crash C at send C>a:7000#2/1"], GOOD, "goal a-aborts: recv C>a:7000#1/1"),
    ("3pc", ["crash C at send C>a:7000#3/1"], GOOD, "goal d-commits: recv C>d:7000#2/1"),
    ("3pc", ["cut C>d:7000#2/1"], GOOD, "goal d-commits: recv C>d:7000#3/1"),
    ("3pc", ["cut C>d:7000#2/1", "crash C at send C>d:7000#3/1"], VIOLATED, "violated: C a b committed, but d aborted"),
    ("3pc", ["crash C at send C>b:7000#2/1"], VIOLATED, "violated: a committed, but b d aborted"),
]


def path_of(protocol):
    return example("ldfi", f"{protocol}.yaml")


def good(server, protocol):
    """Runs without faults: good, every label true, every goal a receive of the run, one print."""
    path, prints, known = path_of(protocol), set(), None
    for _ in range(RUNS):
        summary = server.run(path, "--json").json()
        equal((summary["outcome"], summary["lost"]), (GOOD, 0), f"{protocol}")
        run = show(summary["run"], server.store)
        equal((run["holes"], run["warnings"] or []), ([], []), "holes and warnings")
        true(agrees(run) == 2 * PROTOCOLS[protocol], f"messages of {protocol} compared")
        known = known or names(run)
        equal(names(run), known, f"messages of {protocol}")
        goals = dict(re.findall(r"^goal (\S+): recv (\S+)$", run["check"]["output"], re.M))
        equal(set(goals), GOALS["deliv" if protocol.endswith("deliv") else "commit"], f"goals of {protocol}")
        received = {label for v in run["vertices"] if v["kind"] == "recv" for label in v["labels"]}
        equal(set(goals.values()) - received, set(), "goals that are no receive of the run")
        prints.add(summary["print"]["exact"]["hash"])
    equal(len(prints), 1, f"prints of {protocol}: {prints}")


def test_good():
    """each protocol is good without faults, in every run with the same messages and the same print; what programs call a message, and who received it, is what the trace says"""
    with Server() as server:
        server.agent()
        for protocol in PROTOCOLS:
            good(server, protocol)


def test_busy():
    """the same beside two busy loops"""
    with Server() as server, busy():
        server.agent()
        for protocol in PROTOCOLS if SOAK else ("redun-deliv", "2pc"):
            good(server, protocol)


def planned(server, path, plan, outcome, line):
    summary = server.run(path, "--json", *[word for fault in plan for word in ("--fault", fault)], status=None).json()
    run = show(summary["run"], server.store)
    equal(summary["outcome"], outcome, f"outcome of {path} with {plan}: {run['check']}")
    true(line in run["check"]["output"].splitlines(), f"'{line}' is not what the check says: {run['check']['output']}")
    equal([fault["state"] for fault in run["faults"]], ["fired"] * len(plan), f"faults of {plan}")
    return summary["print"]["exact"]["hash"]


def test_plans():
    """each plan that is known breaks its protocol, or does not, in every run; the check says what is wrong, and all of such runs have the same print"""
    with Server() as server:
        server.agent()
        for protocol, plan, outcome, line in PLANS:
            path = path_of(protocol)
            prints = {planned(server, path, plan, outcome, line) for _ in range(RUNS if SOAK else 1)}
            equal(len(prints), 1, f"prints of {plan}: {prints}")


def test_bounds():
    """every experiment file in examples/ldfi says which bounds the paper has for it, and time ends there"""
    files = sorted(name[:-5] for name in os.listdir(os.path.join(ROOT, "examples/ldfi")) if name.endswith(".yaml"))
    equal(files, sorted(PROTOCOLS), "experiment files")
    for protocol in PROTOCOLS:
        with open(os.path.join(ROOT, f"examples/ldfi/{protocol}.yaml"), encoding="utf-8") as f:
            text = f.read()
        bounds = re.search(r"^# Bounds of the paper: EOT (\d+), EFF (\d+), crashes (\d+)\.$", text, re.M)
        true(bounds, f"no bounds in {protocol}")
        true(f'run: [clock, "{bounds[1]}",' in text, f"{protocol} does not end at {bounds[1]}")


if __name__ == "__main__":
    sys.exit(run_tests(test_good, test_busy, test_plans, test_bounds))
