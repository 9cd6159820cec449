#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flood of tests/net/test_strangers.py, with 100,000 junk messages."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../net"))
from harness import run_tests  # noqa: E402  pylint: disable=wrong-import-position
from test_strangers import test_flood  # noqa: E402  pylint: disable=wrong-import-position

sys.exit(run_tests(test_flood))
