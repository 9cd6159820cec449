#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API over TCP: both sides show keys, controllers have a list of their own, and who is not on it gets and costs nothing."""
import os
import shutil
import signal
import sys

from harness import (BOP, TFJ, Running, bop, command, equal, example, experiment, leftovers, nothing_left, one_line, run_tests, scratch,
                     show, store, true, wait_for)
from serving import Embedded, Server, free_port, gated, go
from strangers import KINDS, refused

BEFORE = leftovers()
SERVER = Embedded(api_tcp=True)
URL = f"tcp://127.0.0.1:{SERVER.api_port}"


class Controller:
    """A folder with the keys of a controller on another machine."""

    def __init__(self, name, allow=True, server=None):
        self.name, self.keys = name, os.path.join(scratch(), "keys")
        self.key = bop("keys", "--keys", self.keys, "make", "controller").out.strip()
        shutil.copy(server or f"{SERVER.keys}/server.public", f"{self.keys}/server.public")
        self.environment = {**os.environ, "BOP_KEYS": self.keys}
        if allow:
            bop("keys", "--keys", SERVER.keys, "--controller", "allow", name, self.key)

    def bop(self, *argv, **kwargs):
        return command(BOP, *argv, env=self.environment, **kwargs)

    def running(self, *argv):
        return Running(BOP, *argv, env=self.environment)


def test_commands():
    """with keys, all commands work over TCP as they do beside the server: boxes, run, inject, faults, lift, replay, minimize, events"""
    me = Controller("me")
    equal(me.bop("boxes", "--server", URL, "--json").json()["agents"][0]["state"], "idle", "state")
    equal(me.bop("run", f"--server={URL}", example("quorum"), "--json").json()["outcome"], "good", "outcome")
    path, up, gate = gated()
    events = me.running("events", "--server", URL, "--json")
    running = me.running("run", f"--server={URL}", path)
    wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
    me.bop("inject", "isolate a", "--server", URL)
    true("isolate a" in me.bop("faults", "--server", URL).out, "the fault is not listed")
    me.bop("lift", "1", "--server", URL)
    wait_for("its events", lambda: '"lifted"' in events.result().out)
    go(gate)
    equal(running.end().status, 0, "exit status of the run")
    events.signal(signal.SIGINT)
    equal(events.end().status, 130, "exit status of events")
    me.bop("run", f"--server={URL}", example("primary-backup"), "-f", "reset primary>b:7001#1/3", status=1)
    me.bop("replay", "last", f"--server={URL}", status=1)
    equal(me.bop("minimize", "last", f"--server={URL}", "--json").json()["plan"], ["reset primary>b:7001#1/3"], "plan")


def test_strangers():
    """no key, a key that is not on the list, one of an agent, and another server's are refused in one line, and counted"""
    before = SERVER.boxes()["refused"]
    one_line(Controller("x", allow=False).bop("boxes", "--server", URL, status=None), "does not let this key in")
    agent = Controller("y", allow=False)
    bop("keys", "--keys", SERVER.keys, "allow", "y", agent.key)
    one_line(agent.bop("boxes", "--server", URL, status=None), "does not let this key in")
    other = Controller("z")
    bop("keys", "--keys", other.keys, "make", "other")
    shutil.copy(f"{other.keys}/other.public", f"{other.keys}/server.public")
    one_line(other.bop("boxes", "--server", URL, status=None), "not the one whose key was given")
    nothing = {**os.environ, "BOP_KEYS": scratch()}
    one_line(command(BOP, "boxes", "--server", URL, env=nothing, status=None), "server.public")
    shutil.copy(f"{SERVER.keys}/server.public", nothing["BOP_KEYS"])
    one_line(command(BOP, "boxes", "--server", URL, env=nothing, status=None), "controller.secret")
    one_line(command(BOP, "boxes", "--server", f"tcp://127.0.0.1:{free_port()}", env=other.environment, status=None), "no server is at")
    one_line(command(BOP, "boxes", "--server", "tcp://127.0.0.1", env=other.environment, status=None), "is no address of a server")
    for kind, data in KINDS.items():
        refused(SERVER.api_port, data)
        wait_for(kind, lambda k=kind: SERVER.boxes()["refused"][k] > before[k])
    equal(SERVER.boxes()["refused"]["unknown_key"] - before["unknown_key"], 2, "unknown keys")
    bop("keys", "--keys", SERVER.keys, "remove", "y")


