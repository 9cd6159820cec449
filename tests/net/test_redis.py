#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis as Debian ships it: the trace has exactly the requests that redis-benchmark counted."""
import re
import shutil
import sys

from harness import Skip, bop, equal, example, leftovers, nothing_left, run_tests, show, store, true


def test_redis():
    """20,000 SET and 20,000 GET: as many messages each way as redis-benchmark counts requests, nothing lost, no hole"""
    if not shutil.which("redis-server"):
        raise Skip("redis-server is not installed")
    before, at = leftovers(), store()
    result = bop("run", example("redis"), "--store", at, "--json")
    summary = result.jsons()[0]
    equal((summary["outcome"], summary["lost"]), ("good", 0), str(result))
    run = show("last", at)
    equal(run["holes"], [], "holes")
    text = "".join(p["stdout"] for p in run["processes"] if p["name"] == "benchmark")
    counted = sum(int(n) for n in re.findall(r"(\d+) requests completed", text))
    equal(counted, 40000, "requests that redis-benchmark counted")
    # its first connection asks for the server's configuration before it counts
    sends = [v["label"] for v in run["vertices"] if v["kind"] == "send"]
    ours = [re.fullmatch(r"benchmark([<>])r1:6379#(\d+)/\d+", label) for label in sends]
    ways = {way: sum(1 for m in ours if m and m[1] == way and m[2] != "1") for way in "<>"}
    equal(ways, {">": counted, "<": counted}, "messages each way")
    received = {label for v in run["vertices"] if v["kind"] == "recv" for label in v["labels"]}
    missing = [label for label in sends if label.startswith("benchmark") and label not in received]
    true(not missing, f"{len(missing)} messages have no receive, like {missing[:3]}")
    nothing_left(before)


sys.exit(run_tests(test_redis))
