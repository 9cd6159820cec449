#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that misbehave, users who lose patience, and two users at once."""
import os
import signal
import sys

from harness import (BOP, Running, bop, equal, example, experiment, kill_quietly, leftovers, nothing_left, run_tests, scratch,
                     show, store, true, wait_for)

SHAPE = """experiment: odd
boxes: [a, b]
processes:
  - {{name: p, box: a, run: [sh, -c, {program!r}]{more}}}
workload: {{name: w, box: b, run: [sh, -c, {work!r}]}}
timeout: {timeout}
ready_timeout: {ready_timeout}
grace: 300ms
"""


def odd(program, work="exit 0", more="", timeout="20s", ready_timeout="20s"):
    return experiment(SHAPE.format(program=program, work=work, more=more, timeout=timeout, ready_timeout=ready_timeout))


def started(at):
    """Runs something that takes for ever; returns when its workload runs."""
    marker = os.path.join(scratch(0o777), "marker")
    before = leftovers()
    running = Running(BOP, "run", odd("sleep 1000", f"echo >{marker}; sleep 1000", timeout="10m"), "--store", at)
    wait_for("the workload", lambda: os.path.exists(marker))
    return running, before


def test_interrupt_once():
    """Ctrl-C ends a run in order: status 130, outcome interrupted, everything stopped and kept"""
    at = store()
    running, before = started(at)
    running.signal(signal.SIGINT)
    equal(running.end().status, 130, "exit status")
    equal(show("last", at)["outcome"], "interrupted", "outcome")
    nothing_left(before)


def test_interrupt_twice():
    """a second Ctrl-C does not wait for a program that ignores SIGTERM: status 130, nothing left behind"""
    at, before = store(), leftovers()
    marker = os.path.join(scratch(0o777), "marker")
    path = experiment("experiment: stubborn\nboxes: [a]\ngrace: 10m\nprocesses:\n"
                      f"  - {{name: p, box: a, run: [sh, -c, 'trap : TERM INT; while :; do sleep 1; done']}}\n"
                      f"workload: {{name: w, box: a, run: [sh, -c, 'trap : TERM INT; echo >{marker}; "
                      "while :; do sleep 1; done']}\ntimeout: 10m\n")
    running = Running(BOP, "run", path, "--store", at)
    wait_for("the workload", lambda: os.path.exists(marker))
    running.signal(signal.SIGINT)
    wait_for("what it says to the first one", lambda: "interrupt again" in running.result().err)
    true(running.process.poll() is None, "it ended although a program ignores SIGTERM for 10 minutes")
    # what comes within 50 ms of the first one is the same wish
    wait_for("its end", lambda: kill_quietly(running.pid, signal.SIGINT) or running.process.poll() is not None)
    equal(running.end().status, 130, "exit status")
    nothing_left(before)
    true(show("last", at)["outcome"] == "interrupted", "outcome")


def test_terminate():
    """SIGTERM ends a run like Ctrl-C"""
    at = store()
    running, before = started(at)
    running.signal(signal.SIGTERM)
    equal(running.end().status, 130, "exit status")
    nothing_left(before)


def test_ignores_sigterm():
    """a program that ignores SIGTERM is killed after the grace, and the run is good"""
    at, before = store(), leftovers()
    bop("run", odd("trap '' TERM; while :; do sleep 1; done"), "--store", at)
    equal(show("last", at)["outcome"], "good", "outcome")
    nothing_left(before)


def test_daemons():
    """daemons that a program forked away (setsid, twice) end with the run"""
    at, before = store(), leftovers()
    bop("run", odd("setsid sh -c '(setsid sleep 1000 &) ; sleep 1000' </dev/null >/dev/null 2>&1 & exec sleep 1000"),
        "--store", at)
    nothing_left(before)


def test_fills_stdout():
    """a program that writes without end is neither stopped nor kept in full: the run is good and the store small"""
    at, before = store(), leftovers()
    bop("run", odd("exec yes", "head -c 100000000 /dev/zero"), "--store", at)
    run = show("last", at)
    equal(run["outcome"], "good", "outcome")
    true(os.path.getsize(at) < 20 << 20, f"the store has {os.path.getsize(at)} bytes")
    nothing_left(before)


def test_never_ready():
    """a program that never listens is waited for no longer than ready_timeout, and named"""
    at, before = store(), leftovers()
    result = bop("run", odd("exec sleep 1000", more=", ready: {listen: 99}", ready_timeout="1s"), "--store", at, status=None)
    equal(result.status, 3, f"exit status of {result}")
    true("p" in result.err and "ready" in result.err, f"does not say who: {result}")
    nothing_left(before)


def test_dies_at_once():
    """a program that dies before it is ready ends the run at once, and is named with its status"""
    at, before = store(), leftovers()
    result = bop("run", odd("echo sorry >&2; exit 7", more=", ready: {listen: 99}"), "--store", at, status=None)
    equal(result.status, 3, f"exit status of {result}")
    true("7" in result.err and "p" in result.err, f"does not say who or why: {result}")
    nothing_left(before)


def test_timeout():
    """a workload that does not end in time makes the outcome timeout: status 2"""
    at, before = store(), leftovers()
    bop("run", odd("exec sleep 1000", "exec sleep 1000", timeout="500ms"), "--store", at, status=2)
    equal(show("last", at)["outcome"], "timeout", "outcome")
    nothing_left(before)


def test_two_users():
    """two runs at once, in stores of their own: both are good, neither sees the other"""
    before, stores = leftovers(), [store(), store()]
    running = [Running(BOP, "run", example("quorum"), "--runs", 3, "--store", at) for at in stores]
    for one, at in zip(running, stores):
        result = one.end()
        equal(result.status, 0, str(result))
        equal(len(bop("runs", "--json", "--store", at).json()["runs"]), 3, "runs kept")
        equal(show("last", at)["lost"], 0, "lost")
    nothing_left(before)


def test_one_store():
    """two runs at once into one store: both are good and all are kept"""
    before, at = leftovers(), store()
    running = [Running(BOP, "run", example(name), "--runs", 3, "--store", at) for name in ("quorum", "primary-backup")]
    for one in running:
        result = one.end()
        equal(result.status, 0, str(result))
    kept = bop("runs", "--json", "--store", at).json()["runs"]
    equal(sorted(r["experiment"] for r in kept), ["primary-backup"] * 3 + ["quorum"] * 3, "runs kept")
    equal({r["outcome"] for r in kept}, {"good"}, "outcomes")
    nothing_left(before)


sys.exit(run_tests(test_interrupt_once, test_interrupt_twice, test_terminate, test_ignores_sigterm, test_daemons,
                   test_fills_stdout, test_never_ready, test_dies_at_once, test_timeout, test_two_users,
                   test_one_store))
