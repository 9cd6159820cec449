#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of runs that did the same one is kept whole: the others are counted, and can be looked at all the same; what --keep all, another
outcome, content, a loss and a live fault change; what is said when the events are gone; a store of format 1."""
import os
import sqlite3
import sys

from asking import become

NAMES = become()

from harness import (BOP, TFJ, Running, Skip, bop, command, equal, example, experiment, one_line, run_tests,  # noqa: E402
                     scratch, show, store, true, wait_for)  # pylint: disable=wrong-import-position
from serving import Embedded, gated, go  # noqa: E402  pylint: disable=wrong-import-position

api, Api = NAMES["api"], NAMES["Server"]
SAME = """\
experiment: same
boxes: [a]
workload: {name: w, box: a, run: [echo, said]}
check: {run: [sh, -c, "echo checked; exit $(cat STATUS)"]}
"""
SERVER = Embedded()


def same(lines=""):
    """Runs that do the same, and a file that says with which status; returns (path, set)."""
    folder = scratch(0o777)
    status = os.path.join(folder, "status")
    path = experiment(SAME.replace("STATUS", status) + lines)

    def become_status(number):
        with open(status, "w", encoding="ascii") as f:
            f.write(f"{number}\n")

    become_status(0)
    return path, become_status


def rows(at):
    return bop("runs", "--store", at, "--json").json()["runs"]


def batches(at):
    """How many batches there are of which run."""
    with sqlite3.connect(at) as db:
        found = dict(db.execute("SELECT run, count(*) FROM batch GROUP BY run").fetchall())
    db.close()
    return found


def run(path, at, *argv, status=0, keep="new", **kwargs):
    return bop("run", path, "--store", at, "--keep", keep, *argv, status=status, **kwargs)


def test_repeats():
    """the first run is new and whole, its repeats have a row and no events; each line says so, and the JSON"""
    path, at = example("client-server"), store()
    out = run(path, at, "--runs", 3).out
    lines = [line for line in out.splitlines() if line.startswith("run ")]
    equal([line.split("lost  ")[1] for line in lines], ["new", "repeat of run 1", "repeat of run 1"], out)
    found = rows(at)
    equal([(r["class"], r["new_class"], r["kept"], r["unclassed"]) for r in found],
          [(1, True, 1, None), (1, False, 1, None), (1, False, 1, None)], "rows")
    equal(list(batches(at)), [1], "runs with batches")
    true("CLASS" in bop("runs", "--store", at).out and bop("runs", "--store", at).out.count("repeat of run 1") == 2, "bop runs")
    one, other = show(1, at), show(3, at)
    equal((one["events_of"], other["events_of"], other["run"]), (1, 1, 3), "whose events")
    for field in ("messages", "connections", "print", "vertices"):
        equal(other[field], one[field], field)
    true(other["started"] > one["started"], "when it began")
    text = bop("show", 3, "--store", at).out
    true("run 3 did the same as run 1, whose events are shown" in text, text)
    true("whose events are shown" not in bop("show", 1, "--store", at).out, "said of one that has its own")
    picture = os.path.join(scratch(), "x.svg")
    bop("graph", 3, "--store", at, "-o", picture)
    with open(picture, encoding="utf-8") as f:
        true("the events are those of run 1, which did the same" in f.read(), "the picture does not say whose events it shows")
    equal(bop("diff", 1, 3, "--store", at).status, 0, "diff")
    json_line = run(path, at, "--json").json()
    equal((json_line["class"], json_line["new_class"], json_line["kept"]), (1, False, 1), "bop run --json")


def traced(run_or_id, at):
    shown = show(run_or_id, at)
    return [shown["events_of"], shown["backend"], [agent["backend"] for agent in shown["agents"]]]


def test_traced():
    """a repeat tells how it was traced itself, not how the run was whose events it shows, also when those are gone to another store"""
    path, at = example("client-server"), store()
    backends = [c["name"][8:] for c in command(TFJ, "probe", "--json").json()["capabilities"] if c["name"].startswith("backend ") and c["works"]]
    if len(backends) < 2:
        raise Skip(f"the only backend that works here is {backends}")
    for backend in backends[:2]:
        run(path, at, env={**os.environ, "BOP_BACKEND": backend})
    first, second = backends[:2]
    equal([traced(1, at), traced(2, at)], [[1, first, [first]], [1, second, [second]]], "backends")
    true(f", {second}\n" in bop("show", 2, "--store", at).out, bop("show", 2, "--store", at).out)
    exported, older, other = os.path.join(scratch(), "runs.bop"), os.path.join(scratch(), "older.bop"), store()
    bop("export", 2, "-o", exported, "--store", at)
    bop("import", exported, "--store", other)
    equal(traced(1, other), [1, second, [second]], "in another store")
    equal(show(1, other)["warnings"], "its events are those of run 1 there, which it did the same as", "what is said of it there")
    with sqlite3.connect(at) as db:  # as a bop before this left it
        db.execute("DELETE FROM stream WHERE run = 2")
    db.close()
    equal(traced(2, at), [1, None, []], "what an older bop kept")
    bop("export", 2, "-o", older, "--store", at)
    equal(show(1, older)["warnings"],
          "its events, and the agents that recorded them, are those of run 1 there, which it did the same as", "what is said of that")
    equal(bop("show", 2, "--store", at).out.count("machine"), 0, "lines about a machine")
    bop("rm", 2, "--store", at)
    run(path, at)
    bop("rm", 1, 3, "--store", at)
    with sqlite3.connect(at) as db:
        equal(db.execute("SELECT count(*) FROM stream").fetchone(), (0,), "what is left of runs that were removed")
    db.close()


def test_outcomes():
    """another outcome of the same messages is kept whole; its repeats show that one's events, and their own check"""
    path, status = same()
    at = store()
    run(path, at)
    status(1)
    run(path, at, "--runs", 2, status=1)
    status(0)
    run(path, at)
    found = rows(at)
    equal([r["outcome"] for r in found], ["good", "violated", "violated", "good"], "outcomes")
    equal([r["class"] for r in found], [1] * 4, "classes")
    equal([r["kept"] for r in found], [1, 2, 2, 1], "kept")
    equal(sorted(batches(at)), [1, 2], "batches")
    shown = show(3, at)
    equal((shown["outcome"], shown["events_of"], shown["check"]["output"], shown["check"]["status"]), ("violated", 2, "checked\n", 1), "run 3")
    true("not new" in bop("runs", "--store", at).out, "bop runs")


