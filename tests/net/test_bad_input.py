#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input: each with one clear line on stderr and status 3, and nothing left behind."""
import os
import shutil
import sqlite3
import subprocess
import sys

from harness import (BOP, OUT, TFJ, Skip, bop, command, equal, example, experiment, leftovers, nothing_left, one_line,
                     run_tests, scratch, show, store, true)

GOOD = "experiment: fine\nboxes: [a]\nworkload: {name: w, box: a, run: ['true']}\n"
FILES = [
    ("an empty file", "", ["empty"]),
    ("a malformed file", "experiment: [a\nboxes: b\n", [":2:6:"]),
    ("bytes that are no text", b"\x7fELF\x00\x01\xff", [":1:1:"]),
    ("a value of the wrong type", GOOD + "timeout: soon\n", [":4:10:", "duration like 10s"]),
    ("a sequence where a mapping must be", "- a\n", [":1:1:", "mapping"]),
    ("an unknown key", GOOD + "timout: 5s\n", [":4:1:", "did you mean 'timeout'"]),
    ("an unknown box", GOOD.replace("box: a", "box: z"), [":3:26:", "'z' is not in boxes: a"]),
    ("a missing program", GOOD.replace("'true'", "no-such-program"), [":3:35:", "no-such-program"]),
    ("a program that is none", GOOD.replace("'true'", "/etc/passwd"), [":3:35:", "not an executable"]),
    ("no workload", "experiment: fine\nboxes: [a]\n", ["workload"]),
    ("two processes of one name", GOOD.replace("workload: ", "workload:\n- ") + "- {name: w, box: a, run: ['true']}\n",
     [":5:10:", "already used"]),
]


def unused_store():
    return os.path.join(scratch(), "runs.db")


def refuses_file(name, text, words):
    def test():
        before, at = leftovers(), unused_store()
        one_line(bop("run", experiment(text), "--store", at, status=None), *words)
        true(not os.path.exists(at), "a store was made")
        nothing_left(before)
    test.__doc__ = f"{name} is refused at its place"
    return test


def refuses(what, words, *argv, before=None, **kwargs):
    before = before if before is not None else leftovers()
    one_line(command(*argv, status=None, **kwargs), *words)
    nothing_left(before)


def test_no_such_file():
    """an experiment file that does not exist, or is a folder, is named"""
    refuses("none", ["none.yaml", "No such file"], BOP, "run", "none.yaml", "--store", unused_store())
    refuses("folder", ["folder"], BOP, "run", scratch(), "--store", unused_store())


def test_not_root():
    """who is not root is told so, and nothing is made"""
    place = scratch(0o755)
    for program in (BOP, TFJ):
        shutil.copy(program, place)
    path, at = experiment(GOOD), os.path.join(scratch(0o777), "runs.db")
    refuses("nobody", ["root"], "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
            os.path.join(place, "bop"), "run", path, "--store", at)


def in_mounts(script, *argv):
    """Runs the command after the script, in mounts of its own."""
    return ["unshare", "-m", "sh", "-ec", script + '; exec "$@"', "sh", *argv]


def test_no_btf():
    """a kernel without BTF is told so"""
    if not os.path.exists("/sys/kernel/btf"):
        raise Skip("this kernel has no BTF to hide")
    refuses("BTF", ["BTF"], *in_mounts("mount -t tmpfs none /sys/kernel/btf", BOP, "run", experiment(GOOD), "--store",
                                       unused_store()))


def test_no_bpf():
    """a kernel without BPF is told so"""
    launcher = os.path.join(OUT, "tests/kernel/nobpf")
    if not os.path.exists(launcher):
        raise Skip("tests/kernel/nobpf is not built")
    refuses("BPF", ["BPF"], launcher, BOP, "run", experiment(GOOD), "--store", unused_store())


def untouched(path, words):
    """A file that is no store of ours is refused by every command and not changed by any."""
    with open(path, "rb") as f:
        content = f.read()
    for argv in (["run", experiment(GOOD)], ["runs"], ["show", "last"], ["rm", "1"]):
        refuses("store", words, BOP, *argv, "--store", path)
        with open(path, "rb") as f:
            true(f.read() == content, f"bop {argv[0]} changed a file that is not ours")


def test_text_as_store():
    """a text file as store is refused and stays as it is"""
    path = os.path.join(scratch(), "notes.txt")
    with open(path, "w", encoding="ascii") as f:
        f.write("notes of mine\n" * 100)
    untouched(path, [path])


def test_foreign_database():
    """another program's SQLite file as store is refused and stays as it is"""
    path = os.path.join(scratch(), "other.db")
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE run (id INTEGER)")
    db.close()
    untouched(path, [path, "another program"])


def test_folder_as_store():
    """a folder as store, or a folder that does not exist, is refused"""
    refuses("folder", ["tmp"], BOP, "run", experiment(GOOD), "--store", "/tmp")
    missing = os.path.join(scratch(), "no/such/runs.db")
    refuses("missing", [missing], BOP, "run", experiment(GOOD), "--store", missing)


