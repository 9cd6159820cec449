#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults and their end: an agent that is killed while they are armed or in effect, and a link that they never cut.

All of it stands in a network namespace of this test, in which the agent has its home.
"""
import glob
import os
import signal
import subprocess
import sys
import time

if "BOP_TEST_INSIDE" not in os.environ:
    os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], {**os.environ, "BOP_TEST_INSIDE": "1"})
from harness import (BOP, OUT, SHORT, SOAK, TFJ, Running, agent_of, bop, children, command, equal,  # noqa: E402
                     experiment, kill_quietly, leftovers, nothing_left, program_of, run_tests, show, store, true, wait_for)
from serving import Namespaces, Server, free_port, reaches, stranger  # noqa: E402

LEASE = 10  # seconds: tfj/inject.h
# in effect or armed, while a client asks a question now and then
KINDS = ["cut client>s:7000#1/2", "hold client>s:7000#1/2 for 1h", "isolate s", "loss 50% s | c seed 1", "rate 64kbit s,c",
         "crash box s at recv client>s:7000#1/2", "pause server.1 at recv client>s:7000#1/2 for 1h", "fail uname EIO server",
         "crash client at send client>s:7000#1/99999999", "partition s | c from send client>s:7000#1/9999", "refuse client>s:7000#9"]


def talk(timeout="10m"):
    """The client asks on and on."""
    return experiment(f"""experiment: talk
boxes: [s, c]
path: [{OUT}/examples/client-server]
processes:
  - {{name: server, box: s, run: [server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: client, box: c, run: [client, client, s, "7000", "1", "100000000"]}}
timeout: {timeout}
""")


def of_run(name):
    """Processes of runs with this program."""
    return [pid for pid in map(int, (path[6:] for path in glob.glob("/proc/[0-9]*"))) if program_of(pid) == name and ours(pid)]


def ours(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as f:
            return os.environ["BOP_TMPDIR"].encode() in f.read()
    except OSError:
        return False


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def guardians():
    """Of agents of this test: nobody's children, so the name must tell, and the namespace."""
    mine = os.readlink("/proc/self/ns/net")
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{path}/comm", encoding="ascii") as f:
                if f.read() == "tfj-guardian\n" and os.readlink(f"{path}/ns/net") == mine:
                    found.append(path)
        except OSError:
            pass
    return found


def kills(line):
    def test():
        before = leftovers()
        running = Running(BOP, "run", talk(), "--store", store(), "--racy", "--fault", line)
        agent = wait_for("the agent", lambda: running.process.poll() is not None or agent_of(running.pid))
        wait_for("the client", lambda: running.process.poll() is not None or of_run("client"))
        if running.process.poll() is not None:
            raise AssertionError(f"{running.result()}")
        os.kill(agent, signal.SIGKILL)
        result = running.end()
        equal(result.status, 3, f"{result}")
        command(TFJ, "clean")
        nothing_left(before, LEASE + 10)
        wait_for("the end of the guardian", lambda: not guardians(), LEASE + 10)
    test.__doc__ = f"SIGKILL of the agent with `{line}`: nothing is left"
    return test


def test_paused():
    """SIGKILL of the agent while a child is paused: it goes on, until the next agent ends what the killed one left"""
    before, at = leftovers(), store()
    path = experiment("""experiment: sleepers
boxes: [a]
processes:
  - {name: p, box: a, run: [sh, -c, "sleep 1000 & wait"]}
workload: {name: w, box: a, run: [sleep, "1001"]}
timeout: 10m
""")
    running = Running(BOP, "run", path, "--store", at, "--fault", "pause p.1 at start p.1 for 1h")
    agent = wait_for("the agent", lambda: agent_of(running.pid))
    stopped = wait_for("a stopped process", lambda: [pid for pid in of_run("sleep") if state_of(pid) == "T"])
    equal(len(guardians()), 1, "guardians")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):  # as a service manager would
        os.kill(int(guardians()[0][6:]), number)
    os.kill(agent, signal.SIGKILL)
    running.end()
    wait_for("it to go on", lambda: state_of(stopped[0]) != "T")  # or any other agent's start has ended it by now
    command(TFJ, "clean")
    nothing_left(before, LEASE + 10)
    wait_for("the end of the guardian", lambda: not guardians(), LEASE + 10)


def test_hangs():
    """an agent that hangs does not renew its lease: what is paused goes on after it"""
    before = leftovers()
    path = experiment("""experiment: sleepers
boxes: [a]
processes:
  - {name: p, box: a, run: [sh, -c, "sleep 1000 & wait"]}
workload: {name: w, box: a, run: [sleep, "1001"]}
timeout: 10m
""")
    running = Running(BOP, "run", path, "--store", store(), "--fault", "pause p.1 at start p.1 for 1h")
    agent = wait_for("the agent", lambda: agent_of(running.pid))
    stopped = wait_for("a stopped process", lambda: [pid for pid in of_run("sleep") if state_of(pid) == "T"])
    os.kill(agent, signal.SIGSTOP)
    wait_for("it to go on", lambda: state_of(stopped[0]) == "S", LEASE + 10)
    os.kill(agent, signal.SIGCONT)
    running.signal(signal.SIGINT)
    running.end()
    nothing_left(before)


