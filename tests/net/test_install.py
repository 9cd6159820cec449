#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger does first: make help, deps, install; and what the programs say about themselves."""
import os
import re
import sys

from harness import BOP, OUT, ROOT, TFJ, bop, command, equal, example, leftovers, nothing_left, run_tests, scratch, store, true

COMMANDS = ("run", "runs", "show", "graph", "rm", "serve", "boxes", "keys")


def make(*argv, **kwargs):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return command("make", "--no-print-directory", f"O={OUT}", *argv, cwd=ROOT, env=environment, **kwargs)


def test_help():
    """make help lists the targets, bop and tfj explain themselves with --help and name their version"""
    text = make("help").out
    for target in ("all", "deps", "demo", "test", "test-vm", "soak", "bench", "fuzz", "deb", "install", "uninstall"):
        true(re.search(rf"^{target}\b", text, re.M), f"make help does not mention {target}")
    for name in COMMANDS:
        true(name in bop("--help").out, f"bop --help does not mention {name}")
        true(f"bop {name}" in bop(name, "--help").out, f"bop {name} --help does not explain itself")
    true("probe" in command(TFJ, "--help").out, "tfj --help does not mention probe")
    equal(bop("--version").out.split()[1:], command(TFJ, "--version").out.split()[1:], "versions")


def test_deps():
    """make deps does nothing, and says nothing, when everything is installed"""
    equal(make("deps").out, "", "output of make deps")


def test_install():
    """installed programs find each other, with man pages and completion; uninstall removes all that install put there"""
    before, root = leftovers(), scratch(0o755)
    make("install", f"DESTDIR={root}", "PREFIX=/opt/bop")
    installed = os.path.join(root, "opt/bop/bin/bop")
    command(installed, "run", example("client-server"), "--store", store(), cwd="/")
    for name in ("bop", "tfj"):
        true(os.path.isfile(os.path.join(root, f"opt/bop/share/man/man1/{name}.1")), f"no man page of {name}")
        script = os.path.join(root, "opt/bop/share/bash-completion/completions", name)
        equal(command("bash", "--norc", "-c", f'source "$1" && complete -p {name}', "bash", script).out,
              f"complete -F _{name} {name}\n", f"completion of {name}")
    true(os.access(os.path.join(root, "opt/bop/lib/bop/examples/quorum-client"), os.X_OK), "no program of the examples")
    for name in ("bop-serve", "tfj"):
        with open(os.path.join(root, f"opt/bop/lib/systemd/system/{name}.service"), encoding="utf-8") as f:
            unit = f.read()
        path = re.search(r"^ExecStart=(\S+)", unit, re.M)[1]
        true(os.path.isfile(root + path), f"{name}.service starts {path}, which is not there")
        if "StateDirectory=" in unit:
            true("\nStateDirectoryMode=0700\n" in unit, f"others can read what {name}.service keeps")
    make("uninstall", f"DESTDIR={root}", "PREFIX=/opt/bop")
    left = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    equal(left, [], "files left by uninstall")
    nothing_left(before)


def test_probe():
    """tfj probe says what this kernel can do: exit status 0 where tracing works, also as JSON"""
    text = command(TFJ, "probe").out
    true(len(text.splitlines()) >= 3, f"it says little: {text}")
    command(TFJ, "probe", "--json").json()


def test_from_anywhere():
    """bop works from any folder, with a store in the working directory by default"""
    place = scratch()
    environment = {name: value for name, value in os.environ.items() if name != "BOP_STORE"}
    command(BOP, "run", example("client-server"), cwd=place, env=environment)
    true(os.path.exists(os.path.join(place, "bop.db")), "no bop.db was made")
    rows = command(BOP, "runs", "--json", cwd=place, env=environment).json()["runs"]
    equal([row["experiment"] for row in rows], ["client-server"], "runs")
    other = store()
    command(BOP, "run", example("client-server"), cwd=place, env={**environment, "BOP_STORE": other})
    true(os.path.exists(other), "$BOP_STORE was not used")


sys.exit(run_tests(test_help, test_deps, test_install, test_probe, test_from_anywhere))
