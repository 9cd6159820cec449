#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""bop ldfi: finds what the LDFI paper found, in as few runs, and nothing else; what it prints is so; leaves nothing.

With BOP_TEST_SOAK each plan that it prints is run twenty times, and without each of its faults; and what the paper certified is
certified within the paper's bounds.
"""
import os
import re
import shlex
import signal
import sys

from harness import (BOP, SHORT, SOAK, Running, bop, children, equal, example, experiment, kill_quietly, leftovers,
                     nothing_left, one_line, run_tests, scratch, store, true, wait_for)
from serving import Server, gated, go

REPEATS = 20 if SOAK else 2
# losses until, crashes: the paper's bounds (figure 12); runs of the paper
FOUND = {"simple-deliv": (2, 0, 2), "retry-deliv": (2, 1, 3), "classic-deliv": (3, 0, 5), "2pc": (0, 1, 2), "2pc-ctp": (0, 1, 3),
         "3pc": (7, 1, 55)}
# the paper's bounds (figure 13) take a minute or two
CERTIFIED = {"redun-deliv": (10, 1), "ack-deliv": (7, 1)} if SOAK else {"redun-deliv": (2, 1), "ack-deliv": (2, 1)}


def budget(losses_until, crashes):
    return ["--losses-until", losses_until, "--crashes", crashes]


def ldfi(server, path, *argv, status=0, **kwargs):
    """(objects of the runs, of the violations, the last one)."""
    folder = scratch()
    result = bop("ldfi", path, f"--server={server.api}", "--json", *argv, status=status, timeout=3600, cwd=folder, **kwargs)
    rows = result.jsons()
    for row in rows:
        row["folder"] = folder
    return [r for r in rows if "learned" in r], [r for r in rows if "violation" in r], rows[-1]


def outcome(server, path, faults):
    argv = [word for fault in faults for word in ("--fault", fault)]
    return server.run(path, "--json", "--racy", *argv, status=None).json()["outcome"]


def check_plan(server, path, faults):
    """It violates again, and without any of its faults it does not."""
    for _ in range(REPEATS):
        equal(outcome(server, path, faults), "violated", f"{path} with {faults}")
    for left_out in faults if len(faults) > 1 else []:
        rest = [fault for fault in faults if fault != left_out]
        for _ in range(REPEATS if SOAK else 1):
            true(outcome(server, path, rest) != "violated", f"{path}: {left_out} is not needed in {faults}")


def test_found():
    """what the paper found is found, in no more runs, with plans that are violated again and need each of their faults"""
    with Server() as server:
        server.agent()
        for name, (losses_until, crashes, runs) in FOUND.items():
            path = example("ldfi", f"{name}.yaml")
            made, violations, end = ldfi(server, path, *budget(losses_until, crashes), "--confirm", 1, status=1)
            equal(end["result"], "violated", name)
            true(len(made) == end["runs"] <= runs, f"{name}: {end['runs']} runs, the paper has {runs}")
            equal((violations[0]["again"], violations[0]["tried"]), (1, 1), f"{name} again")
            check_plan(server, path, violations[0]["violation"])


def test_certified():
    """what the paper certified is certified, no plan is run twice, and every plan is within the budget"""
    with Server() as server:
        server.agent()
        for name, (losses_until, crashes) in CERTIFIED.items():
            made, violations, end = ldfi(server, example("ldfi", f"{name}.yaml"), *budget(losses_until, crashes))
            equal((end["result"], violations, end["not_covered"]), ("certified", [], []), name)
            plans = [tuple(sorted(run["plan"])) for run in made]
            equal(len(plans), len(set(plans)), "plans")
            equal(plans[0], (), "the first plan")
            for plan in plans:
                true(sum(line.startswith("crash ") for line in plan) <= crashes, f"crashes of {plan}")
            true(all(run["counts_as"] in ("good", "vacuous") for run in made), f"outcomes of {name}")


def test_written():
    """the picture and the plan of a violation are written, the command that is printed repeats it, and what is said is what JSON says"""
    folder, path, at = scratch(), example("ldfi", "classic-deliv.yaml"), store()
    result = bop("ldfi", path, "--store", at, *budget(3, 0), "--confirm", 2, "-o", "found.svg", status=1, cwd=folder)
    true("again    2 of 2 runs with this plan were violated" in result.out, result)
    with open(os.path.join(folder, "found.plan"), encoding="utf-8") as f:
        lines = [line for line in f.read().splitlines() if not line.startswith("#")]
    for line in lines:
        true(f"\n    {line}\n" in result.out, f"{line} is not in {result.out}")
    with open(os.path.join(folder, "found.svg"), encoding="utf-8") as f:
        picture = f.read()
    true(picture.startswith("<?xml") and "violated" in picture and picture.rstrip().endswith("</svg>"), "the picture")
    command = re.search(r"^  repeat   (.*)$", result.out, re.M)[1]
    argv = shlex.split(command)
    equal(argv[:2], ["bop", "run"], command)
    bop(*argv[1:], "--store", at, status=1, cwd=folder)
    with Server() as server:
        server.agent()
        made, violations, _ = ldfi(server, path, *budget(3, 0), "--confirm", 0, status=1)
        equal(violations[0]["violation"], lines, "the same seed, the same violation")
        said = re.findall(r"^run \d+ +(.*) -> (\w+)", result.out, re.M)
        equal(said, [("; ".join(run["plan"]) or "no fault", run["outcome"]) for run in made], "runs")
        equal(sorted(os.listdir(made[0]["folder"])), ["classic-deliv-ldfi.plan", "classic-deliv-ldfi.svg"], "files")


def test_seeds():
    """the same seed makes the same plans, by lineage and by chance; a random search ends with a violation or with its runs"""
    with Server() as server:
        server.agent()
        path = example("ldfi", "simple-deliv.yaml")

        def plans(*argv, **kwargs):
            made, _, end = ldfi(server, path, *budget(2, 0), "--strategy", "random", "--confirm", 0, *argv, **kwargs)
            return [run["plan"] for run in made], end

        for seed in (1, 2):
            first, end = plans("--seed", seed, status=1)
            equal((end["result"], end["strategy"], end["seed"]), ("violated", "random", seed), "the end")
            equal(plans("--seed", seed, status=1)[0], first, f"plans of seed {seed}")
        made, _, end = ldfi(server, example("ldfi", "redun-deliv.yaml"), *budget(2, 0), "--strategy", "random", "--runs", 4, status=2)
        equal((len(made), end["result"]), (4, "limit"), "a search that finds nothing")


def test_limits():
    """--runs ends it; --boxes, --processes and --losses keep plans to what they name; --all goes on after a violation"""
    with Server() as server:
        server.agent()
        path = example("ldfi", "redun-deliv.yaml")
        made, _, end = ldfi(server, path, *budget(4, 1), "--runs", 3, status=2)
        equal((len(made), end["result"]), (3, "limit"), "--runs")
        made, _, _ = ldfi(server, path, *budget(2, 1), "--processes", "b", "--runs", 4, status=None)
        true(all(re.search(r"crash b |cut b>|>b:", line) for run in made for line in run["plan"]), f"--processes: {made}")
        _, violations, end = ldfi(server, example("ldfi", "simple-deliv.yaml"), *budget(2, 0), "--all", "--no-symmetry", "--confirm", 0,
                                  status=1)
        equal(sorted(v["violation"] for v in violations), [["cut a>b:7000#1/1"], ["cut a>c:7000#1/1"]], "--all")
        equal(end["result"], "violated", "--all")
        _, violations, end = ldfi(server, example("ldfi", "simple-deliv.yaml"), *budget(2, 0), "--all", "--no-symmetry", "--confirm", 0,
                                  "--runs", 2, status=1)
        equal((len(violations), end["result"]), (1, "limit"), "--all --runs")
        made, violations, _ = ldfi(server, example("ldfi", "classic-deliv.yaml"), *budget(3, 0), "--losses", 1)
        true(not violations and max(len(run["plan"]) for run in made) == 1, "--losses 1")
        made, _, end = ldfi(server, example("quorum"), "--crashes", 1, "--losses", 0)
        equal(end["result"], "certified", "a quorum and one crash")
        # whether the third answer was read is a matter of time; what one server shows is known of all
        true(end["supports_mirrored"] and end["runs"] <= 1 + end["crashes"] / 3, f"a quorum's roles: {end}")


def test_hangs():
    """what ends in no time says nothing: the plan is run three times, is then not covered, and nothing is certified"""
    path = example("client-server")
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"(?m)^timeout:.*$", "timeout: 1s", f.read())
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    with Server() as server:
        server.agent()
        made, _, end = ldfi(server, path, *budget(2, 0), status=2)
        equal([run["counts_as"] for run in made], ["good"] + ["inconclusive"] * 3, "runs")
        equal([run["attempt"] for run in made], [1, 1, 2, 3], "attempts")
        equal((end["result"], end["not_covered"]), ("inconclusive", ["cut client>s:7000#1/1"]), "the end")


TINY = """experiment: tiny
boxes: [a]
processes: []
workload: {name: w, box: a, run: ['true']}
check: {run: [sh, -c, 'exit %d']}
timeout: 10s
"""


def test_not_good():
    """an outcome that is not good without faults is said, with the exit status of bop run, and nothing else is run"""
    with Server() as server:
        server.agent()
        for code, outcome_ in ((1, "violated"), (2, "vacuous")):
            made, violations, end = ldfi(server, experiment(TINY % code), status=code)
            equal(([run["outcome"] for run in made], violations, end["result"]), ([outcome_], [], "not-good"), f"exit {code}")
        result = bop("ldfi", experiment(TINY % 1), f"--server={server.api}", status=1)
        true("not good without faults" in result.out, result)
        made, _, end = ldfi(server, experiment(TINY % 0))
        equal((len(made), end["result"]), (1, "certified"), "nothing to hit")
        # a check that names a goal that did not happen
        text = TINY.replace("exit %d", r'echo goal g: recv a\>b:1#1/1')
        result = bop("ldfi", experiment(text), f"--server={server.api}", status=3)
        true("recv a>b:1#1/1" in result.err and len(result.err.splitlines()) == 1, result)


def test_bad_input():
    """each option's nonsense, and a bad file, is one clear line, before anything is started"""
    path, at = example("ldfi", "simple-deliv.yaml"), store()
    for argv, words in [
            (["--losses-until", "x"], ["--losses-until x", "whole number"]), (["--losses", "-1"], ["--losses -1"]),
            (["--crashes", "1.5"], ["--crashes 1.5"]), (["--crashes", ""], ["--crashes"]), (["--runs", "0"], ["--runs 0"]),
            (["--seed", "0"], ["--seed 0"]), (["--confirm", "many"], ["--confirm many"]),
            (["--strategy", "luck"], ["--strategy luck", "ldfi or random"]), (["-o", "x.gif"], ["x.gif", ".svg"]),
            (["-o", "x"], ["-o x"]), (["--losses", "0", "--crashes", "0"], ["no fault in it"]), (["--frob"], ["--frob"]),
            (["--server", "--store", "x"], ["--store is the server's"]), (["--server=ipc:///nonexistent/api"], ["/nonexistent/api"])]:
        one_line(bop("ldfi", path, *argv, status=None), *words)
    one_line(bop("ldfi", status=None), "FILE is missing")
    one_line(bop("ldfi", "/nonexistent.yaml", "--store", at, status=None), "/nonexistent.yaml")
    one_line(bop("ldfi", experiment("boxes: 7\n"), "--store", at, status=None), "experiment.yaml")
    true(not os.path.exists(at), "a store was made")
    with Server() as server:
        server.agent()
        for option, name, word in (("--boxes", "bb", "did you mean 'b'?"), ("--processes", "a,x", "--processes x")):
            one_line(bop("ldfi", path, f"--server={server.api}", option, name, status=None), word)
        judged = experiment("experiment: x\nboxes: [a, b]\nworkload: {name: w, box: a, run: ['true']}\ncheck: {box: b, run: ['true']}\n")
        one_line(bop("ldfi", judged, f"--server={server.api}", "--boxes", "b", status=None), "--boxes b: nobody")
        equal(server.boxes()["agents"][0]["state"], "idle", "the agent")