def test_all():
    """--keep all keeps each; what makes no sense is refused before anything is begun"""
    path, _ = same()
    at = store()
    run(path, at, "--runs", 2, keep="all")
    equal(([r["kept"] for r in rows(at)], len(batches(at))), ([1, 2], 2), "kept")
    run(path, at)
    equal(rows(at)[-1]["kept"], 1, "a repeat, after them")
    refused = bop("run", path, "--store", at, "--keep", "some", status=3)
    one_line(refused, "--keep some: it is new", "or all")
    one_line(bop("replay", "last", "--store", at, "--keep", "some", status=3), "--keep some")
    equal(len(rows(at)), 3, "runs")


def test_content():
    """runs that keep what messages said are each kept whole: nothing else has it"""
    at = store()
    path, _ = same("content: {bytes: 100}\n")
    run(path, at, "--runs", 2)
    equal([(r["class"], r["kept"]) for r in rows(at)], [(1, 1), (1, 2)], "kept")


def test_plans():
    """the same messages under another plan, or in a dry run, are another class; a fault that was injected counts as one of the plan"""
    path, _ = same()
    at = store()
    run(path, at)
    for argv in (["--fault", "isolate a"], ["--fault", "isolate a", "--dry-run"], ["--fault", "isolate a"]):
        run(path, at, *argv)
    found = rows(at)
    equal([r["class"] for r in found], [1, 2, 3, 2], "classes")
    equal(found[3]["kept"], 2, "the repeat")


def test_live():
    """a run into which a fault was injected is not the same as one without, although its messages are"""
    path, up, gate = gated()
    kept = []
    for inject in (False, True, True, False):
        running = Running(BOP, "run", path, f"--server={SERVER.api}", "--keep", "new", "--json")
        wait_for("the workload", lambda: os.path.exists(up))
        if inject:
            bop("inject", "isolate a", "--server", SERVER.api)
        go(gate)
        kept.append(running.end().json())
        os.unlink(up)
    equal([k["unclassed"] for k in kept], [None] * 4, "reasons")
    equal(kept[1]["class"] != kept[0]["class"], True, "classes")
    equal([kept[2]["class"], kept[3]["class"]], [kept[1]["class"], kept[0]["class"]], "the same again")
    equal([kept[2]["kept"], kept[3]["kept"]], [kept[1]["run"], kept[0]["run"]], "kept")


