#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""bop gc: what it removes and why, that nobody misses it, that a killed one leaves a whole store; on both databases, which also take each
other's runs."""
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

from harness import BOP, OUT, SHORT, bop, equal, experiment, one_line, run_tests, scratch, show, store, true
from postgres import Postgres

PAIR = f"""experiment: pair
boxes: [s1, c]
processes:
  - {{name: s1, box: s1, run: [{OUT}/examples/quorum/quorum-server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: client, box: c, run: [{OUT}/examples/quorum/quorum-client, client, "7000", "2", s1]}}
timeout: 10s
"""
CUT = "cut client>s1:7000#1/1"
SHARED = {}


def template():
    """1-4: the same four times, kept whole; 5: with a fault; 6: another experiment, violated."""
    if "template" not in SHARED:
        at, pair = store(), experiment(PAIR)
        bop("run", pair, "--runs", "4", "--keep", "all", "--store", at)
        bop("run", pair, "--fault", CUT, "--store", at, status=None)
        violated = experiment(PAIR.replace("experiment: pair", "experiment: other") + "check: {run: [/bin/false]}\n")
        bop("run", violated, "--store", at, status=None)
        SHARED["template"], SHARED["path"] = rows(at), at
        equal([row["outcome"] for row in SHARED["template"]][-1], "violated")
    return SHARED["path"]


def rows(at):
    return bop("runs", "--json", "--store", at).json()["runs"]


def kept(at):
    return [row["kept"] or 0 for row in rows(at)]


def copy():
    """A store with these runs."""
    at = store()
    bop("import", template(), "--store", at)
    return at


def postgres():
    if "postgres" not in SHARED:
        SHARED["postgres"] = Postgres().start()
    return SHARED["postgres"]


def database():
    SHARED["databases"] = SHARED.get("databases", 0) + 1
    at = postgres().database(f"gc{SHARED['databases']}")
    bop("import", template(), "--store", at)
    return at


BOTH = (copy, database)


def gc(at, *argv):
    return bop("gc", "--store", at, "--json", *argv).json()


def seen(run, at):
    """What runs that did the same have in common: no times, no pids."""
    whole = show(run, at)
    return [whole["experiment"], whole["outcome"], whole["print"]["exact"]["hash"], sorted(m["label"] for m in whole["messages"]),
            len(whole["processes"])]


def test_copies():
    """without a policy copies become repeats: they are shown as before, and nothing else changes; a second time nothing is left to do"""
    for make in BOTH:
        at = make()
        before = rows(at)
        shown = [seen(run, at) for run in range(1, 7)]
        equal(kept(at), [1, 2, 3, 4, 5, 6])
        would = gc(at, "--dry-run")
        equal(kept(at), [1, 2, 3, 4, 5, 6], "a dry run changes nothing")
        done = gc(at)
        equal([(row["run"], row["why"], row["copy_of"]) for row in done["runs"]], [(2, "copy", 1), (3, "copy", 1), (4, "copy", 1)])
        equal((would["runs"], would["bytes"], would["dry_run"]), (done["runs"], done["bytes"], True))
        true(all(row["bytes"] > 100 for row in done["runs"]), done)
        equal(kept(at), [1, 1, 1, 1, 5, 6])
        equal([{**row, "kept": 0} for row in rows(at)], [{**row, "kept": 0} for row in before])
        equal([seen(run, at) for run in range(1, 7)], shown)
        equal(gc(at)["runs"], [])
        equal(bop("gc", "--store", at).out.splitlines()[-1], "0 runs lost events, 0 B")


def test_before():
    """runs of before, which get their class only now, stand for what was a class without them: nothing that was shown is lost"""
    at = copy()
    shown = [seen(run, at) for run in range(1, 7)]
    with contextlib.closing(sqlite3.connect(at)) as base:
        base.execute("UPDATE class SET first_run = 3, kept_run = 3 WHERE id = (SELECT class FROM run WHERE id = 1)")
        base.execute("UPDATE run SET class = NULL WHERE id IN (1, 2)")
        base.execute("UPDATE run SET kept = 3 WHERE id = 4")
        for table in ("batch", "stream"):
            base.execute(f"DELETE FROM {table} WHERE run = 4")
        base.commit()
    equal(kept(at), [1, 2, 3, 3, 5, 6])
    equal(sorted(dropped(gc(at))), [2, 3])
    equal(kept(at), [1, 1, 1, 1, 5, 6])
    equal([seen(run, at) for run in range(1, 7)], shown)


