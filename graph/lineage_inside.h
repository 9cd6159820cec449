/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between lineage.c (what was before what), lineage_moment.c (names) and lineage_goals.c. Nobody else includes this. */
#ifndef GRAPH_LINEAGE_INSIDE_H
#define GRAPH_LINEAGE_INSIDE_H

#include "graph/lineage.h"
#include "graph/sort.h"

struct lineage {
	const struct graph *graph;
	uint32_t *first_before; /* by vertex, n + 1: its slice of before */
	uint32_t *before;	/* edges that lead to it */
	uint32_t *first_receive; /* by message, n + 1: its slice of receives */
	uint32_t *receives;
	/* made when the first name is looked up */
	struct pair *names; /* digest of a label, what it is of, and the kind of that */
	size_t n_names;
	uint32_t *starts, *exits; /* by process */
};

/* lineage_moment() of n bytes, which hold no zero. */
int lineage_moment_find(struct lineage *lineage, const char *text, size_t n, uint32_t *ret_vertex, struct error *e);

/* Frees what the look-up of names made. */
void lineage_names_free(struct lineage *lineage);

#endif
