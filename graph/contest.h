/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Things that draw ordinals from one counter, and which of them the graph does not order. racy.c gathers them and says
 * what follows for labels; contest.c decides. Private to graph/.
 */
#ifndef GRAPH_CONTEST_H
#define GRAPH_CONTEST_H

#include "graph/build.h"

enum contest_kind { CONTEST_CONNECT, CONTEST_MESSAGE, CONTEST_SPAWN };

struct element {
	uint32_t vertex;
	uint32_t chain; /* index into chains; once decided: column */
	uint32_t thing; /* connection, message, or vertex of the SPAWN */
	uint32_t ordinal;
	bool racy;
};

struct group {
	size_t first, n; /* slice of elements, by ordinal */
	enum contest_kind kind;
};

struct contest {
	struct build *b;
	struct element *elements;
	struct group *groups;
	size_t n_elements, n_groups, cap_elements, cap_groups;
	uint32_t *chain_first; /* by rank: its first chain */
};

/* The chain (thread) of a vertex that has a place in one. */
uint32_t contest_chain(const struct contest *c, uint32_t vertex);
bool contest_has_place(const struct contest *c, uint32_t vertex);

/* Sets `racy` of all elements; turns their `chain` into a column. 0 or -ENOMEM. */
int contest_decide(struct contest *c);

#endif
