#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""bop serve, its agents, and runs on their boxes."""
import ctypes
import glob
import os
import signal
import sys

from controller import BOXES, CANCEL, ERROR, LIST_BOXES, RUN, RUN_END, WAIT_RUN, Controller, number, text
from harness import (BOP, TFJ, Running, Skip, bop, equal, example, experiment, kill_quietly, leftovers, nothing_left, one_line, run_tests,
                     scratch, show, store, true, wait_for)
from serving import Namespaces, Server
from test_labels import agrees


def labels(run):
    return sorted(m["label"] for m in run["messages"])


def whole(run):
    equal(run["outcome"], "good", f"outcome ({run['reason']})")
    equal((run["incomplete"], run["lost"], run["holes"], run["unmatched_bytes"]), (False, 0, [], 0), "losses")


def test_one_agent():
    """a run on an agent that makes boxes is like one without a server, and is kept in the server's store"""
    before, at = leftovers(), store()
    bop("run", example("primary-backup"), "--store", at)
    with Server() as server:
        server.agent()
        for number in (1, 2):
            result = server.run(example("primary-backup"), "--json").json()
            equal((result["run"], result["outcome"], result["lost"]), (number, "good", 0), "the run's end")
        run, wanted = show(1, server.store), show(1, at)
        whole(run)
        equal((result["print"], run["print"]), (wanted["print"], wanted["print"]), "prints")
        equal(labels(run), labels(wanted), "labels")
        equal(bop("runs", "--store", server.store, "--json").json()["runs"][0]["messages"], len(run["messages"]), "kept")
    nothing_left(before)


def test_several_agents():
    """a run over three agents is one graph: the messages, edges and labels that one agent gives, all bytes matched"""
    before, at = leftovers(), store()
    bop("run", example("primary-backup"), "--store", at)
    with Namespaces("p", "b", "c") as spaces, Server() as server:
        for box in "pbc":
            server.agent(spaces.box(box))
        listed = {box["name"]: box["address"] for agent in server.boxes()["agents"] for box in agent["boxes"]}
        equal(listed, {"p": "10.91.0.1", "b": "10.91.0.2", "c": "10.91.0.3"}, "addresses")
        server.run(example("primary-backup"))
        run, wanted = show("last", server.store), show("last", at)
        whole(run)
        equal(labels(run), labels(wanted), "labels")
        true(agrees(run) >= 32, "too few messages compared")
        equal(run["print"], wanted["print"], "print")
        equal(len(run["agents"]), 3, "agents of the run")
        for what, key in (("boxes", "name"), ("processes", "name"), ("connections", "label")):
            equal(sorted(x[key] for x in run[what]), sorted(x[key] for x in wanted[what]), what)
        for kind in ("mark", "connect", "accept", "listen", "send"):
            equal(*(sorted((v["process"] or "", v["label"]) for v in r["vertices"] if v["kind"] == kind)
                    for r in (run, wanted)), kind)
        for rule in ("message", "connect"):  # whether an end of file was seen before the end is luck
            equal(*(sum(e["rule"] == rule for e in r["edges"]) for r in (run, wanted)), f"edges of rule {rule}")
        equal({agent["state"] for agent in server.boxes()["agents"]}, {"idle"}, "states after the run")
    nothing_left(before)


def test_two_boxes_each():
    """agents with several boxes each: in every message of quorum stands what it is called"""
    with Namespaces("s1", "s2", "s3", "c") as spaces, Server() as server:
        server.agent(*map(spaces.box, ("s1", "c")))
        server.agent(*map(spaces.box, ("s2", "s3")))
        for _ in range(3):
            server.run(example("quorum"))
            run = show("last", server.store)
            whole(run)
            true(agrees(run) >= 20, "too few messages compared")


