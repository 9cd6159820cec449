/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The values of a set, and keys from values. What the set is made of: sketch_set.c. Fails only without memory. */
#include "graph/sketch.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "graph/sketch_inside.h"

/*
 * Of how many values a key is made, a step of keys after the other. Two runs of similarity s share one of width w with a
 * chance of s^w: of those that are very similar the first steps find a few, of those that are not the last one all.
 */
static const unsigned widths[] = { 16, 8, 2, 1 };
_Static_assert(SKETCH_KEYS_STEP * sizeof(widths) / sizeof(*widths) == SKETCH_KEYS, "a width for each step of keys");

#define BY_CHANCE (1.0 / (UINT8_MAX + 1)) /* of values that have nothing to do with each other so many are equal */

/* A number of an element that has nothing to do with that of another round. */
static uint64_t element_hash(uint64_t element, uint32_t round)
{
	uint64_t z = element + (round + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* Each place gets the least number of its own; what was found in an earlier round stays. */
struct draw {
	uint64_t least[SKETCH_VALUES];
	bool found[SKETCH_VALUES];
	unsigned n_found;
};

/* Every element at a place that it draws. */
static void draw_round(struct draw *draw, const struct sketch_counts *counts, uint32_t round)
{
	for (size_t i = 0; i < counts->n_slots; i++)
		for (uint32_t times = 1; times && times <= counts->slots[i].times; times *= 2) {
			uint64_t hash = element_hash(sketch_element(&counts->slots[i], times), round);
			uint32_t place = (hash >> 32) * SKETCH_VALUES >> 32;

			if (!draw->found[place] && hash < draw->least[place])
				draw->least[place] = hash;
		}
	for (unsigned i = 0; i < SKETCH_VALUES; i++) {
		draw->n_found += !draw->found[i] && draw->least[i] != UINT64_MAX;
		draw->found[i] = draw->least[i] != UINT64_MAX;
	}
}

/* Every element at one place. */
static void draw_place(struct draw *draw, const struct sketch_counts *counts, unsigned place)
{
	for (size_t i = 0; i < counts->n_slots; i++)
		for (uint32_t times = 1; times && times <= counts->slots[i].times; times *= 2) {
			uint64_t hash = element_hash(sketch_element(&counts->slots[i], times), SKETCH_VALUES + place);

			if (hash < draw->least[place])
				draw->least[place] = hash;
		}
}

/* A set of nothing draws nothing. */
static void draw_values(const struct sketch_counts *counts, struct sketch *ret)
{
	struct draw draw = { .n_found = 0 };

	memset(draw.least, 0xff, sizeof(draw.least));
	for (uint32_t round = 0; round < SKETCH_VALUES && draw.n_found < SKETCH_VALUES && counts->n; round++)
		draw_round(&draw, counts, round);
	for (unsigned i = 0; i < SKETCH_VALUES; i++) {
		if (!draw.found[i])
			draw_place(&draw, counts, i);
		ret->values[i] = element_hash(draw.least[i], 0) >> 56;
		if (i >= SKETCH_VALUES - SKETCH_KEYS_STEP)
			ret->whole[i - (SKETCH_VALUES - SKETCH_KEYS_STEP)] = (uint32_t)element_hash(draw.least[i], 0);
	}
}

void sketch_keys(struct sketch *sketch, const char *group)
{
	uint64_t seed = XXH3_64bits(group, strlen(group));
	const uint8_t *values = sketch->values;

	for (unsigned i = 0; i < SKETCH_KEYS; i++) {
		unsigned width = widths[i / SKETCH_KEYS_STEP];
		uint32_t whole = htole32(sketch->whole[i % SKETCH_KEYS_STEP]);

		sketch->keys[i] = width > 1 ? XXH3_64bits_withSeed(values, width, seed + i) :
					      XXH3_64bits_withSeed(&whole, sizeof(whole), seed + i);
		values += width;
	}
}

static int sketch_run(const struct print_run *run, const char *group, struct sketch *ret_sketch)
{
	struct sketch_counts counts;
	struct sketch sketch;
	int err = sketch_count(run, &counts);

	if (!err) {
		draw_values(&counts, &sketch);
		sketch_keys(&sketch, group);
		*ret_sketch = sketch;
	}
	free(counts.slots);
	return err;
}

int sketch_graph(const struct graph *graph, const char *group, struct sketch *ret_sketch)
{
	struct print_run run;
	int err = print_run_init(&run, graph, NULL);

	if (!err)
		err = sketch_run(&run, group, ret_sketch);
	print_run_fini(&run);
	return err;
}

int sketch_and_prints(const struct graph *graph, const char *group, struct print ret_prints[PRINT_LEVEL_COUNT],
		      struct sketch *ret_sketch)
{
	struct print prints[PRINT_LEVEL_COUNT];
	struct print_run run;
	int err = print_run_init(&run, graph, NULL);

	if (!err)
		err = print_run_levels(&run, prints);
	if (!err)
		err = sketch_run(&run, group, ret_sketch);
	if (!err)
		memcpy(ret_prints, prints, sizeof(prints));
	print_run_fini(&run);
	return err;
}

double sketch_similarity(const struct sketch *a, const struct sketch *b)
{
	unsigned equal = 0;
	double share;

	for (unsigned i = 0; i < SKETCH_VALUES; i++)
		equal += a->values[i] == b->values[i];
	share = (double)equal / SKETCH_VALUES;
	return share < BY_CHANCE ? 0 : (share - BY_CHANCE) / (1 - BY_CHANCE);
}

void sketch_pack(const struct sketch *sketch, uint8_t ret_bytes[SKETCH_BYTES])
{
	memcpy(ret_bytes, sketch->values, SKETCH_VALUES);
	for (unsigned i = 0; i < SKETCH_KEYS_STEP; i++) {
		uint32_t whole = htole32(sketch->whole[i]);

		memcpy(ret_bytes + SKETCH_VALUES + i * sizeof(whole), &whole, sizeof(whole));
	}
}

int sketch_unpack(const void *bytes, size_t size, struct sketch *ret_sketch)
{
	if (size != SKETCH_BYTES)
		return -EINVAL;
	memcpy(ret_sketch->values, bytes, SKETCH_VALUES);
	for (unsigned i = 0; i < SKETCH_KEYS_STEP; i++) {
		uint32_t whole;

		memcpy(&whole, (const uint8_t *)bytes + SKETCH_VALUES + i * sizeof(whole), sizeof(whole));
		ret_sketch->whole[i] = le32toh(whole);
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t p = *(const uint64_t *)a, q = *(const uint64_t *)b;

	return p < q ? -1 : p > q;
}

int sketch_set(const struct graph *graph, uint64_t **ret_set, size_t *ret_n)
{
	struct sketch_counts counts = { .slots = NULL };
	uint64_t *set = NULL;
	size_t n = 0, size = 0;
	struct print_run run;
	int err = print_run_init(&run, graph, NULL);

	if (!err)
		err = sketch_count(&run, &counts);
	print_run_fini(&run);
	for (size_t i = 0; !err && i < counts.n_slots; i++)
		for (uint32_t times = 1; times && times <= counts.slots[i].times; times *= 2)
			size++;
	if (!err) {
		set = malloc((size + 1) * sizeof(*set));
		err = set ? 0 : -ENOMEM;
	}
	for (size_t i = 0; !err && i < counts.n_slots; i++)
		for (uint32_t times = 1; times && times <= counts.slots[i].times; times *= 2)
			set[n++] = sketch_element(&counts.slots[i], times);
	free(counts.slots);
	if (err)
		return err;
	qsort(set, n, sizeof(*set), compare);
	*ret_set = set;
	*ret_n = n;
	return 0;
}
