#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three etcd as Debian ships them: every byte is accounted for, and a second run begins where the first one began."""
import json
import re
import shutil
import sys

from harness import Skip, bop, bytes_match, equal, example, leftovers, nothing_left, run_tests, show, store, true
from test_examples import graph_holds, pictures_hold

RUNS = 2
VALUES = 6


def answers(run):
    """What the members answered to the client, and what it read: member and revision are in it, and no time."""
    text = "".join(p["stdout"] for p in run["processes"] if p["name"] == "client")
    return [json.loads(line) if line.startswith("{") else line for line in text.splitlines()]


def client_traffic(run):
    """The connections of the client's processes, and the first message each way: what follows, gRPC cuts by the clock."""
    connections = [c["label"] for c in run["connections"] if c["label"].startswith("client")]
    first = [(m["label"], m["bytes"]) for m in run["messages"] if m["label"].startswith("client") and m["number"] == 1]
    return sorted(connections), sorted(first)


def test_etcd():
    """puts and gets on three members: no hole, no unmatched byte, the second run is like the first, nothing is left"""
    if not shutil.which("etcd") or not shutil.which("etcdctl"):
        raise Skip("etcd-server or etcd-client is not installed")
    before, at = leftovers(), store()
    result = bop("run", example("etcd"), "--runs", RUNS, "--store", at, "--json")
    seen = []
    for summary in result.jsons():
        equal((summary["outcome"], summary["lost"]), ("good", 0), str(result))
        run = show(summary["run"], at)
        bytes_match(run)
        graph_holds(run)
        seen.append((answers(run), client_traffic(run)))
    equal(len(seen), RUNS, "runs")
    for (first, traffic), (other, other_traffic) in zip(seen, seen[1:]):
        equal(other, first, "answers of the cluster")
        equal(other_traffic, traffic, "labels of the client's traffic")
    stored, traffic = seen[0]
    revisions = [line["header"]["revision"] for line in stored if isinstance(line, dict)]
    equal(revisions, list(range(2, 2 + VALUES)), "revisions: an empty store is at 1, each value makes one")
    equal(len({line["header"]["member_id"] for line in stored if isinstance(line, dict)}), 3, "members that answered")
    put_and_get = [re.fullmatch(r"client\.(\d+)>(e[123]):2379#1", label) for label in traffic[0]]
    true(all(put_and_get), f"labels of the client's connections: {traffic[0]}")
    equal({int(m[1]): m[2] for m in put_and_get},
          {1 + k: f"e{1 + (k // 2 + k % 2) % 3}" for k in range(2 * VALUES)}, "who was asked")
    pictures_hold("last", at)
    nothing_left(before)


if __name__ == "__main__":
    sys.exit(run_tests(test_etcd))
