#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults at connections between agents, each of which sees one end: what the accepting side sends, receives and accepts is called
by what the SYN said."""
import contextlib
import os
import subprocess
import sys

from harness import SHORT, SOAK, equal, experiment, one_line, run_tests, scratch, show, true
from serving import Namespaces, Server
from talking import KILLED, QUESTIONS, exact, fired, message, process, talk


class Pair:
    """Boxes s and c, in namespaces that were there, with an agent each; runs with faults on them. options: of the agents."""

    def __init__(self, s=(), c=()):
        self.spaces, self.server, self.options = Namespaces("s", "c"), Server(), {"s": s, "c": c}
        self.stack = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.spaces)
            stack.enter_context(self.server)
            for box, argv in self.options.items():
                self.server.agent(self.spaces.box(box), argv=argv)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *args):
        self.stack.__exit__(*args)

    def refused(self, path, line, *words):
        one_line(self.server.run(path, "--fault", line, status=3), *words)

    def run(self, path, line, status):
        """What is shown of it; nothing of it is missing."""
        result = self.server.run(path, "--fault", line, status=None)
        got = show("last", self.server.store)
        equal(result.status, status, f"exit status of {result}, {got['faults']}")
        equal((got["incomplete"], got["lost"], got["holes"], len(got["agents"])), (False, 0, [], 2), "the run")
        return got


def numbers():
    return range(1, QUESTIONS + 1) if SOAK else (3,) if SHORT else (1, 4)


def test_both_ways():
    """cut and reset at message k, of who connects and of who accepts on another agent: exactly 1 to k - 1 were read"""
    with Pair() as pair:
        for way in "><":
            for k in numbers():
                for kind, outcome, status in (("cut", "timeout", 2), ("reset", "violated", 1)):
                    got = pair.run(talk(), f"{kind} client{way}s:7000#1/{k}", status)
                    equal(got["outcome"], outcome, "outcome")
                    exact(got, way, k)
                    fired(got)


def test_which_connection():
    """the second connection's reply is cut, the first one's are not, and so is no other client's"""
    with Pair() as pair:
        got = pair.run(talk(2), "cut client<s:7000#2/2", 2)
        exact(got, "<", QUESTIONS + 1)
        true(message(got, "client<s:7000#2/1")["received"], "the reply before it")
        true(not message(got, "client<s:7000#2/2")["received"], "the reply itself")
        fired(got)


def test_moments():
    """sends, accepts and first receives of who accepts are moments: of crashes, holds and partitions"""
    with Pair() as pair:
        got = pair.run(talk(), "crash server.1 at send client<s:7000#1/3", 1)
        exact(got, "<", 3)
        fired(got)
        got = pair.run(talk(), "hold client<s:7000#1/2 for 300ms", 0)
        exact(got, "<", QUESTIONS + 1)
        fired(got)
        got = pair.run(talk(), "crash server.1 at recv client>s:7000#1/1", 1)
        equal((process(got, "server.1")["status"], fired(got)["state"]), (KILLED, "fired"), "the crash")
        exact(got, "<", 1)
        got = pair.run(talk(), "partition s | c from recv client>s:7000#1/1", 2)
        fired(got)
        exact(got, "<", 1)
        got = pair.run(talk(), "partition s | c from recv client<s:7000#1/1", 2)
        fired(got)
        exact(got, "<", 2)
        got = pair.run(talk(2), "partition s | c from accept client>s:7000#2", 2)
        fired(got)
        exact(got, "<", QUESTIONS + 1)
        reply = message(got, "client<s:7000#2/1")
        true(not reply or not reply["received"], f"a reply on the second connection arrived: {reply}")


def test_refused():
    """what neither agent can know is refused, with the reason: where a later message begins, and names without the option"""
    with Pair() as pair:
        for way, who in ((">", "server.1"), ("<", "client")):
            pair.refused(talk(), f"crash {who} at recv client{way}s:7000#1/2", "between two kernels", "first message")
    for option in ("--no-syn-option", "--no-faults"):
        with Pair(c=[option]) as pair:
            pair.refused(talk(), "cut client<s:7000#1/2", "another kernel", f"started with {option}")
    with Pair(s=["--no-syn-option"]) as pair:
        pair.refused(talk(), "cut client<s:7000#1/2", "another kernel", "started with --no-syn-option")
        exact(pair.run(talk(), "cut client>s:7000#1/2", 2), ">", 2)


# a stranger, who keeps what each SYN was (TCP_SAVE_SYN, TCP_SAVED_SYN): at the address of box s, and at one that is no box's
STRANGER = """import socket
heard = []
for address in ("10.91.0.1", 9998), ("10.91.0.99", 9999):
    s = socket.socket()
    s.bind(address)
    s.setsockopt(6, 27, 1)
    s.listen()
    heard.append(s)
print("listens", flush=True)
for s in heard:
    print(s.accept()[0].getsockopt(6, 28, 256).hex(), flush=True)
"""
AGAIN = """import socket
socket.create_connection(("10.91.0.1", 9998))
s = socket.socket()
try:
    s.connect(("10.91.0.1", 7999))
except ConnectionRefusedError:
    s.connect(("10.91.0.99", 9999))
"""


def test_nobody_else():
    """a SYN to a box has the option; one to somebody else has not, though it is of a socket that a box has refused before"""
    with Pair() as pair:
        space = pair.spaces.names["s"]
        pair.spaces.ip("-n", space, "addr", "add", "10.91.0.99/24", "dev", "eth0")
        script = os.path.join(scratch(0o755), "again.py")
        with open(script, "w", encoding="ascii") as f:
            f.write(AGAIN)
        with subprocess.Popen(["ip", "netns", "exec", space, sys.executable, "-c", STRANGER], stdout=subprocess.PIPE, text=True) as stranger:
            try:
                equal(stranger.stdout.readline(), "listens\n", "the stranger")
                path = experiment(f"experiment: again\nboxes: [s, c]\nworkload: {{name: client, box: c, run: [{sys.executable}, {script}]}}\n")
                pair.server.run(path, status=0)
                syns = [stranger.stdout.readline() for _ in range(2)]
            finally:
                stranger.kill()
    equal(["fe0cb0f1" in syn for syn in syns], [True, False], f"the option in {syns}")


sys.exit(run_tests(test_both_ways, test_which_connection, test_moments, test_refused, test_nobody_else))
