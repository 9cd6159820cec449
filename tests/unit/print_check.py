#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what `bop show RUN --json` prints, a run a line, and says which prints are not what print_reference.py computes."""
import json
import sys

from print_reference import Print

differ = n = 0
for n, line in enumerate(sys.stdin, 1):
    shown = json.loads(line)
    for level, its_roles in (("exact", {}), ("symmetric", shown["roles"] or {})):
        said, computed = (shown["print"][level]["hash"], shown["print"][level]["approximate"]), Print(shown, its_roles).print
        differ += said != computed
        print(*([] if said == computed else [f"# run {shown['run']}, {level}: bop says {said}, this {computed}\n"]), end="")
print(f"# {n} runs, {differ} prints differ")
sys.exit(1 if differ or not n else 0)
