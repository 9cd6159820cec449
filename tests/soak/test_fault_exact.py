#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults at every message of a conversation: the whole matrix of tests/kernel/test_fault_exact.c. Minutes."""
import os
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
program = os.path.join(ROOT, os.environ.get("O", "build"), "tests/kernel/test_fault_exact")
os.environ["BOP_TEST_SOAK"] = "1"
sys.stdout.flush()
os.execv(program, [program])
