/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How a run ended, and what `bop` exits with for it. docs/json.md tells users. */
#ifndef COLLECTOR_OUTCOME_H
#define COLLECTOR_OUTCOME_H

/* X(NAME, name, exit status, description). The names are kept in stores: append, never rename. */
#define OUTCOMES(X)                                                                                \
	X(GOOD, good, 0, "the check passed")                                                       \
	X(VIOLATED, violated, 1, "the check failed")                                               \
	X(VACUOUS, vacuous, 2, "the check's premise never came about: nothing was tested")         \
	X(TIMEOUT, timeout, 2, "workload and check did not end in time")                           \
	X(INTERRUPTED, interrupted, 130, "the user stopped it")                                    \
	X(ERROR, error, 3, "the harness could not run it")                                         \
	X(INCONCLUSIVE, inconclusive, 2, "a fault ended before the outcome, unasked")

enum outcome {
	OUTCOME_NONE, /* the run has not ended */
#define X(NAME, name, status, text) OUTCOME_##NAME,
	OUTCOMES(X)
#undef X
	OUTCOME_COUNT,
};

/* Static; NULL for OUTCOME_NONE and numbers that are no outcome. */
const char *outcome_name(enum outcome outcome);

/* OUTCOME_NONE for a name that is none. name may be NULL. */
enum outcome outcome_by_name(const char *name);

int outcome_status(enum outcome outcome);

/* The exit status for several runs is the worst one: 3, then 130, 1, 2, 0. */
int outcome_worse_status(int a, int b);

#endif
