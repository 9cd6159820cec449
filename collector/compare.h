/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two runs side by side: what `bop diff` and Diff of the API say. Takes as long as reading both. */
#ifndef COLLECTOR_COMPARE_H
#define COLLECTOR_COMPARE_H

#include <stdio.h>

#include "collector/near.h"
#include "collector/prints.h"
#include "collector/show_diff.h"

struct compare_side {
	struct run *run;
	struct graph *graph; /* thread order */
	struct prints prints;
};

struct comparison {
	struct compare_side sides[2]; /* before, after */
	struct diff *diff;
	bool nearest; /* the one before was looked for in history: near */
	struct near near;
};

/*
 * other 0: the nearest of the run's history. -ENOENT: there is no such run, or nothing to compare with; fails as run_load() and graph_build() do.
 * comparison_fini() in either case.
 */
int comparison_init(struct comparison *c, struct store *store, uint64_t run, uint64_t other, struct error *e);
void comparison_fini(struct comparison *c);

bool comparison_differs(const struct comparison *c);

/* What show_diff() and show_diff_json() show; borrowed. */
struct shown_diff comparison_shown(const struct comparison *c);

#endif