def test_room():
    """the room is given back, and how much is said"""
    at = copy()
    for _ in range(3):
        with contextlib.closing(sqlite3.connect(at)) as base:  # many more of the same
            base.execute("PRAGMA recursive_triggers=0")
            base.execute("INSERT INTO batch SELECT run, stream, number + (SELECT max(number) FROM batch b WHERE b.run = batch.run), "
                         "zeroblob(300000) FROM batch WHERE run IN (2, 3)")
            base.commit()
    before = os.path.getsize(at)
    done = gc(at)
    true(done["store_after"] < before / 2 and os.path.getsize(at) == done["store_after"], f"{before} {done}")
    true(sum(row["bytes"] for row in done["runs"]) == done["bytes"] > 1000000, done)


def test_text():
    """it says of each run how much goes and why"""
    at = copy()
    out = bop("gc", "--store", at, "--dry-run").out.splitlines()
    true(out[0].startswith("run 2  pair  good  ") and out[0].endswith(" B  did the same as run 1, which keeps its events"), out)
    true(out[-1].startswith("3 runs would lose events, "), out)
    equal(len(bop("gc", "--store", at).out.splitlines()), 4)


def aged(at, **days):
    """Runs that began so many days ago: run_3=40."""
    with contextlib.closing(sqlite3.connect(at)) as base:
        for run, ago in days.items():
            base.execute("UPDATE run SET started_ns = ? WHERE id = ?", (time.time_ns() - ago * 86400 * 10 ** 9, int(run[4:])))
        base.commit()
    return at


def dropped(done):
    return {row["run"]: row["why"] for row in done["runs"]}


def classes(at):
    """What history says that is not of events or times."""
    history, = bop("history", "pair", "--store", at, "--json").json()["histories"]
    return [[row[key] for key in ("class", "plan", "print", "runs", "found_at", "first_run", "last_run", "outcomes")] for row in history["classes"]]


def test_older():
    """--older-than takes what nothing younger is shown with; history stays; what is dropped is said when it is looked at"""
    at = aged(copy(), run_1=40, run_5=40, run_6=40)
    equal(dropped(gc(at, "--older-than", "30d", "--dry-run")), {2: "copy", 3: "copy", 4: "copy", 5: "old"}, "2 to 4 are shown with 1")
    aged(at, run_2=50, run_3=60, run_4=31)
    done = gc(at, "--older-than", "30d")
    equal(dropped(done), {run: "old" for run in (1, 2, 3, 4, 5)})
    equal(kept(at), [0, 0, 0, 0, 0, 6], "6 is violated")
    one_line(bop("show", "1", "--store", at, status=3), "removed", "bop gc")
    equal([row["outcome"] for row in rows(at)], [row["outcome"] for row in SHARED["template"]])
    equal(classes(at), classes(template()), "history stays")
    equal(dropped(gc(at, "--older-than", "30d", "--violated")), {6: "old"})


def test_last():
    """--keep-last keeps what the last runs of each experiment are shown with"""
    at = copy()
    equal(dropped(gc(at, "--keep-last", "2", "--dry-run")), {2: "copy", 3: "copy", 4: "copy"}, "4 is shown with 1, 5 with itself")
    equal(dropped(gc(at, "--keep-last", "1", "--dry-run")), {1: "not-last", 2: "not-last", 3: "not-last", 4: "not-last"})
    equal(dropped(gc(at, "--keep-last", "0", "--violated", "--experiment", "pair", "--dry-run")), {run: "not-last" for run in (1, 2, 3, 4, 5)})
    aged(at, run_1=40, run_2=40, run_3=40, run_4=40, run_5=40)
    equal(dropped(gc(at, "--older-than", "30d", "--keep-last", "1", "--dry-run")), {run: "old" for run in (1, 2, 3, 4)})


