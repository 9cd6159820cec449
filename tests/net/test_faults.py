#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults over the whole path: a line of a plan, a run, and what the programs, the trace and the receipts say of it."""
import sys

from harness import (OUT, SHORT, SOAK, bop, command, equal, experiment, leftovers, nothing_left, run_tests, show, store,
                     true)
from serving import Namespaces, Server
from talking import KILLED, QUESTIONS, exact, fault, fired, message, process, talk


def quorum(timeout="10s"):
    return experiment(f"""experiment: quorum
boxes: [s1, s2, s3, c]
path: [{OUT}/examples/quorum]
processes:
  - {{name: s1, box: s1, run: [quorum-server, "7000"], ready: {{listen: 7000}}}}
  - {{name: s2, box: s2, run: [quorum-server, "7000"], ready: {{listen: 7000}}}}
  - {{name: s3, box: s3, run: [quorum-server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: client, box: c, run: [quorum-client, client, "7000", "2", s1, s2, s3]}}
timeout: {timeout}
""")


def run(path, *lines, status=None, argv=()):
    """The run with these faults, as bop show has it. Labels are of no earlier run: racy ones are none here."""
    at = store()
    faults = [word for line in lines for word in ("--fault", line)]
    result = bop("run", path, "--store", at, *faults, *argv, status=status)
    true(result.status != 3, f"it could not run: {result}")
    got = show(1, at)
    equal((got["incomplete"], got["lost"], got["holes"]), (False, 0, []), "what is missing")
    equal([fault["fault"] for fault in got["faults"]], list(lines), "faults")
    return got


def numbers():
    return range(1, QUESTIONS + 1) if SOAK else (3,) if SHORT else (1, 4)


def test_cut():
    """cut at message k, both directions: the other side read exactly 1 to k - 1, and nobody was told"""
    for way in "><":
        for k in numbers():
            got = run(talk(), f"cut client{way}s:7000#1/{k}", status=2)
            equal(got["outcome"], "timeout", "outcome")
            exact(got, way, k)
            f = fired(got)
            true(f["messages"] >= 1 and f["bytes"] >= 1 and f["packets"] >= 1, f"it hit nothing: {f}")
            equal(f["lost_messages"], 1, "messages that the graph shows as lost")


def test_reset():
    """reset instead of message k: all before was read, and both ends know it"""
    for way in "><":
        for k in numbers():
            got = run(talk(), f"reset client{way}s:7000#1/{k}", status=1)
            exact(got, way, k)
            fired(got)
            true("Connection reset by peer" in got["reason"], got["reason"])


def test_refuse():
    """the second connect is refused, the first one and what it is used for are not"""
    got = run(talk(2), "refuse client>s:7000#2", status=1)
    true("client>s:7000#2: Connection refused" in got["reason"], got["reason"])
    exact(got, ">", QUESTIONS + 1)
    fired(got)


def test_hold():
    """a message that is held comes late, not too early, and the stream goes on"""
    got = run(talk(), "hold client<s:7000#1/2 for 300ms", status=0)
    f = fired(got)
    sent = message(got, "client<s:7000#1/2")["send"]
    times = {v["id"]: v for v in got["vertices"]}
    receive = min(v["return_ns"] for v in got["vertices"]
                  if v["kind"] == "recv" and v["process"] == "client" and "client<s:7000#1/2" in (v.get("labels") or []))
    true(receive - times[sent]["enter_ns"] >= 300e6, f"it arrived after {receive - times[sent]['enter_ns']} ns")
    true(f["lateness_ns"] >= 0, f"lateness {f}")
    exact(got, "<", QUESTIONS + 1)


def test_drop():
    """a message that is lost on the wire is sent again"""
    got = run(talk(), "drop client>s:7000#1/2", status=0)
    true(fired(got)["packets"] >= 1, "it hit nothing")
    exact(got, ">", QUESTIONS + 1)


def test_crash_at_send():
    """a client that is killed before its message k leaves: the server read all before"""
    for k in numbers():
        got = run(talk(), f"crash client at send client>s:7000#1/{k}", status=2)
        exact(got, ">", k)
        fired(got)
        equal(process(got, "client")["status"], KILLED, "status of the client")
        equal(got["outcome"], "vacuous", "outcome")
        equal(got["warnings"], None, "warnings about an end that was ordered")


