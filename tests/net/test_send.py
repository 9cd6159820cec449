#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live and deferred sending show the same run."""
import sys

from harness import OUT, bop, equal, experiment, leftovers, nothing_left, one_line, run_tests, show, store, true

TALK = f"""experiment: talk
boxes: [s, c]
path: [{OUT}/examples/client-server]
processes:
  - {{name: server, box: s, run: [server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: client, box: c, run: [client, client, s, "7000", "2", "500"]}}
"""


def messages(at):
    """What was said, by whom, in each process's order; and where the marks stand."""
    run = show("last", at)
    equal((run["lost"], run["incomplete"]), (0, False), "lost and incomplete")
    found = {}
    for vertex in run["vertices"]:
        found.setdefault(vertex.get("process", ""), []).append((vertex["kind"], vertex["label"]))
    return {process: sorted(kinds) for process, kinds in found.items()}


def test_same():
    """a deferred run has every vertex of a live one; the option wins over the file"""
    before = leftovers()
    shown = []
    for text, option in ((TALK, []), (TALK, ["--send", "deferred"]), (TALK + "send: deferred\n", []),
                         (TALK + "send: deferred\n", ["--send", "live"])):
        at = store()
        bop("run", experiment(text), "--store", at, *option)
        shown.append(messages(at))
    true(any(len(v) > 1000 for v in shown[0].values()), f"too little was said: {[len(v) for v in shown[0].values()]}")
    for other in shown[1:]:
        equal(other, shown[0], "vertices")
    nothing_left(before)


def test_refused():
    """another word for --send is refused in one line"""
    one_line(bop("run", experiment(TALK), "--store", store(), "--send", "later", status=None), "--send later", "deferred")


sys.exit(run_tests(test_same, test_refused))
