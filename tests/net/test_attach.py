#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes and connections that are older than the run: attached, seen from then on, and left as they were."""
import os
import shutil
import signal
import sys
from collections import Counter

from harness import (Running, agent_of, bop, bytes_match, cgroup_mounts, equal, experiment, kill_quietly, leftovers,
                     nothing_left, run_tests, scratch, store, true, wait_for)
from peer import Peer
from serving import Namespaces, Run, Server

SERVER = "10.91.0.1"  # address of the first namespace


def refused(spaces, process, *words, server=None):
    """A process that cannot be attached: one line, and nothing was started."""
    folder = scratch(0o755)
    boxes = "s, c" if server else ", ".join(f"{{name: {name}, netns: {spaces.names[name]}}}" for name in "sc")
    path = experiment(f"experiment: refused\nboxes: [{boxes}]\nprocesses:\n  - {{name: first, box: s, run: [touch, {folder}/ran]}}\n"
                      f"  - {process}\nworkload: {{name: w, box: c, run: [touch, {folder}/ran]}}\n")
    argv = [f"--server={server.api}"] if server else ["--store", store()]
    result = bop("run", path, *argv, status=3)
    lines = [line for line in result.err.splitlines() if "experiment.yaml:5:" in line]
    equal(len(lines), 1, f"lines that say where of {result}")
    for word in words:
        true(word in lines[0], f"'{word}' is not in: {lines[0]}")
    true(not os.listdir(folder), "something was started")


def inside(spaces, name, **kwargs):
    return Peer("ip", "netns", "exec", spaces.names[name], **kwargs)


def talk(one, other, sizes):
    """Messages from one to the other on the first connection."""
    for size in sizes:
        one.do(f"send 0 {size}")
        other.do(f"recv 0 {size}")


def older_pair(server, client):
    """A connection with bytes that moved both ways, and some that are on their way."""
    server.do("listen 6000")
    addresses = client.do(f"connect {SERVER} 6000")
    server.do("accept")
    talk(client, server, [1000, 3])
    talk(server, client, [500])
    client.do("send 0 77")
    return f"{addresses[0]}:{addresses[1]}"


def moved(run):
    """Bytes by process, thread, kind and connection."""
    sums = Counter()
    for v in run["vertices"]:
        if v["kind"] in ("send", "recv"):
            sums[v["process"], v["thread"], v["kind"], v["connection"]] += v["bytes"]
    return dict(sums)


def whole(run):
    equal((run["outcome"], run["incomplete"], run["lost"]), ("good", False, 0), f"the run ({run['reason']})")
    bytes_match(run)


def test_both_ends():
    """both ends of an older connection are attached: it is one connection, its bytes since then, none missing; also deferred"""
    before = leftovers()
    with Namespaces("s", "c") as spaces, inside(spaces, "s") as s, inside(spaces, "c") as c:
        address = older_pair(s, c)
        for argv in ([], ["--send", "deferred"]):
            with Run(spaces, f"{{name: c, box: c, attach: {{pid: {c.pid}}}}}", "{name: s, box: s, attach: {listen: 6000}}",
                     argv=argv) as run:
                s.do("recv 0 77")  # sent before
                talk(c, s, [200, 100000])
                talk(s, c, [50])
                shown = run.end()
            c.do("send 0 77")  # for the next run
            label = f"c>s:6000#?({address})"
            whole(shown)
            equal([x["label"] for x in shown["connections"]], [label], "connections")
            equal(moved(shown), {("c", 0, "send", label): 200 + 100000, ("c", 0, "recv", label): 50,
                                 ("s", 0, "send", label): 50, ("s", 0, "recv", label): 77 + 200 + 100000}, "bytes")
            equal(shown["connections"][0]["bytes"], [100200, 50], "bytes of the connection")
            equal(sorted(m["label"] for m in shown["messages"]),
                  [f"c<s:6000#?({address})/1", f"{label}/1", f"{label}/2"], "messages")
            true(sum(e["rule"] == "message" for e in shown["edges"]) >= 3, "edges")
            names = {p["name"]: p for p in shown["processes"]}
            equal({"s": s.pid, "c": c.pid}, {k: names[k]["pid"] for k in "sc"}, "numbers")
            true("peer.py" in names["s"]["command"], f"command line: {names['s']['command']}")
            true(s.lives() and c.lives(), "they do not live any more")
    nothing_left(before)


