#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs from one store to another as one file: the same run wherever it is, whole or not at all, and nothing of a stranger's file is trusted."""
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

from harness import BOP, OUT, SHORT, bop, command, equal, example, experiment, one_line, run_tests, scratch, show, store, true

STORE = store()
CUT = "cut client>s1:7000#1/1"
PAIR = f"""experiment: pair
boxes: [s1, c]
processes:
  - {{name: s1, box: s1, run: [{OUT}/examples/quorum/quorum-server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: client, box: c, run: [{OUT}/examples/quorum/quorum-client, client, "7000", "2", s1]}}
timeout: 10s
"""
SHARED = {}


def runs():
    """1: a client and a server; 2: the same again, a repeat; 3: a quorum with a cut."""
    if "runs" not in SHARED:
        path = experiment(PAIR)
        bop("run", path, "--runs", "2", "--keep", "new", "--store", STORE)
        bop("run", example("quorum"), "--fault", CUT, "--store", STORE, status=None)
        SHARED["runs"] = bop("runs", "--json", "--store", STORE).json()["runs"]
        equal([row["kept"] for row in SHARED["runs"]], [1, 1, 3], "what is kept whole")
    return SHARED["runs"]


def exported(*numbers):
    runs()
    path = os.path.join(scratch(), "some.bop")
    bop("export", *numbers, "-o", path, "--store", STORE)
    equal(os.listdir(os.path.dirname(path)), ["some.bop"], "one file")
    return path


def seen(run, at, ignore=("run", "class", "kept", "new_class", "events_of", "repeat_of", "warnings")):
    """All that bop says of a run, but for its number and what it is compared with."""
    whole = show(run, at)
    return {key: value for key, value in whole.items() if key not in ignore}


def rows(at):
    return bop("runs", "--json", "--store", at).json()["runs"]


def test_file():
    """a file has the runs that were named and no others, and is a store that every command reads"""
    path = exported(3, 1)
    equal([(row["run"], row["experiment"]) for row in rows(path)], [(1, "quorum"), (2, "pair")])
    equal((seen(1, path), seen(2, path)), (seen(3, STORE), seen(1, STORE)))
    for run, there in ((1, 3), (2, 1)):
        equal(bop("graph", run, "--store", path).out.replace(f"run {run}", f"run {there}"), bop("graph", there, "--store", STORE).out)
    equal(bop("show", "last", "--store", path).out.splitlines()[0].split()[:3], ["run", "2", "pair"])


def test_default_name():
    """without -o the file is named after the run"""
    runs()
    folder = scratch()
    done = bop("export", "last", "--store", STORE, cwd=folder)
    equal((os.listdir(folder), done.out), (["run-3.bop"], "run 3: in run-3.bop as run 1\n"))


def test_repeat():
    """a repeat comes with the events that stand for its own, at its own time, and says whose they are"""
    path = exported(2)
    row, = rows(path)
    equal(row["kept"], 1, "they are its own there")
    equal(seen(1, path), seen(2, STORE))
    equal(show(1, path)["warnings"], "its events are those of run 1 there, which it did the same as")
    equal([v["time"] for v in show(1, path)["vertices"]], [v["time"] for v in show(2, STORE)["vertices"]])


def test_import():
    """import gives new numbers and says which; a second time they are there already; classes and prints are the same"""
    path, at = exported(1, 2, 3), store()
    bop("run", example("quorum"), "--store", at, status=None)
    done = bop("import", path, "--store", at)
    equal(done.out.splitlines(), [f"run {i} of {path}: now run {i + 1}" for i in (1, 2, 3)])
    equal([row["run"] for row in rows(at)], [1, 2, 3, 4])
    for run in (1, 2, 3):
        equal(seen(run + 1, at), seen(run, STORE))
    equal(show(2, at)["class"], show(3, at)["class"], "what did the same")
    before = rows(at)
    done = bop("import", path, "--store", at, "--json")
    equal(done.json(), [{"run": i, "imported": i + 1, "there": True} for i in (1, 2, 3)])
    equal(rows(at), before)
    equal(bop("import", path, "--store", STORE).out.splitlines(), [f"run {i} of {path} is here already, as run {i}" for i in (1, 2, 3)])


