#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example runs, is traced without loss, and can be drawn."""
import os
import shutil
import struct
import sys
import xml.etree.ElementTree as ET

from harness import (SHORT, bop, command, equal, example, leftovers, nothing_left, run_tests, show, store,
                     succeeds_by_rank, true)

EXAMPLES = [("client-server", "experiment.yaml"), ("client-server", "ipv6.yaml"), ("quorum", "experiment.yaml"),
            ("quorum", "three-clients.yaml"), ("primary-backup", "experiment.yaml"), ("ldfi", "3pc.yaml")]
FEW = [("client-server", "ipv6.yaml"), ("quorum", "three-clients.yaml")]
MESSAGES = {"experiment.yaml client-server": (6, 6), "ipv6.yaml client-server": (6, 6)}


def graph_holds(run):
    """Acyclic, every receive after its send, every message's label the same at both ends."""
    order = succeeds_by_rank(run["vertices"], run["edges"])
    true(order is not None, "the graph has a cycle")
    by_id = {v["id"]: v for v in run["vertices"]}
    for edge in run["edges"]:
        if edge["rule"] == "message":
            send, receive = by_id[edge["from"]], by_id[edge["to"]]
            equal((send["kind"], receive["kind"]), ("send", "recv"), "ends of a message")
            true(send["label"] in receive["labels"], f"{send} is not in {receive}")
    received = {label for v in run["vertices"] if v["kind"] == "recv" for label in v["labels"]}
    arrived = {by_id[e["from"]]["label"] for e in run["edges"] if e["rule"] == "message"}
    equal(received, arrived, "labels received and messages that arrived")
    true(arrived, "no message was seen")


def pictures_hold(run, at):
    base = os.path.join(os.path.dirname(at), "picture")
    for kind in ("svg", "png", "dot", "json"):
        bop("graph", run, "--store", at, "-o", f"{base}.{kind}")
        true(os.path.getsize(f"{base}.{kind}") > 100, f"{kind} is empty")
    root = ET.parse(f"{base}.svg").getroot()
    equal(root.tag, "{http://www.w3.org/2000/svg}svg", "root of the SVG")
    with open(f"{base}.png", "rb") as f:
        head = f.read(24)
    equal(head[:8], b"\x89PNG\r\n\x1a\n", "head of the PNG")
    true(all(struct.unpack(">II", head[16:])), "the PNG has no size")
    if shutil.which("dot"):
        command("dot", "-Tsvg", "-o", f"{base}-dot.svg", f"{base}.dot")
        ET.parse(f"{base}-dot.svg")


def run_example(folder, file):
    before, at = leftovers(), store()
    result = bop("run", example(folder, file), "--store", at, "--json")
    summary = result.jsons()
    equal(len(summary), 1, "objects printed")
    equal((summary[0]["outcome"], summary[0]["lost"]), ("good", 0), str(result))
    run = show("last", at)
    equal((run["outcome"], run["lost"]), ("good", 0), "what was kept")
    equal(run["holes"], [], "holes")
    graph_holds(run)
    wanted = MESSAGES.get(f"{file} {folder}")
    if wanted:
        labels = [v["label"] for v in run["vertices"] if v["kind"] == "send"]
        equal((sum(">" in x for x in labels), sum("<" in x for x in labels)), wanted, "messages each way")
    pictures_hold("last", at)
    nothing_left(before)


def case(folder, file):
    def test():
        run_example(folder, file)
    test.__doc__ = f"{folder}/{file} runs good, loses nothing, has no hole, and every picture of it is well-formed"
    return test


if __name__ == "__main__":
    sys.exit(run_tests(*[case(*names) for names in (FEW if SHORT else EXAMPLES)]))
