/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The faults of a run: what a person or controller asked for, line by line, checked whole before anything is armed.
 * Every complaint begins with where the line stands, NAME:LINE:COLUMN, and says what would have been right.
 * docs/faults.md is for users.
 */
#ifndef COLLECTOR_PLAN_H
#define COLLECTOR_PLAN_H

#include "collector/experiment.h"
#include "proto/fault.h"

struct cast;
struct labels;

struct plan {
	struct fault *faults; /* n of them; ids count from first_id */
	char **origins;	      /* where each stands: "plan.txt:3" */
	char **lines;	      /* as it was written: columns count in it */
	size_t n, cap;
	uint64_t seed; /* of the run: what random faults decide; 0: none was given or drawn yet */
	bool dry, racy;
};

#define PLAN_MAX_FILE (4u << 20)	 /* bytes of a file */
#define PLAN_SEED_MAX ((1ull << 53) - 1) /* of a run: what every reader of JSON takes for an integer */

void plan_fini(struct plan *plan); /* all zero is an empty plan */

/* One line. An empty one, or a comment, is none. -EINVAL, -E2BIG (too many), -ENOMEM; the plan stays good. */
int plan_add(struct plan *plan, const char *origin, const char *line, size_t size, struct error *e);
/* All lines of a text: origins are NAME:1, NAME:2, ... */
int plan_add_text(struct plan *plan, const char *name, const char *text, size_t size, struct error *e);
int plan_add_file(struct plan *plan, const char *path, struct error *e);

/*
 * Whether it makes sense for this experiment. labels: of an earlier run, NULL: there is none. live: it is for a run
 * that goes on, and what it builds on can have happened already. -EINVAL.
 */
int plan_check(const struct plan *plan, const struct experiment *x, const struct labels *labels, bool live,
	       struct error *e);

/* The box of a process by its label: s1.1 is where s1 is. NULL: no process of the experiment. */
const char *plan_box_of(const struct experiment *x, const char *process);

/* Whether an agent that has this box must have the fault: its moment is seen there, or, without one, it acts there. */
bool plan_concerns(const struct experiment *x, const struct fault *fault, const char *box);

/* Whether the agents that the boxes are on can do it. -EINVAL. */
int plan_check_cast(const struct plan *plan, const struct experiment *x, const struct cast *cast, struct error *e);

/*
 * Gives the faults ids from first_id on, and what follows from seed, dry and racy. A run's seed is drawn here if there
 * are random faults without one of their own and none was given.
 */
int plan_number(struct plan *plan, uint32_t first_id, struct error *e);

/* For a run that goes on: what says nothing of its end ends after PLAN_LIVE_NS. */
#define PLAN_LIVE_NS 30000000000ull
int plan_live(struct plan *plan, struct error *e);

/* The canonical lines, each with its end; NULL without memory. Caller frees. */
char *plan_text(const struct plan *plan);

#endif
