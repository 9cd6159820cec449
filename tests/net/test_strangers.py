#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may connect over TCP and who may not; strangers are refused and counted, and agents go on working."""
import os
import re
import signal
import sys

from harness import BOP, SHORT, SOAK, Running, bop, equal, example, experiment, leftovers, nothing_left, run_tests, scratch, show, true, wait_for
from serving import Server
from strangers import CURVE_JUNK, NOISE, NULL, PLAIN, Flood, Relay, connect, refused

JUNK = 100000 if SOAK else 1000 if SHORT else 20000


def counts(server):
    return {reason: n for reason, n in server.boxes()["refused"].items() if n}


def counted(server, **wanted):
    """The refusals become these; what happens to a connection is told a moment later."""
    wait_for(f"{wanted} in {counts(server)}", lambda: counts(server) == wanted)


def works(server, times=1):
    for _ in range(times):
        run = server.run(example("quorum"), "--json").json()
        equal((run["outcome"], run["lost"], run["holes"]), ("good", 0, 0), "a run meanwhile")


def test_keys():
    """an agent whose key is on the list works over TCP, also when another is put on the list while it runs"""
    before = leftovers()
    with Server(tcp=True) as server:
        server.agent(url=server.tcp_url, argv=server.allow("web1"))
        agent = server.boxes()["agents"][0]
        equal((agent["key"], agent["address"], agent["state"]), ("web1", "127.0.0.1", "idle"), "the agent")
        works(server)
        server.agent("b", url=server.tcp_url, argv=server.allow("web2"))
        equal(sorted(a["key"] for a in server.boxes()["agents"]), ["web1", "web2"], "agents")
        equal(counts(server), {}, "refused")
    nothing_left(before)


