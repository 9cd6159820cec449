#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what `bop show RUN --json` prints, a run a line, and says which prints are not what print_reference.py computes."""
import json
import sys

from print_reference import Print

differ = n = 0
for n, line in enumerate(sys.stdin, 1):
    shown = json.loads(line)
    for symmetric, its_roles in ((False, {}), (True, shown["roles"] or {})):
        for level, computed in Print(shown, its_roles).prints.items():
            name = level if not symmetric else f"{level}_symmetric".removeprefix("exact_")
            said = shown["print"][name]["hash"], shown["print"][name]["approximate"]
            differ += said != computed
            print(*([] if said == computed else [f"# run {shown['run']}, {name}: bop says {said}, this {computed}\n"]), end="")
print(f"# {n} runs, {differ} prints differ")
sys.exit(1 if differ or not n else 0)