def test_crash_at_receive():
    """a server's child that is killed before it sees message k has answered exactly those before"""
    got = run(talk(), "crash server.1 at recv client>s:7000#1/3", status=1)
    fired(got)
    exact(got, "<", 3)
    equal(process(got, "server")["status"], 0, "status of the server itself")


def test_restart():
    """a server that is killed starts again, in its box and its directory, with its name; the others do not notice"""
    before = leftovers()
    slow = [f"hold client>{server}:7000#1/2 for 1s" for server in ("s2", "s3")]  # the run lasts long enough
    got = run(quorum(), "crash s1 at recv client>s1:7000#1/1", "restart s1 after 50ms", "crash s1'2 at start s1'2", *slow, status=0)
    fired(got)
    again = fired(got, number=2)
    true(again["fired_ns"] >= fault(got)["fired_ns"] + 50e6, "it was started too early")
    fired(got, number=3)
    equal([(process(got, name)["box"], process(got, name)["status"]) for name in ("s1", "s1'2")],
          [("s1", KILLED), ("s1", KILLED)], "the two lives of s1")
    equal(process(got, "s1'2")["command"], process(got, "s1")["command"], "commands")
    nothing_left(before)


def test_pause():
    """a server that is stopped as it reads goes on after that time, no earlier"""
    got = run(talk(), "pause server.1 at recv client>s:7000#1/2 for 400ms", status=0)
    f = fired(got, "expired")
    true(f["ended_ns"] - f["fired_ns"] >= 400e6, f"it lasted {f['ended_ns'] - f['fired_ns']} ns")
    sends = [v for v in got["vertices"] if v["kind"] == "send" and v["process"] == "server.1"]
    inside = [v for v in sends if f["fired_ns"] < v["enter_ns"] < f["fired_ns"] + 400e6]
    equal(inside, [], "what it sent meanwhile")
    exact(got, "<", QUESTIONS + 1)


def test_receives():
    """faults at each receive of a connection, more than can wait there at once: each has fired"""
    lines = [f"pause server.1 at recv client>s:7000#1/{k} for 1ms" for k in range(1, QUESTIONS + 1)]
    got = run(talk(timeout="10s"), *lines, status=0)
    for number in range(1, QUESTIONS + 1):
        fired(got, "expired", number)
    exact(got, "<", QUESTIONS + 1)


def test_partition():
    """a partition from a moment on: nothing sent after it arrives, in either direction; the others go on"""
    got = run(quorum(), "partition s1 | c from recv client>s1:7000#1/1", status=None)
    f = fired(got)
    times = {v["id"]: v for v in got["vertices"]}
    late = [m for m in got["messages"]
            if "s1:7000" in m["label"] and times[m["send"]]["enter_ns"] > f["fired_ns"] and m["received"]]
    equal(late, [], "what was sent between them after that, and read")
    true(message(got, "client<s2:7000#1/2")["received"], "s2 did not answer")


def test_heals():
    """a partition that ends: what was sent meanwhile arrives then"""
    got = run(talk(timeout="10s"), "partition s | c from recv client>s:7000#1/2 for 200ms", status=0)
    fired(got, "expired")
    exact(got, "<", QUESTIONS + 1)


def test_cut_off():
    """isolated boxes, and all packets lost: the agent tells of it to the end, nothing is missing"""
    for lines in (["isolate s,c"], ["loss 100% s,c seed 1"], ["isolate s", "loss 100% c seed 3", "corrupt 100% s seed 3"]):
        got = run(talk(), *lines, status=2)
        equal(got["outcome"], "timeout", "outcome")
        equal(got["messages"], [], "messages")
        for number in range(1, len(lines) + 1):
            fired(got, number=number)
        true(any(v["kind"] == "mark" for v in got["vertices"]), "events of the end")


def test_crash_box():
    """a box without power: everything in it is gone, and its peer hears nothing"""
    got = run(talk(timeout="3s"), "crash box s at recv client>s:7000#1/3", status=2)
    fired(got)
    equal([process(got, name)["status"] for name in ("server", "server.1")], [KILLED, KILLED], "what was in it")
    equal(got["outcome"], "timeout", "outcome")
    heard = [v for v in got["vertices"] if v["process"] == "client" and v["kind"] == "recv" and not v["teardown"] and not v["bytes"]]
    equal(heard, [], "ends that the client saw")


