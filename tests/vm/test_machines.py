#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One experiment over three machines: guests of qemu, with a kernel, a clock and an agent each; the collector is outside.

All tests share the guests. Prints TAP.
"""
import re
import sys
import time

import vm
from machines import Machines

from harness import OUT, Skip, bop, equal, experiment, run_tests, show, store, true  # pylint: disable=wrong-import-order
from test_labels import agrees, in_process_order, logged  # pylint: disable=wrong-import-order

# the client is on the machine of s1: its connection to s1 does not leave that one
QUORUM = """experiment: quorum
boxes: [s1, s2, s3]
path: [%s/examples/quorum]
processes:
  - {name: s1, box: s1, run: [quorum-server, "7000"], ready: {listen: 7000}}
  - {name: s2, box: s2, run: [quorum-server, "7000"], ready: {listen: 7000}}
  - {name: s3, box: s3, run: [quorum-server, "7000"], ready: {listen: 7000}}
roles: {server: [s1, s2, s3]}
workload: {name: client, box: s1, run: [quorum-client, %sclient, "7000", "2", s1, s2, s3]}
timeout: 60s
""" % (OUT, "%s")
IN_TURN = "-t, "  # the client waits for each server's answer: the same run every time
APART = {"s1": 0, "s2": 3600, "s3": -3600}  # seconds, the machines' clocks
world = {}


def machines():
    """The guests; they are booted once."""
    if "why" in world:
        raise Skip(world["why"])
    true("machines" in world or not world.get("tried"), "the guests did not come up")
    if "machines" not in world:
        world["tried"] = True
        try:
            world["machines"] = Machines("s1", "s2", "s3", words={name: f"bop.clock={seconds}" for name, seconds in APART.items()}).__enter__()
        except vm.Unavailable as reason:
            world["why"] = str(reason)
            raise Skip(world["why"]) from None
    return world["machines"]


def quorum(option="", change=lambda text: text):
    return experiment(change(QUORUM % option))


def run(path, *lines, outcome="good"):
    """What is shown of the run with these faults, of which nothing is missing."""
    server = machines().server
    server.run(path, *(word for line in lines for word in ("--fault", line)), status=None)
    got = show("last", server.store)
    equal((got["outcome"], got["incomplete"], got["lost"], got["holes"]), (outcome, False, 0, []), f"the run ({got['reason']}, {got['faults']})")
    equal(len(got["agents"]), 3, "agents")
    equal([(f["state"], f["fired"]) for f in got["faults"] or []], [("fired", 1)] * len(lines), "faults")
    return got


def labels(got):
    return sorted(m["label"] for m in got["messages"])


def did(got, process):
    """In its order, but for ends, which have no place in a print."""
    return [(v["kind"], v.get("label"), v.get("bytes")) for v in in_process_order(got, process)
            if v["kind"] not in ("close", "exit") and not (v["kind"] == "recv" and not v["bytes"])]


def received(got, process, peer):
    """Numbers of the messages on the connection with that server which the program itself says that it has received."""
    way = "<" if process == "client" else ">"
    return [int(label.rpartition("/")[2]) for label, _ in logged(got, process, "recv") if label.startswith(f"client{way}{peer}:7000#1/")]


def test_same_run():
    """quorum on three machines, with clocks an hour apart, has the labels, edges and exact print that it has in namespaces of one"""
    here, path = store(), quorum(IN_TURN)
    for machine in machines().machine.values():
        apart = int(machine.do("date +%s")) - time.time() - APART[machine.name]
        true(abs(apart) < 600, f"the clock of {machine.name} is {apart} s off")
    bop("run", path, "--store", here)
    wanted, got = show("last", here), run(path)
    equal(labels(got), labels(wanted), "labels")
    for process in ("client", "s1", "s2", "s3"):
        equal(did(got, process), did(wanted, process), f"what {process} did")
    for print_of in [key for key in wanted if "print" in key]:
        equal(got[print_of], wanted[print_of], print_of)
    for rule in ("message", "connect"):
        equal(*(sum(e["rule"] == rule for e in r["edges"]) for r in (got, wanted)), f"edges of rule {rule}")
    equal(got["unmatched_bytes"], 0, "bytes without a send")
    true(agrees(got) >= 24, "too few messages compared")
    times = {v["id"]: v["return_ns"] for v in got["vertices"]}
    late = max(abs(times[m["recv"]] - times[m["send"]]) for m in got["messages"])
    true(late < 60e9, f"a message that was under way for {late} ns")


def test_any_order():
    """where the client waits for nobody, what stands in each message is still what it is called"""
    for _ in range(3):
        true(agrees(run(quorum())) >= 20, "too few messages compared")


def stuck(line, boxes="s1, s2, s3", box="s1"):
    """A run in turn whose client waits for what the fault took, until it is over: {connection: (requests that the server says it has
    received, replies that the client says it has)}."""
    for seconds in (5, 60):  # the second time on a machine that was too busy to come so far
        def change(text, seconds=seconds):
            text = text.replace("timeout: 60s", f"timeout: {seconds}s").replace("[s1, s2, s3]\npath", f"[{boxes}]\npath")
            return text.replace("client, box: s1", f"client, box: {box}")
        machines().server.run(quorum(IN_TURN, change), "--fault", line, status=2)
        got = show("last", machines().server.store)
        if got["faults"][0]["fired"]:
            break
    equal((got["outcome"], got["incomplete"], got["lost"], got["holes"]), ("timeout", False, 0, []), f"the run ({got['reason']})")
    equal((got["faults"][0]["state"], got["faults"][0]["fired"], len(got["agents"])), ("fired", 1, 3), f"fault ({got['faults'][0]['why']})")
    return {name: (len(received(got, name, name)), len(received(got, "client", name))) for name in ("s1", "s2", "s3")}


def test_cut():
    """a cut between machines, of either direction, hits exactly the messages named, as the programs counted them"""
    equal(stuck("cut client>s2:7000#1/1"), {"s1": (1, 1), "s2": (0, 0), "s3": (0, 0)}, "messages that arrived")
    equal(stuck("cut client>s3:7000#1/2"), {"s1": (2, 2), "s2": (2, 2), "s3": (1, 1)}, "messages that arrived")
    equal(stuck("cut client<s2:7000#1/1"), {"s1": (1, 1), "s2": (1, 0), "s3": (0, 0)}, "messages that arrived")
    equal(stuck("cut client<s3:7000#1/2"), {"s1": (2, 2), "s2": (2, 2), "s3": (2, 1)}, "messages that arrived")


def test_partition():
    """a partition between machines from a moment on hits all messages from then on, and no others"""
    equal(stuck("partition s1 | s3 from recv client>s3:7000#1/1"), {"s1": (1, 1), "s2": (1, 1), "s3": (1, 0)}, "messages that arrived")
    equal(stuck("isolate s2 from send client<s2:7000#1/2"), {"s1": (2, 2), "s2": (2, 1), "s3": (1, 1)}, "messages that arrived")


def test_nat():
    """a client behind a NAT: the same labels and print, and the same faults at its replies"""
    three = machines().machine["s3"]
    for line in ("ip netns add inner", "ip link add outer type veth peer name eth0 netns inner", "ip addr add 10.96.0.1/24 dev outer",
                 "ip link set outer up", "ip -n inner addr add 10.96.0.2/24 dev eth0", "ip -n inner link set eth0 up",
                 "ip -n inner link set lo up", "ip -n inner route add default via 10.96.0.1", "echo 1 >/proc/sys/net/ipv4/ip_forward",
                 "nft add table ip nat", "nft add chain ip nat post '{ type nat hook postrouting priority 100; }'",
                 "nft add rule ip nat post ip saddr 10.96.0.0/24 counter masquerade"):
        three.do(line)
    three.end_agent()
    three.agent("s3=host", "c=inner")
    machines().connected(3)
    path = quorum(IN_TURN, lambda text: text.replace("s3]\npath", "s3, c]\npath").replace("client, box: s1", "client, box: c"))
    here = store()
    bop("run", path, "--store", here)
    wanted, got = show("last", here), run(path)
    equal(labels(got), labels(wanted), "labels")
    equal(got["print"], wanted["print"], "print")
    true(re.search(r"packets [1-9]", three.do("nft list ruleset")), "nothing went through the NAT")
    behind = {"boxes": "s1, s2, s3, c", "box": "c"}
    equal(stuck("cut client<s1:7000#1/2", **behind), {"s1": (2, 1), "s2": (1, 1), "s3": (1, 1)}, "messages that arrived")
    equal(stuck("cut client>s2:7000#1/1", **behind), {"s1": (1, 1), "s2": (0, 0), "s3": (0, 0)}, "messages that arrived")
    three.end_agent()
    three.agent()
    machines().connected(3)


def test_end():
    """the guests' kernels have no complaint"""
    equal(machines().complaints(), {}, "complaints")


def main():
    try:
        return run_tests(test_same_run, test_any_order, test_cut, test_partition, test_nat, test_end)
    finally:
        if "machines" in world:
            world["machines"].__exit__()


if __name__ == "__main__":
    sys.exit(main())
