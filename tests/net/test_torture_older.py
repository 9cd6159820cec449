#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to move bytes over a connection that is older than the run: the programs of tests/torture are attached.

All ways are at work at once, each in two processes that have used their connection before; each is a test of its own.
"""
import json
import subprocess
import sys

from harness import Skip, command, equal, leftovers, nothing_left, run_tests, true, wait_for
from serving import Namespaces, Run
from test_torture import PORT, TORTURE, Trace, causes, counted

# How a connection is made does not matter when it is there. These are about that, or wait for several of them.
OPENING = {"uring-connect", "uring-accept", "uring-accept-async", "uring-accept-sqpoll", "uring-accept-multishot", "uring-accept-direct",
           "accept-in-child", "prefork", "accept-in-threads", "ipv6", "v4-mapped", "nonblock", "refused", "timeout", "unspec",
           "fastopen", "fastopen-nonblock", "fastopen-large", "fastopen-connect", "crossing", "itself", "unbound", "wraparound",
           "unaccepted", "mptcp"}


def listens(pid, port):
    """Does somebody listen there, in the process's network namespace?"""
    with open(f"/proc/{pid}/net/tcp6", encoding="ascii") as f:
        return any(words[1].endswith(f":{port:04X}") and words[3] == "0A" for words in map(str.split, f))


class Older:
    """One run for all tests."""
    trace = None

    @classmethod
    def run(cls, ways):
        before = leftovers()
        with Namespaces("s", "c") as spaces:
            start = ["ip", "netns", "exec"]
            server = subprocess.Popen([*start, spaces.names["s"], TORTURE, "older", "server", str(PORT)], stdout=subprocess.PIPE, text=True)
            wait_for("the server", lambda: listens(server.pid, PORT))
            client = subprocess.Popen([*start, spaces.names["c"], TORTURE, "older", "client", str(PORT), "10.91.0.1", "-", *ways],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                equal(client.stdout.readline(), "parked\n", "what the client says when all connections are there")
                with Run(spaces, f"{{name: s, box: s, attach: {{pid: {server.pid}}}}}", f"{{name: c, box: c, attach: {{pid: {client.pid}}}}}") as run:
                    said = client.communicate("go\n", timeout=120)[0] + server.communicate(timeout=120)[0]
                    shown = run.end()
            finally:
                for program in (server, client):
                    program.kill()
                    program.wait()
        equal((client.returncode, server.returncode), (0, 0), "the ways themselves")
        equal((shown["outcome"], shown["lost"]), ("good", 0), "outcome and events lost")
        cls.trace = Trace(shown)
        cls.moved, cls.lines = cls.trace.moved(), {}
        for line in map(json.loads, said.splitlines()):
            cls.lines.setdefault(line["way"], []).append(line)
        nothing_left(before)


def way_test(way):
    true(Older.trace, "there was no run")
    lines = Older.lines.get(way)
    true(lines, "the programs said nothing")
    skipped = [line["skip"] for line in lines if "skip" in line]
    if skipped:
        raise Skip(skipped[0])
    sums, _ = counted(lines)
    pairs = {frozenset(key[:2]) for key in sums}
    shown = {key: value for key, value in Older.moved.items() if frozenset(key[:2]) in pairs}
    labels = [label for label, c in Older.trace.connections.items() if frozenset(c["addresses"]) in pairs]
    equal(shown, sums, "bytes sent and received by connection, end, process and thread")
    equal([hole for hole in Older.trace.run["holes"] if hole["connection"] in labels], [], "holes")
    equal(len(labels), len(pairs), "connections")
    equal(sum("#?(" in label for label in labels), 1, f"older connections among {labels}")
    causes(Older.trace, labels)


def test_of(way):
    def test():
        way_test(way)
    test.__doc__ = f"{way}, over a connection that was there: bytes shown are the bytes counted since, by whom, and each has its send"
    return test


def main():
    ways = [way for way in command(TORTURE, "list").out.split() if way not in OPENING]

    def run_all():
        """all ways go on as planned when they are attached, and no event is lost"""
        Older.run(ways)
    return run_tests(run_all, *[test_of(way) for way in ways])


if __name__ == "__main__":
    sys.exit(main())
