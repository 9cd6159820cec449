#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a PostgreSQL database, on a real server: what bop says of them is what it says of an SQLite store, several collectors share
one, and whatever happens to the server or to bop, nothing that was acknowledged is missing."""
import glob
import os
import re
import signal
import sys
import threading
import time

from controller import BOXES, LIST_BOXES, RUN, RUN_END, Controller, run_of
from harness import (BOP, OUT, ROOT, SOAK, Running, bop, equal, example, experiment, kill_quietly, nothing_left, leftovers, one_line,
                     run_tests, scratch, show, store, true, wait_for)
from postgres import Postgres
from serving import Embedded, gated, go

PAIR = f"""experiment: pair
boxes: [s1, c]
processes:
  - {{name: s1, box: s1, run: [{OUT}/examples/quorum/quorum-server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: client, box: c, run: [{OUT}/examples/quorum/quorum-client, client, "7000", "2", s1]}}
timeout: 20s
"""
LOAD = f"""experiment: load
boxes: [s, c]
processes: [{{name: server, box: s, run: [{OUT}/tests/load/load-server, "7000"], ready: {{listen: 7000}}}}]
workload: {{name: client, box: c, run: [{OUT}/tests/load/load-client, s, "7000", "300", "4"]}}
timeout: 60s
"""
SERVER = Postgres()
CUT = "cut client>s1:7000#1/1"


def rows(at):
    return bop("runs", "--json", "--store", at).json()["runs"]


def number(database, sql):
    return int(SERVER.sql(sql, database))


def test_same_words():
    """what every reading command says of runs in a database is what it says of the same runs in a file"""
    file, url = store(), SERVER.database("words")
    exported = os.path.join(scratch(), "some.bop")
    bop("run", experiment(PAIR), "--runs", "3", "--keep", "new", "--store", url)
    bop("run", example("quorum"), "--fault", CUT, "--store", url, status=None)
    bop("export", "1", "2", "3", "4", "-o", exported, "--store", url)
    bop("import", exported, "--store", file)
    again = SERVER.database("words2")
    bop("import", exported, "--store", again)
    pictures = [os.path.join(scratch(), f"picture.{kind}") for kind in ("svg", "dot", "json")]
    for argv in (["runs"], ["runs", "--json"], ["runs", "--prints"], ["show", "2"], ["show", "1", "--json"], ["show", "last", "--json"],
                 ["diff", "1", "4", "--json"], ["diff", "4"], ["history", "pair", "quorum"], ["history", "pair", "--json"],
                 *(["graph", "1", "-o", picture] for picture in pictures)):
        said = []
        for at in (file, again):
            result = bop(*argv, "--store", at, status=None)
            text = result.out
            if argv[0] == "graph":
                with open(argv[-1], encoding="utf-8") as f:
                    text = f.read()
            said.append((result.status, text.replace(at, "STORE"), result.err.replace(at, "STORE")))
        equal(said[1], said[0], " ".join(argv))
        true(said[0][1] or said[0][2], f"{argv} says nothing")
    equal([row["kept"] for row in rows(url)], [1, 1, 1, 4], "whose events stand for each")
    equal(bop("import", exported, "--store", again).out.count("is here already"), 4, "runs that are not taken again")
    bop("rm", "1", "4", "--store", url)
    equal([(row["run"], row["kept"]) for row in rows(url)], [(2, None), (3, None)], "what is left, without events")
    equal(number("words", "SELECT count(*) FROM bop_batch"), 0, "batches of what was removed")
    equal(number("words", "SELECT count(*) FROM bop_stream WHERE run NOT IN (SELECT id FROM bop_run)"), 0, "agents of what was removed")
    equal(number("words", "SELECT count(*) FROM bop_stream"), 2, "agents of what is left")


def test_served():
    """a server keeps its runs in a database, and nobody is told the password that is in its URL"""
    url = SERVER.database("served").replace("bop@", "bop:secret%21@")
    shown = url.replace(":secret%21", "")
    server = Embedded()
    server.store = url
    with server:
        equal(server.run(experiment(PAIR), "--store", url, status=None).status, 3, "--store beside --server")
        said = server.run(experiment(PAIR))
        equal(server.boxes()["store"], shown, "the store that a server names")
        listed = bop("runs", "--json", f"--server={server.api}").json()["runs"]
        equal([row["outcome"] for row in listed], ["good"], "runs at the server")
        true(f"--store '{shown}'" in said.out, f"a shell cannot take that: {said.out}")
    outputs = [said.out, server.log()]
    environment = {**os.environ, "BOP_STORE": url}
    running = Running(BOP, "ldfi", example("quorum"), "--max-runs", "3", env=environment)
    arguments = set()
    while running.process.poll() is None:
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as f:
                    arguments.add(f.read())
            except OSError:
                pass
    result = running.end()
    outputs += [result.out, result.err, bop("run", experiment(PAIR), env=environment).out]
    outputs += [bop("show", "99", env=environment, status=None).err,
                bop("runs", "--store", url.replace("/served", "/nowhere"), status=None).err,
                bop("runs", "--store", "postgresql://u:se%cret@localhost/x", status=None).err]
    for output in outputs:
        true("secret" not in output and "cret" not in output.replace("secret", ""), f"a password is shown: {output}")
    true(any(b"ldfi" in argument for argument in arguments), "nobody was looked at")
    bare = [argument for argument in arguments if b"secret" in argument and b"serve\0" in argument and b"--parent-death" in argument]
    equal(bare, [], "arguments with a password")


def test_two_collectors():
    """two collectors record the same experiment into one database at once: no class is there twice, no run is lost, and all adds up"""
    database, runs = "two", 150 if SOAK else 20
    url = SERVER.database(database)
    path = example("quorum")
    both = [Running(BOP, "run", path, "--runs", str(runs), "--keep", "new", "--store", url) for _ in range(2)]
    said = [one.end(timeout=1800) for one in both]
    numbers = []
    for one in said:
        equal(one.status, 0, f"{one}")
        numbers += [int(word) for word in re.findall(r"^run (\d+)  quorum  good", one.out, re.M)]
    equal(sorted(numbers), sorted({row["run"] for row in rows(url)}), "runs that were said to be there, and are")
    equal(len(numbers), 2 * runs, "runs")
    adds_up(database, url, 2 * runs)


def adds_up(database, url, runs):
    classes = number(database, "SELECT count(*) FROM bop_class")
    equal(number(database, "SELECT count(*) FROM (SELECT DISTINCT experiment, plan, exact, symmetric_exact FROM bop_class) AS x"), classes,
          "classes, each once")
    equal(number(database, "SELECT count(DISTINCT class) FROM bop_run"), classes, "classes that runs are of")
    equal(number(database, "SELECT count(*) FROM bop_run WHERE running"), 0, "runs that go on")
    equal(number(database, "SELECT count(*) FROM bop_run r WHERE r.kept IS NOT NULL AND NOT EXISTS (SELECT 1 FROM bop_run w WHERE"
                 " w.id = r.kept AND w.kept IS NULL AND w.class = r.class AND w.outcome = r.outcome)"), 0, "repeats of nothing")
    equal(number(database, "SELECT count(*) FROM bop_batch b JOIN bop_run r ON r.id = b.run WHERE r.kept IS NOT NULL"), 0,
          "batches of repeats")
    equal(number(database, "SELECT count(*) FROM bop_run r WHERE r.kept IS NULL AND NOT EXISTS"
                 " (SELECT 1 FROM bop_batch b WHERE b.run = r.id)"), 0, "whole runs without batches")
    equal(number(database, "SELECT count(*) FROM bop_class c WHERE c.first_run <> (SELECT min(id) FROM bop_run r WHERE r.class = c.id)"), 0,
          "classes with another first run")
    equal(number(database, "SELECT count(*) FROM bop_lease"), 0, "leases of collectors that have ended")
    history = bop("history", "quorum", "--json", "--store", url).json()["histories"][0]
    equal(history["runs"] + history["unclassed"], runs, "runs in history")
    equal(sum(row["runs"] for row in history["classes"]), history["runs"], "runs of all classes")
    equal(len(history["classes"]), classes, "classes in history")


def test_server_restarts():
    """the server is killed, or stopped, and started again while runs are recorded: they go on, and are whole"""
    database, runs = "restarts", 60 if SOAK else 12
    url = SERVER.database(database)
    running = Running(BOP, "run", experiment(LOAD), "--runs", str(runs), "--keep", "all", "--send", "live", "--store", url)
    restarts = 0
    while running.process.poll() is None:
        before = number(database, "SELECT count(*) FROM bop_run") if SERVER.sql("SELECT to_regclass('bop_run')", database) else 0
        wait_for("another run", lambda: running.process.poll() is not None or SERVER.sql(
            "SELECT to_regclass('bop_run')", database) and number(database, "SELECT count(*) FROM bop_run") > before)
        if restarts % 2:
            SERVER.stop()
        else:
            SERVER.kill()
        SERVER.start()
        restarts += 1
    result = running.end()
    equal(result.status, 0, f"{result}")
    true(restarts > 2, f"the server was started again {restarts} times only")
    numbers = [int(word) for word in re.findall(r"^run (\d+)  load  good", result.out, re.M)]
    equal(len(numbers), runs, f"runs of {result}")
    listed = rows(url)
    equal([row["run"] for row in listed], numbers, "runs that were said to be there, and are")
    for row in listed:
        equal((row["outcome"], row["incomplete"], row["lost"]), ("good", False, 0), f"{row}")


def test_server_gone():
    """without the server a run ends with a word that names it; once it is back, all that was acknowledged is there"""
    url = SERVER.database("gone")
    path, up, gate = gated()
    running = Running(BOP, "run", path, "--store", url)
    wait_for("the workload", lambda: os.path.exists(up))
    wait_for("a batch", lambda: SERVER.sql("SELECT count(*) > 0 FROM bop_batch", "gone") == "t")
    had = SERVER.sql("SELECT run, stream, number, md5(bytes) FROM bop_batch ORDER BY 1, 2, 3", "gone")
    SERVER.kill()
    try:
        go(gate)
        result = running.end(timeout=120)
        true(result.status == 3 and url in result.out + result.err, f"no word of the store: {result}")
        one_line(bop("runs", "--store", url, status=None), url)
    finally:
        SERVER.start()
    now = SERVER.sql("SELECT run, stream, number, md5(bytes) FROM bop_batch ORDER BY 1, 2, 3", "gone")
    true(now.startswith(had), f"acknowledged and not there: {had} {now}")
    row, = rows(url)
    equal((row["outcome"], row["incomplete"]), ("error", True), f"{row}")


def test_server_hangs():
    """a server that answers nobody holds nobody up for ever"""
    url = SERVER.database("hangs")
    bop("run", experiment(PAIR), "--store", url)
    SERVER.hang()
    try:
        one_line(bop("runs", "--store", url, status=None, timeout=120), url)
    finally:
        SERVER.go()
    equal(len(rows(url)), 1, "runs")


def test_seal_waits():
    """while the end of a run waits for the database, a server answers others; when it can be written the run is whole"""
    server = Embedded()
    server.store = SERVER.database("seal") + "&options=-clock_timeout%3D0"
    with server, Controller(f"{server.folder}/api") as asker, Controller(f"{server.folder}/api") as other:
        with SERVER.locked("bop_class", "seal"):
            asker.ask(1, RUN, run_of(experiment(PAIR)))
            wait_for("the end of the run to be written", lambda: SERVER.waiting("seal"))
            other.ask(1, LIST_BOXES)
            equal(other.last(1)[0], BOXES, "an answer to somebody else")
            equal(SERVER.waiting("seal"), 1, "who waits still")
        kind, end = asker.last(1)
        equal((kind, end[3], end.get(5, 0)), (RUN_END, b"good", 0), "the run's end")
    row, = rows(server.store)
    equal((row["outcome"], row["incomplete"], row["kept"]), ("good", False, 1), f"{row}")


def test_seal_without_link():
    """nobody new is let in when a run ends: its end is written through the connection that is there, and says why nothing was counted"""
    server, marker = Embedded(), os.path.join(scratch(0o777), "marker")
    server.store = SERVER.database("refused")
    path = experiment(f"experiment: held\nboxes: [a]\nworkload: {{name: w, box: a, run: [sh, -c, 'until [ -e {marker} ]; do sleep 0.05; done']}}\n")
    with server, Controller(f"{server.folder}/api") as asker:
        asker.ask(1, RUN, run_of(path))
        wait_for("the run", lambda: SERVER.sql("SELECT to_regclass('bop_run')", "refused") and number("refused", "SELECT count(*) FROM bop_run"))
        with SERVER.unreachable():
            open(marker, "w", encoding="ascii").close()
            kind, end = asker.last(1)
        equal((kind, end[3]), (RUN_END, b"error"), "the run's end")
    row, = rows(server.store)
    equal(row["outcome"], "error", f"{row}")


def test_bop_killed():
    """bop is killed while it records: what was acknowledged is there, and the run is sealed as incomplete"""
    url, before = SERVER.database("killed"), leftovers()
    for moment in range(12 if SOAK else 3):
        running = Running(BOP, "run", experiment(LOAD.replace('"300"', '"200000"')), "--send", "live", "--store", url)
        wait_for("batches", lambda at=moment: SERVER.sql("SELECT to_regclass('bop_batch')", "killed") and number(
            "killed", f"SELECT count(*) FROM bop_batch WHERE run > {at}") > 1 + at)
        running.signal(signal.SIGKILL)
        running.end()
        equal(len([row for row in rows(url) if row["outcome"] == "error" and row["incomplete"]]), moment + 1, "incomplete runs")
        true(rows(url)[-1]["events"] > 0, "nothing of it is there")
    equal(number("killed", "SELECT count(*) FROM (SELECT run, max(number) <> count(*) AS gap FROM bop_batch GROUP BY run) AS x WHERE gap"), 0,
          "runs with a gap")
    bop("run", experiment(PAIR), "--store", url)  # takes away what they left
    nothing_left(before, timeout=60)


def test_another_machine():
    """a run that is recorded on another machine goes on as long as its lease is renewed, and is given up when it is not"""
    url = SERVER.database("machines")
    boot = os.path.join(scratch(), "boot_id")
    with open(boot, "w", encoding="ascii") as f:
        f.write("11111111-2222-3333-4444-555555555555\n")
    path, up, _ = gated()
    running = Running("unshare", "-m", "sh", "-c", f"mount --bind {boot} /proc/sys/kernel/random/boot_id && exec {BOP} run {path} --store '{url}'")
    wait_for("the workload", lambda: os.path.exists(up))
    until = number("machines", "SELECT until_ms FROM bop_lease")
    wait_for("the lease to be renewed", lambda: number("machines", "SELECT until_ms FROM bop_lease") > until)
    equal(rows(url)[0]["state"], "running", "it goes on")
    one_line(bop("rm", "1", "--store", url, status=None), "still being recorded")
    running.signal(signal.SIGKILL)
    running.end()
    equal(rows(url)[0]["state"], "running", "its lease holds")
    SERVER.sql("UPDATE bop_lease SET until_ms = until_ms - 60000", "machines")
    row, = rows(url)
    equal((row["state"], row["incomplete"], row["outcome"]), ("ended", True, "error"), "its lease is over")


def test_disk_full():
    """the server's disk gets full: bop says so, what was said to be there is there, and it goes on when there is room again"""
    with Postgres(tmpfs="90m", settings={"max_wal_size": "4MB", "min_wal_size": "2MB"}.items()) as server:
        url = server.database("full_disk")
        bop("run", experiment(PAIR), "--store", url)
        ballast = os.path.join(server.data, "ballast")
        with open(ballast, "wb") as f:
            room = os.statvfs(server.data)
            f.write(bytes(max(0, room.f_bavail * room.f_frsize - (3 << 20))))
        numbers = [1]
        for _ in range(200):
            result = bop("run", experiment(LOAD.replace('"300"', '"20000"')), "--send", "live", "--keep", "all", "--store", url, status=None)
            if result.status:
                break
            numbers += [int(word) for word in re.findall(r"^run (\d+)  load  good", result.out, re.M)]
        equal(result.status, 3, "exit status of the last")
        true(url in result.out + result.err, f"no word of the store: {result}")
        os.unlink(ballast)
        server.stop()
        server.start()
        listed = {row["run"]: row for row in rows(url)}
        for one in numbers:
            equal((listed[one]["outcome"], listed[one]["incomplete"]), ("good", False), f"run {one}")
            bop("show", one, "--store", url)
        bop("run", experiment(PAIR), "--store", url)


def main():
    with SERVER:
        return run_tests(test_same_words, test_served, test_two_collectors, test_server_restarts, test_server_gone, test_server_hangs,
                         test_seal_waits, test_seal_without_link, test_bop_killed, test_another_machine, test_disk_full)


if __name__ == "__main__":
    sys.exit(main())
