#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What controllers do with runs of others, and with runs of before: wait, cancel, replay, minimize."""
import os
import sys

from controller import (BUSY, CANCEL, ERROR, FAILED, INJECT, INJECTED, INVALID, LIFT, MINIMIZE, MINIMIZED, NOT_FOUND, PROGRESS, REPLAY, RUN, RUN_END, WAIT_RUN,
                        Controller, number, numbers, run_of, text)
from harness import (BOP, Running, bop, equal, example, experiment, leftovers, nothing_left, one_line, run_tests, scratch, show,
                     store, true, wait_for)
from serving import Embedded, gated, go

BEFORE = leftovers()
SERVER = Embedded()
HARMLESS = ["hold writer>p:7000#1/1 for 10ms", "hold primary>b:7001#1/1 for 10ms"]
NEEDED = "reset primary>b:7001#1/3"


def controller():
    return Controller(f"{SERVER.folder}/api")


def at_server(*argv, **kwargs):
    return bop(*argv, f"--server={SERVER.api}", **kwargs)


def last_run():
    return bop("runs", "--store", SERVER.store, "--json").json()["runs"][-1]["run"]


def idle():
    wait_for("the agent", lambda: {agent["state"] for agent in SERVER.boxes()["agents"]} == {"idle"})


def plan(run):
    return show(run, SERVER.store)["plan"]


def doomed():
    """An experiment that waits in its workload and is violated."""
    path, up, gate = gated()
    with open(path, encoding="ascii") as f:
        return experiment(f.read() + "check: {run: ['false']}\n"), up, gate


def begun(up):
    wait_for("the workload", lambda: os.path.exists(up))
    os.unlink(up)


def test_replay():
    """a replay has the file, faults and seed of the run that it repeats, also when the file is gone; it is another run"""
    path = example("primary-backup")
    SERVER.run(path, "--fault", HARMLESS[0], "--fault", "loss 20% p", "--seed", "77", status=None)
    first = last_run()
    os.rename(path, path + ".gone")
    result = at_server("replay", first, "--json", status=None).json()
    equal(result["run"], first + 1, "number of the replay")
    equal(plan(first + 1), plan(first), "plan")
    equal(plan(first)["seed"], 77, "seed")
    os.rename(path + ".gone", path)
    SERVER.run(path, "--fault", NEEDED, status=1)
    results = at_server("replay", "last", "--runs", "3", "--json", status=1).jsons()
    equal([r["outcome"] for r in results], ["violated"] * 3, "outcomes")
    equal([plan(r["run"])["lines"] for r in results], [[NEEDED]] * 3, "plans")
    one_line(at_server("replay", 9999, status=None), "9999")
    one_line(at_server("replay", "first", status=None), "'first' is no run")


def test_minimize():
    """of three faults one is needed: it is found, the run that shows it is named, and none that is left can be left out"""
    SERVER.run(example("primary-backup"), "--fault", HARMLESS[0], "--fault", NEEDED, "--fault", HARMLESS[1], status=1)
    first = last_run()
    found = at_server("minimize", first, "--json").json()
    equal(found["plan"], [NEEDED], "plan")
    equal(found["runs"], list(range(first + 1, last_run() + 1)), "runs")
    runs = {run: show(run, SERVER.store) for run in found["runs"]}
    equal((plan(found["run"])["lines"], runs[found["run"]]["outcome"]), ([NEEDED], "violated"), "the run that shows it")
    without = [run for run in runs.values() if not run["plan"]]
    true(without and without[0]["outcome"] == "good", "it was not run without its last fault")
    true(len(runs) <= 6, f"{len(runs)} runs")
    shown = at_server("minimize", found["run"]).out
    equal(shown.splitlines()[1:], [NEEDED], "as a plan")
    file = experiment(shown, "plan.txt")
    SERVER.run(example("primary-backup"), "--plan", file, status=1)


def test_minimize_none():
    """a run that is violated without any fault needs none; a random fault keeps its seed when those before it go"""
    path = experiment("experiment: bad\nboxes: [a, b]\nworkload: {name: w, box: a, run: ['true']}\ncheck: {run: ['false']}\n")
    SERVER.run(path, "--fault", "isolate a", "--fault", "loss 50% b", "--seed", "5", status=1)
    first = last_run()
    equal(at_server("minimize", first, "--json").json()["plan"], [], "plan")
    lines = [line for run in range(first + 1, last_run() + 1) for line in (plan(run) or {"lines": []})["lines"]]
    true(lines and all("seed" in line for line in lines if "loss" in line), f"lines: {lines}")


