#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on the command line and at a server: checked whole before anything starts, with the place of what is wrong."""
import os
import sys

from harness import (BOP, bop, command, equal, example, experiment, leftovers, nothing_left, one_line, run_tests, scratch,
                     show, store, true)
from serving import Server

# a line, the column of what is wrong, and words of the complaint
BAD = [
    ("a fault that there is none of", "cutt client>s1:7000#1/1", 1, ["'cutt' is no fault; did you mean 'cut'?"]),
    ("a label that a shell cut off at >", "cut client", 5, ["'client' is cut off or no label", "quote the whole line"]),
    ("a label that a shell cut off before >", "cut", 4, ["the message is missing", "quote the whole line"]),
    ("a label that ends at its port", "cut client>s1:7000", 19, ["which connect of client?"]),
    ("a connection where a message must be", "cut client>s1:7000#1", 21, ["its first message is client>s1:7000#1/1"]),
    ("a partition that a shell cut off", "partition s1", 13, ["the second group is missing", "it takes | away"]),
    ("a lease of nothing", "isolate s1 lease 0s", 18, ["'0s' is no time at all"]),
    ("a lease of a year", "isolate s1 lease 8760h", 18, ["'8760h' is a year or more"]),
    ("a loss of more than all", "loss 101% s1", 6, ["'101%' is out of range"]),
    ("groups that overlap", "partition s1,s2 | s3,s1", 22, ["box 's1' is in both groups"]),
    ("a box twice in one group", "isolate s1,s2,s1", 15, ["box 's1' is named twice"]),
    ("a process that there is none of", "cut clinet>s1:7000#1/1", 5, ["no process 'clinet'; did you mean 'client'?"]),
    ("a box that there is none of", "isolate s4", 9, ["no box 's4'; did you mean 's1'?"]),
    ("the check", "crash check", 7, ["the check belongs to the harness"]),
    ("a moment of somebody else", "crash s1 at send client>s1:7000#1/1", 13, ["that moment is client's"]),
    ("a moment in another box", "pause s1 at recv client>s2:7000#1/1 for 1s", 13, ["that moment is in box s2"]),
    ("a restart of what nothing ends", "restart s1 after 1s", 9, ["nothing in the plan ends s1"]),
    ("a comment behind a fault", "isolate s1 # why", 12, ["a comment stands on a line of its own"]),
]


def refused(argv, *words):
    """One line, status 3, nothing left, no store made."""
    before, at = leftovers(), os.path.join(scratch(), "runs.db")
    result = bop(*argv, "--store", at, status=None)
    one_line(result, *words)
    true(not result.out and not os.path.exists(at), f"it began: {result}")
    nothing_left(before)


def refuses_line(name, line, column, words):
    def test():
        path = example("quorum")
        refused(["run", path, "--fault", line], f"--fault:1:{column}: ", *words)
        plan = experiment(f"# a plan\n\nisolate s3\r\n{line}\n", "plan.txt")
        refused(["run", path, "-p", plan], f"{plan}:4:{column}: ", *words)
    test.__doc__ = f"{name} is refused at its place"
    return test


def test_twice():
    """the same fault twice is refused, also when it is spelled in another way"""
    refused(["run", example("quorum"), "-f", "isolate s1 for 1s", "-f", "isolate  s1 for 1000ms"], "--fault:2:1: ", "--fault:1")


def test_many():
    """a plan of 100,000 faults is refused in one line, and so is a file that is none"""
    path = example("quorum")
    plan = experiment("".join(f"cut client>s1:7000#1/{i}\n" for i in range(1, 100001)), "plan.txt")
    refused(["run", path, "--plan", plan], f"{plan}:10001: more than 10000 faults in one plan")
    refused(["run", path, "--plan", "/dev/zero"], "/dev/zero: larger than 4 MiB")
    refused(["run", path, "--plan", scratch()], "cannot read the plan: Is a directory")
    refused(["run", path, "--plan", "none.txt"], "none.txt: cannot open the plan: No such file")
    refused(["run", path, "--plan", experiment("# nothing\n", "plan.txt")], "there is no fault in it")
    refused(["run", path, "--plan", experiment(b"\x7fELF\x00\xff", "plan.txt")], ":1:1: byte 0x7f: a plan is plain text")


