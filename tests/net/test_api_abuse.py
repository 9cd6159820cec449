#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API under abuse. While others send nonsense, floods and nothing at all, leave, or are killed, the run of a controller that
behaves goes on from before the first test to behind the last one, and loses nothing.

Random bytes come from a seed (BOP_TEST_SEED, else 1).
"""
import os
import random
import signal
import socket
import struct
import sys
import threading

from controller import (ANSWERS, BOXES, BUSY, CANCEL, ERROR, EVENTS_END, FAULTS, INJECT, INVALID, LIFT, LIST_BOXES, LIST_FAULTS,
                        MALFORMED, MINIMIZE, NOT_FOUND, PROGRESS, REPLAY, RUN, RUN_END, SUBSCRIBE, VERSION, WAIT_RUN, Controller,
                        number, run_of, text)
from harness import BOP, OUT, SOAK, Running, bop, equal, experiment, leftovers, nothing_left, run_tests, scratch, show, true, wait_for
from serving import Namespaces, Server, reaches, stranger
from strangers import NOISE, message

BEFORE = leftovers()
RANDOM = random.Random(int(os.environ.get("BOP_TEST_SEED", "1")))
SERVER, SPACES = Server(), Namespaces("x", "y")
STOP = os.path.join(scratch(0o777), "stop")
VICTIM = {}


def controller():
    return Controller(f"{SERVER.folder}/api")


def resident():
    """KiB."""
    with open(f"/proc/{SERVER.running.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def states():
    return sorted(agent["state"] for agent in SERVER.boxes()["agents"])


def still_there():
    """The server answers, and the run that behaves goes on."""
    equal(SERVER.running.process.poll(), None, "exit status of the server")
    true(states()[-1] == "running", f"the run of the other is over: {states()}")


def small():
    """Runs at once, on the agent that the other run has not."""
    return experiment("experiment: small\nboxes: [x]\nworkload: {name: w, box: x, run: ['true']}\n")


def endless():
    up = os.path.join(scratch(0o777), "up")
    return experiment("experiment: endless\nboxes: [x, y]\ngrace: 300ms\nworkload: {name: w, box: x, "
                      f"run: [sh, -c, ': >{up}; sleep 1000']}}\ntimeout: 10m\n"), up


def begin():
    """Traffic without end, as seen by a controller that reads what it gets."""
    path = experiment(f"""experiment: traffic