def test_minimize_refused():
    """what is not violated, was only decided and not done, or is not there, cannot be minimized: one line says why"""
    SERVER.run(example("primary-backup"))
    one_line(at_server("minimize", "last", status=None), "is good")
    path = experiment("experiment: bad\nboxes: [a]\nworkload: {name: w, box: a, run: ['true']}\ncheck: {run: ['false']}\n")
    SERVER.run(path, "--fault", "isolate a", "--dry-run", status=1)
    one_line(at_server("minimize", "last", status=None), "dry run")
    one_line(at_server("minimize", 9999, status=None), "9999")
    with controller() as asker:
        for ident, (what, body, kind) in enumerate([(MINIMIZE, number(1, 9999), NOT_FOUND), (REPLAY, number(1, 9999), NOT_FOUND),
                                                    (WAIT_RUN, number(1, 9999), NOT_FOUND), (MINIMIZE, b"", INVALID)], 1):
            asker.ask(ident, what, body)
            found, answer = asker.last(ident)
            equal((found, answer.get(1, 0)), (ERROR, kind), f"request {what}")


def test_minimize_ended():
    """a minimization that is cancelled, or whose controller goes, ends its run; the agent is free for others at once"""
    path, up, gate = doomed()
    with controller() as asker:
        asker.ask(1, RUN, run_of(path, "isolate a"))
        begun(up)
        go(gate)
        kind, end = asker.last(1)
        equal((kind, end[3]), (RUN_END, b"violated"), "the run")
        first = end[1]
        asker.ask(2, MINIMIZE, number(1, first))
        begun(up)
        equal(asker.answer()[:2], (2, PROGRESS), "how it goes")
        asker.ask(3, CANCEL, number(1, 2))
        kind, error = asker.last(2)
        equal((kind, error.get(1, 0)), (ERROR, FAILED), "the end of a cancelled one")
        idle()
        equal(show("last", SERVER.store)["outcome"], "interrupted", "its run")
        asker.ask(4, MINIMIZE, number(1, first))
        begun(up)
    idle()
    equal(show("last", SERVER.store)["outcome"], "interrupted", "the run of who left")
    SERVER.run(example("client-server"))


def test_minimize_waits():
    """while others have the agents a minimization waits for them, and goes on then"""
    path, up, gate = doomed()
    bad = experiment("experiment: bad\nboxes: [a]\nworkload: {name: w, box: a, run: ['true']}\ncheck: {run: ['false']}\n")
    SERVER.run(bad, "--fault", "isolate a", status=1)
    first = last_run()
    with controller() as other, controller() as asker:
        other.ask(1, RUN, run_of(path))
        begun(up)
        asker.ask(1, MINIMIZE, number(1, first))
        asker.ask(2, MINIMIZE, number(1, 9999))  # it has taken the first one when it answers this
        equal(asker.last(2)[0], ERROR, "the second")
        go(gate)
        equal(other.last(1)[0], RUN_END, "the run of the other")
        kind, found = asker.last(1)
        equal((kind, numbers(found[3])), (MINIMIZED, [first + 2]), "its run")


def test_pause():
    """a process of a run that goes on is paused by a fault, and goes on when that is lifted, long before its time is over"""
    folder = scratch(0o777)
    pid_file, gate = os.path.join(folder, "pid"), os.path.join(folder, "gate")
    os.mkfifo(gate)
    path = experiment("experiment: paused\nboxes: [a]\nworkload: {name: w, box: a, "
                      f"run: [sh, -c, 'echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}; read x <{gate}']}}\ntimeout: 1m\n")

    def state():
        with open(pid_file, encoding="ascii") as f:
            pid = int(f.read())
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(") ", 1)[1][0]

    with controller() as asker:
        asker.ask(1, RUN, run_of(path))
        wait_for("the workload", lambda: os.path.exists(pid_file))
        asker.ask(2, INJECT, text(2, text(1, "pause w for 10m")))
        equal(asker.last(2)[0], INJECTED, "the pause")
        wait_for("the workload to be stopped", lambda: state() == "T")
        asker.ask(3, LIFT, number(2, 1))
        equal(asker.last(3)[0], INJECTED, "the end of the pause")
        wait_for("the workload to go on", lambda: state() != "T")
        go(gate)
        kind, end = asker.last(1)
        equal((kind, end[3]), (RUN_END, b"good"), "the run's end")
        equal([fault["state"] for fault in show(end[1], SERVER.store)["faults"]], ["lifted"], "the fault")