def test_one_end():
    """one end is attached: who was there is a stranger with its address, who connects from the run counts from 1 and is matched"""
    with Namespaces("s", "c") as spaces, inside(spaces, "s") as s, inside(spaces, "c") as c:
        address = older_pair(s, c)
        ask = ("import socket; c = socket.create_connection(('s', 6000)); c.sendall(b'12345'); n = 0\n"
               "while n < 9: n += len(c.recv(9 - n))")
        script = scratch(0o755) + "/ask.py"
        with open(script, "w", encoding="ascii") as f:
            f.write(ask)
        with Run(spaces, "{name: s, box: s, attach: {listen: 6000}}", f"{{name: n, box: c, run: [{sys.executable}, {script}]}}") as run:
            for line in ("accept", "recv 1 5", "send 1 9", "drain 1", "close 1", "recv 0 77", "send 0 11"):
                s.do(line)
            c.do("recv 0 11")
            c.do(f"connect {SERVER} 6000")  # a stranger's, to a port of ours
            s.do("accept")
            c.do("send 1 6")
            s.do("recv 2 6")
            shown = run.end()
        equal((shown["outcome"], shown["lost"], shown["holes"]), ("good", 0, []), "the run")
        equal(shown["unmatched_bytes"], 77 + 6, "bytes of strangers")
        labels = {x["label"] for x in shown["connections"]}
        true({f"?>s:6000#?({address})", "n>s:6000#1"} < labels and len(labels) == 3, f"connections: {labels}")
        sums = moved(shown)
        equal({sums[p, 0, k, "n>s:6000#1"] for p, k in (("n", "send"), ("s", "recv"))}, {5}, "to the server")
        equal({sums[p, 0, k, "n>s:6000#1"] for p, k in (("n", "recv"), ("s", "send"))}, {9}, "from the server")
        equal(len([v for v in shown["vertices"] if v["kind"] == "accept"]), 2, "accepts")


def test_later_connects():
    """what an attached process connects from then on is numbered from 1, beside the older one to the same port"""
    with Namespaces("s", "c") as spaces, inside(spaces, "s") as s, inside(spaces, "c") as c:
        older_pair(s, c)
        with Run(spaces, f"{{name: c, box: c, attach: {{pid: {c.pid}}}}}", f"{{name: s, box: s, attach: {{pid: {s.pid}}}}}") as run:
            for k in (1, 2):
                c.do(f"connect {SERVER} 6000")
                s.do("accept")
                c.do(f"send {k} {k}")
                s.do(f"recv {k} {k}")
            shown = run.end()
        whole(shown)
        equal([x["label"] for x in shown["connections"] if "?" not in x["label"]], ["c>s:6000#1", "c>s:6000#2"], "labels")


def test_threads_and_children():
    """threads and children that are there are followed and numbered by age; those that come later go on counting"""
    with Namespaces("s", "c") as spaces, inside(spaces, "s") as s, inside(spaces, "c") as c:
        older_pair(s, c)
        s.do("recv 0 77")
        s.do("thread")
        s.do("thread")
        s.do("fork")
        s.do("in 0 fork")
        s.do("fork")
        s.do("start recv 0 5")  # waits there while it is attached, in the third thread
        with Run(spaces, f"{{name: s, box: s, attach: {{pid: {s.pid}}}}}", f"{{name: c, box: c, attach: {{pid: {c.pid}}}}}") as run:
            c.do("send 0 5")
            s.do("join")
            s.do("thread")
            s.do("fork")
            for k, sender in enumerate(("", "on 0 ", "on 1 ", "on 2 ", "in 0 ", "in 1 ", "in 0 in 0 ", "in 2 ")):
                s.do(f"{sender}send 0 {10 + k}")
                c.do(f"recv 0 {10 + k}")
            shown = run.end()
        whole(shown)
        sums = {(p, t): n for (p, t, kind, _), n in moved(shown).items() if p.startswith("s") and kind == "send"}
        equal(sums, {("s", 0): 10, ("s", 1): 11, ("s", 2): 12, ("s", 4): 13, ("s.1", 0): 14, ("s.2", 0): 15, ("s.1.1", 0): 16,
                     ("s.3", 0): 17}, "bytes by process and thread")
        equal([(t, n) for (p, t, kind, _), n in moved(shown).items() if (p, kind) == ("s", "recv")], [(3, 5)], "the receive")
        parents = {p["name"]: p["parent"] for p in shown["processes"]}
        equal({n: parents[n] for n in ("s", "s.1", "s.2", "s.3", "s.1.1")},
              {"s": None, "s.1": "s", "s.2": "s", "s.3": "s", "s.1.1": "s.1"}, "parents")