def test_size():
    """--max-size takes the oldest until the rest fits"""
    for make in BOTH:
        at = make()
        sizes = {row["run"]: row["bytes"] for row in gc(at, "--keep-last", "0", "--violated", "--dry-run")["runs"]}
        equal(len(sizes), 6)
        equal(dropped(gc(at, "--max-size", str(sizes[5] + sizes[6]), "--dry-run")), {run: "too-large" for run in (1, 2, 3, 4)})
        equal(dropped(gc(at, "--max-size", "0", "--violated")), {run: "too-large" for run in range(1, 7)})
        equal(kept(at), [0] * 6)


def test_refused():
    """what makes no sense is refused in a line"""
    at = copy()
    for argv, word in ((("--older-than", "30"), "30d"), (("--older-than", "x"), "30d"), (("--max-size", "much"), "2G"), (("--keep-last", "-1"), "how many"),
                       (("--violated",), "goes with"), (("9",), "too many")):
        one_line(bop("gc", *argv, "--store", at, status=3), word)
    one_line(bop("gc", "--store", at + "x", status=3), "there is none")
    equal(kept(at), [1, 2, 3, 4, 5, 6])


def test_contents():
    """a run that kept what messages said is no copy of another"""
    at = store()
    bop("run", experiment(PAIR + "content: {bytes: 64}\n"), "--runs", "2", "--store", at)
    true(show(1, at)["class"] == show(2, at)["class"], "the same class")
    equal(gc(at)["runs"], [])


def killed_after(argv, seconds):
    process = subprocess.Popen([BOP, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed():
    """killed at any moment it leaves a whole store, in which every run is shown as before or says that its events are gone; the next one finishes"""
    shown = [seen(run, template()) for run in range(1, 7)]
    chance, states = random.Random(5), set()
    for make in BOTH:
        began = time.monotonic()
        gc(make())
        took = time.monotonic() - began
        for _ in range(5 if SHORT else 15):
            at = make()
            killed_after(["gc", "--store", at], chance.random() * took)
            states.add(tuple(kept(at)))
            for run in range(1, 7):
                equal(seen(run, at), shown[run - 1])
            gc(at)
            equal(kept(at), [1, 1, 1, 1, 5, 6])
            equal(left_behind(at, make), 0, "batches of nobody")
    true(len(states) > 1, f"killed at different moments: {states}")


def left_behind(at, make):
    tables = ("batch", "run", "dropping") if make is copy else ("bop_batch", "bop_run", "bop_dropping")
    sql = "SELECT (SELECT count(*) FROM {0} WHERE run NOT IN (SELECT id FROM {1} WHERE kept IS NULL)) + (SELECT count(*) FROM {2})".format(*tables)
    if make is copy:
        with contextlib.closing(sqlite3.connect(at)) as base:
            return base.execute(sql).fetchone()[0]
    return int(postgres().sql(sql, database=at.split("?")[0].split("/")[-1]))


def test_between():
    """runs go from a file to a server's database and back, with all that bop says of them; killed meanwhile, they are whole or not there"""
    at, back = database(), os.path.join(scratch(), "back.bop")
    gc(at)
    bop("export", *range(1, 7), "-o", back, "--store", at)
    equal([seen(run, back) for run in range(1, 7)], [seen(run, template()) for run in range(1, 7)])
    equal(bop("import", back, "--store", at).out.splitlines()[0], f"run 1 of {back} is here already, as run 1")
    equal(rows(at)[0]["state"], "ended")
    chance, counts = random.Random(9), set()
    began = time.monotonic()
    database()
    took = time.monotonic() - began
    for i in range(4 if SHORT else 12):
        at = postgres().database(f"kill{i}")
        bop("import", back, "1", "--store", at)
        killed_after(["import", back, "--store", at], chance.random() * took)
        there = rows(at)
        counts.add(len(there))
        for run, row in enumerate(there, 1):  # numbers of those that came to nothing are not used again
            equal((row["state"], seen(row["run"], at)), ("ended", seen(run, back)))
        bop("import", back, "--store", at)
        equal(len(rows(at)), 6)
    true(len(counts) > 1, f"killed at different moments: {counts}")


if __name__ == "__main__":
    sys.exit(run_tests(test_copies, test_before, test_room, test_text, test_older, test_last, test_size, test_refused, test_contents, test_killed, test_between))
