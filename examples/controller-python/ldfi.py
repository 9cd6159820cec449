#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lineage-driven fault injection by hand: looks for the smallest set of failures that an experiment does not survive.

    bop serve --agent &                         # as root
    examples/controller-python/ldfi.py examples/ldfi/2pc.yaml --crashes 1

It knows the system only through the API of `bop serve`: runs the experiment, asks what the good outcome stood on, chooses the
smallest failures that take all of it away, runs it with these, learns from what happened, until an outcome is bad or nothing is
left to try. Exits with 0 if nothing is left, 1 for a violation, 2 if some plans gave no answer, 3 if it could not run.
"""
import argparse
import itertools
import os
import re
import sys

from api import Api, Refused
from plans import Lineage

PROTO = [os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../proto/api.proto"),  # as it is built,
         "/usr/local/include/bop/proto/api.proto"]  # as it is installed
ATTEMPTS = 3  # at a plan whose outcome says nothing
COUNTS = {"good", "violated", "vacuous"}


def symmetries(experiment):
    """For each way in which processes of one role can change places, a function that does so to a line or label."""
    box = {p.name: p.box for p in experiment.processes}
    for orders in itertools.product(*(itertools.permutations(role.members) for role in experiment.roles)):
        swap = {}
        for role, order in zip(experiment.roles, orders):
            swap.update(zip(role.members, order))
            swap.update((box[a], box[b]) for a, b in zip(role.members, order))
        yield lambda text, swap=swap: re.sub(r"[A-Za-z0-9][A-Za-z0-9_-]*", lambda word: swap.get(word[0], word[0]), text)


class Loop:
    def __init__(self, args):
        if args.crashes == 0 and (args.losses_until < 2 or args.losses == 0):
            raise Refused("there is no failure in this budget: times begin at 1; allow --losses-until 2, or --crashes 1")
        self.args, self.runs, self.explored, self.open = args, 0, set(), []
        self.api = Api(args.server, args.proto, args.patience)
        with open(args.file, "rb") as f:
            self.file = {"name": args.file, "path": os.path.abspath(args.file), "text": f.read()}
        self.ways = list(symmetries(self.api.ask("describe_experiment", **self.file)))
        self.lineage = Lineage(args.losses_until, args.crashes, args.losses)

    def run(self, plan):
        """Runs it until the outcome says something."""
        for _ in range(ATTEMPTS):
            faults = [self.api.pb.FaultLine(line=line, origin=line) for line in sorted(plan)]
            end = self.api.ask("run", faults=faults, keep_runs="all", **self.file)
            self.runs += 1
            print(f"run {end.run:<4} {end.outcome:<12} {'; '.join(sorted(plan)) or 'no faults'}", flush=True)
            if end.outcome in COUNTS and not (end.incomplete or end.lost or end.holes):
                return end
        return None

    def outside(self, run, plan):
        """Did it lose a message later than is allowed? Its time can be another than where it was seen first."""
        times = {m.label: m.time for m in self.api.rows("get_messages", "rows", run=run)}
        return any(line.startswith("cut") and times.get(line[4:], 0) >= self.args.losses_until for line in plan)

    def violated(self, run, plan):
        if len(plan) > 1:
            small = self.api.ask("minimize", run=run)
            run, plan = small.run, small.plan
        again = self.api.ask("replay", run=run)
        picture = self.args.picture or f"violation-{again.run}.svg"
        with open(picture, "wb") as f:
            f.write(self.api.rendered(again.run, "svg"))
        print(f"VIOLATED after {self.runs} runs; again with exactly this plan: {again.outcome}")
        print("".join(f"  {line}\n" for line in plan) + f"picture: {picture}")
        return 1

    def go(self):
        plan = frozenset()
        while plan is not None:
            end = self.run(plan)
            self.explored |= {plan, *self.lineage.mirrored(plan, self.ways)}
            if not plan and (not end or end.outcome != "good"):
                raise Refused("without faults the outcome is not good: there is nothing to break")
            if not end:
                self.open.append(plan)
            elif end.outcome == "violated" and not self.outside(end.run, plan):
                return self.violated(end.run, plan)
            elif end.outcome == "violated":
                print("         outside of the budget: a message that was lost was sent later here")
            elif end.outcome == "good":
                self.lineage.learn(plan, list(self.api.rows("get_supports", "goals", run=end.run)))
            plan = self.lineage.next(self.explored)
        losses = "any number of" if self.args.losses is None else f"up to {self.args.losses}"
        print(f"SURVIVES after {self.runs} runs: {losses} losses before logical time {self.args.losses_until} and up to "
              f"{self.args.crashes} crashes do not break what the {sum(map(len, self.lineage.goals.values()))} supports have shown")
        for plan in self.open:
            print(f"  not covered, for its outcome said nothing: {'; '.join(sorted(plan))}")
        return 2 if self.open else 0


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(3, f"ldfi.py: {message}\n")


def number(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 on")
    return int(text)


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="an experiment file")
    parser.add_argument("--losses-until", type=number, default=0, metavar="TIME",
                        help="messages of an earlier logical time than this may get lost")
    parser.add_argument("--losses", type=number, metavar="N", help="at most so many of them")
    parser.add_argument("--crashes", type=number, default=0, metavar="N", help="so many processes may crash")
    parser.add_argument("--server", default=f"ipc://{os.environ.get('BOP_SERVER_DIR', '/run/bop')}/api", metavar="URL")
    parser.add_argument("--patience", type=number, default=20, metavar="SECONDS", help="without a word from the server")
    parser.add_argument("--proto", default=next(filter(os.path.exists, PROTO), PROTO[0]), metavar="FILE", help="api.proto")
    parser.add_argument("--picture", metavar="FILE", help="where the picture of a violation goes")
    try:
        return Loop(parser.parse_args()).go()
    except (Refused, OSError) as e:
        print(f"ldfi.py: {e}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:  # the server ends the run of a controller that is gone
        return 130


if __name__ == "__main__":
    sys.exit(main())