def test_wrong_keys():
    """an unknown key, another server's key, a removed key and one that was replaced do not get in; who is let in later comes by itself"""
    with Server(tcp=True) as server:
        argv = server.allow("good")
        bop("keys", "--keys", server.keys, "make", "bad")
        unknown = server.agent(url=server.tcp_url, argv=server.key_arguments(f"{server.keys}/bad.secret"), wait=False)
        wait_for("the refusal", lambda: counts(server).get("unknown_key"))
        said = wait_for("what the agent says", lambda: unknown.result().err)
        true("bop keys allow" in said, f"the agent does not say what to do: {said}")
        other = bop("keys", "--keys", server.keys, "make", "other").out.strip()
        wrong = server.agent(url=server.tcp_url, wait=False,
                             argv=server.key_arguments(f"{server.keys}/good.secret", server_key=other))
        wait_for("the refusal", lambda: counts(server).get("handshake"))
        equal(server.boxes()["agents"], [], "agents")
        wrong.signal(signal.SIGTERM)
        equal(wrong.end().status, 0, "exit status of the agent")
        bop("keys", "--keys", server.keys, "allow", "late", f"{server.keys}/bad.public")
        wait_for("the agent", lambda: [a["key"] for a in server.boxes()["agents"]] == ["late"])
        works(server)
        bop("keys", "--keys", server.keys, "remove", "late")
        wait_for("its end", lambda: unknown.process.poll() is not None)
        true("taken off the list" in unknown.result().err, f"it does not say why: {unknown.result()}")
        equal(server.boxes()["agents"], [], "agents after the removal")
        with open(f"{server.keys}/allowed", "a", encoding="ascii") as f:
            f.write("late nonsense\n")
        wait_for("what the server says", lambda: "allowed:" in server.log() and "stays as it was" in server.log())
        with open(f"{server.keys}/allowed", "r+", encoding="ascii") as f:
            good = f.read().replace("late nonsense\n", "")
            f.seek(0)
            f.truncate()
            f.write(good)
        server.agents = []
        agent = server.agent(url=server.tcp_url, argv=argv)
        works(server)
        with open(f"{server.keys}/good.public", encoding="ascii") as old, open(f"{server.keys}/bad.public", encoding="ascii") as new:
            good = good.replace(old.read().strip(), new.read().strip())
        with open(f"{server.keys}/next", "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
            f.write(good)
        os.replace(f"{server.keys}/next", f"{server.keys}/allowed")
        wait_for("the end of who has shown the name's old key", lambda: agent.process.poll() is not None)
        true("taken off the list" in agent.result().err, f"it does not say why: {agent.result()}")
        server.agents = []


def test_mechanisms():
    """NULL, PLAIN, noise, silence and a damaged handshake are turned away, each counted for what it is"""
    with Server(tcp=True) as server:
        for data in (NULL, PLAIN, NULL):
            refused(server.port, data)
        counted(server, no_curve=3)
        for _ in range(2):
            refused(server.port, NOISE)
        counted(server, no_curve=3, noise=2)
        refused(server.port, CURVE_JUNK)
        counted(server, no_curve=3, noise=2, handshake=1)
        connect(server.port).close()
        counted(server, no_curve=3, noise=2, handshake=1, left=1)
        with connect(server.port) as s:
            while s.recv(4096):  # the server's greeting, and after 5 s the end
                pass
        counted(server, no_curve=3, noise=2, handshake=1, left=2)
        server.running.signal(signal.SIGTERM)
        log = server.running.end().err
        true(re.search(r"refused: .*no_curve", log), f"the log does not tell of strangers: {log}")


def test_replay():
    """a good handshake that was recorded opens nothing when it is played again, while its agent goes on"""
    with Server(tcp=True) as server:
        with Relay(server.port) as relay:
            server.agent(url=f"tcp://127.0.0.1:{relay.port}", argv=server.allow("web1"))
            works(server)
            recorded = relay.sent[0]
            true(b"CURVE" in recorded[:64] and len(recorded) > 1000, "nothing was recorded")
            for _ in range(2):
                refused(server.port, recorded)
            counted(server, handshake=2)
            refused(server.port, recorded[:64 + 202])  # without its end: nothing follows for 5 s
            counted(server, handshake=2, left=1)
            equal(len(server.boxes()["agents"]), 1, "agents")
            works(server)


def test_break():
    """a connection that breaks in a run is made again, and nothing of the run is lost"""
    with Server(tcp=True) as server:
        with Relay(server.port) as relay:
            server.agent(url=f"tcp://127.0.0.1:{relay.port}", argv=server.allow("web1"))
            marker, go = (os.path.join(scratch(0o777), name) for name in ("marker", "go"))
            path = experiment("experiment: broken\nboxes: [s, c]\nprocesses:\n"
                              "  - {name: s, box: s, run: [redis-server, --port, '6379', --bind, 0.0.0.0, --protected-mode, 'no', "
                              "--save, '']}\n"
                              f"workload: {{name: w, box: c, run: [sh, -c, 'echo >{marker}; until [ -e {go} ]; do "
                              "redis-cli -h s ping; done']}\n")
            running = Running(BOP, "run", path, f"--server={server.api}", "--json")
            wait_for("the workload", lambda: os.path.exists(marker))
            for _ in range(3):
                relay.up = False
                wait_for("the break", lambda: not relay.pairs and server.boxes()["agents"][0]["state"] == "away")
                relay.up = True
                wait_for("the agent", lambda: server.boxes()["agents"][0]["state"] == "running")
            with open(go, "w", encoding="ascii"):
                pass
            result = running.end()
            equal(result.status, 0, f"exit status {result} {server.log()}")
            run = show("last", server.store)
            equal((run["outcome"], run["incomplete"], run["lost"], run["holes"], run["unmatched_bytes"]),
                  ("good", False, 0, [], 0), "the run")
            true(len(relay.sent) >= 4, "the connection was not made again")


def memory(pid):
    """Peak of resident memory in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) / 1024


def test_flood():
    """20,000 (in make soak 100,000) junk messages of strangers are refused and counted; memory stays bounded; an agent's runs lose nothing"""
    before = leftovers()
    with Server(tcp=True) as server:
        server.agent(url=server.tcp_url, argv=server.allow("web1"))
        works(server)
        with Flood(server.port, JUNK // 50) as flood:
            flood.wait()
        peak, runs = memory(server.running.pid), 0
        with Flood(server.port, JUNK) as flood:
            while any(thread.is_alive() for thread in flood.threads):
                works(server)
                runs += 1
            flood.wait()
        true(runs > 0, "no run was made meanwhile")
        total = JUNK + JUNK // 50
        wait_for(f"{total} refusals", lambda: sum(counts(server).values()) >= total)
        got = counts(server)
        equal(sum(got.values()), total, f"refusals in all: {got}")
        for kind, n in flood.sent.items():
            true(got.get(kind, 0) >= n, f"{kind}: {got.get(kind, 0)} counted of {n}")
        grown = memory(server.running.pid) - peak
        true(grown < 16, f"the server grew by {grown:.0f} MiB")
        equal([(a["key"], a["state"]) for a in server.boxes()["agents"]], [("web1", "idle")], "agents")
    nothing_left(before)


if __name__ == "__main__":
    sys.exit(run_tests(test_keys, test_wrong_keys, test_mechanisms, test_replay, test_break, test_flood))