def test_no_class():
    """a run that could not be run has no class, and says why; it is nobody's repeat"""
    path, up, _ = gated()
    at = store()
    for _ in range(2):
        running = Running(BOP, "run", path, "--store", at, "--keep", "new")
        wait_for("the workload", lambda: os.path.exists(up))
        running.signal(2)
        equal(running.end().status, 130, "exit status")
        os.unlink(up)
    found = rows(at)
    equal([(r["class"], r["kept"], r["unclassed"]) for r in found], [(None, 1, "the run was interrupted"), (None, 2, "the run was interrupted")], "rows")


def test_gone():
    """once the run that stands for others is removed, they say so, in one line, whoever asks; the next one is kept again"""
    path, _ = same()
    at = store()
    run(path, at, "--runs", 2)
    bop("rm", 1, "--store", at)
    for argv in (["show", 2], ["show", 2, "--json"], ["graph", 2, "-o", os.path.join(scratch(), "x.svg")], ["diff", 2, 2]):
        one_line(bop(*argv, "--store", at, status=3), "run 2: its events were removed")
    equal(rows(at)[0]["kept"], None, "kept")
    true(bop("runs", "--store", at).out.rstrip().endswith("new, no events"), bop("runs", "--store", at).out)
    run(path, at)
    equal([(r["run"], r["class"], r["kept"]) for r in rows(at)], [(2, 1, None), (3, 1, 3)], "the next one")
    equal(show(3, at)["events_of"], 3, "its events")


def test_api():
    """Run and Replay take keep_runs, RunEnd, RunRow and WaitRun say class, kept and whether it is new"""
    path, _ = same()
    with open(path, "rb") as f:
        file = {"name": path, "path": path, "text": f.read()}
    server = Api(SERVER.api)
    first = server.ask(api.Run(**file))
    again = server.ask(api.Run(**file, keep_runs="new"))
    whole = server.ask(api.Run(**file, keep_runs="all"))
    equal((first.new_class, first.kept, again.new_class, again.kept, again.class_id), (True, first.run, False, first.run, first.class_id), "ends")
    equal((whole.kept, whole.class_id), (whole.run, first.class_id), "keep_runs all")
    replayed = server.ask(api.Replay(run=again.run))
    equal((replayed.kept, server.ask(api.Replay(run=again.run, keep_runs="all")).kept), (first.run, replayed.run + 1), "Replay")
    page = {row.run: row for row in server.ask(api.ListRuns(after=first.run - 1, prints=True)).rows}
    equal([(page[r.run].kept, page[r.run].new_class, page[r.run].class_id) for r in (first, again, whole)],
          [(first.run, True, first.class_id), (first.run, False, first.class_id), (whole.run, False, first.class_id)], "ListRuns")
    equal((page[again.run].exact, page[again.run].shape_symmetric), (first.exact, first.shape_symmetric), "its prints")
    told = server.ask(api.WaitRun(run=again.run))
    equal((told.kept, told.class_id, told.exact), (first.run, first.class_id, first.exact), "WaitRun")
    info = server.ask(api.GetRun(run=again.run))
    equal((info.row.kept, info.check_output), (first.run, b"checked\n"), "GetRun")
    try:
        server.ask(api.Run(**file, keep_runs="some"))
        raise AssertionError("keep_runs: some was taken")
    except RuntimeError as e:
        true("keep some: it is new" in str(e), str(e))


def old(at):
    """The store as a bop of before would have left it: in format 1."""
    with sqlite3.connect(at, isolation_level=None) as db:
        db.executescript("""
            BEGIN;
            CREATE TABLE run1 (id INTEGER PRIMARY KEY AUTOINCREMENT, experiment TEXT NOT NULL, path TEXT NOT NULL, text TEXT NOT NULL,
             version TEXT NOT NULL, started_ns INTEGER NOT NULL, started_monotonic_ns INTEGER NOT NULL, owner_boot TEXT NOT NULL,
             owner_pid_namespace INTEGER NOT NULL, owner_pid INTEGER NOT NULL, owner_start INTEGER NOT NULL,
             running INTEGER NOT NULL DEFAULT 1, incomplete INTEGER NOT NULL DEFAULT 0, outcome TEXT, reason TEXT, warnings TEXT,
             duration_ns INTEGER, events INTEGER, messages INTEGER, lost INTEGER, holes INTEGER) STRICT;
            INSERT INTO run1 SELECT run.id, experiment, path, text, version, started_ns, started_monotonic_ns, owner_boot,
             owner_pid_namespace, owner_pid, owner_start, running, incomplete, outcome, reason, warnings, duration_ns, events, messages,
             lost, holes FROM run JOIN file ON file.id = file;
            CREATE TABLE process1 (run INTEGER NOT NULL, place INTEGER NOT NULL, name TEXT NOT NULL, box TEXT NOT NULL,
             role INTEGER NOT NULL, command TEXT NOT NULL, started INTEGER NOT NULL, status INTEGER, output BLOB,
             PRIMARY KEY (run, place)) STRICT, WITHOUT ROWID;
            INSERT INTO process1 SELECT run, place, name, box, role, command, started, status, output FROM process
             JOIN program ON program.id = program;
            DROP TABLE run; DROP TABLE file; DROP TABLE process; DROP TABLE program; DROP TABLE class; DROP TABLE sketch;
            DROP TABLE sketch_key; DROP TABLE dropping; DROP TABLE plan;
            ALTER TABLE run1 RENAME TO run; ALTER TABLE process1 RENAME TO process;
            PRAGMA user_version = 1;
            COMMIT;""")
    db.close()