def test_selectors():
    """a process is found by cgroup (also one below it), program and port; several that match are named, and so is one elsewhere"""
    with Namespaces("s", "c") as spaces:
        program = os.path.join(scratch(0o755), "peer-program")
        shutil.copy(os.path.realpath("/bin/sleep"), program)
        mounts = cgroup_mounts()
        with inside(spaces, "s") as s, inside(spaces, "c") as c:
            older_pair(s, c)
            s.do("recv 0 77")
            sleepers = [Running("ip", "netns", "exec", spaces.names["s"], program, "1000")]
            try:
                wait_for("it", lambda: os.readlink(f"/proc/{sleepers[0].pid}/exe") == program)
                ways = [(f"executable: {program}", sleepers[0].pid), ("listen: 6000", s.pid), (f"pid: {s.pid}", s.pid)]
                if mounts:
                    group = os.path.join(mounts[0], f"attach-test-{os.getpid()}")
                    os.makedirs(os.path.join(group, "below"))
                    with open(os.path.join(group, "below", "cgroup.procs"), "w", encoding="ascii") as f:
                        f.write(str(s.pid))
                    with open(f"/proc/{s.pid}/cgroup", encoding="ascii") as f:
                        shown_as = f.read().split("0::", 1)[1].strip()
                    ways.append((f"cgroup: {os.path.dirname(shown_as)}", s.pid))
                    if mounts[0] in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
                        ways.append((f"cgroup: {group}", s.pid))
                for way, pid in ways:
                    with Run(spaces, f"{{name: s, box: s, attach: {{{way}}}}}") as run:
                        shown = run.end()
                    equal([p["pid"] for p in shown["processes"] if p["name"] == "s"], [pid], f"found by {way}")
                if mounts:
                    with open(f"/proc/{s.pid}/cgroup", encoding="ascii") as f:
                        true(shown_as in f.read(), "it was moved to another cgroup")
                sleepers.append(Running("ip", "netns", "exec", spaces.names["s"], program, "1000"))
                wait_for("it", lambda: os.readlink(f"/proc/{sleepers[1].pid}/exe") == program)
                refused(spaces, f"{{name: s, box: s, attach: {{executable: {program}}}}}", "there are 2 processes", "runs",
                        str(sleepers[0].pid), str(sleepers[1].pid))
                refused(spaces, f"{{name: c, box: c, attach: {{executable: {program}}}}}", "network namespace of box 'c'",
                        str(sleepers[0].pid))
                refused(spaces, f"{{name: c, box: c, attach: {{pid: {s.pid}}}}}", "network namespace of box 'c'")
            finally:
                for sleeper in sleepers:
                    kill_quietly(sleeper.pid)
                    sleeper.end()
        if mounts:
            wait_for("the cgroup to be empty", lambda: not os.rmdir(os.path.join(group, "below")) and not os.rmdir(group))


def test_refused():
    """who cannot be attached is said with the place in the file, before anything is started: nobody, a thread, the harness, twice"""
    with Namespaces("s", "c") as spaces, inside(spaces, "s") as s:
        tid = s.do("thread")
        refused(spaces, "{name: p, box: s, attach: {listen: 6001}}", "no process that listens on port 6001 in box 's'")
        refused(spaces, "{name: p, box: s, attach: {cgroup: /no/such}}", "no process that is in cgroup '/no/such'")
        refused(spaces, "{name: p, box: s, attach: {executable: /bin/true}}", "no process that runs", "true'")
        refused(spaces, f"{{name: p, box: s, attach: {{pid: {tid}}}}}", f"thread of process {s.pid}")
        refused(spaces, f"{{name: p, box: s, attach: {{pid: {os.getpid()}}}}}", "has started the harness")
        twice = (f"experiment: x\nboxes: [{{name: s, netns: {spaces.names['s']}}}]\nprocesses:\n"
                 f"  - {{name: p, box: s, attach: {{pid: {s.pid}}}}}\n  - {{name: q, box: s, attach: {{pid: {s.pid}}}}}\n"
                 "workload: {name: w, box: s, run: ['true']}\n")
        result = bop("run", experiment(twice), "--store", store(), status=3)
        true(f"experiment.yaml:5:31: cannot attach q: process {s.pid} is traced already" in result.err, f"twice: {result}")
        true(s.lives(), "it does not live any more")