def made_store():
    at = store()
    bop("run", experiment(GOOD), "--store", at)
    return at


def test_newer_store():
    """a store that a newer bop has written is refused and stays as it is"""
    at = made_store()
    with sqlite3.connect(at) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    untouched(at, [at, "newer"])


def test_damaged_store():
    """a store whose content is damaged is refused with its name, whatever the damage"""
    at = made_store()
    size = os.path.getsize(at)
    with open(at, "r+b") as f:
        f.seek(4096)
        f.write(b"\xa5" * (size - 4096))
    refuses("damaged", [at], BOP, "show", "last", "--store", at)


def test_read_only_store():
    """a store on a read-only file system can be read, and a run into it is refused"""
    at = made_store()
    folder = os.path.dirname(at)
    frozen = f"mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}"
    equal(command(*in_mounts(frozen, BOP, "show", "last", "--json", "--store", at)).json()["outcome"], "good", "outcome")
    refuses("read-only", [at, "read-only"], *in_mounts(frozen, BOP, "run", experiment(GOOD), "--store", at))
    refuses("read-only", [at, "read-only"], *in_mounts(frozen, BOP, "rm", "1", "--store", at))


def test_full_store():
    """a disk that is full before the run begins, or fills up while it is recorded, is named"""
    folder = scratch()
    at = os.path.join(folder, "runs.db")
    refuses("full", [at, "full"],
            *in_mounts(f"mount -t tmpfs -o size=16k none {folder}", BOP, "run", experiment(GOOD), "--store", at))
    noisy = experiment("experiment: noisy\nboxes: [a]\nworkload: {name: w, box: a, run: [sh, -c, "
                       "'for i in 1 2 3 4 5 6 7 8 9; do head -c 200000 /dev/urandom; sleep 0.1; done']}\n")
    refuses("full", [at, "full"],
            *in_mounts(f"mount -t tmpfs -o size=300k none {folder}", BOP, "run", noisy, "--store", at))


def test_locked_store():
    """a store that another program keeps locked is named after a few seconds"""
    at = made_store()
    db = sqlite3.connect(at, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    try:
        refuses("locked", [at, "locked"], BOP, "run", experiment(GOOD), "--store", at)
    finally:
        db.close()


def test_no_such_run():
    """a run that does not exist is named, by every command that takes one"""
    at = made_store()
    for argv in (["show", "99"], ["graph", "99"], ["rm", "99"]):
        refuses("run", ["99"], BOP, *argv, "--store", at)
    for word in ("0", "-1", "1x", "18446744073709551616", "first"):
        refuses("run", [word], BOP, "show", "--store", at, "--", word)
    equal(show(1, at)["outcome"], "good", "the run that is there")


def test_no_store():
    """reading a store that does not exist says so and does not make it"""
    at = unused_store()
    for argv in (["runs"], ["show", "last"], ["graph", "last"], ["rm", "1"]):
        refuses("store", [at], BOP, *argv, "--store", at)
        true(not os.path.exists(at), "a store was made")


def test_empty_store():
    """the last run of a store that has none does not exist"""
    at = made_store()
    bop("rm", "1", "--store", at)
    refuses("run", ["no run"], BOP, "show", "last", "--store", at)


def test_usage():
    """unknown commands and options, and arguments too few or too many, are refused"""
    for argv in ([], ["fly"], ["run"], ["run", "a", "b"], ["show"], ["runs", "--no-such-option"], ["run", "--runs"],
                 ["run", "--runs", "x", experiment(GOOD)], ["run", "--runs", "0", experiment(GOOD)]):
        result = bop(*argv, status=None)
        equal(result.status, 3, str(result))
        true(result.err.strip() and not result.out, f"complaints belong on stderr: {result}")


def test_bad_picture():
    """a picture in an unknown format, or in a place that cannot be written, is refused"""
    at = made_store()
    folder = scratch()
    refuses("format", ["gif"], BOP, "graph", "1", "--store", at, "-o", os.path.join(folder, "a.gif"))
    refuses("place", ["no/such"], BOP, "graph", "1", "--store", at, "-o", os.path.join(folder, "no/such/a.svg"))
    refuses("full", ["/dev/full"], BOP, "graph", "1", "--store", at, "-o", "/dev/full")
    equal(os.listdir(folder), [], "files left behind")


def test_closed_stdout():
    """output that cannot be written is an error, not a success"""
    at = made_store()
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([BOP, "show", "1", "--json", "--store", at], stdout=full, stderr=subprocess.PIPE,
                              check=False)
    equal(done.returncode, 3, f"exit status, stderr {done.stderr!r}")


sys.exit(run_tests(*[refuses_file(*row) for row in FILES], test_no_such_file, test_not_root, test_no_btf, test_no_bpf,
                   test_text_as_store, test_foreign_database, test_folder_as_store, test_newer_store,
                   test_damaged_store, test_read_only_store, test_full_store, test_locked_store, test_no_such_run,
                   test_no_store, test_empty_store, test_usage, test_bad_picture, test_closed_stdout))