def test_wait():
    """any number of controllers wait for a run that another one asked for, or that has ended; all hear the same"""
    path, up, gate = gated()
    with controller() as asker, controller() as one, controller() as two:
        asker.ask(1, RUN, run_of(path))
        begun(up)
        run = last_run()
        one.ask(7, WAIT_RUN, number(1, run))
        one.ask(8, WAIT_RUN)  # the last one
        two.ask(7, WAIT_RUN, number(1, run))
        two.ask(9, WAIT_RUN, number(1, run))
        two.ask(10, CANCEL, number(1, 9))
        kind, error = two.last(9)
        equal((kind, error.get(1, 0)), (ERROR, FAILED), "a wait that was cancelled")
        equal(one.answer()[1], PROGRESS, "how it goes")
        go(gate)
        kind, end = asker.last(1)
        equal((kind, end[1], end[3]), (RUN_END, run, b"good"), "the run's end")
        equal(one.last(7), (RUN_END, end), "what one hears")
        one.ask(9, WAIT_RUN, number(1, run))
        kind, again = one.last(9)
        equal((kind, {k: again.get(k) for k in (1, 2, 3, 8, 9, 20, 23)}),
              (RUN_END, {k: end.get(k) for k in (1, 2, 3, 8, 9, 20, 23)}), "what is heard later")
        equal(two.last(7), (RUN_END, end), "what two hears")


def test_wait_others_leave():
    """who waits and leaves harms nobody; who asked for the run and leaves ends it, and those who wait hear that"""
    path, up, _ = gated()
    with controller() as waits:
        with controller() as asker:
            asker.ask(1, RUN, run_of(path))
            begun(up)
            waits.ask(1, WAIT_RUN, number(1, last_run()))
            with controller() as leaves:
                leaves.ask(1, WAIT_RUN, number(1, last_run()))
                equal(leaves.answer()[1], PROGRESS, "how it goes")
        kind, end = waits.last(1)
        equal((kind, end[3]), (RUN_END, b"interrupted"), "the run's end")
    idle()


def test_cancel_number():
    """a run is cancelled by its number by a controller that did not ask for it; a number that does not go on is refused"""
    path, up, _ = gated()
    with controller() as asker, controller() as other:
        asker.ask(1, RUN, run_of(path))
        begun(up)
        other.ask(1, CANCEL, number(3, last_run() + 1))
        kind, error = other.last(1)
        equal((kind, error.get(1, 0)), (ERROR, NOT_FOUND), "one that is not there")
        other.ask(2, MINIMIZE, number(1, last_run()))
        kind, error = other.last(2)
        equal((kind, error.get(1, 0)), (ERROR, BUSY), "minimizing what goes on")
        other.ask(3, CANCEL, number(3, last_run()))
        kind, end = asker.last(1)
        equal((kind, end[3]), (RUN_END, b"interrupted"), "the run's end")


def test_alone():
    """replay and minimize work without a server: they start one of their own, and leave nothing of it"""
    before, at = leftovers(), store()
    bop("run", example("primary-backup"), "--store", at, "--fault", HARMLESS[0], "--fault", NEEDED, status=1)
    equal(bop("minimize", 1, "--store", at).out.splitlines()[1:], [NEEDED], "plan")
    equal(bop("replay", 1, "--store", at, "--json", status=1).json()["outcome"], "violated", "outcome")
    nothing_left(before)
    one_line(bop("replay", 1, "--store", os.path.join(scratch(), "none.db"), status=None), "there is no store")
    one_line(bop("minimize", 1, "--store", at, "--server", status=None), "--server")


def test_interrupted():
    """Ctrl-C ends a replay in order: status 130, the run is kept as interrupted, and the server goes with it"""
    path, up, gate = gated()
    at = store()
    first = Running(BOP, "run", path, "--store", at)
    wait_for("the workload", lambda: os.path.exists(up) or first.process.poll() is not None)
    os.unlink(up)
    go(gate)
    equal(first.end().status, 0, "exit status of the first")
    running = Running(BOP, "replay", "last", "--store", at)
    wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
    running.signal(2)
    equal(running.end().status, 130, "exit status")
    equal(show("last", at)["outcome"], "interrupted", "outcome")


with SERVER:
    STATUS = run_tests(test_replay, test_minimize, test_minimize_none, test_minimize_refused, test_minimize_ended,
                       test_minimize_waits, test_pause, test_wait, test_wait_others_leave, test_cancel_number, test_alone, test_interrupted)
nothing_left(BEFORE)
sys.exit(STATUS)
