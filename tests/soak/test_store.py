#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store against its model in long sequences, and collectors that are killed some thousand times: the programs of tests/unit/ that
`make test` runs shortly, with more of the same."""
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../net"))
from harness import OUT, ROOT, run_tests, true  # noqa: E402  pylint: disable=wrong-import-position

TIMEOUT = 3600  # seconds


def program(name, *before, **environment):
    done = subprocess.run([*before, os.path.join(OUT, "tests/unit", name)], capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          env={**os.environ, "CK_TAP_LOG_FILE_NAME": "-", "CK_VERBOSITY": "silent", **environment})
    true(done.returncode == 0 and "not ok" not in done.stdout, f"{name} {environment}: {done.stdout[-3000:]}{done.stderr[-1000:]}")


def test_model():
    """20 times 6 sequences of 1000 steps each end as the model says"""
    for _ in range(20):
        program("test_store_model", BOP_TEST_SEED=str(random.randrange(1 << 32)), BOP_TEST_STEPS="1000")


def test_kills():
    """1000 rounds of up to three collectors that are killed while they record, seal, drop and remove"""
    for _ in range(10):
        program("test_store_kill", BOP_TEST_SEED=str(random.randrange(1 << 32)), BOP_TEST_ROUNDS="100")


def test_migration():
    """1000 kills while a store of format 1 is brought to format 2"""
    program("test_store_migrate", BOP_TEST_ROUNDS="1000")


def test_postgres():
    """the same on PostgreSQL, a tenth of it; and a connection that is cut at every single moment"""
    postgres = os.path.join(ROOT, "tests/net/postgres.py")
    for _ in range(2):
        program("test_store_model", postgres, BOP_TEST_SEED=str(random.randrange(1 << 32)), BOP_TEST_STEPS="1000")
    program("test_store_kill", postgres, BOP_TEST_SEED=str(random.randrange(1 << 32)), BOP_TEST_ROUNDS="100")
    program("test_store_pg", postgres, BOP_TEST_SOAK="1")


sys.exit(run_tests(test_model, test_kills, test_migration, test_postgres))