def test_options():
    """options about faults without any, and seeds that are none, are refused"""
    path = example("quorum")
    refused(["run", path, "--dry-run"], "--dry-run is about faults")
    refused(["run", path, "--racy"], "--racy is about faults")
    for seed in ("0", "-1", "x", "9007199254740992"):
        refused(["run", path, "--seed", seed], f"--seed {seed}: give a whole number from 1 to 9007199254740991")


def test_last_run():
    """labels are looked up in the last run: what it did not have is refused and what is near is named, --racy takes it"""
    path, at = example("quorum"), store()
    bop("run", path, "--store", at)
    seen = {c["label"] for c in show(1, at)["connections"]}
    true("client>s1:7000#1" in seen, f"connections of the run: {seen}")
    for label in ("client>s1:7001#1", "client>s1:7000#2"):
        line = f"cut {label}/1"
        result = bop("run", path, "--store", at, "--fault", line, status=None)
        one_line(result, f"--fault:1:5: {label} did not come about in run 1", "did you mean client>s1:7000#1?")
    equal(len(bop("runs", "--store", at, "--json").json()["runs"]), 1, "runs that are kept")


def test_seed():
    """the seed is kept with the run"""
    path, at = example("quorum"), store()
    bop("run", path, "--store", at, "--seed", "42")
    bop("run", path, "--store", at)
    equal(show(1, at)["plan"], {"lines": [], "seed": 42, "dry_run": False, "racy": False}, "plan")
    equal(show(2, at)["plan"], None, "plan of a run without")
    true("seed      42\n" in bop("show", "1", "--store", at).out, "bop show does not say the seed")


def test_server():
    """a server checks plans as well, and says so where the line stands; without runs there is nothing to inject into"""
    path = example("quorum")
    with Server() as server:
        server.agent()
        plan = experiment("isolate s1\nisolate s9\n", "plan.txt")
        result = server.run(path, "--plan", plan, status=None)
        one_line(result, f"{plan}:2:9: the experiment has no box 's9'")
        for argv in (["inject", "isolate s1"], ["lift", "1"]):
            one_line(bop(*argv, "--server", server.api, status=None), "no run goes on here")
        one_line(bop("inject", "isolate s1", "--run", "7", "--server", server.api, status=None), "run 7 does not go on here")
        one_line(bop("faults", "--run", "7", "--server", server.api, status=None), "run 7 does not go on here")
        equal(bop("faults", "--server", server.api).out, "no run that goes on has faults\n", "bop faults")
        equal(bop("faults", "--server", server.api, "--json").json(), [], "bop faults --json")
        equal(bop("runs", "--store", server.store, "--json").json()["runs"], [], "runs that are kept")


def test_usage():
    """inject, lift and faults refuse what makes no sense before they look for a server"""
    for argv, words in ([["inject"], ["which fault?"]], [["inject", "cut client"], ["LINE:1:5: 'client' is cut off"]],
                        [["inject", "# x"], ["there is no fault in it"]], [["lift"], ["ID is missing"]],
                        [["lift", "x"], ["'x' is no number of a fault"]], [["lift", "0"], ["'0' is no number of a fault"]],
                        [["lift", "4294967296"], ["no number of a fault"]], [["faults", "--run", "x"], ["--run x: give the number"]],
                        [["faults", "--server", "ipc:///nowhere/api"], ["/nowhere/api"]]):
        one_line(command(BOP, *argv, status=None), *words)


sys.exit(run_tests(*[refuses_line(*row) for row in BAD], test_twice, test_many, test_options, test_last_run, test_seed,
                   test_server, test_usage))
