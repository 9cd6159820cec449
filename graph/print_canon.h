/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The order of threads that no numbering decides. Private to graph/.
 *
 *   print_colour.c  tells threads apart by what they did, and with whom
 *   print_write.c   writes down and hashes what has an order
 *   print_canon.c   searches where threads look alike
 */
#ifndef GRAPH_PRINT_CANON_H
#define GRAPH_PRINT_CANON_H

#include <xxhash.h>

#include "graph/print_inside.h"

/* Things get numbers from 1 in the order in which they come up. */
struct numbering {
	uint32_t *number, *mentioned; /* by thing; which have one, n */
	uint32_t n;
};

/* A thread, of what it shares with others. */
struct member {
	uint32_t group;
	uint64_t colour;
};

struct canon {
	struct print_run *run;
	uint32_t *threads; /* those that have items, n */
	uint32_t *order;   /* the same, sorted by colour */
	size_t n, rounds, rounds_max;
	uint64_t *fresh;      /* by place in `order`: the next colour */
	uint64_t *box_colour; /* by box that can be renamed */
	uint64_t *peer_colour; /* by process, of a folded run */
	struct member *members; /* of boxes, of processes */
	struct numbering connections, processes, boxes;
	uint32_t *start; /* by thread: its place in what is written down */
	XXH3_state_t *state;
	bool overflow;
};

int numbering_init(struct numbering *numbering, size_t n);
void numbering_fini(struct numbering *numbering);
/* 0 of nothing. */
uint32_t number_of(struct numbering *numbering, uint32_t thing);
void numbering_forget(struct numbering *numbering);

/* Whether the thread at place i of the order shares its colour with nobody. */
bool canon_is_alone(const struct canon *c, const uint64_t *colour, size_t i);
/* Colours those that are not alone (all: everybody), everybody by the old colours. */
void canon_round(struct canon *c, uint64_t *colour, bool all);
/* Sorts `order`. Returns how many colours there are. */
size_t canon_sort(struct canon *c, const uint64_t *colour);
/* Rounds until nothing more is told apart. Leaves `order` sorted. True: every thread has a colour of its own. */
bool canon_refine(struct canon *c, uint64_t *colour);

/* The print, all threads being in the order of their colours. */
struct print canon_write(struct canon *c);
/* The print by colours alone. */
struct print canon_write_approximate(struct canon *c, uint64_t *colour);

#endif