def test_power():
    """a box that is switched off and on: its server runs again, and the old connection is reset by a kernel that knows nothing"""
    got = run(talk(timeout="10s"), "crash box s at recv client>s:7000#1/3", "restart server after 100ms", status=1)
    fired(got)
    fired(got, number=2)
    true("Connection reset by peer" in got["reason"], got["reason"])
    true("power came back" in fault(got)["why"], f"{fault(got)}")


def test_fail():
    """a call that fails for one process: with that error, from its start on"""
    got = run(talk(), "fail accept ENOBUFS server", "fail accept4 ENOBUFS server", status=None)
    fired(got)
    true(got["outcome"] in ("violated", "timeout"), f"outcome {got['outcome']}")
    true(not [v for v in got["vertices"] if v["kind"] == "accept" and not v.get("error")], "it has accepted something")


def test_rate():
    """a rate slows down what is sent"""
    at = run(talk(questions=40, timeout="1m"), "rate 16kbit c", status=0)
    f = fired(at)
    sends = [v["enter_ns"] for v in at["vertices"] if v["kind"] == "send" and v["process"] == "client"]
    # 40 packets of at least 52 + 20 bytes, less a burst of 2000, at 2000 bytes a second
    true(max(sends) - min(sends) >= (40 * 72 - 2000) / 2000 * 0.9e9, f"40 questions took {max(sends) - min(sends)} ns: {f}")


def test_dry():
    """in a dry run everything is as without faults, and each says whether it would have fired"""
    lines = ["cut client>s:7000#1/2", "crash server.1 at recv client>s:7000#1/3", "cut client>s:7000#1/99", "isolate s"]
    got = run(talk(), *lines, argv=["--dry-run"], status=0)
    equal([f["state"] for f in got["faults"]], ["would-fire", "would-fire", "never-fired", "would-fire"], "states")
    equal([f["acted"] for f in got["faults"]], [False] * 4, "acted")
    exact(got, ">", QUESTIONS + 1)


def test_never():
    """a moment that never comes: the run is as without the fault, which says so"""
    got = run(talk(), "reset client>s:7000#1/99", "crash client at send client>s:7000#7/1", status=0)
    equal([(f["state"], f["fired"]) for f in got["faults"]], [("never-fired", 0)] * 2, "states")


def test_refused():
    """what cannot be done is refused before anything starts, with the reason"""
    at = store()
    result = bop("run", talk(), "--store", at, "--fault", "fail execve EIO client", status=3)
    true("fault 1 (fail execve EIO client): execve cannot be made to fail" in result.err, f"{result}")
    got = show(1, at)
    equal((got["outcome"], got["processes"]), ("error", []), "outcome, and what has started")


def test_guests():
    """namespaces that were there before: only what runs there for the run, and packets between its boxes, are met"""
    with Namespaces("s", "c") as spaces, Server() as server:
        server.agent(spaces.box("s"), spaces.box("c"))
        stranger = "import socket as s; a = s.create_server(('10.91.0.1', 0)); s.create_connection(a.getsockname(), 9)"
        result = server.run(talk(), "--fault", "cut client>s:7000#1/3", status=2)
        got = show(1, server.store)
        exact(got, ">", 3)
        fired(got)
        result = server.run(talk(), "--fault", "isolate s", status=None)
        got = show(2, server.store)
        fired(got)
        equal(got["messages"], [], f"messages of an isolated box: {result}")
        command("ip", "netns", "exec", spaces.names["s"], sys.executable, "-c", stranger)
        for line, word in (("rate 1mbit s", "devices that the agent made"), ("reorder 5% s", "devices that the agent made")):
            result = server.run(talk(), "--fault", line, status=3)
            true(word in result.err, f"{result}")


sys.exit(run_tests(test_cut, test_reset, test_refuse, test_hold, test_drop, test_crash_at_send, test_crash_at_receive,
                   test_restart, test_pause, test_receives, test_partition, test_heals, test_cut_off, test_crash_box,
                   test_power, test_fail, test_rate, test_dry, test_never, test_refused, test_guests))
