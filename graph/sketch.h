/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sketch of a run: a few numbers that say how much two runs have in common, and under which keys those are found that have
 * much. It is made of what the exact print is made of and of nothing else: runs of one exact print have one sketch.
 *
 * A run is taken as a set of neighbourhoods: each item of each thread, with what stands up to 2 steps from it (before and
 * behind it in its thread, and at the other end), and how often there is such a one, by doublings: so one more turn of a long loop
 * changes nothing, one more retry something. The similarity of two sets A and B is |A and B| / |A or B| (Jaccard), which the share
 * of equal values estimates (Dahlgaard, Knudsen, Thorup: Fast Similarity Sketching, FOCS 2017). A key is a hash of several values
 * (locality-sensitive hashing).
 *
 * Pure. Numbers are the same on every machine.
 */
#ifndef GRAPH_SKETCH_H
#define GRAPH_SKETCH_H

#include <stddef.h>
#include <stdint.h>

#include "graph/print.h"

#define SKETCH_VALUES 512
#define SKETCH_KEYS 16
#define SKETCH_KEYS_STEP 4 /* keys of one width */

struct sketch {
	uint32_t whole[SKETCH_KEYS_STEP]; /* some of the values, with more bits: by one alone it is found, so it must not be equal by chance */
	uint8_t values[SKETCH_VALUES]; /* of each its lowest bits: many rough values tell more than few exact ones of the same size */
	uint64_t keys[SKETCH_KEYS]; /* the first ones only runs share that are very similar, the last ones many; a step of one width after the other */
};

/*
 * group: keys of different groups have nothing to do with each other (the name of the experiment). The order that the graph was built
 * for does not matter. 0 or -ENOMEM; on failure *ret_sketch stays untouched. Cost: linear in the events.
 */
int sketch_graph(const struct graph *graph, const char *group, struct sketch *ret_sketch);

/* The same, and print_levels() without roles: most of what is to be done for either is the same. */
int sketch_and_prints(const struct graph *graph, const char *group, struct print ret_prints[PRINT_LEVEL_COUNT],
		      struct sketch *ret_sketch);

/* Keys from values: of a sketch of which only those were kept. */
void sketch_keys(struct sketch *sketch, const char *group);

/* The estimate: from 0, nothing in common (as far as this can tell), to 1, the same. */
double sketch_similarity(const struct sketch *a, const struct sketch *b);

/* Values as bytes, as they are kept. */
#define SKETCH_BYTES (SKETCH_VALUES + 4 * SKETCH_KEYS_STEP)
void sketch_pack(const struct sketch *sketch, uint8_t ret_bytes[SKETCH_BYTES]);
/* 0, or -EINVAL: the size is another (made by another version). Leaves the keys to sketch_keys(). */
int sketch_unpack(const void *bytes, size_t size, struct sketch *ret_sketch);

/* The set itself, for those who want to know how good the estimate is: hashes, ascending. 0 or -ENOMEM; the caller frees *ret_set. */
int sketch_set(const struct graph *graph, uint64_t **ret_set, size_t *ret_n);

#endif