def filters(spaces, name):
    tc = [line for way in ("ingress", "egress")
          for line in command("ip", "netns", "exec", spaces.names[name], "tc", "filter", "show", "dev", "eth0", way,
                              status=None).out.splitlines()]
    return [line for line in tc if "bop" in line]


def test_heals():
    """SIGKILL of the agent of boxes that were there before: packets between them pass again, others' queues and filters are as before"""
    before = leftovers()
    with Namespaces("s", "c") as spaces, Server() as server:
        command("ip", "netns", "exec", spaces.names["s"], "tc", "qdisc", "add", "dev", "eth0", "clsact")
        command("ip", "netns", "exec", spaces.names["s"], "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "1gbit",
                "burst", "1m", "latency", "1s")
        command("ip", "netns", "exec", spaces.names["s"], "tc", "filter", "add", "dev", "eth0", "ingress", "protocol", "ip", "prio",
                "7", "u32", "match", "ip", "dst", "10.91.0.77", "flowid", "1:1")
        looks = ["ip", "netns", "exec", spaces.names["s"], "sh", "-c", "tc qdisc show dev eth0; tc filter show dev eth0 ingress"]
        was = command(*looks).out
        other = stranger(spaces, "s")
        try:
            agent = server.agent(spaces.box("s"), spaces.box("c"))
            wait_for("the stranger", lambda: reaches(spaces, "c", "10.91.0.1"))
            running = Running(BOP, "run", talk(), f"--server={server.api}", "--fault", "isolate s", "--fault",
                              "loss 100% c | s seed 1")
            wait_for("the wall", lambda: running.process.poll() is not None or not reaches(spaces, "c", "10.91.0.1"))
            true(running.process.poll() is None, f"{running.process.poll()} {running.result()}")
            agent.signal(signal.SIGKILL)
            agent.end()
            wait_for("packets to pass", lambda: reaches(spaces, "c", "10.91.0.1"), LEASE + 10)
            running.signal(signal.SIGINT)
            running.signal(signal.SIGINT)
            running.end()
            again = server.agent(spaces.box("s"), spaces.box("c"))  # the next start removes what is left
            equal(filters(spaces, "s") + filters(spaces, "c"), [], "filters of ours")
            equal(command(*looks).out, was, "queues and filters of others")
            again.signal(signal.SIGTERM)
            again.end()
        finally:
            other.kill()
            other.wait()
    nothing_left(before, LEASE + 10)


class FarServer(Server):
    """A server in one of the namespaces, at its address."""

    def __init__(self, spaces, name, address):
        super().__init__(tcp=True)
        self.space, self.address, self.port = spaces.names[name], address, free_port()

    def start(self):
        self.running = Running("ip", "netns", "exec", self.space, BOP, "serve", "--dir", self.folder, "--store", self.store,
                               "--keys", self.keys, "--listen", self.tcp_url)
        wait_for("the server", lambda: self.running.process.poll() is not None or self.answers())
        return self

    @property
    def tcp_url(self):
        return f"tcp://{self.address}:{self.port}"


def test_own_link():
    """a box that is the agent's own host: isolated, and all packets to the collector's box lost, the run is whole"""
    with Namespaces("s") as spaces:
        spaces.ip("link", "add", "name", "own0", "type", "veth", "peer", "name", "own1", "netns", spaces.hub)
        try:
            spaces.ip("-n", spaces.hub, "link", "set", "own1", "master", "br0", "up")
            spaces.ip("addr", "add", "10.91.0.9/24", "dev", "own0")
            spaces.ip("link", "set", "own0", "up")
            spaces.ip("link", "set", "lo", "up")
            with FarServer(spaces, "s", "10.91.0.1") as server:
                server.agent("c=host", spaces.box("s"), url=server.tcp_url, argv=server.allow("near"))
                for number, lines in enumerate((["isolate c"], ["loss 100% c | s seed 1"], ["isolate s,c", "loss 100% s,c seed 1"]), 1):
                    faults = [word for line in lines for word in ("--fault", line)]
                    result = server.run(talk("2s"), *faults, status=2)
                    got = show(number, server.store)
                    equal((got["outcome"], got["incomplete"], got["messages"]), ("timeout", False, []), f"{result}")
                    equal([f["state"] for f in got["faults"]], ["fired"] * len(lines), "states")
                equal(len(server.boxes()["agents"]), 1, "agents")
                true("lost" not in server.log(), server.log())
        finally:
            spaces.ip("link", "delete", "own0")


def test_sent_home():
    """the agent's end in order, with faults armed and in effect: nothing is left either"""
    before = leftovers()
    for number in (signal.SIGTERM, signal.SIGINT):
        running = Running(BOP, "run", talk(), "--store", store(), "--racy", "--fault", "isolate s", "--fault",
                          "pause server at start server for 1h" if SHORT else "cut client>s:7000#1/2", "--fault", "rate 1mbit s")
        agent = wait_for("the agent", lambda: agent_of(running.pid))
        wait_for("its programs", lambda: running.process.poll() is not None or children(agent))
        kill_quietly(agent, number)
        running.end()
        nothing_left(before)
        equal(guardians(), [], "guardians")


sys.exit(run_tests(*[kills(line) for line in (KINDS if SOAK else KINDS[::3])], test_paused, test_hangs, test_heals, test_own_link,
                   test_sent_home))