def test_some():
    """only the runs that are named are taken; numbers go on after those that were there"""
    path, at = exported(1, 3), store()
    equal(bop("import", path, "2", "--store", at).out, f"run 2 of {path}: now run 1\n")
    equal(bop("import", path, "--store", at).out.splitlines(), [f"run 1 of {path}: now run 2", f"run 2 of {path} is here already, as run 1"])
    equal(seen(1, at), seen(3, STORE))


def changed(path, *statements):
    """A copy that somebody changed."""
    copy = os.path.join(scratch(), "changed.bop")
    shutil.copy(path, copy)
    with contextlib.closing(sqlite3.connect(copy)) as base:
        for statement in statements:
            base.execute(statement)
        base.commit()
    return copy


def test_refused():
    """what is no export, is damaged, or of a newer bop is refused in one line, and nothing of it is taken"""
    path, at = exported(1, 3), store()
    bop("import", path, "1", "--store", at)
    before = rows(at)
    nothing = os.path.join(scratch(), "nothing.bop")
    with open(nothing, "wb"):
        pass
    noise = os.path.join(scratch(), "noise.bop")
    with open(noise, "wb") as f:
        f.write(random.Random(1).randbytes(5000))
    with open(path, "rb") as f:
        whole = f.read()
    cut = os.path.join(scratch(), "cut.bop")
    with open(cut, "wb") as f:
        f.write(whole[:len(whole) // 2])
    foreign = os.path.join(scratch(), "foreign.db")
    with contextlib.closing(sqlite3.connect(foreign)) as base:
        base.execute("CREATE TABLE run (id INTEGER)")
        base.commit()
    for file, word in ((nothing, "empty"), (noise, "no store of bop"), (cut, "damaged"), (foreign, "another program"),
                       (path + "x", "there is none"), (changed(path, "PRAGMA user_version=99"), "newer bop"),
                       (changed(path, "UPDATE batch SET bytes = x'0102' WHERE run = 2"), "run 2, batch 1 is damaged"),
                       (changed(path, "UPDATE batch SET stream = 7 WHERE run = 2"), "damaged"),
                       (changed(path, "UPDATE run SET outcome = 'nice' WHERE id = 2"), "no outcome"),
                       (changed(path, "UPDATE run SET experiment = '' WHERE id = 2"), "no experiment"),
                       (changed(path, "UPDATE program SET role = 9 WHERE id IN (SELECT program FROM process WHERE run = 2 AND place = 0)"), "no role"),
                       (changed(path, "UPDATE run SET running = 1, owner_boot = 'elsewhere' WHERE id = 2", "UPDATE run SET kept = 0 WHERE id = 2"),
                        "events were removed"),
                       (changed(path, "UPDATE run SET reason = hex(zeroblob(9000000)) WHERE id = 2"), "that is no run of bop"),
                       (changed(path, "UPDATE run SET experiment = hex(zeroblob(1000)) WHERE id = 2"), "that is no run of bop"),
                       (changed(path, "DELETE FROM run"), "no run in it")):
        one_line(bop("import", file, "--store", at, status=3), word, os.path.basename(file))
    one_line(bop("import", path, "9", "--store", at, status=3), "no run 9")
    equal(rows(at), before)


def test_hostile():
    """texts of a stranger's file are printable here, whatever they were; its triggers and views do nothing"""
    escape = "\x1b]0;x\x07"
    path = changed(exported(3), f"UPDATE run SET reason = 'a{escape}\nb', experiment = 'x{escape}', version = char(155)",
                   f"UPDATE program SET command = name || 'c{escape}'", f"UPDATE stream SET host = 'h{escape}'")
    at = store()
    bop("import", path, "--store", at)
    with contextlib.closing(sqlite3.connect(at)) as base:
        everything = "\n".join(base.iterdump())
    true("\x1b" not in everything and "\x07" not in everything, "no control character is kept")
    equal(show(1, at)["experiment"], "x?]0;x?")
    at = store()
    path = changed(exported(3), "ALTER TABLE run RENAME TO real", "CREATE VIEW run AS SELECT load_extension('x'), * FROM real")
    one_line(bop("import", path, "--store", at, status=3))
    true(not os.path.exists(at) or not rows(at), "nothing is taken")


def test_export_refused():
    """a file that is there is not written over; what cannot be exported leaves none"""
    path = exported(1)
    with open(path, "rb") as f:
        before = f.read()
    one_line(bop("export", "3", "-o", path, "--store", STORE, status=3), "there already")
    one_line(bop("export", "3", "-o", STORE, "--store", STORE, status=3), "there already")
    with open(path, "rb") as f:
        equal(f.read(), before)
    folder = scratch()
    to = os.path.join(folder, "x.bop")
    one_line(bop("export", "9", "-o", to, "--store", STORE, status=3), "no run 9")
    one_line(bop("export", "1", "2", "-o", os.path.join(folder, "x.sql"), "--store", STORE, status=3), "only with -o FILE.bop")
    one_line(bop("export", "1", "2", "--store", STORE, status=3), "only with -o FILE.bop")
    one_line(bop("export", "1", "-o", os.path.join(folder, "no/x.bop"), "--store", STORE, status=3), "No such file")
    broken = os.path.join(scratch(), "broken.db")
    shutil.copy(STORE, broken)
    with contextlib.closing(sqlite3.connect(broken)) as base:
        base.execute("UPDATE batch SET bytes = x'00' WHERE run = 3")
        base.commit()
    one_line(bop("export", "1", "3", "-o", to, "--store", broken, status=3), "run 3")
    equal(os.listdir(folder), [])


def test_full():
    """on a full disk an export says so and leaves nothing"""
    runs()
    folder = scratch()
    command("mount", "-t", "tmpfs", "-o", "size=40k", "none", folder)
    try:
        one_line(bop("export", "1", "3", "-o", os.path.join(folder, "x.bop"), "--store", STORE, status=3), "full")
        equal(os.listdir(folder), [])
    finally:
        command("umount", folder)


def killed_after(argv, seconds):
    process = subprocess.Popen([BOP, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return process.communicate()[0].decode()


def test_killed():
    """killed at any moment, an import leaves whole runs or none, an export a whole file or none; again, it finishes"""
    many, runs_of_it = store(), 12
    bop("run", experiment(PAIR), "--runs", runs_of_it, "--keep", "all", "--store", many)
    path, wanted = os.path.join(scratch(), "many.bop"), [seen(run + 1, many) for run in range(runs_of_it)]
    began = time.monotonic()
    bop("export", *range(1, runs_of_it + 1), "-o", path, "--store", many)
    took = time.monotonic() - began
    chance, counts, files = random.Random(7), set(), set()
    for _ in range(10 if SHORT else 30):
        at = store()
        bop("import", path, "1", "--store", at)
        said = killed_after(["import", path, "--store", at], chance.random() * took)
        there = rows(at)
        counts.add(len(there))
        true(len(there) >= len(said.splitlines()), "what was said is there")
        for row, run in zip(there, wanted):
            equal((row["state"], row["kept"], seen(row["run"], at)), ("ended", row["run"], run))
        bop("import", path, "--store", at)
        equal(len(rows(at)), runs_of_it)
        to = os.path.join(scratch(), "x.bop")
        killed_after(["export", "1", "2", "3", "-o", to, "--store", many], chance.random() * took)
        files.add(os.path.exists(to))
        if os.path.exists(to):
            equal([seen(row["run"], to) for row in rows(to)], wanted[:3])
    true(len(counts) > 1 and len(files) > 1, f"killed at different moments: {counts}, {files}")


if __name__ == "__main__":
    sys.exit(run_tests(test_file, test_default_name, test_repeat, test_import, test_some, test_refused, test_hostile, test_export_refused,
                       test_full, test_killed))