def test_strangers_untraced():
    """in a namespace that was there, only what the run started is traced; the namespace stays as it was"""
    before = leftovers()
    with Namespaces("s", "c") as spaces, Server() as server:
        listen = ["ip", "netns", "exec", spaces.names["s"], sys.executable, "-c",
                  "import socket\nl = socket.create_server(('', 6000))\nwhile True:\n    c = l.accept()[0]\n    "
                  "c.sendall(c.recv(100))\n    c.close()"]
        stranger = Running(*listen)
        try:
            server.agent(spaces.box("s"))
            server.agent(spaces.box("c"))
            talk = "import socket; c = socket.create_connection(('10.91.0.1', 6000)); c.sendall(b'x'); c.recv(9)"
            other = f"nsenter --net=/run/netns/{spaces.names['c']} {sys.executable} -c \"{talk}\""
            script = scratch(0o755) + "/talk.py"
            with open(script, "w", encoding="ascii") as f:
                f.write(talk.replace("6000", "7000").replace("10.91.0.1", "s"))
            path = experiment("experiment: strangers\nboxes: [s, c]\nprocesses:\n"
                              f"  - {{name: s, box: s, run: {[*listen[4:6], listen[6].replace('6000', '7000')]!r}, "
                              "ready: {listen: 7000}}\n"
                              f"workload: {{name: w, box: c, run: [{sys.executable}, {script}]}}\n")
            wait_for("the stranger", lambda: bop_talks(other))
            running = Running("sh", "-c", f"while {other}; do :; done")
            server.run(path)
            os.killpg(running.pid, signal.SIGKILL)
            running.end()
            run = show("last", server.store)
            whole(run)
            equal(labels(run), ["w<s:7000#1/1", "w>s:7000#1/1"], "labels")
            equal({p["name"] for p in run["processes"]}, {"s", "w"}, "processes")
            true(bop_talks(other), "the stranger does not serve any more")
        finally:
            kill_quietly(stranger.pid)
            stranger.end()
    nothing_left(before)


def bop_talks(command_line):
    return os.system(f"{command_line} 2>/dev/null") == 0


def test_whose_box():
    """boxes go to the agent that is named, or serves the name; what cannot be placed is refused, and no run is made"""
    with Namespaces("a", "b") as spaces, Server() as server:
        one = "experiment: x\nboxes: [%s]\nworkload: {name: w, box: a, run: [/bin/true]}\n"
        one_line(server.run(experiment(one % "a"), status=3), "box 'a'", "bop boxes")
        one_line(server.run(experiment(one % "{name: a, agent: nobody}"), status=3), "agent 'nobody'", "not connected")
        one_line(server.run(experiment(one % "a, a"), status=3), "experiment.yaml:2:", "listed twice")
        server.agent(spaces.box("a"))
        server.run(experiment(one % "a"))
        server.run(experiment(one % f"{{name: a, agent: {server.boxes()['agents'][0]['host']}}}"))
        one_line(server.run(experiment(one % "a, b"), status=3), "box 'b'")
        server.agent("b")
        one_line(server.run(experiment(one % "a, b"), status=3), "no network in common", "--box b=NETNS")
        server.agent(spaces.box("a"))
        one_line(server.run(experiment(one % "a"), status=3), "2 agents", "say which")
        equal([run["outcome"] for run in bop("runs", "--store", server.store, "--json").json()["runs"]], ["good"] * 2, "runs")
        one_line(bop("run", experiment(one % "{name: a, agent: x}"), "--store", store(), status=3), "--server")


