#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""--help, the man pages and the bash completion name the same commands and options. Needs no root."""
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

from harness import BOP, OUT, ROOT, TFJ, WAIT, Skip, bop, command, equal, run_tests, scratch, true

COMPLETION = os.path.join(ROOT, "docs/completion/bop.bash")
PAGES = {name: os.path.join(ROOT, f"docs/man/{name}.1") for name in ("bop", "tfj")}
OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
ROW = re.compile(r"^ +((?:-\w, +)?--[\w-]+(?:(?:\[=| )[A-Z]+(?:\[=[A-Z]+)?\]?)?)(?:  |$)", re.M)
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES",
            "SEE ALSO"]


def plain(line):
    """A line of a man page without its fonts."""
    return re.sub(r"\\f[BIRP]", "", line).replace("\\-", "-")


def page(name):
    """Lines of a man page below each of its headings, subsections by their first two words (bop run)."""
    found, key = {}, ""
    with open(PAGES[name], encoding="utf-8") as f:
        for line in map(plain, f.read().splitlines()):
            if line.startswith(".SH "):
                key = line[4:].strip('"')
            elif line.startswith(".SS "):
                key = " ".join(line[4:].split()[:2])
            found.setdefault(key, []).append(line)
    return found


def tags(lines):
    """What a page explains there: the line behind each .TP, if it is an option."""
    return {lines[i + 1] for i, line in enumerate(lines[:-1]) if line == ".TP" and lines[i + 1].startswith("-")}


def rows(text):
    """What a help explains, as `-n, --runs N`."""
    return {re.sub(" +", " ", row) for row in ROW.findall(text)}


def names(explained):
    """-n and --runs of `-n, --runs N`."""
    return {name for row in explained for name in OPTION.findall(row)}


def commands():
    return re.findall(r"^  (\w+) ", bop("--help").out.split("commands:\n")[1].split("\n\n")[0], re.M)


def complete(program, *words, env=None):
    """What the completion offers for the last of the words."""
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "_${1##*/}" "$1"; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    result = command("bash", "--norc", "-c", script, "bash", COMPLETION, program, *words, env=env)
    equal(result.err, "", f"stderr of the completion of {words}")
    return set(result.out.split())


def test_commands():
    """bop --help, its man page and its completion name the same commands"""
    wanted = set(commands())
    true(len(wanted) >= 5, f"bop --help is not understood: {wanted}")
    equal({key[4:] for key in page("bop") if key.startswith("bop ")}, wanted, "commands in bop.1")
    equal({word for word in complete(BOP, "") if word[0] != "-"}, wanted, "commands in the completion")


def test_bop_options():
    """every option of every command of bop is in its --help, its part of the man page and its completion"""
    for name in commands():
        wanted = rows(bop(name, "--help").out)
        true("-h, --help" in wanted, f"bop {name} --help is not understood: {wanted}")
        equal(tags(page("bop")[f"bop {name}"]), wanted, f"options of {name} in bop.1")
        equal(complete(BOP, name, "-"), names(wanted), f"options of {name} in the completion")
    wanted = {name for name in OPTION.findall(bop("--help").out) if name.startswith("--")}
    equal(tags(page("bop")["OPTIONS"]), wanted, "options of bop itself in bop.1")
    equal(complete(BOP, "-"), wanted, "options of bop itself in the completion")


def test_tfj_options():
    """every command and option of tfj is in its --help, its man page and its completion"""
    text = command(TFJ, "--help").out
    wanted = names(rows(text)) | set(OPTION.findall(text))
    true({"--collector", "--json", "-h", "--help"} <= wanted, f"tfj --help is not understood: {wanted}")
    equal(names(tags(page("tfj")["OPTIONS"])), wanted, "options in tfj.1")
    equal(complete(TFJ, "-"), wanted, "options in the completion")
    wanted = set(re.findall(r"^ +tfj ([a-z]+)\b", text, re.M))
    true({"probe", "clean"} <= wanted, f"tfj --help is not understood: {wanted}")
    equal({key[4:] for key in page("tfj") if re.match(r"tfj [a-z]", key)}, wanted, "commands in tfj.1")
    equal({word for word in complete(TFJ, "") if word[0] != "-"}, wanted, "commands in the completion")


def test_mentions():
    """no page speaks of an option that its program does not have"""
    texts = {"bop": [bop("--help").out] + [bop(name, "--help").out for name in commands()],
             "tfj": [command(TFJ, "--help").out]}
    for name in PAGES:
        known = {option for text in texts[name] for option in OPTION.findall(text)}
        for heading, lines in page(name).items():
            for line in lines:
                if name in line or line.startswith(".B"):
                    foreign = {option for option in OPTION.findall(line) if option.startswith("--")} - known
                    true(not foreign, f"{name}.1, {heading}: {foreign} in: {line}")


def test_statuses():
    """the exit statuses of the man pages are those of --help"""
    for name, text in (("bop", bop("--help").out), ("tfj", command(TFJ, "--help").out)):
        wanted = set(re.findall(r"\b\d+\b", re.search(r"exit status:(.*)", text, re.I)[1]))
        lines = page(name)["EXIT STATUS"]
        got = {lines[i + 1].split()[1] for i, line in enumerate(lines[:-1]) if line == ".TP"}
        equal(got, wanted, f"exit statuses in {name}.1")


