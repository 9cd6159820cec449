#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How `bop serve` begins and ends: nothing is left of one that could not begin, and who is slow to read is not forgotten."""
import array
import fcntl
import os
import signal
import sys
import termios

from controller import BOXES, LIST_BOXES, RUN, Controller, run_of
from harness import BOP, Running, bop, equal, leftovers, nothing_left, one_line, run_tests, scratch, show, true, wait_for
from serving import Embedded, Server, gated

GET_CAPABILITIES, CAPABILITIES = 9, 8


def test_directory():
    """a directory that cannot be made is named as it was given, and none is made above it"""
    above = scratch()
    one_line(bop("serve", "--dir", f"{above}/x/y", "--store", f"{above}/runs.db", status=None), f"{above}/x/y", "No such file")
    equal(os.listdir(above), [], "what is left")


def test_no_store():
    """a server that cannot have its store leaves no directory behind that it made; one that was there stays, with what is in it"""
    above = scratch()
    for name in ("new", "old"):
        one_line(bop("serve", "--dir", f"{above}/{name}", "--store", f"{above}/none/runs.db", status=None), "none/runs.db")
        equal(os.listdir(above), [] if name == "new" else ["old"], "what is left")
        if name == "new":
            os.mkdir(f"{above}/old", 0o700)


def test_closed():
    """started with stderr closed, it writes its log nowhere, and not into a file of its own that has that number then"""
    folder = scratch()
    running = Running("sh", "-c", f"exec {BOP} serve --dir {folder} --store {folder}/runs.db 2>&-")
    try:
        wait_for("the server", lambda: bop("boxes", "--server", f"ipc://{folder}/api", status=None).status == 0)
        with open(f"{folder}/lock", encoding="ascii") as f:
            equal(f.read(), f"{running.pid}\n", "what is in its lock")
    finally:
        running.signal(signal.SIGTERM)
        running.end()


def unread(connection):
    """Bytes that the server has not taken yet."""
    count = array.array("i", [0])
    fcntl.ioctl(connection.socket, termios.TIOCOUTQ, count)
    return count[0]


def test_slow():
    """answers that wait because a controller does not read are told when it does, also by a server that ends meanwhile"""
    wanted = 200
    with Server() as server, Controller(f"{server.folder}/api") as slow, Controller(f"{server.folder}/api") as other:
        for ident in range(1, wanted + 1):
            slow.ask(ident, GET_CAPABILITIES)
        wait_for("its requests to be taken", lambda: not unread(slow))
        for ident in range(1, 51):  # each is a turn, in which some of the others are done
            other.ask(ident, LIST_BOXES)
            equal(other.last(ident)[0], BOXES, "an answer to who reads")
        server.running.signal(signal.SIGTERM)
        wait_for("the server to end", lambda: "stopping" in server.log())
        equal([slow.answer()[:2] for _ in range(wanted)], [(ident, CAPABILITIES) for ident in range(1, wanted + 1)], "answers")
        equal(server.running.end().status, 0, "exit status")


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def test_one_wish():
    """signals that come together, as from timeout(1), are one wish to end: the run that goes on ends in order"""
    path, up, _ = gated()
    with Embedded() as server, Controller(f"{server.folder}/api") as asker:
        asker.ask(1, RUN, run_of(path))
        wait_for("the workload", lambda: os.path.exists(up))
        server.running.signal(signal.SIGSTOP)
        wait_for("the server to stop", lambda: state(server.running.pid) == "T")
        server.running.signal(signal.SIGTERM)
        server.running.signal(signal.SIGINT)
        server.running.signal(signal.SIGCONT)
        equal(server.running.end().status, 0, "exit status")
        true("stopping; again: at once" in server.log() and "stopping at once" not in server.log(), f"its log: {server.log()}")
        run = show("last", server.store)
        equal((run["outcome"], run["incomplete"]), ("interrupted", False), "the run")


BEFORE = leftovers()
STATUS = run_tests(test_directory, test_no_store, test_closed, test_slow, test_one_wish)
nothing_left(BEFORE)
sys.exit(STATUS)
