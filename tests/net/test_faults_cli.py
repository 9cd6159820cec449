#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on the command line and at a server: checked whole before anything starts, with the place of what is wrong."""
import os
import sys

from harness import (BOP, Running, bop, command, equal, example, experiment, leftovers, nothing_left, one_line, run_tests,
                     scratch, show, store, true, wait_for)
from serving import Namespaces, Server

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
    fifo = os.path.join(scratch(), "fifo")
    os.mkfifo(fifo)
    refused(["run", path, "--plan", fifo], "there is no fault in it")
    one, other = experiment("isolate s1\n", "plan.txt"), experiment("isolate s4\n", "plan.txt")
    refused(["run", path, "--plan", one, "--plan", other], f"{other}:1:9: ")
    refused(["run", path, "--plan", other, "--plan", one], f"{other}:1:9: ")
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


def test_unable():
    """an agent that was started without faults says so, and runs what has none"""
    path = example("quorum")
    with Server() as server:
        server.agent(argv=("--no-faults",))
        result = server.run(path, "--fault", "isolate s1", status=3)
        true("this agent was started with --no-faults" in result.err, f"{result}")
        server.run(path)


LIVE = """experiment: live
boxes: [a, b]
processes:
  - {{name: s, box: a, run: [python3, {folder}/server.py], ready: {{listen: 7000}}}}
workload: {{name: w, box: b, run: [python3, {folder}/client.py, {folder}]}}
check: {{run: ['true']}}
timeout: 120s
"""
ECHO = """import socket
s = socket.create_server(("", 7000))
while True:
    c = s.accept()[0]
    c.sendall(c.recv(1) or b"-")
    c.close()
"""
# one short connection after the other, until there is a file `stop`; each says how it went
ASK = """import os, socket, sys
folder = sys.argv[1]
while not os.path.exists(folder + "/stop"):
    try:
        with socket.create_connection((os.environ["BOP_ADDR_A"], 7000), 0.2) as c:
            c.sendall(b"?")
            answer = "ok" if c.recv(1) else "no"
    except OSError:
        answer = "no"
    with open(folder + "/answers", "a") as f:
        f.write(answer + chr(10))
"""


def answers(folder):
    path = os.path.join(folder, "answers")
    if not os.path.exists(path):
        return []
    with open(path, encoding="ascii") as f:
        return f.read().split()


def wait_for_answer(folder, word, run):
    """The next ones are that word."""
    n = len(answers(folder))

    def come():
        true(run.process.poll() is None, f"the run is over: {run.process.poll() is not None and run.result()}")
        return answers(folder)[n + 1:][-2:] == [word, word]
    wait_for(f"answers '{word}'", come)


def live():
    """The experiment, and the folder in which it says how it goes."""
    folder = scratch(0o777)
    for name, text in (("server.py", ECHO), ("client.py", ASK)):
        with open(os.path.join(folder, name), "w", encoding="ascii") as f:
            f.write(text)
    return experiment(LIVE.format(folder=folder)), folder


def stop(folder, run):
    with open(os.path.join(folder, "stop"), "w", encoding="ascii"):
        pass
    result = run.end()
    equal(result.status, 0, str(result))


def test_live():
    """a fault that is injected into a run that goes on acts at once, is listed, and ends when it is lifted"""
    path, folder = live()
    with Server() as server:
        def ask(*argv, **kwargs):
            return bop(*argv, "--server", server.api, **kwargs)

        server.agent()
        run = Running(BOP, "run", path, f"--server={server.api}", "--dry-run", "-f", "isolate a from exit w")
        wait_for_answer(folder, "ok", run)
        one_line(ask("inject", "isolate c", status=None), "LINE:1:9: the experiment has no box 'c'; did you mean 'a'?")
        equal(ask("inject", "isolate b").out, "run 1: fault 2 is armed: isolate b lease 30s\n", "bop inject")
        wait_for_answer(folder, "no", run)
        rows = ask("faults", "--json").json()
        equal([(r["id"], r["state"], r["injected"], r["dry_run"]) for r in rows],
              [(1, "armed", False, True), (2, "fired", True, False)], "faults")
        equal(ask("lift", "2").out, "run 1: fault 2 is lifted\n", "bop lift")
        wait_for_answer(folder, "ok", run)
        wait_for("the receipt", lambda: ask("faults", "--json").json()[1]["state"] == "lifted")
        row = ask("faults", "--json").json()[1]
        true(row["packets"] > 0, f"it hit nothing: {row}")
        true("isolate b lease 30s  (injected)" in ask("faults").out, ask("faults").out)
        one_line(ask("lift", "3", status=None), "run 1 has no fault 3")
        one_line(ask("inject", "crash w", "isolate a", "--run", "9", status=None), "run 9 does not go on here")
        stop(folder, run)
        equal(show(1, server.store)["plan"]["lines"], ["isolate a from exit w"], "the plan that is kept")


def test_two_agents():
    """a partition between boxes of two agents is armed by both, or by none; what only one of them could do is refused"""
    path, folder = live()
    with Namespaces("a", "b") as spaces, Server() as server:
        def ask(*argv, **kwargs):
            return bop(*argv, "--server", server.api, **kwargs)

        for name in ("a", "b"):
            server.agent(f"{name}={spaces.names[name]}")
        run = Running(BOP, "run", path, f"--server={server.api}")
        wait_for_answer(folder, "ok", run)
        one_line(ask("inject", "isolate a from exit w", status=None), "LINE:1:16: that moment is seen by the agent of box b")
        one_line(ask("inject", "isolate a", "fail fsync EIO s", status=None), "fault 2 (fail fsync EIO s): s runs already")
        equal([row["state"] for row in ask("faults", "--json").json()], ["refused", "refused"], "faults")
        wait_for_answer(folder, "ok", run)
        ask("inject", "partition a | b")
        wait_for_answer(folder, "no", run)
        ask("lift", "all")
        wait_for_answer(folder, "ok", run)
        stop(folder, run)
        faults = show(1, server.store)["faults"]
        equal([f["fault"] for f in faults], ["partition a | b lease 30s"], "faults of the run")


def test_usage():
    """inject, lift and faults refuse what makes no sense before they look for a server"""
    for argv, words in ([["inject"], ["which fault?"]], [["inject", "cut client"], ["LINE:1:5: 'client' is cut off"]],
                        [["inject", "# x"], ["there is no fault in it"]], [["lift"], ["ID is missing"]],
                        [["lift", "x"], ["'x' is no number of a fault"]], [["lift", "0"], ["'0' is no number of a fault"]],
                        [["lift", "4294967296"], ["no number of a fault"]], [["faults", "--run", "x"], ["--run x: give the number"]],
                        [["inject", "--dry-run", "isolate s", "--server", "ipc:///nowhere/api"], ["/nowhere/api"]],
                        [["inject", "--racy", "isolate s", "--server", "ipc:///nowhere/api"], ["/nowhere/api"]],
                        [["faults", "--server", "ipc:///nowhere/api"], ["/nowhere/api"]]):
        one_line(command(BOP, *argv, status=None), *words)


sys.exit(run_tests(*[refuses_line(*row) for row in BAD], test_twice, test_many, test_options, test_last_run, test_seed,
                   test_server, test_unable, test_live, test_two_agents, test_usage))
