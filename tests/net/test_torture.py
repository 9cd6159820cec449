#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to move bytes: what the programs of tests/torture counted, against what the trace shows.

All ways are in one run; each is a test of its own. A way that this kernel lacks is skipped by the programs, by trying it.
"""
import json
import os
import sys
from collections import Counter

from harness import OUT, Skip, bop, command, equal, experiment, leftovers, nothing_left, run_tests, show, store, true

TORTURE = os.path.join(OUT, "tests/torture/torture")
PORT = 7000
EXPERIMENT = f"""
experiment: torture
boxes: [s, c]
processes:
  - {{name: s, box: s, run: [{TORTURE}, server, "{PORT}"], ready: {{listen: {PORT}}}}}
workload:
  name: c
  box: c
  run: [sh, -c, 'exec {TORTURE} client {PORT} $BOP_ADDR_S $(getent ahostsv6 s.v6 | head -n 1 | cut -d" " -f1)']
timeout: 100s
"""

# What these ways do is not traced; that has to be seen.
NOT_COVERED = {"mptcp"}


class Trace:
    """The run, by connection and by way."""

    def __init__(self, run):
        self.run = run
        self.pids = {p["name"]: p["pid"] for p in run["processes"]}
        self.connections = {c["label"]: c for c in run["connections"]}
        lines = [json.loads(line) for p in run["processes"] for line in p["stdout"].splitlines()]
        self.lines = {}
        for line in lines:
            self.lines.setdefault(line["way"], []).append(line)
        self.into = {}
        for edge in run["edges"]:
            self.into.setdefault(edge["to"], []).append(edge)

    def ends(self, vertex):
        """Addresses of the vertex's connection, its own end's first."""
        addresses = self.connections[vertex["connection"]]["addresses"]
        names = vertex.get("labels") or [vertex["label"]]
        connector = names[0].find("<") < 0
        if vertex["kind"] == "recv":
            connector = not connector
        return tuple(addresses if connector else reversed(addresses))

    def moved(self):
        """Bytes sent and received, by connection, end, process and thread."""
        sums = {}
        for vertex in self.run["vertices"]:
            if vertex["kind"] in ("send", "recv") and vertex["bytes"]:
                key = (*self.ends(vertex), self.pids[vertex["process"]], vertex["thread"])
                sums.setdefault(key, [0, 0])[vertex["kind"] == "recv"] += vertex["bytes"]
        return sums

    def accepted(self):
        found = Counter()
        for vertex in self.run["vertices"]:
            if vertex["kind"] == "accept" and vertex.get("connection"):
                addresses = self.connections[vertex["connection"]]["addresses"]
                found[(*reversed(addresses), self.pids[vertex["process"]], vertex["thread"])] += 1
        return found

    def connects(self):
        """How many connects of each process to each port failed so, or did not."""
        found = Counter()
        for vertex in self.run["vertices"]:
            if vertex["kind"] == "connect":
                connection = self.connections[vertex["connection"]]
                found[(self.pids[vertex["process"]], int(connection["addresses"][1].rsplit(":", 1)[1])
                       if connection["addresses"][1] else None, connection["error"] or "")] += 1
        return found


class Torture:
    """One run for all tests."""
    trace = None

    @classmethod
    def run(cls):
        before, at = leftovers(), store()
        result = bop("run", experiment(EXPERIMENT), "--store", at, "--json", status=None)
        true(result.status in (0, 1), str(result))
        run = show("last", at)
        cls.trace = Trace(run)
        cls.moved, cls.accepted = cls.trace.moved(), cls.trace.accepted()
        equal(run["outcome"], "good", f"outcome: the ways themselves: {result}")
        equal(run["lost"], 0, "events lost")
        nothing_left(before)
        equal([v for v in run["vertices"] if v["kind"] == "listen" and not v["port"]], [], "listeners without a port")
        equal({flag for v in run["vertices"] for flag in v.get("flags", [])} & {"urgent", "skipped", "inferred"},
              {"urgent", "skipped", "inferred"}, "flags of what only some ways make")


def counted(lines):
    """What the programs of a way say: {end: [sent, received]}, {end of an accepted socket}."""
    sums, accepted = {}, Counter()
    for line in lines:
        if "ends" not in line:
            continue
        key = (*line["ends"], line["pid"], line["thread"])
        accepted[key] += line["accepted"]
        if line["sent"] or line["received"]:
            row = sums.setdefault(key, [0, 0])
            row[0] += line["sent"]
            row[1] += line["received"]
    return sums, +accepted


def way_test(way):
    true(Torture.trace, "there was no run")
    lines = Torture.trace.lines.get(way)
    true(lines, "the programs said nothing")
    skipped = [line["skip"] for line in lines if "skip" in line]
    if skipped:
        raise Skip(skipped[0])
    sums, accepted = counted(lines)
    pairs = {frozenset(key[:2]) for key in sums}
    shown = {key: value for key, value in Torture.moved.items() if frozenset(key[:2]) in pairs}
    labels = [label for label, c in Torture.trace.connections.items() if frozenset(c["addresses"]) in pairs]
    holes = [hole for hole in Torture.trace.run["holes"] if hole["connection"] in labels]
    if way in NOT_COVERED:
        return not_covered(way, sums, shown, holes)
    equal(shown, sums, "bytes sent and received by connection, end, process and thread")
    equal({key: n for key, n in Torture.accepted.items() if frozenset(key[:2]) in pairs}, accepted, "who accepted")
    equal(holes, [], "holes")
    equal(len(labels), len(pairs), "connections")
    inferred = {v["label"] for v in Torture.trace.run["vertices"] if "inferred" in v.get("flags", [])}
    equal(inferred & set(labels), set(labels) if way == "uring-accept-direct" else set(), "accepts that are inferred")
    ends = causes(Torture.trace, labels)
    if way == "splice-end":
        equal(ends, 2, "ends of file seen")
    connects_agree(lines)
    return None


def not_covered(way, sums, shown, holes):
    """Every byte that is not shown is in a hole, on the side that moved it."""
    missing = {}
    for key, value in sums.items():
        got = shown.get(key, [0, 0])
        if got != value:
            missing[key[:2]] = [missing.get(key[:2], [0, 0])[i] + value[i] - got[i] for i in (0, 1)]
    true(missing, f"{way} is covered after all: nothing is missing")
    for side, index in (("send", 0), ("recv", 1)):
        equal(sum(h["to"] - h["from"] for h in holes if h["missing"] == side),
              sum(value[index] for value in missing.values()), f"bytes in holes, {side}")


def causes(trace, labels):
    """Every byte received was sent, every end of file has a cause, every accept a connect; messages are numbered densely."""
    numbers, ends = {}, 0
    for message in trace.run["messages"]:
        numbers.setdefault((message["connection"], message["direction"]), []).append(message["number"])
    for key, found in numbers.items():
        if key[0] in labels:
            equal(sorted(found), list(range(1, len(found) + 1)), f"numbers of the messages of {key}")
    for vertex in trace.run["vertices"]:
        if vertex.get("connection") not in labels:
            continue
        into = trace.into.get(vertex["id"], [])
        if vertex["kind"] == "recv" and vertex["bytes"]:
            equal(sum(e["bytes"] for e in into if e["rule"] == "message"), vertex["bytes"],
                  f"bytes of the sends of {vertex}")
        elif vertex["kind"] == "recv" and not vertex.get("error"):
            ends += 1
            true(any(e["rule"] == "close" for e in into), f"no close for the end of file of {vertex}")
        elif vertex["kind"] == "accept":
            true(any(e["rule"] == "connect" for e in into), f"no connect for {vertex}")
    return ends


def connects_agree(lines):
    """Connects that the way wrote down: so many, with these outcomes."""
    trace = Torture.trace
    names = {pid: name for name, pid in trace.pids.items()}
    for line in lines:
        if "connect" not in line:
            continue
        wanted = sum(1 for other in lines if all(other.get(k) == line[k] for k in ("pid", "connect", "error")))
        found = [c for v in trace.run["vertices"] if v["kind"] == "connect" and v["process"] == names[line["pid"]]
                 for c in [trace.connections[v["connection"]]]
                 if at_port(c, line["connect"]) and (c["error"] or "") == line["error"]]
        true(len(found) >= wanted, f"{len(found)} connects like {line}, wanted {wanted}")
        equal(len({c["label"] for c in found}), len(found), f"labels of connects like {line}")


def at_port(connection, port):
    """Was that the port? A port that the kernel chose has another spelling in a target."""
    target = connection["target"] or ""
    return target.endswith(f":{port}") or (connection["addresses"][1] or "").endswith(f":{port}") or ":*" in target


def run_all():
    """all ways to move bytes go as planned under the tracer, and no event is lost"""
    Torture.run()


def test_of(way):
    def test():
        way_test(way)
    test.__doc__ = f"{way}: bytes shown are the bytes counted, by whom, and every receive has its send"
    return test


def main():
    if not os.path.exists(TORTURE):
        print(f"1..0 # SKIP {TORTURE} is not built")
        return 1
    return run_tests(run_all, *[test_of(way) for way in command(TORTURE, "list").out.split()])


if __name__ == "__main__":
    sys.exit(main())
