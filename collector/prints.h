/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The prints of a run (docs/print.md): what makes it a repeat of another. */
#ifndef COLLECTOR_PRINTS_H
#define COLLECTOR_PRINTS_H

#include "collector/run.h"
#include "graph/sketch.h"

struct prints {
	struct print own[PRINT_LEVEL_COUNT];
	struct print symmetric[PRINT_LEVEL_COUNT]; /* when processes of one role stand for each other; without roles, as own */
	size_t n_levels; /* how many of the levels are known, from exact on */
	bool has_symmetric;	/* false: the roles that were kept with the run cannot be read */
	struct sketch sketch; /* where others are found that are like it; its keys are of the experiment's name */
	const char *why_not;	/* why they do not count: the run is not whole. Static; NULL: they do */
};

/* row: what is known of the run, which may be more than run->row says. 0 or -ENOMEM. */
int prints_make(const struct run *run, const struct store_run *row, const struct graph *graph, struct prints *ret_prints,
		struct error *e);

/* The prints of a stored run. Fails as run_load() and graph_build() do. */
int prints_load(struct store *store, uint64_t id, struct prints *ret_prints, struct error *e);

#endif