def many_runs(at):
    """bop ldfi with a server of its own that has made some runs of many."""
    running = Running(BOP, "ldfi", example("ldfi", "redun-deliv.yaml"), "--store", at, *budget(10, 1))
    wait_for("some runs", lambda: running.process.poll() is not None or running.result().out.count("\nrun ") > 4)
    true(running.process.poll() is None, running.result())
    return running


def test_interrupted():
    """Ctrl-C ends the run in order, and all of it with 130; the runs until then are kept; nothing is left"""
    before, at = leftovers(), store()
    running = many_runs(at)
    running.signal(signal.SIGINT)
    result = running.end()
    equal(result.status, 130, f"{result}")
    runs = bop("runs", "--store", at, "--json").json()["runs"]
    true(len(runs) >= 5 and all(run["outcome"] != "error" for run in runs), f"runs: {runs}")
    nothing_left(before)


def test_waits():
    """agents that are in a run of somebody else are waited for"""
    with Server() as server:
        server.agent()
        path, up, gate = gated()
        other = Running(BOP, "run", path, f"--server={server.api}")
        wait_for("the run of somebody else", lambda: os.path.exists(up))
        mine = Running(BOP, "ldfi", example("ldfi", "simple-deliv.yaml"), f"--server={server.api}", *budget(2, 0), cwd=scratch())
        wait_for("bop ldfi to wait", lambda: "bop: waiting: " in mine.result().err)
        go(gate)
        equal(other.end().status, 0, "the run of somebody else")
        equal(mine.end().status, 1, "bop ldfi")


def test_killed():
    """SIGKILL in the middle leaves no process, box, folder or rule, and the store as good as it was"""
    before, at = leftovers(), store()
    running = many_runs(at)
    true(children(running.pid), "it has a server of its own")
    kill_quietly(running.pid)
    running.end()
    nothing_left(before, timeout=30)
    true(len(bop("runs", "--store", at, "--json").json()["runs"]) >= 5, "the runs are there")


if __name__ == "__main__":
    tests = [test_found, test_written] if SHORT else [
        test_found, test_certified, test_written, test_seeds, test_limits, test_hangs, test_not_good, test_bad_input, test_interrupted,
        test_waits, test_killed]
    sys.exit(run_tests(*tests))
