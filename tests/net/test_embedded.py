#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers with an agent of their own: `bop serve --agent`, and `bop run --api`, whose run others can ask about."""
import os
import signal
import sys

from harness import (BOP, Running, agent_of, bop, children, equal, example, leftovers, nothing_left,
                     one_line, program_of, run_tests, scratch, show, store, true, wait_for)
from serving import Embedded, gated, go


def test_serve():
    """bop serve --agent runs experiments by itself; SIGTERM ends it and its agent in order, and nothing is left"""
    before = leftovers()
    with Embedded() as server:
        agent = agent_of(server.running.pid)
        equal(server.run(example("quorum"), "--json").json()["outcome"], "good", "outcome")
        server.running.signal(signal.SIGTERM)
        equal(server.running.end().status, 0, "exit status")
        true(program_of(agent) != "tfj", "its agent is still there")
    nothing_left(before)


def test_serve_killed():
    """SIGKILL of the server in the middle of a run: its agent ends, and takes all that it made with it"""
    before, (path, up, _) = leftovers(), gated()
    with Embedded() as server:
        running = Running(BOP, "run", path, f"--server={server.api}")
        wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
        server.running.signal(signal.SIGKILL)
        equal(running.end().status, 3, "exit status of who asked")
        server.running.end()
        run = show("last", server.store)
        equal((run["outcome"], run["incomplete"]), ("error", True), "the run")
    bop("run", example("client-server"), "--store", store())  # the next start removes the folder of the run
    nothing_left(before)


def test_agent_killed():
    """a server whose own agent is killed says so and ends with status 3, its run is an error; it does not hang"""
    before, (path, up, _) = leftovers(), gated()
    with Embedded() as server:
        running = Running(BOP, "run", path, f"--server={server.api}")
        wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
        os.kill(agent_of(server.running.pid), signal.SIGKILL)
        equal(running.end().status, 3, "exit status of who asked")
        result = server.running.end()
        equal(result.status, 3, "exit status of the server")
        true("signal 9 (SIGKILL)" in result.err.splitlines()[-1], f"its last line: {result.err}")
        equal(show("last", server.store)["outcome"], "error", "outcome")
        bop("rm", "last", "--store", server.store)
    bop("run", example("client-server"), "--store", store())  # the next start cleans up
    nothing_left(before)


def test_not_there():
    """without an agent there is no such server: one line says why, and nothing is left"""
    before, folder = leftovers(), os.path.join(scratch(), "d")
    argv = ["serve", "--dir", folder, "--store", store()]
    one_line(bop(*argv, "--box", "a", status=None), "--box", "--agent")
    result = bop(*argv, "--agent", "--box", "a=nowhere", status=3)
    true("nowhere" in result.err.splitlines()[-1], f"it does not say what is wrong: {result}")
    nothing_left(before)


def test_run_api():
    """bop run --api: another process lists, injects and lifts faults of the run; then server and sockets are gone"""
    before, at, (path, up, gate) = leftovers(), store(), gated()
    folder = os.path.join(scratch(), "api")
    api = f"ipc://{folder}/api"
    running = Running(BOP, "run", f"--api={api}", path, "--store", at, "--json")
    wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
    true(running.process.poll() is None, f"the run ended: {running.result()}")
    equal(bop("boxes", "--server", api, "--json").json()["agents"][0]["state"], "running", "state of its agent")
    bop("inject", "isolate a", "--server", api)
    true("isolate a" in bop("faults", "--server", api).out, "the fault is not listed")
    bop("lift", "1", "--server", api)
    go(gate)
    result = running.end()
    equal((result.status, result.json()["outcome"]), (0, "good"), "the run's end")
    true(not os.path.exists(folder), "its directory is left")
    equal([fault["state"] for fault in show("last", at)["faults"]], ["lifted"], "faults of the run")
    nothing_left(before)


def test_run_api_usual():
    """without an address the API is where a server would be, so that others find it without being told"""
    before, at, (path, up, gate) = leftovers(), store(), gated()
    environment = {**os.environ, "BOP_SERVER_DIR": os.path.join(scratch(), "usual")}
    running = Running(BOP, "run", "--api", path, "--store", at, env=environment)
    wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
    true("running" in bop("boxes", env=environment).out, "bop boxes does not find it")
    one_line(bop("run", "--api", path, "--store", at, env=environment, status=None), "a server runs in")
    true("running" in bop("boxes", env=environment).out, "who was refused took the sockets away")
    go(gate)
    equal(running.end().status, 0, "exit status")
    nothing_left(before)


def test_run_api_killed():
    """SIGKILL of bop run --api: the server that it started ends as well, and all is gone; the run is kept as interrupted"""
    before, at, (path, up, _) = leftovers(), store(), gated()
    folder = os.path.join(scratch(), "api")
    running = Running(BOP, "run", f"--api=ipc://{folder}/api", path, "--store", at)
    wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
    server = next(pid for pid in children(running.pid) if program_of(pid) == "bop")
    running.signal(signal.SIGKILL)
    running.end()
    wait_for("the end of its server", lambda: program_of(server) != "bop")
    nothing_left(before)
    true(not os.path.exists(folder), "its directory is left")
    run = show("last", at)
    equal((run["outcome"], run["incomplete"], run["lost"]), ("interrupted", False, 0), "the run")


def test_run_api_bad():
    """what is no address, or somebody else's folder, is refused in one line; nothing in a folder of the user's is removed"""
    path, at = example("client-server"), os.path.join(scratch(), "runs.db")
    for url in ("tcp://127.0.0.1:7000", "ipc://here/api", "ipc:///x", "x"):
        one_line(bop("run", f"--api={url}", path, "--store", at, status=None), f"'{url}' is no address")
    one_line(bop("run", "--api", "--server", path, "--store", at, status=None), "--server")
    mine = scratch()
    with open(os.path.join(mine, "mine"), "w", encoding="ascii"):
        pass
    bop("run", f"--api=ipc://{mine}/api", path, "--store", at)
    equal(os.listdir(mine), ["mine"], "files in the user's folder")
    os.chmod(mine, 0o755)
    one_line(bop("run", f"--api=ipc://{mine}/api", path, "--store", at, status=None), "chmod 700")


sys.exit(run_tests(test_serve, test_serve_killed, test_agent_killed, test_not_there, test_run_api, test_run_api_usual,
                   test_run_api_killed, test_run_api_bad))