def test_sections():
    """each man page has all sections, and its synopsis all commands"""
    for name in PAGES:
        sections = page(name)
        for heading in SECTIONS:
            true(heading in sections, f"{name}.1 has no {heading}")
    for name in commands():
        true(f".B bop {name}" in page("bop")["SYNOPSIS"], f"the synopsis of bop.1 has no {name}")


def test_man():
    """man has nothing to complain about"""
    if not shutil.which("man"):
        raise Skip("man-db is not installed")
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat"}
    for name, path in PAGES.items():
        result = command("man", "-l", "--warnings", "-Tutf8", path, env=environment)
        equal(result.err, "", f"complaints about {name}.1")
        true("SEE ALSO" in re.sub(r"\x1b\[[0-9;]*m|.\x08", "", result.out), f"{name}.1 was not shown: {result}")


def stand_in():
    """A program named bop with runs 7 and 12 in the store `store`, else 3; it needs no root to get them."""
    path = os.path.join(scratch(), "bop")
    with open(path, "w", encoding="ascii") as f:
        f.write("""#!/bin/sh
[ "$1 $2" = "runs --json" ] || exit 3
case "$3 $4" in
"--store some store") echo '{"runs":[{"run":7,"reason":"\\"run\\":5"},{"run":12,"reason":null}]}' ;;
"--store sqlite:/x") echo '{"runs":[{"run":8}]}' ;;
"--server ") echo '{"runs":[{"run":21}]}' ;;
"--server=ipc:///x/api ") echo '{"runs":[{"run":22}]}' ;;
" ") echo '{"runs":[{"run":3}]}' ;;
esac
""")
    os.chmod(path, 0o700)
    return path


def test_runs():
    """show, graph and rm complete the numbers of the runs in the store, or of the server, that the line names"""
    program = stand_in()
    for name in ("show", "graph", "rm"):
        equal(complete(program, name, ""), {"last", "3"}, f"runs for {name}")
        equal(complete(program, name, "--store", "some\\ store", ""), {"last", "7", "12"}, "runs with --store")
        equal(complete(program, name, "--store", "=", "some\\ store", "1"), {"12"}, "runs with --store=")
        equal(complete(program, name, "--store", "sqlite", ":", "/x", ""), {"last", "8"}, "runs with sqlite:")
    equal(complete(program, "rm", "--server", ""), {"last", "21"}, "runs with --server")
    equal(complete(program, "show", "--server", "=", "ipc", ":", "///x/api", ""), {"last", "22"}, "runs with --server=")
    equal(complete(program, "show", "3", ""), set(), "a second run for show")
    equal(complete(program, "rm", "3", ""), {"last", "3"}, "a second run for rm")
    missing = os.path.join(scratch(), "none.db")
    equal(complete(BOP, "show", "--store", missing, ""), {"last"}, "runs of a store that is not there")
    true(not os.path.exists(missing), "the completion made a store")


def test_values():
    """options with few values complete them, those with a number complete nothing"""
    for words in (["--order", ""], ["--order", "="], ["--order", "=", ""]):
        equal(complete(BOP, "show", *words), {"process", "thread"}, f"values for {words}")
    equal(complete(BOP, "run", "--runs", ""), set(), "values of --runs")
    equal(complete(TFJ, "--collector", ""), {"ipc://", "tcp://"}, "values of --collector")


def typed(keys, folder, until):
    """What an interactive bash in the folder shows for these keys, up to the text that it should show."""
    pid, fd = pty.fork()
    if not pid:
        os.chdir(folder)
        os.environ.update(PS1="$ ", TERM="dumb", INPUTRC="/dev/null", HISTFILE="",
                          PATH=f"{OUT}:{os.environ['PATH']}")
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    shown, deadline = b"", time.monotonic() + WAIT
    try:
        os.write(fd, f"source {COMPLETION}; echo re''ady\r{keys}".encode())
        while until not in shown.replace(b"\r", b"") and time.monotonic() < deadline:
            if select.select([fd], [], [], 1)[0]:
                shown += os.read(fd, 4096)
    except OSError:
        pass  # bash has ended
    os.close(fd)
    os.waitpid(pid, 0)
    return shown.decode(errors="replace").replace("\r", "")


def test_files():
    """in a real bash, Tab completes files after run, --store, --store= and sqlite:, also with spaces"""
    folder = scratch()
    with open(os.path.join(folder, "my system.yaml"), "w", encoding="ascii"):
        pass
    for keys in ("bop run m", "bop show --store m", "bop show --store=m", "bop show --store sqlite:m",
                 "bop graph 1 -o m"):
        wanted = keys + "y\\ system.yaml"
        true(wanted in typed(keys + "\t", folder, wanted.encode()), f"{keys} <Tab> does not become {wanted}")


sys.exit(run_tests(test_commands, test_bop_options, test_tfj_options, test_mentions, test_statuses, test_sections,
                   test_man, test_runs, test_values, test_files))
