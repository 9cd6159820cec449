# SPDX-License-Identifier: GPL-3.0-or-later
"""What good runs stood on, and the smallest sets of failures that break all of it, found by a SAT solver (picosat)."""
import collections
import itertools

import pycosat

MOST = 64  # sets of one size that are compared with each other, a goal


class Failure(collections.namedtuple("Failure", "crashes label")):
    """A message is lost; or a process crashes when it is about to send it."""

    def __str__(self):
        return f"crash {self.crashes} at send {self.label}" if self.crashes else f"cut {self.label}"


class Support:
    """Messages that brought a goal about once. It counts for plans that have its context in them."""

    def __init__(self, messages, late, survived, context):
        self.messages, self.late, self.survived, self.context = messages, late, survived, context

    def implies(self, other):
        """Whatever hits this one hits the other one, too."""
        return (self.messages - self.late <= other.messages - other.late and self.messages <= other.messages and
                self.survived >= other.survived and self.context == other.context)


class Lineage:
    """All that was learned. A failure is known by its line of a plan."""

    def __init__(self, losses_until, crashes, losses=None):
        self.losses_until, self.crashes, self.losses = losses_until, crashes, losses
        self.sent = {}  # label -> (process, earliest logical time that was seen, rank)
        self.failures = {}  # by their lines
        self.goals = {}  # name -> supports
        self.base = None  # goals that came about without failures
        self.found = {}  # (goal, context) -> its smallest plans; None: there is none, and never will be without new failures

    def learn(self, plan, goals):
        """A good run: each goal that came about has another support now."""
        known = len(self.failures)
        for goal in goals:
            for m in goal.messages:
                sender, time, rank = self.sent.get(m.label, (getattr(m, "from"), m.time, len(self.sent)))
                self.sent[m.label] = (sender, min(time, m.time), rank)
            new = [Failure(None, m.label) for m in goal.messages if m.time < self.losses_until]
            new += [Failure(c.process, c.moment.removeprefix("send ")) for c in goal.crashes]
            self.failures.update((str(failure), failure) for failure in new)
        self.base = self.base or {goal.name for goal in goals}
        for goal in goals:
            supports = self.goals.setdefault(goal.name, [])
            new = Support({m.label for m in goal.messages}, {m.label for m in goal.messages if m.time >= self.losses_until},
                          plan, frozenset() if goal.name in self.base else plan)
            supports[:] = [s for s in supports if not new.implies(s)] + [new]
        if len(self.failures) > known:
            self.found.clear()

    def place(self, label):
        return self.sent[label][1:]

    def hits(self, line, support):
        """A loss takes its message away; a crash that one, and all that the process sends later."""
        if line in support.survived:
            return False
        return bool(self.takes(line, support.messages if self.failures[line].crashes else support.messages - support.late))

    def takes(self, line, messages):
        """Those of the messages that the failure takes away."""
        crashes, label = self.failures[line]
        if not crashes:
            return {label} & messages
        here = self.place(label)
        return {other for other in messages if self.sent[other][0] == crashes and self.place(other) >= here}

    def mirrored(self, plan, ways):
        """The plan in other places. A crash that would not take the same messages away there is not the same."""
        seen = self.sent.keys()
        for way in ways:
            image = frozenset(map(way, plan))
            if image <= self.failures.keys() and all(set(map(way, self.takes(line, seen))) == self.takes(way(line), seen)
                                                     for line in plan):
                yield image

    def breaks(self, plan, name, context):
        return context <= plan and all(any(self.hits(line, s) for line in plan)
                                       for s in self.goals[name] if s.context <= plan)

    def problem(self, name, context, blocked):
        """Clauses: every support is hit, within the budget; and the variables of the failures."""
        var = {line: number for number, line in enumerate(self.failures, 1)}
        clauses = [[var[line] for line in var if self.hits(line, s)] + [-var[line] for line in s.context]
                   for s in self.goals[name]]
        clauses += [[var[line]] for line in context] + [[-var[line] for line in plan] for plan in blocked]
        crashes = [line for line in var if self.failures[line].crashes]
        clauses += [[-var[a], -var[b]] for a, b in itertools.combinations(crashes, 2)
                    if self.failures[a].crashes == self.failures[b].crashes]
        at_most(self.crashes, [var[line] for line in crashes], clauses)
        if self.losses is not None:
            at_most(self.losses, [var[line] for line in var if line not in crashes], clauses)
        return clauses, var

    def smallest(self, name, context, explored):
        """Plans of the least size that there is which break the goal, None if there is none. What contains one that was
        run, and breaks the goal as well, is not among them: what it has more is not needed."""
        blocked = [plan for plan in explored if self.breaks(plan, name, context)]
        clauses, var = self.problem(name, context, blocked)
        if not all(clauses) or pycosat.solve(clauses) == "UNSAT":
            return None
        apart = set()  # supports that have nothing in common need a failure each
        least = max(len(context), sum(not apart & set(c) and not apart.update(c) for c in clauses[:len(self.goals[name])]))
        for size in itertools.count(least):
            sized, found = list(clauses), []
            at_most(size, list(var.values()), sized)
            while len(found) < MOST and (model := pycosat.solve(sized)) != "UNSAT":
                true = set(model)
                found.append(frozenset(line for line, number in var.items() if number in true))
                sized.append([-var[line] for line in found[-1]])
            if found:
                return found

    def next(self, explored):
        """The plan to run next: of the smallest, that which begins last, for what leads up to it is as it was; then that
        which breaks most goals. None: there is none left."""
        keys = [(name, context) for name, supports in self.goals.items() for context in {s.context for s in supports}]
        for key in keys:
            plans = self.found.get(key, [])
            if plans is not None:
                self.found[key] = ([plan for plan in plans if plan not in explored and self.breaks(plan, *key)] or
                                   self.smallest(*key, explored))
        plans = {plan for key in keys for plan in self.found[key] or ()}

        def worth(plan):
            begins = min(self.place(self.failures[line].label)[0] for line in plan)
            return (-len(plan), begins, sum(self.breaks(plan, *key) for key in keys),
                    sum(line.startswith("crash") for line in plan), sorted(plan))
        return max(plans, key=worth, default=None)


def at_most(most, literals, clauses):
    """At most so many of the literals are true: a sequential counter, with variables of its own."""
    if most >= len(literals):
        return
    first = 1 + max(map(abs, itertools.chain(literals, *clauses)))
    # [i][j]: of the first i + 1, j + 1 are true
    count = [[first + i * most + j for j in range(most)] for i in range(len(literals))]
    for i, literal in enumerate(literals):
        if not most:
            clauses.append([-literal])
            continue
        clauses.append([-literal, count[i][0]])
        if i:
            clauses += [[-count[i - 1][j], count[i][j]] for j in range(most)]
            clauses += [[-literal, -count[i - 1][j - 1], count[i][j]] for j in range(1, most)]
            clauses.append([-literal, -count[i - 1][most - 1]])