boxes: [s, c]
path: [{OUT}/examples/client-server]
processes:
  - {{name: server, box: s, run: [server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: w, box: c, run: [sh, -c, 'while [ ! -e {STOP} ]; do client client s 7000 1 200; done']}}
timeout: 30m
""")
    VICTIM["asker"] = controller()
    VICTIM["asker"].ask(1, RUN, run_of(path))
    VICTIM["slow"] = controller()
    VICTIM["slow"].ask(1, SUBSCRIBE)  # and never reads
    ident, kind, body = VICTIM["asker"].answer()
    equal((ident, kind), (1, PROGRESS), "the first answer")
    VICTIM["run"] = body[1]


def test_begin():
    """a controller asks for a run that goes on while all the others do what they do; another one subscribes to it and never reads"""
    begin()
    still_there()


def raw(data):
    """What the server says to these bytes, until it closes the connection or they are answered by nothing."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(0.2)
        s.connect(f"{SERVER.folder}/api")
        try:
            s.sendall(data)
            while s.recv(4096):
                pass
        except OSError:
            pass


def test_random_bytes():
    """random bytes, on the socket and as frames, and requests of which some bytes are others: each frame gets an answer, mostly an Error"""
    for size in (1, 10, 100, 1000, 100000):
        raw(RANDOM.randbytes(size))
    raw(NOISE)
    bodies = [number(1, 1) + number(2, 5) + text(what, body) for what, body in (
        (RUN, run_of(small(), "isolate x")), (INJECT, text(2, text(1, "isolate s"))), (LIFT, number(2, 7)), (WAIT_RUN, number(1, 1 << 62)),
        (SUBSCRIBE, text(2, "send")), (REPLAY, number(1, 1 << 62)), (MINIMIZE, number(1, 1 << 62)))]
    with controller() as asker:
        for turn in range(2000 if SOAK else 300):
            if turn % 2:
                frame = RANDOM.randbytes(RANDOM.randrange(300))
            else:
                frame = bytearray(RANDOM.choice(bodies))
                for _ in range(RANDOM.randrange(1, 4)):
                    frame[RANDOM.randrange(len(frame))] = RANDOM.randrange(256)
                frame = bytes(frame[:RANDOM.randrange(len(frame) + 1)])
            asker.socket.sendall(message(frame))
        asker.ask(1 << 40, LIST_BOXES)
        kinds = set()
        ident = 0
        while ident != 1 << 40:
            ident, kind, _ = asker.answer()
            kinds.add(kind)
        true(ERROR in kinds and kinds <= set(ANSWERS), f"kinds of answers: {kinds}")
    still_there()


def test_huge():
    """frames larger than a request may be end that connection and cost no memory; one that just fits is looked at, and refused"""
    before = resident()
    for size in ((2 << 20) + 1, 1 << 30, (1 << 63) - 1):
        with controller() as asker:
            asker.socket.sendall(b"\x02" + struct.pack(">Q", size))
            try:
                for _ in range(64):
                    asker.socket.sendall(bytes(1 << 16))
            except OSError:
                pass
            try:
                equal(asker.file.read(1), b"", f"what it says to a frame of {size} bytes")
            except OSError:
                pass
    with controller() as asker:
        asker.ask(7, RUN, text(1, "x") + text(2, "/x") + text(3, b"#" * ((2 << 20) - 100)))
        kind, error = asker.last(7)
        equal((kind, error.get(1, 0)), (ERROR, INVALID), "a file of 2 MiB")
        lines = b"".join(text(2, text(1, "isolate x")) for _ in range(100000))
        asker.ask(8, INJECT, number(1, VICTIM["run"]) + lines)
        equal(asker.last(8)[0], ERROR, "a plan of 100,000 lines")
    true(resident() - before < 65536, f"the server has grown by {resident() - before} KiB")
    still_there()


def test_out_of_order():
    """cancel, lift, inject and wait before there is a run, answers sent as requests, an id that is used twice: an answer each"""
    with controller() as asker:
        for ident, (what, body, kind) in enumerate([
                (CANCEL, number(1, 77), NOT_FOUND), (CANCEL, number(3, 1 << 62), NOT_FOUND), (CANCEL, b"", NOT_FOUND),
                (LIFT, number(1, 1 << 62), NOT_FOUND), (LIFT, number(1, VICTIM["run"]) + number(2, 9), NOT_FOUND),
                (INJECT, number(1, 1 << 62) + text(2, text(1, "isolate s")), NOT_FOUND), (INJECT, number(1, VICTIM["run"]), INVALID),
                (INJECT, number(1, VICTIM["run"]) + text(2, text(1, "isolate nobody")), INVALID),
                (WAIT_RUN, number(1, 1 << 62), NOT_FOUND), (RUN, b"", INVALID), (MINIMIZE, number(1, VICTIM["run"]), BUSY),
                (SUBSCRIBE, number(1, 1 << 62), NOT_FOUND), (LIST_FAULTS, number(1, 1 << 62), NOT_FOUND)], 1):
            asker.ask(ident, what, body)
            found, error = asker.last(ident)
            equal((found, error.get(1, 0)), (ERROR, kind), f"request {what}")
        for kind in ANSWERS:  # a field that is no request is unknown; one that is has another type
            asker.socket.sendall(message(number(1, 50 + kind) + text(kind, number(1, 3))))
        asker.ask(40, LIST_BOXES)
        equal(asker.last(40)[0], BOXES, "behind them")
        asker.ask(41, RUN, run_of(small()))
        asker.ask(41, RUN, run_of(small()))
        asker.ask(41, LIST_BOXES)
        got = sorted(asker.last(41)[0] for _ in range(3))
        true(got in ([BOXES, RUN_END, RUN_END], [ERROR, BOXES, RUN_END]), f"answers to one id: {got}")
    wait_for("the agent", lambda: states() == ["idle", "running"])
    still_there()


def test_version():
    """requests of another version, or of none, are refused for that, with their id"""
    with controller() as asker:
        for version in (0, 2, (1 << 32) - 1):
            asker.socket.sendall(message(number(1, version) + number(2, 9) + text(LIST_BOXES, b"")))
            kind, error = asker.last(9)
            equal((kind, error.get(1, 0)), (ERROR, VERSION), f"version {version}")
        asker.socket.sendall(message(number(1, 1) + number(2, 9) + text(4000, b"")))
        kind, error = asker.last(9)
        equal((kind, error.get(1, 0)), (ERROR, MALFORMED), "a kind that there is none of")
    still_there()


def test_thousand_requests():
    """1,000 requests at once of one who reads are all answered, in order; of one who does not, none costs others anything"""
    with controller() as asker, controller() as never:
        reader = []
        thread = threading.Thread(target=lambda: reader.extend(asker.answer()[:2] for _ in range(1000)))
        thread.start()
        for ident in range(1, 1001):
            asker.ask(ident, LIST_BOXES if ident % 2 else LIST_FAULTS)
            never.ask(ident, LIST_BOXES)
        thread.join(60)
        equal(reader, [(ident, BOXES if ident % 2 else FAULTS) for ident in range(1, 1001)], "answers")
        still_there()


def test_hundred_controllers():
    """100 controllers at once that ask, wait for the same run and subscribe are all answered; half of them leave without a word"""
    many = [controller() for _ in range(100)]
    for one in many:
        one.ask(1, LIST_BOXES)
        one.ask(2, WAIT_RUN, number(1, VICTIM["run"]))
        one.ask(3, SUBSCRIBE, number(1, VICTIM["run"]) + text(2, "mark"))
        one.ask(4, LIST_FAULTS, number(1, VICTIM["run"]))
    for one in many:
        equal(one.last(1)[0], BOXES, "the first answer")
        equal(one.last(4)[0], FAULTS, "the last answer")
    for one in many[::2]:
        one.__exit__()
    still_there()
    for one in many[1::2]:
        one.ask(5, CANCEL, number(1, 3))
        equal(one.last(3)[0], EVENTS_END, "the end of its subscription")
        one.ask(6, CANCEL, number(1, 2))
        equal(one.last(2)[0], ERROR, "the end of its waiting")
        one.__exit__()


def test_killed():
    """SIGKILL of a controller in the middle of a run with a fault in effect: the run ends, the fault lifts, traffic flows again"""
    path, up = endless()
    answering = stranger(SPACES, "x")
    try:
        wait_for("the stranger", lambda: reaches(SPACES, "y", "10.91.0.1"))
        running = Running(BOP, "run", path, f"--server={SERVER.api}")
        wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
        number_of = bop("runs", "--store", SERVER.store, "--json").json()["runs"][-1]["run"]
        bop("inject", "isolate x lease 10m", "--run", number_of, "--server", SERVER.api)
        wait_for("the wall", lambda: not reaches(SPACES, "y", "10.91.0.1"))
        running.signal(signal.SIGKILL)
        running.end()
        wait_for("packets to pass", lambda: reaches(SPACES, "y", "10.91.0.1"))
        wait_for("the agent", lambda: states() == ["idle", "running"])
        run = show(number_of, SERVER.store)
        equal((run["outcome"], run["incomplete"], run["lost"]), ("interrupted", False, 0), "its run")
        SERVER.run(small())
    finally:
        answering.kill()
        answering.wait()
    still_there()


def test_stopped():
    """a controller that is stopped in the middle of its run keeps nobody: the run can be cancelled by others, and by its end"""
    path, up = endless()
    running = Running(BOP, "run", path, f"--server={SERVER.api}")
    wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
    running.signal(signal.SIGSTOP)
    with controller() as other:
        other.ask(1, CANCEL, number(3, bop("runs", "--store", SERVER.store, "--json").json()["runs"][-1]["run"]))
        wait_for("the agent", lambda: states() == ["idle", "running"])
    running.signal(signal.SIGCONT)
    equal(running.end().status, 130, "exit status of who was stopped")
    still_there()


def test_end():
    """the run of the controller that behaves was disturbed by none of it: good, whole, 0 events lost, 0 unmatched bytes"""
    still_there()
    with open(STOP, "w", encoding="ascii"):
        pass
    kind, end = VICTIM["asker"].last(1)
    equal((kind, end[1], end[3], end.get(5, 0), end.get(10, 0), end.get(11, 0)), (RUN_END, VICTIM["run"], b"good", 0, 0, 0), "the run's end")
    run = show(VICTIM["run"], SERVER.store)
    equal((run["outcome"], run["incomplete"], run["lost"], run["holes"], run["unmatched_bytes"]), ("good", False, 0, [], 0), "the run")
    true(len(run["messages"]) > 1000, f"only {len(run['messages'])} messages")
    VICTIM["slow"].ask(2, CANCEL, number(1, 1))
    kind, last = VICTIM["slow"].last(1)
    equal((kind, last[3]), (EVENTS_END, b"cancelled"), "the subscription of who never read")
    true(last.get(2, 0) > 0, "it missed nothing")
    VICTIM["asker"].__exit__()
    VICTIM["slow"].__exit__()


with SPACES, SERVER:
    SERVER.agent("s", "c")
    SERVER.agent(SPACES.box("x"), SPACES.box("y"))
    STATUS = run_tests(test_begin, test_random_bytes, test_huge, test_out_of_order, test_version, test_thousand_requests,
                       test_hundred_controllers, test_killed, test_stopped, test_end)
nothing_left(BEFORE)
sys.exit(STATUS)