def test_agent_at_api():
    """a controller's key lets no agent in, and the door of controllers is none for agents"""
    with Server(tcp=True) as server:
        bop("keys", "--keys", server.keys, "make", "me")
        bop("keys", "--keys", server.keys, "--controller", "allow", "me", f"{server.keys}/me.public")
        agent = Running(TFJ, "--collector", server.tcp_url, *server.key_arguments(f"{server.keys}/me.secret"))
        wait_for("its refusal", lambda: server.boxes()["refused"]["unknown_key"])
        equal(server.boxes()["agents"], [], "agents")
        agent.signal(signal.SIGTERM)
        agent.end()


def test_removed():
    """who is taken off the list while it waits for its run is told so at once, its run ends, and it does not get in again"""
    me, other = Controller("gone"), Controller("stays")
    path, up, _ = gated()
    running = me.running("run", f"--server={URL}", path)
    wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
    bop("keys", "--keys", SERVER.keys, "--controller", "remove", "gone")
    one_line(running.end(), "taken off the list")
    wait_for("the agent", lambda: SERVER.boxes()["agents"][0]["state"] == "idle")
    equal(show("last", SERVER.store)["outcome"], "interrupted", "outcome")
    one_line(me.bop("boxes", "--server", URL, status=None), "does not let this key in")
    other.bop("boxes", "--server", URL)


def test_other_key():
    """a name on the list that is given to another key: who has shown the old one is cut off, though the list was never without the name"""
    me, other = Controller("moves"), Controller("spare", allow=False)
    path, up, _ = gated()
    running = me.running("run", f"--server={URL}", path)
    wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
    listed = f"{SERVER.keys}/controllers"
    with open(listed, encoding="ascii") as f:
        text = f.read()
    with open(f"{listed}.new", "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
        f.write(text.replace(me.key, other.key))
    os.replace(f"{listed}.new", listed)
    one_line(running.end(), "taken off the list")
    wait_for("the agent", lambda: SERVER.boxes()["agents"][0]["state"] == "idle")
    one_line(me.bop("boxes", "--server", URL, status=None), "does not let this key in")
    other.bop("boxes", "--server", URL)


def test_killed():
    """SIGKILL of a controller in the middle of its run: the run ends in order, and another controller takes the agent"""
    me, other = Controller("killed"), Controller("next")
    path, up, _ = gated()
    running = me.running("run", f"--server={URL}", path)
    wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
    running.signal(signal.SIGKILL)
    running.end()
    wait_for("the agent", lambda: SERVER.boxes()["agents"][0]["state"] == "idle")
    run = show("last", SERVER.store)
    equal((run["outcome"], run["incomplete"]), ("interrupted", False), "the run")
    other.bop("run", f"--server={URL}", experiment("experiment: x\nboxes: [a]\nworkload: {name: w, box: a, run: ['true']}\n"))


def test_not_without_keys():
    """a server without keys, or with a bad address, does not listen: one line, and nothing is made"""
    folder = scratch()
    argv = ["serve", "--dir", os.path.join(folder, "d"), "--store", store(), "--keys", os.path.join(folder, "keys")]
    one_line(bop(*argv, "--listen-api", f"tcp://127.0.0.1:{free_port()}", status=None), "bop keys make server")
    one_line(bop(*argv, "--listen-api", "ipc:///x", status=None), "is no address to listen on")


def test_keys():
    """bop keys shows both lists and changes the one that is meant"""
    keys = os.path.join(scratch(), "keys")
    for name in ("a", "c"):
        bop("keys", "--keys", keys, "make", name)
    bop("keys", "--keys", keys, "allow", "one", f"{keys}/a.public")
    bop("keys", "--keys", keys, "allow", "--controller", "one", f"{keys}/c.public")
    listed = bop("keys", "--keys", keys, "--json").json()
    pairs = {row["name"]: row["key"] for row in listed["pairs"]}
    equal((listed["allowed"], listed["controllers"]), ([{"name": "one", "key": pairs["a"]}], [{"name": "one", "key": pairs["c"]}]), "lists")
    bop("keys", "--keys", keys, "--controller", "remove", "one")
    listed = bop("keys", "--keys", keys, "--json").json()
    equal((len(listed["allowed"]), listed["controllers"]), (1, []), "lists after remove")
    true("controllers that may connect\n  none" in bop("keys", "--keys", keys).out, "as text")


with SERVER:
    STATUS = run_tests(test_commands, test_strangers, test_agent_at_api, test_removed, test_other_key, test_killed,
                       test_not_without_keys, test_keys)
nothing_left(BEFORE)
sys.exit(STATUS)