def test_several_networks():
    """machines that are in several networks, in the first of which all have the same address: boxes are known by the address that was said"""
    with Namespaces("s", "c") as spaces, Server() as server:
        for i, name in enumerate(spaces.names.values(), 1):
            spaces.ip("-n", name, "link", "del", "eth0")
            spaces.ip("-n", name, "link", "add", "nat0", "type", "veth", "peer", "name", "nat1")
            spaces.ip("-n", spaces.hub, "link", "add", "name", f"p{i}", "type", "veth", "peer", "name", "eth1", "netns", name)
            spaces.ip("-n", spaces.hub, "link", "set", f"p{i}", "master", "br0", "up")
            for device, address in (("nat0", "10.0.2.15/24"), ("nat0", "fd92::15/64"), ("eth1", "10.93.0.1/24"), ("eth1", f"10.91.0.{i}/24"),
                                    ("eth1", f"fd91::{i}/64")):
                spaces.ip("-n", name, "addr", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
            for device in ("nat0", "nat1", "eth1"):
                spaces.ip("-n", name, "link", "set", device, "up")
        for i, name in enumerate(("s", "c"), 1):
            server.agent(f"{spaces.box(name)}@10.91.0.{i}")
        boxes = {box["name"]: (box["address"], box["address6"]) for agent in server.boxes()["agents"] for box in agent["boxes"]}
        equal(boxes, {"s": ("10.91.0.1", "fd91::1"), "c": ("10.91.0.2", "fd91::2")}, "addresses")
        server.run(example("client-server"))
        whole(show("last", server.store))
        gone = Running(TFJ, "--collector", server.agents_url, "--box", f"{spaces.box('s')}@10.91.0.9").end()
        one_line(gone, "box 's'", "no such address", f"{spaces.names['s']}@10.91.0.9")
        one_line(Running(TFJ, "--collector", server.agents_url, "--box", f"{spaces.box('s')}@10.91").end(), "no network namespace", "@10.91'")


def endless(server, marker):
    """A run that goes on until somebody ends it; returns the command, when the workload runs."""
    path = experiment("experiment: long\nboxes: [a]\ngrace: 300ms\nworkload: {name: w, box: a, "
                      f"run: [sh, -c, 'echo >{marker}; sleep 1000']}}\ntimeout: 10m\n")
    running = Running(BOP, "run", path, f"--server={server.api}")
    wait_for("the workload", lambda: os.path.exists(marker) or running.process.poll() is not None)
    true(running.process.poll() is None, f"the run ended: {running.process.poll()} {server.log()}")
    return running


def ended(server):
    """The last run, when the server has ended it and the agents are free again."""
    wait_for("the end of the run", lambda: bop("runs", "--store", server.store, "--json").json()["runs"][-1]["outcome"])
    wait_for("the agents", lambda: {agent["state"] for agent in server.boxes()["agents"]} <= {"idle"})
    return show("last", server.store)


def test_cancel():
    """Ctrl-C, the death of whoever asked, and the server's end stop a run in order; the agent is free for the next"""
    before = leftovers()
    with Server() as server:
        server.agent()
        for kill, status in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
            marker = os.path.join(scratch(0o777), "marker")
            running = endless(server, marker)
            equal(server.boxes()["agents"][0]["state"], "running", "state")
            running.signal(kill)
            equal(running.end().status, status, "exit status")
            run = ended(server)
            equal((run["outcome"], run["incomplete"], run["lost"]), ("interrupted", False, 0), "the run")
        server.run(example("quorum"))
        running = endless(server, os.path.join(scratch(0o777), "marker"))
        server.running.signal(signal.SIGTERM)
        equal(running.end().status, 130, "exit status when the server ends")
        equal(server.running.end().status, 0, "exit status of the server")
    nothing_left(before)


def resident(pid):
    """KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def test_does_not_read():
    """a controller that asks and reads nothing costs others nothing and the server a bounded memory; it gets its run's end"""
    path = experiment("experiment: short\nboxes: [a]\nworkload: {name: w, box: a, run: [/bin/true]}\n")
    with Server() as server, Controller(f"{server.folder}/api") as slow:
        server.agent()
        run = run_of(path)
        slow.ask(1, LIST_BOXES)
        equal(slow.answer()[:2], (1, BOXES), "the first answer")
        slow.ask(2, RUN, run)
        before = resident(server.running.pid)
        for ident in range(3, 20003):
            slow.ask(ident, LIST_BOXES)
        wait_for("the run", lambda: bop("runs", "--store", server.store, "--json").json()["runs"][-1]["outcome"])
        server.run(path)  # another controller, whose run begins behind the end of the first
        true(resident(server.running.pid) - before < 16384, "the server keeps what nobody reads")
        answers = [slow.answer()]
        while answers[-1][1] != RUN_END:
            answers.append(slow.answer())
        equal((answers[-1][0], answers[-1][2][3]), (2, b"good"), "the end of the run")
        true(len(answers) < 20000, "all answers were kept")
        ids = [ident for ident, kind, _ in answers if kind == BOXES]
        equal(ids, sorted(set(ids)), "order of the answers")


class Held:
    """The worker threads of a server, stopped by ptrace: whatever they have in hand takes as long as the test likes."""
    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, pid):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.tids = []
        for path in glob.glob(f"/proc/{pid}/task/*/comm"):
            with open(path, encoding="ascii") as f:
                self.tids += [int(path.split("/")[4])] if f.read() == "bop-worker\n" else []
        true(self.tids, "the server has no worker")
        for tid in self.tids:
            wait_for("a worker that sleeps", lambda tid=tid: self.sleeps(pid, tid))

    @staticmethod
    def sleeps(pid, tid):
        with open(f"/proc/{pid}/task/{tid}/stat", encoding="ascii") as f:
            return ") S " in f.read()

    def ptrace(self, request, tid):
        if self.libc.ptrace(request, tid, None, None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        try:
            for tid in self.tids:
                self.ptrace(self.SEIZE, tid)
        except PermissionError as e:
            raise Skip("a thread cannot be held here: ptrace is not permitted") from e
        for tid in self.tids:
            self.ptrace(self.INTERRUPT, tid)
            os.waitpid(tid, self.WALL)
        return self

    def __exit__(self, *_):
        for tid in self.tids:
            self.ptrace(self.DETACH, tid)


def run_of(path):
    """The body of a request to run that file."""
    with open(path, "rb") as f:
        return text(1, path) + text(2, path) + text(3, f.read())


def test_counting():
    """while a run is counted, however long that takes, its agents are free, others are answered, and whoever asked hears of it"""
    short = experiment("experiment: short\nboxes: [a]\nworkload: {name: w, box: a, run: [/bin/true]}\n")
    with Server() as server, Controller(f"{server.folder}/api") as asker:
        server.agent()
        server.run(short)
        run = run_of(short)
        with Held(server.running.pid):
            asker.ask(1, RUN, run)
            while asker.answer()[2].get(2) != b"counting":
                pass
            equal([a["state"] for a in server.boxes()["agents"]], ["idle"], "the agent while the run is counted")
            equal(show(2, server.store)["state"], "running", "the run while it is counted")
            asker.ask(2, RUN, run)
            while asker.answer()[0] != 2:
                pass
            marker = os.path.join(scratch(0o777), "marker")
            running = endless(server, marker)
        ends = set()
        while len(ends) < 2:
            ident, kind, end = asker.answer()
            ends |= {(ident, end[3])} if kind == RUN_END else set()
        equal(ends, {(1, b"good"), (2, b"good")}, "ends of the runs")
        running.signal(signal.SIGINT)
        equal(running.end().status, 130, "exit status")
        whole(show(2, server.store))
        server.running.signal(signal.SIGTERM)
        equal(server.running.end().status, 0, "exit status of the server")


def test_recalls():
    """the end of a run is counted before the many others that were asked about before it, but for one"""
    short = experiment("experiment: short\nboxes: [a]\nworkload: {name: w, box: a, run: [/bin/true]}\n")
    with Server() as server, Controller(f"{server.folder}/api") as asker:
        server.agent()
        server.run(short)
        run = run_of(short)
        with Held(server.running.pid) as held:
            for ident in range(100, 130):
                asker.ask(ident, WAIT_RUN, number(1, 1))
            asker.ask(1, RUN, run)
            while asker.answer()[2].get(2) != b"counting":
                pass
            held.ptrace(held.DETACH, held.tids.pop())  # one works, in the order in which work came
            ends = []
            while 1 not in ends:
                ident, kind, _ = asker.answer()
                ends += [ident] if kind == RUN_END else []
        equal(ends, [100, 1], "ends until that of the run")
        while len(ends) < 31:
            ident, kind, _ = asker.answer()
            ends += [ident] if kind == RUN_END else []
        equal(sorted(ends), [1, *range(100, 130)], "all ends")


def test_checking():
    """while a plan is checked beside an earlier run others are answered; it can be cancelled, and who leaves gets no run"""
    short = experiment("experiment: short\nboxes: [a]\nworkload: {name: w, box: a, run: [/bin/true]}\n")
    with Server() as server, Controller(f"{server.folder}/api") as asker:
        server.agent()
        server.run(short)
        run = run_of(short) + text(6, text(1, "isolate b") + text(2, "plan:1"))
        def descriptors():
            return len(os.listdir(f"/proc/{server.running.pid}/fd"))

        with Held(server.running.pid):
            asker.ask(1, RUN, run)
            asker.ask(2, RUN, run.replace(b"isolate b", b"isolate a"))
            asker.ask(3, CANCEL, number(1, 2))
            asker.ask(4, CANCEL, number(1, 7))
            ident, kind, error = asker.answer() # of those that are checked there is none yet
            equal((ident, kind, error[2]), (4, ERROR, b"there is nothing to cancel"), "the first answer")
            before = descriptors()
            with Controller(f"{server.folder}/api") as leaver:
                leaver.ask(5, RUN, run.replace(b"isolate b", b"isolate a"))
                leaver.ask(6, LIST_BOXES)
                equal(leaver.answer()[:2], (6, BOXES), "while it is checked")
            wait_for("the server to see that one has left", lambda: descriptors() == before)
            asker.ask(7, LIST_BOXES)
            equal(asker.answer()[:2], (7, BOXES), "behind that")
        answers = {ident: error[2].decode() for ident, kind, error in (asker.answer(), asker.answer())}
        equal(answers, {1: "plan:1:9: the experiment has no box 'b'; did you mean 'a'?", 2: "stopped before it began"}, "answers")
        server.running.signal(signal.SIGTERM)
        equal(server.running.end().status, 0, "exit status of the server")
        equal(len(bop("runs", "--json", "--store", server.store).json()["runs"]), 1, "runs")


def test_agent_dies():
    """an agent that is killed in a run makes it an error, incomplete and said so; what the others have goes on to the store"""
    before = leftovers()
    with Namespaces("a", "b") as spaces, Server() as server:
        first = server.agent(spaces.box("a"))
        server.agent(spaces.box("b"))
        marker = os.path.join(scratch(0o777), "marker")
        path = experiment("experiment: two\nboxes: [a, b]\nprocesses: [{name: p, box: b, run: [sleep, '1000']}]\n"
                          f"workload: {{name: w, box: a, run: [sh, -c, 'echo >{marker}; sleep 1000']}}\ntimeout: 1s\n")
        running = Running(BOP, "run", path, f"--server={server.api}")
        wait_for("the workload", lambda: os.path.exists(marker))
        first.signal(signal.SIGKILL)
        first.end()
        equal(running.end().status, 3, "exit status")
        run = show("last", server.store)
        equal((run["outcome"], run["incomplete"], run["lost"]), ("error", True, None), "the run")
        true("agent" in run["reason"], f"the reason does not name the agent: {run['reason']}")
        server.agents.remove(first)
        server.agent(spaces.box("a"))
        server.run(experiment("experiment: after\nboxes: [a, b]\nworkload: {name: w, box: a, run: [/bin/true]}\n"))
    nothing_left(before)


def test_agent_hangs():
    """an agent that hangs while another one talks does not hold the run for ever, and is free again when it has answered"""
    before = leftovers()
    path = experiment("experiment: two\nboxes: [a, b]\nworkload: {name: w, box: b, run: [/bin/true]}\n")
    with Namespaces("a", "b") as spaces, Server() as server:
        hung = server.agent(spaces.box("a"))
        server.agent(spaces.box("b"))
        hung.signal(signal.SIGSTOP)
        try:
            ended = server.run(path, status=3, timeout=120)
            true("does not answer: it takes no other run" in ended.err, f"no warning: {ended}")
            equal([(a["state"], a["run"]) for a in server.boxes()["agents"] if a["state"] != "idle"], [("ending", 1)], "agents")
            one_line(server.run(path, status=3), "box 'a'", "has not ended run 1")
        finally:
            hung.signal(signal.SIGCONT)
        run = show("last", server.store)
        equal((run["outcome"], run["incomplete"]), ("error", True), "the run")
        true("'a' does not answer" in run["reason"], f"the reason does not name the box: {run['reason']}")
        wait_for("the agents", lambda: {agent["state"] for agent in server.boxes()["agents"]} == {"idle"})
        true("has ended run 1: it can take another one" in server.log(), f"the log does not say it: {server.log()}")
        server.run(path)
    nothing_left(before)


def test_server_restarts():
    """a server that was killed and started again finds its agents, and gets all of the run of before; the next one is good"""
    before = leftovers()
    with Server() as server:
        server.agent()
        running = endless(server, os.path.join(scratch(0o777), "marker"))
        server.running.signal(signal.SIGKILL)
        server.running.end()
        result = running.end()
        equal(result.status, 3, "exit status of the run")
        one_line(result, "the server", "is gone")
        server.start()
        wait_for("the agent", lambda: [a["state"] for a in server.boxes()["agents"]] == ["idle"])
        wait_for("the end of the run", lambda: show("last", server.store)["state"] == "ended")
        run = show("last", server.store)
        equal((run["outcome"], run["incomplete"], run["lost"]), ("error", False, 0), "the run of before")
        wait_for("a look at what it did", lambda: show("last", server.store)["unclassed"] is not None)
        equal(show("last", server.store)["unclassed"], "the harness could not run it", "why it has no class")
        equal(server.run(example("quorum"), "--json").json()["lost"], 0, "lost in the next one")
        whole(show("last", server.store))
    nothing_left(before)


def test_refused():
    """what cannot work is said in one line before anything is made: TCP without keys, two servers in one place, others' folders"""
    folder = scratch()
    serve = ["serve", "--dir", f"{folder}/s", "--store", f"{folder}/r.db", "--keys", f"{folder}/k"]
    one_line(bop(*serve, "--listen", "tcp://127.0.0.1:0", status=3), "bop keys make server")
    bop("keys", "--keys", f"{folder}/k", "make", "server")
    os.chmod(f"{folder}/k/server.secret", 0o644)
    one_line(bop(*serve, "--listen", "tcp://127.0.0.1:0", status=3), "others can read")
    one_line(bop(*serve, "--listen", "udp://127.0.0.1:0", status=3), "tcp://")
    one_line(bop("boxes", "--server", f"ipc://{folder}/s/api", status=3), "no server runs", "bop serve")
    one_line(bop("run", example("quorum"), f"--server=ipc://{folder}/s/api", status=3), "no server runs")
    one_line(bop("run", "/nonexistent.yaml", f"--server=ipc://{folder}/s/api", status=3), "/nonexistent.yaml")
    with Server() as server:
        one_line(bop("serve", "--dir", server.folder, "--store", f"{folder}/r.db", status=3), "runs in", "--dir")
        equal(os.stat(server.folder).st_mode & 0o777, 0o700, "mode of the directory")
        for name in ("agents", "api"):
            equal(os.stat(f"{server.folder}/{name}").st_mode & 0o777, 0o600, f"mode of {name}")
        with Server() as other:
            equal(other.boxes()["agents"], server.boxes()["agents"], "agents of two servers")
    os.chmod(server.folder, 0o755)
    one_line(bop("serve", "--dir", server.folder, "--store", f"{folder}/r.db", status=3), "closed to others")


if __name__ == "__main__":
    sys.exit(run_tests(test_one_agent, test_several_agents, test_two_boxes_each, test_strangers_untraced, test_whose_box, test_several_networks, test_cancel,
                       test_does_not_read, test_counting, test_recalls, test_checking, test_agent_dies, test_agent_hangs, test_server_restarts, test_refused))
