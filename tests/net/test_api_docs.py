#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of docs/api.md runs as it stands there, and prints what it says."""
import json
import os
import re
import sys

from asking import PAGE, api_python, blocks
from harness import ROOT, command, equal, run_tests, scratch, true
from serving import Server

PRINTS = re.compile(r"^ *print\(.*\)  # (.*)$", re.M)
# Runs blocks in one namespace, as a person would paste them; says what each printed.
DRIVER = """
import contextlib, io, json, sys
names, results = {}, []
for line, text in json.load(open(sys.argv[1])):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile("\\n" * line + text, "docs/api.md", "exec"), names)
    results.append(out.getvalue())
    print(json.dumps(results[-1]), flush=True)
"""


def test_examples():
    """the examples of docs/api.md run, one after the other, against a server, and print what is written behind them"""
    python, environment = api_python()
    wanted = blocks()
    true(len(wanted) > 15, f"blocks on the page: {len(wanted)}")
    path = os.path.join(scratch(), "blocks.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(wanted, f)
    with Server() as server:
        server.agent()
        result = command(python, "-c", DRIVER, path, env={**environment, "BOP_API": server.api}, cwd=ROOT, status=None)
    printed = [json.loads(line) for line in result.out.splitlines()]
    equal((result.status, len(printed)), (0, len(wanted)), f"what ran of the page; {result.err}")
    for (line, text), got in zip(wanted, printed):
        equal(got.splitlines(), PRINTS.findall(text), f"what the block at line {line} prints")


def test_complete():
    """docs/api.md has a section for each kind of request, which says what answers it"""
    with open(os.path.join(ROOT, "proto/api.proto"), encoding="utf-8") as f:
        proto = f.read()
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    oneof = {name: set(re.findall(r"^    (\w+) \w+ = \d+;", proto[proto.index(f"message {name} {{"):].split("\n}")[0], re.M))
             for name in ("Request", "Answer")}
    true(len(oneof["Request"]) > 15 and len(oneof["Answer"]) > 15, f"proto/api.proto is not understood: {oneof}")
    equal(oneof["Request"] - set(re.findall(r"^### (\w+)$", page, re.M)), set(), "requests without a section")
    equal({name for name in oneof["Answer"] if f"`{name}`" not in page}, set(), "answers that the page does not name")


sys.exit(run_tests(test_examples, test_complete))