def test_its_end():
    """an attached process that ends during the run: an event with its status, a warning, and nothing else"""
    with Namespaces("s", "c") as spaces, inside(spaces, "s") as s:
        with Run(spaces, f"{{name: s, box: s, attach: {{pid: {s.pid}}}}}") as run:
            os.kill(s.pid, signal.SIGKILL)
            s.process.wait()
            wait_for("the warning", lambda: "s ended by itself: signal 9 (SIGKILL)" in run.running.result().err)
            shown = run.end()
        equal((shown["outcome"], shown["lost"]), ("good", 0), "the run")
        equal([(p["status"], p["signal"]) for p in shown["processes"] if p["name"] == "s"], [(137, 9)], "its status")
        equal([v["process"] for v in shown["vertices"] if v["kind"] == "exit" and v["process"] == "s"], ["s"], "its exit")


def test_left_alone():
    """an attached process, with its child, outlives a failed run, a SIGKILL of bop and of tfj, and goes on working"""
    before = leftovers()
    with Namespaces("s", "c") as spaces, inside(spaces, "s") as s, inside(spaces, "c") as c:
        older_pair(s, c)
        s.do("recv 0 77")
        s.do("fork")
        for victim in ("bop", "tfj", "interrupt"):
            with Run(spaces, f"{{name: s, box: s, attach: {{pid: {s.pid}}}}}", f"{{name: c, box: c, attach: {{pid: {c.pid}}}}}") as run:
                agent = agent_of(run.running.pid)
                talk(c, s, [10])
                os.kill(agent if victim == "tfj" else run.running.pid, signal.SIGINT if victim == "interrupt" else signal.SIGKILL)
                run.running.end()
                wait_for("the agent's end", lambda pid=agent: not os.path.exists(f"/proc/{pid}"))
            bop("run", experiment("experiment: x\nboxes: [a]\nworkload: {name: w, box: a, run: ['true']}\n"), "--store", store())
            talk(c, s, [20])
            talk(s, c, [20])
            true(s.lives() and c.lives() and s.do("in 0 tid"), f"something ended with {victim}")
    nothing_left(before)


def test_busy():
    """an attached process that talks all the time costs no event at the run's end"""
    with Namespaces("s", "c") as spaces, inside(spaces, "s") as s, inside(spaces, "c") as c:
        s.do("listen 6000")
        c.do(f"connect {SERVER} 6000")
        s.do("accept")
        s.do("start drain 0")
        c.do("start flood 0")
        for argv in ([], ["--send", "deferred"]):
            with Run(spaces, f"{{name: s, box: s, attach: {{pid: {s.pid}}}}}", argv=argv) as run:
                shown = run.end()
            equal((shown["outcome"], shown["lost"], shown["incomplete"], shown["holes"]), ("good", 0, False, []), "the run")


def test_agents():
    """processes of two served agents' boxes are attached in one run; what an agent does not find is said like in a run without"""
    with Namespaces("s", "c") as spaces, Server() as server, inside(spaces, "s") as s, inside(spaces, "c") as c:
        address = older_pair(s, c)
        for box in "sc":
            server.agent(spaces.box(box))
        with Run(spaces, f"{{name: c, box: c, attach: {{pid: {c.pid}}}}}", "{name: s, box: s, attach: {listen: 6000}}",
                 server=server) as run:
            s.do("recv 0 77")
            talk(c, s, [5, 6])
            talk(s, c, [7])
            shown = run.end()
        whole(shown)
        label = f"c>s:6000#?({address})"
        equal(moved(shown), {("c", 0, "send", label): 11, ("c", 0, "recv", label): 7, ("s", 0, "send", label): 7,
                             ("s", 0, "recv", label): 88}, "bytes")
        refused(spaces, "{name: p, box: s, attach: {listen: 6001}}", "no process that listens on port 6001", server=server)
        true(s.lives() and c.lives(), "they do not live any more")


if __name__ == "__main__":
    sys.exit(run_tests(test_both_ends, test_one_end, test_later_connects, test_threads_and_children, test_selectors, test_refused,
                       test_its_end, test_left_alone, test_busy, test_agents))