def test_format_1():
    """a store of format 1 is brought to format 2 by whoever opens it; a server gives its runs their classes, and none loses its events"""
    path, _ = same()
    server = Embedded()
    run(path, server.store, "--runs", 2, keep="all")
    before = show(2, server.store)
    old(server.store)
    shown = show(2, server.store)
    equal((shown["class"], shown["kept"], shown["unclassed"]), (None, 2, None), "class")
    for field in ("class", "new_class"):
        before[field] = None
    equal(shown, before, "the run")
    with server:
        wait_for("its runs to get classes", lambda: "looked at 2 runs of before" in server.log())
        equal([(r["class"], r["new_class"], r["kept"]) for r in rows(server.store)], [(1, True, 1), (1, False, 2)], "classes")
        equal(server.run(path, "--keep", "new", "--json").json()["kept"], 1, "the next one")


def test_gone_while_kept():
    """what a server keeps of a run that it rendered is not shown once the events of the run are gone"""
    with Embedded() as server:
        first = server.run(same()[0], "--json").json()["run"]
        asking = Api(server.api)
        page = asking.ask(api.Render(run=first, format="svg"))
        equal(asking.ask(api.Render(run=first, format="svg")).data, page.data, "again")
        bop("gc", "--max-size", "1", "--store", server.store)
        for message in (api.Render(run=first, format="svg"), api.Render(run=first, format="text")):
            try:
                raise AssertionError(f"answered: {asking.ask(message)}")
            except RuntimeError as error:
                true("its events were removed" in error.args[1], error)


def test_end_while_sweeping():
    """a server that gives room back ends when it is told to, and the rest waits for the next one"""
    server = Embedded()
    bop("run", same()[0], "--store", server.store)
    with sqlite3.connect(server.store) as db:
        db.execute("INSERT INTO dropping VALUES (4711)")
        db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) INSERT INTO batch SELECT 4711, 1, i, x'00' FROM n")
    with server:
        pass
    with sqlite3.connect(server.store) as db:
        true(db.execute("SELECT count(*) FROM batch WHERE run = 4711").fetchone()[0] > 0, "it went on to the end")
        equal(db.execute("SELECT run FROM dropping").fetchall(), [(4711,)], "the note for the next one")


def test_format_1_recorded():
    """while an older bop records in a store of format 1 it stays so, and whose run it is is said; when that one is gone it becomes format 2"""
    at = store()
    run(same()[0], at)
    old(at)
    with open("/proc/self/stat", encoding="ascii") as f:
        start = int(f.read().rsplit(")", 1)[1].split()[19])
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        boot = f.read().strip()
    with sqlite3.connect(at) as db:
        db.execute("UPDATE run SET running = 1, owner_boot = ?, owner_pid_namespace = ?, owner_pid = ?, owner_start = ?",
                   (boot, os.stat("/proc/self/ns/pid").st_ino, os.getpid(), start))
    for words in (("show", "1"), ("gc",), ("run", same()[0])):
        one_line(bop(*words, "--store", at, status=3), "is of format 1", f"process {os.getpid()}) records run 1", "wait until that has ended")
    with sqlite3.connect(at) as db:
        equal(db.execute("PRAGMA user_version").fetchone(), (1,), "format")
        db.execute("UPDATE run SET owner_start = ?", (start + 1,))
    equal(show(1, at)["incomplete"], True, "the run of who is gone")


with SERVER:
    STATUS = run_tests(test_repeats, test_traced, test_outcomes, test_all, test_content, test_plans, test_live, test_no_class, test_gone,
                       test_api, test_format_1, test_format_1_recorded, test_gone_while_kept, test_end_while_sweeping)
sys.exit(STATUS)
