#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys: made once, readable by their owner alone, and a list of agents that is changed as a whole. Needs no root."""
import json
import os
import sys

from harness import BOP, TFJ, Running, bop, command, equal, one_line, run_tests, scratch, true


def folder():
    return os.path.join(scratch(), "keys")


def listed(keys):
    return json.loads(bop("keys", "--keys", keys, "--json").out)


def test_make():
    """make writes a pair, prints the public key, and gives nobody else the secret; a second time it changes nothing"""
    keys = folder()
    public = bop("keys", "--keys", keys, "make", "server").out.strip()
    equal(len(public), 40, "length of the key")
    equal(os.stat(f"{keys}/server.secret").st_mode & 0o777, 0o600, "mode of the secret")
    equal(os.stat(keys).st_mode & 0o777, 0o700, "mode of the folder")
    with open(f"{keys}/server.secret", encoding="ascii") as f:
        secret = f.read()
    true(public not in secret, "the secret is the public key")
    one_line(bop("keys", "--keys", keys, "make", "server", status=3), "server.secret", "already")
    with open(f"{keys}/server.secret", encoding="ascii") as f:
        equal(f.read(), secret, "the secret after a second make")
    equal(listed(keys)["pairs"], [{"name": "server", "key": public}], "pairs")


def test_others_public():
    """a public key that somebody put there, without its secret, is not replaced: no pair is made"""
    keys = folder()
    bop("keys", "--keys", keys, "make", "mine")
    os.rename(f"{keys}/mine.public", f"{keys}/web1.public")
    with open(f"{keys}/web1.public", "rb") as f:
        theirs = f.read()
    one_line(bop("keys", "--keys", keys, "make", "web1", status=3), "web1.public", "already")
    with open(f"{keys}/web1.public", "rb") as f:
        equal(f.read(), theirs, "the public key of before")
    equal(sorted(os.listdir(keys)), ["mine.secret", "web1.public"], "files")


def test_no_plain_file():
    """a FIFO, a folder and a device are no files with a key: refused at once, also where nobody ever writes"""
    keys = folder()
    bop("keys", "--keys", keys, "make", "mine")
    os.mkfifo(f"{keys}/fifo")
    for where in (f"{keys}/fifo", keys, "/dev/zero"):
        one_line(bop("keys", "--keys", keys, "allow", "a", where, status=3, timeout=30), "no key here")
    agents = (["--server-key", f"{keys}/fifo", "--key", f"{keys}/mine.secret"],
              ["--server-key", f"{keys}/mine.public", "--key", f"{keys}/fifo"])
    for given in agents if os.geteuid() == 0 else ():  # else an agent refuses to be one before it looks at keys
        refused = command(TFJ, "--collector", "tcp://127.0.0.1:9", *given, status=None, timeout=30)
        true(refused.status not in (0, None) and "plain file" in refused.err, f"not refused: {refused}")
    equal(listed(keys)["allowed"], [], "list")


def test_at_once():
    """of many who change the list at the same moment, none undoes what another one did"""
    keys = folder()
    names = [f"a{i}" for i in range(24)]
    made = {name: bop("keys", "--keys", keys, "make", name).out.strip() for name in names}
    for running in [Running(BOP, "keys", "--keys", keys, "allow", name, made[name]) for name in names]:
        equal(running.end().status, 0, "exit status")
    equal({row["name"]: row["key"] for row in listed(keys)["allowed"]}, made, "list")
    for running in [Running(BOP, "keys", "--keys", keys, "remove", name) for name in names[:-1]]:
        equal(running.end().status, 0, "exit status")
    equal([row["name"] for row in listed(keys)["allowed"]], names[-1:], "list after all were removed but one")


def test_list():
    """allow and remove change the list of agents, by key or by file; a name has one key and a key one name"""
    keys = folder()
    one, two = (bop("keys", "--keys", keys, "make", name).out.strip() for name in ("one", "two"))
    bop("keys", "--keys", keys, "allow", "a", one)
    bop("keys", "--keys", keys, "allow", "b", f"{keys}/two.public")
    bop("keys", "--keys", keys, "allow", "b", two)
    equal(listed(keys)["allowed"], [{"name": "a", "key": one}, {"name": "b", "key": two}], "list")
    one_line(bop("keys", "--keys", keys, "allow", "a", two, status=3), "'a'", "another key")
    one_line(bop("keys", "--keys", keys, "allow", "c", two, status=3), "'b'")
    bop("keys", "--keys", keys, "remove", "a")
    one_line(bop("keys", "--keys", keys, "remove", "a", status=3), "'a'")
    equal(listed(keys)["allowed"], [{"name": "b", "key": two}], "list after remove")


def test_path_like_key():
    """a file whose path is 40 characters that could be a key is a file"""
    keys = os.path.join(scratch(), "k")
    name = "n" * (40 - len("k/.public"))
    public = bop("keys", "--keys", keys, "make", name).out.strip()
    bop("keys", "--keys", keys, "allow", "a", f"k/{name}.public", cwd=os.path.dirname(keys))
    equal(listed(keys)["allowed"], [{"name": "a", "key": public}], "list")


def test_others():
    """a secret that others can read is refused, and so is a list that others can change"""
    keys = folder()
    bop("keys", "--keys", keys, "make", "server")
    for mode in (0o640, 0o604, 0o620):
        os.chmod(f"{keys}/server.secret", mode)
        one_line(bop("keys", "--keys", keys, status=3), "server.secret", f"{mode:04o}", "bop keys make")
    os.chmod(f"{keys}/server.secret", 0o600)
    bop("keys", "--keys", keys, "allow", "a", f"{keys}/server.public")
    os.chmod(f"{keys}/allowed", 0o620)
    one_line(bop("keys", "--keys", keys, status=3), "allowed", "chmod 600")


def test_bad():
    """what is no name, no key, no file or no command is refused in one line, and nothing is made"""
    keys = folder()
    one_line(bop("keys", "--keys", keys, "make", "../x", status=3), "../x")
    one_line(bop("keys", "--keys", keys, "allow", "a", "x" * 39, status=3), "neither a key")
    one_line(bop("keys", "--keys", keys, "allow", "a", "'" * 40, status=3), "neither a key")
    one_line(bop("keys", "--keys", keys, "allow", "a", "/dev/null", status=3), "no key")
    one_line(bop("keys", "--keys", keys, "make", status=3), "bop keys --help")
    one_line(bop("keys", "--keys", keys, "forge", "a", status=3), "bop keys --help")
    with open(f"{keys}/allowed", "w", encoding="ascii") as f:
        f.write("# a comment\nweb1 key\n")
    one_line(bop("keys", "--keys", keys, status=3), "allowed:2")
    equal(os.listdir(keys), ["allowed"], "files")


sys.exit(run_tests(test_make, test_others_public, test_no_plain_file, test_at_once, test_list, test_path_like_key, test_others, test_bad))
