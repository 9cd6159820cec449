#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links that are down, servers and agents that are killed, disks that are full: what was acknowledged is in the store.

In make soak the link is down for more than a minute, and there are 100 kills (BOP_TEST_SEED, else 1).
"""
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading

from harness import (BOP, OUT, ROOT, SOAK, TFJ, Running, bop, command, equal, experiment, leftovers, nothing_left, run_tests,
                     scratch, show, store, true, wait_for)
from serving import Server, free_port

KILLS = 50 if SOAK else 4
DOWN = 70 if SOAK else 0  # seconds after the server has seen that the agent is away
# Talks until the file GO is there, with pauses: minutes of it have to be read again.
TALK = f"""experiment: talk
boxes: [s, c]
path: [{OUT}/examples/client-server]
processes:
  - {{name: server, box: s, run: [server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: client, box: c, run: [sh, -c, 'while [ ! -e GO ]; do client client s 7000 2 200 || exit 1; sleep 0.5; done']}}
timeout: 10m
"""


class Relay:
    """A TCP relay in a process of its own, which can be stopped: then the link is down, and nobody is told."""

    def __init__(self, port):
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.pid = os.fork()
        if not self.pid:
            self.serve(port)
        self.listener.close()

    def serve(self, port):
        while True:
            near = self.listener.accept()[0]
            try:
                far = socket.create_connection(("127.0.0.1", port))
            except OSError:
                near.close()
                continue
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    @staticmethod
    def pump(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for s in (one, other):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def down(self):
        os.kill(self.pid, signal.SIGSTOP)

    def up(self):
        os.kill(self.pid, signal.SIGCONT)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def preload():
    """The library that writes acknowledgements down."""
    library = os.path.join(scratch(), "acks.so")
    command(os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", library,
            os.path.join(ROOT, "tests/net/acks.c"), "-ldl")
    return library


def acknowledged(path):
    """{run: highest number that an agent was told to be on disk}; 2^64 - 1 says that nobody wants the rest"""
    found = {}
    if os.path.exists(path):
        with open(path, encoding="ascii") as f:
            for run, number in (map(int, line.split()) for line in f):
                if number < 2**64 - 1:
                    found[run] = max(number, found.get(run, 0))
    return found


def kept(at):
    """{run: numbers of its batches}"""
    found = {}
    if os.path.exists(at):
        with sqlite3.connect(f"file:{at}?mode=rw", uri=True) as db:
            made = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'batch'").fetchone()[0]
            for run, number in db.execute("SELECT run, number FROM batch ORDER BY run, stream, number") if made else ():
                found.setdefault(run, []).append(number)
        db.close()
    return found


def promise_kept(at, acks):
    """What was acknowledged is there, once and without a gap; returns how many batches that were."""
    batches, promised = kept(at), acknowledged(acks)
    for run, number in promised.items():
        have = batches.get(run, [])
        equal(have[:number], list(range(1, number + 1)), f"batches kept of {number} acknowledged ones of run {run}")
    for run, have in batches.items():
        equal(have, list(range(1, len(have) + 1)), f"batches of run {run}")
    return sum(promised.values())


def whole(run):
    """Nothing of it is missing, and what was sent was received."""
    equal((run["outcome"], run["lost"], run["incomplete"], run["holes"], run["unmatched_bytes"]), ("good", 0, False, [], 0), "the run")
    labels = [message["label"] for message in run["messages"]]
    equal(len(labels), len(set(labels)), "messages that count once")
    true(len(labels) > 1000, f"only {len(labels)} messages")


def talker(at=None):
    """The experiment, and the file that ends its workload."""
    go = os.path.join(at or scratch(0o777), "go")
    return experiment(TALK.replace("GO", go)), go


def test_link_down():
    """the link is down until the server has noticed (in soak, for more than a minute): the run goes on, and nothing of it is lost"""
    before = leftovers()
    with Server(tcp=True) as server:
        relay = Relay(server.port)
        try:
            agent = server.agent(url=f"tcp://127.0.0.1:{relay.port}",
                                 argv=[*server.allow("far"), "--memory", "64K", "--spool", "64M"])
            path, go = talker()
            running = Running(BOP, "run", path, f"--server={server.api}", "--json")
            wait_for("batches", lambda: kept(server.store))
            relay.down()
            wait_for("the server to notice", lambda: server.boxes()["agents"][0]["state"] == "away")
            threading.Event().wait(DOWN)
            wait_for("the spool", lambda: any("/spool (deleted)" in os.readlink(f"/proc/{agent.pid}/fd/{fd}")
                                              for fd in os.listdir(f"/proc/{agent.pid}/fd") if fd.isdigit()))
            with open(go, "w", encoding="ascii"):
                pass
            wait_for("the end of the workload", lambda: not subprocess.run(
                ["pgrep", "-f", go], capture_output=True, check=False).stdout.strip() or running.process.poll() is not None)
            true(running.process.poll() is None, f"the run ended without its agent: {running.result()}")
            relay.up()
            result = running.end(120)
            equal(result.status, 0, f"exit status of {result}\n{server.log()}")
            whole(show("last", server.store))
        finally:
            relay.up()
            relay.end()
    nothing_left(before)


def serve_kill(server, rng, victim):
    """A run, and a SIGKILL at a random moment of it."""
    path, go = talker()
    running = Running(BOP, "run", path, f"--server={server.api}")
    wait_for("batches", lambda: running.process.poll() is not None or kept(server.store).get(server.runs + 1))
    true(running.process.poll() is None, f"the run ended by itself: {running.result()}\n{server.log()}")
    server.runs += 1
    threading.Event().wait(rng.uniform(0, 0.5))
    killed = server.running if victim == "server" else server.agents[-1]
    killed.signal(signal.SIGKILL)
    killed.end()
    equal(running.end().status, 3, "exit status of the run")
    with open(go, "w", encoding="ascii"):
        pass


def test_serve_kills():
    """4 random SIGKILLs of bop serve and its agent (50 in make soak): acknowledged is kept once, the next server gets the rest"""
    before, rng, total = leftovers(), random.Random(os.environ.get("BOP_TEST_SEED", "1")), 0
    with Server() as server:
        server.runs = 0
        acks = os.path.join(server.directory, "acks")
        os.environ.update(LD_PRELOAD=preload(), BOP_TEST_ACKS=acks)
        try:
            server.agent()
            for i in range(KILLS):
                victim = ["server", "agent"][i % 2]
                serve_kill(server, rng, victim)
                if victim == "server":
                    server.start()
                else:
                    wait_for("the server to notice", lambda: not server.boxes()["agents"])
                    command(TFJ, "clean")
                    server.agents.pop()
                    server.agent()
                wait_for("the agent", lambda: [a["state"] for a in server.boxes()["agents"]] == ["idle"])
                total = promise_kept(server.store, acks)
                wait_for("the end of the run", lambda: show("last", server.store)["state"] == "ended")
                run = show("last", server.store)
                equal((run["outcome"], run["incomplete"]), ("error", victim == "agent"), f"the run whose {victim} was killed")
                if victim == "server":  # its agent had the rest
                    equal((run["lost"], run["holes"]), (0, []), "lost in it, and holes")
                path, go = talker()
                with open(go, "w", encoding="ascii"):
                    pass
                server.run(path)
                server.runs += 1
                equal(show("last", server.store)["lost"], 0, "lost in the next run")
        finally:
            del os.environ["LD_PRELOAD"], os.environ["BOP_TEST_ACKS"]
    true(total > 0, "nothing was ever acknowledged")
    nothing_left(before)


def test_disk_full():
    """the collector's disk is full: clear words, and what was acknowledged before is in the store"""
    before, folder = leftovers(), scratch()
    acks, copy = os.path.join(scratch(), "acks"), store()
    os.environ.update(LD_PRELOAD=preload(), BOP_TEST_ACKS=acks)
    try:
        path, _ = talker()
        result = command("unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size=2m none {folder} || exit 9; "
                         f"{BOP} run {path} --store {folder}/runs.db; status=$?; cp {folder}/runs.db* {os.path.dirname(copy)}; "
                         "exit $status", status=3)
    finally:
        del os.environ["LD_PRELOAD"], os.environ["BOP_TEST_ACKS"]
    true("full" in result.err and f"{folder}/runs.db" in result.err, f"not in words: {result}")
    true(promise_kept(copy, acks) > 0, "nothing was acknowledged before")
    nothing_left(before)


sys.exit(run_tests(test_link_down, test_serve_kills, test_disk_full))
