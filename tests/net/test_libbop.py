#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""libbop as others use it: installed, found by pkg-config, linked with a program that knows nothing of this project."""
import os
import re
import shutil
import sys

from controller import Controller, RUN, RUN_END, run_of
from harness import OUT, ROOT, Running, command, equal, example, leftovers, nothing_left, run_tests, scratch, true, wait_for
from serving import Embedded, gated, go

BEFORE = leftovers()
SERVER = Embedded()
PREFIX = "/opt/bop"
PLACE = scratch(0o755)
ENVIRONMENT = {**{name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
               "PKG_CONFIG_PATH": f"{PLACE}{PREFIX}/lib/pkgconfig", "PKG_CONFIG_SYSROOT_DIR": ""}


def installed(path):
    return f"{PLACE}{PREFIX}/{path}"


def make(*argv, folder=ROOT):
    return command("make", "--no-print-directory", *argv, cwd=folder, env=ENVIRONMENT)


def build(source, *flags, static=False):
    """Compiles it as the page says: pkg-config, nothing of ours on the command line."""
    program = os.path.join(scratch(0o755), "program")
    where = [f"--define-variable=prefix={PLACE}{PREFIX}"]
    cflags = command("pkg-config", *where, "--cflags", "libbop", env=ENVIRONMENT).out.split()
    libs = command("pkg-config", *where, "--libs", "libbop", env=ENVIRONMENT).out.split()
    if static:
        libs = [installed("lib/libbop.a") if word == "-lbop" else word for word in libs] + ["-lzmq"]
    command(os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", *flags, *cflags, "-o", program, source, *libs,
            f"-Wl,-rpath,{installed('lib')}")
    return program


def controller_c():
    """Its folder, copied to where nothing else of the project is."""
    folder = os.path.join(scratch(0o755), "controller-c")
    shutil.copytree(os.path.join(ROOT, "examples/controller-c"), folder)
    return folder


def test_install():
    """header, messages, both libraries, pkg-config file and man page are installed; the version is that of bop"""
    make("install", f"O={OUT}", f"DESTDIR={PLACE}", f"PREFIX={PREFIX}")
    for path in ("include/bop/bop.h", "include/bop/proto/api.pb-c.h", "include/bop/proto/api.proto", "lib/libbop.a", "lib/libbop.so",
                 "lib/pkgconfig/libbop.pc", "share/man/man3/libbop.3"):
        true(os.path.exists(installed(path)), f"{path} is not installed")
    version = command("pkg-config", "--modversion", "libbop", env=ENVIRONMENT).out.strip()
    equal(command(installed("bin/bop"), "--version").out.split()[1], version, "version")
    dynamic = command("readelf", "-d", installed("lib/libbop.so")).out
    equal(re.search(r"SONAME.*\[(.*)\]", dynamic)[1], "libbop.so.0", "soname")
    equal(command("man", "--warnings", "-l", installed("share/man/man3/libbop.3"), env={**ENVIRONMENT, "MANPAGER": "cat"}).err, "",
          "what man complains about")


def test_symbols():
    """the libraries show bop_* and the messages of the API, and nothing else; the header declares all of bop_*"""
    wanted = set()
    with open(installed("include/bop/bop.h"), encoding="utf-8") as f:
        wanted = set(re.findall(r"^BOP_PUBLIC [^(]*?\b(bop_\w+)\(", f.read(), re.M))
    for name, argv in (("libbop.so", ["-D", "--defined-only"]), ("libbop.a", ["--defined-only", "-g"])):
        names = {line.split()[-1].split("@")[0] for line in command("nm", *argv, installed(f"lib/{name}")).out.splitlines()
                 if len(line.split()) == 3}
        names -= {n for n in names if n.startswith("bop__api__") or n == "LIBBOP_0"}
        equal(names, wanted, f"names in {name}")


def test_example():
    """the example in C is built with the installed library by its own Makefile, runs an experiment, and learns what broke it"""
    folder = controller_c()
    make(f"LDFLAGS=-L{installed('lib')} -Wl,-rpath,{installed('lib')}", f"CFLAGS=-I{installed('include')}", folder=folder)
    argv = [f"{folder}/controller", SERVER.api, example("primary-backup")]
    said = command(*argv, "reset primary>b:7001#1/3", status=1).out
    true(re.search(r"^no fault\n(?:  .*\n)*  run \d+: good, \d+ messages, 0 events lost$", said, re.M), f"it says: {said}")
    true(re.search(r"^reset .*\n(?:  .*\n)*  run \d+: violated: ", said, re.M), f"it says: {said}")
    result = command(*argv, "isolate nobody", status=3)
    true("no box 'nobody'" in result.err, f"it says: {result}")
    result = command(f"{folder}/controller", "ipc:///nowhere/api", argv[2], status=3)
    true("no server runs at ipc:///nowhere/api" in result.err, f"it says: {result}")


ASK = r"""
#include <bop/bop.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define MUST(x) do { if (!(x)) { fprintf(stderr, "line %d: %s: %s\n", __LINE__, #x, e.text); return 1; } } while (0)

int main(int argc, char **argv)
{
	Bop__Api__Request boxes = BOP__API__REQUEST__INIT, wait = BOP__API__REQUEST__INIT, bad = BOP__API__REQUEST__INIT;
	Bop__Api__ListBoxes list_boxes = BOP__API__LIST_BOXES__INIT;
	Bop__Api__WaitRun wait_run = BOP__API__WAIT_RUN__INIT, none = BOP__API__WAIT_RUN__INIT;
	struct pollfd item = { .events = POLLIN };
	struct bop_error e = { .code = 0 };
	Bop__Api__Answer *answer;
	struct bop *bop;

	(void)argc;
	MUST(bop_open("ipc:///nowhere/api", NULL, &bop, &e) == -ECONNREFUSED && !e.refused);
	MUST(bop_open("http://x", NULL, &bop, &e) == -EINVAL);
	MUST(bop_open(argv[1], NULL, &bop, &e) == 0 && !strcmp(bop_url(bop), argv[1]));
	item.fd = bop_fd(bop);
	MUST(poll(&item, 1, 0) == 0 && bop_receive(bop, &answer, &e) == 0);
	boxes.what_case = BOP__API__REQUEST__WHAT_LIST_BOXES;
	boxes.list_boxes = &list_boxes;
	MUST(bop_ask(bop, &boxes, 30000, &answer, &e) == 0 && answer->what_case == BOP__API__ANSWER__WHAT_BOXES);
	MUST(answer->boxes->n_agents == 1 && answer->id == boxes.id && boxes.id);
	bop_answer_free(answer);
	/* of a run that goes on: the answer that comes while another one is waited for is kept, and the descriptor says so */
	wait.what_case = BOP__API__REQUEST__WHAT_WAIT_RUN;
	wait.wait_run = &wait_run;
	MUST(bop_ask(bop, &wait, 1, &answer, &e) == -ETIMEDOUT);
	wait.id = 0;
	MUST(bop_send(bop, &wait, &e) == 0);
	none.run = 1ull << 60;
	bad.what_case = BOP__API__REQUEST__WHAT_WAIT_RUN;
	bad.wait_run = &none;
	MUST(bop_ask(bop, &bad, 30000, &answer, &e) == -ENOENT && e.refused && e.kind == BOP__API__ERROR_KIND__NOT_FOUND);
	puts("go");
	fflush(stdout);
	while (1) {
		MUST(poll(&item, 1, 30000) == 1);
		MUST(poll(&item, 1, 0) == 1); /* as long as nobody has taken it */
		boxes.id = 0;
		MUST(bop_ask(bop, &boxes, 30000, &answer, &e) == 0); /* what came meanwhile is kept */
		bop_answer_free(answer);
		MUST(poll(&item, 1, 0) == 1);
		MUST(bop_receive(bop, &answer, &e) == 1);
		if (answer->id == wait.id && answer->what_case == BOP__API__ANSWER__WHAT_RUN_END)
			break;
		bop_answer_free(answer);
	}
	MUST(!strcmp(answer->run_end->outcome, "good"));
	bop_answer_free(answer);
	while (bop_receive(bop, &answer, &e) > 0)
		bop_answer_free(answer);
	MUST(poll(&item, 1, 0) == 0);
	bop_close(bop);
	bop_close(NULL);
	return 0;
}
"""


def ask_source():
    path = os.path.join(scratch(), "ask.c")
    with open(path, "w", encoding="ascii") as f:
        f.write(ASK)
    return path


def test_ask():
    """ask, timeout, typed errors, answers out of turn, a descriptor that stays readable: with both libraries and sanitizers"""
    for static, flags in ((False, []), (True, []), (True, ["-fsanitize=address,undefined", "-g"])):
        program = build(ask_source(), *flags, static=static)
        path, up, gate = gated()
        with Controller(f"{SERVER.folder}/api") as asker:
            asker.ask(1, RUN, run_of(path))
            wait_for("the workload", lambda path=up: os.path.exists(path))
            running = Running(program, SERVER.api)
            wait_for("the program", lambda r=running: "go" in r.result().out or r.process.poll() is not None)
            go(gate)
            equal(asker.last(1)[0], RUN_END, "the run")
            result = running.end()
            equal(result.status, 0, f"{result}")


def test_page():
    """the question in C of docs/api.md is compiled as it stands there, finds the usual server, and prints what there is"""
    with open(os.path.join(ROOT, "docs/api.md"), encoding="utf-8") as f:
        block = re.search(r"^```c\n(.*?)^```", f.read(), re.M | re.S)[1]
    path = os.path.join(scratch(), "page.c")
    with open(path, "w", encoding="ascii") as f:
        f.write(f"#include <bop/bop.h>\n#include <err.h>\n#include <stdio.h>\nint main(void)\n{{\n{block}return 0;\n}}\n")
    usual = {**os.environ, "BOP_SERVER_DIR": SERVER.folder}
    equal(command(build(path), env=usual).out, "1 agents\n", "what it prints")


def test_cplusplus():
    """the header can be included from C++"""
    if not shutil.which("c++"):
        return
    path = os.path.join(scratch(), "x.cc")
    with open(path, "w", encoding="ascii") as f:
        f.write("#include <bop/bop.h>\nint main() { return bop_version() ? 0 : 1; }\n")
    program = os.path.join(scratch(0o755), "x")
    command("c++", "-I", installed("include"), "-o", program, path, "-L", installed("lib"), "-lbop", f"-Wl,-rpath,{installed('lib')}")
    command(program)


def test_uninstall():
    """uninstall removes all that install put there"""
    make("uninstall", f"O={OUT}", f"DESTDIR={PLACE}", f"PREFIX={PREFIX}")
    equal([os.path.join(folder, name) for folder, _, names in os.walk(PLACE) for name in names], [], "files that are left")


with SERVER:
    STATUS = run_tests(test_install, test_symbols, test_example, test_ask, test_page, test_cplusplus, test_uninstall)
nothing_left(BEFORE)
sys.exit(STATUS)
