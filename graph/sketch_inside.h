/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the parts of a sketch share. Private to graph/.
 *
 *   sketch_set.c  graph to neighbourhoods, and how often there is each
 *   sketch.c      those to values and keys
 */
#ifndef GRAPH_SKETCH_INSIDE_H
#define GRAPH_SKETCH_INSIDE_H

#include "graph/print_inside.h"
#include "graph/sketch.h"

/* A neighbourhood, and how often it is there; 0: the slot is empty. */
struct sketch_slot {
	uint64_t hash;
	uint32_t times;
};

/* A hash table. In which order they stand in it has no meaning. */
struct sketch_counts {
	struct sketch_slot *slots;
	size_t n_slots, n; /* room, a power of 2; that are not empty */
};

/* An element of the set for each power of 2 up to `times`. */
static inline uint64_t sketch_element(const struct sketch_slot *slot, uint32_t times)
{
	return slot->hash + times * 0xd6e8feb86659fd93;
}

/* run: as print_run_init() makes it without roles. 0 or -ENOMEM; the caller frees ret->slots in either case. */
int sketch_count(const struct print_run *run, struct sketch_counts *ret);

#endif
