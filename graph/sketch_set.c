/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A run as neighbourhoods. An item is first what it is itself: what happened, in which process, towards which service; then
 * that with what its neighbours are, twice. No place, thread number nor connection goes in, so that what is inserted somewhere changes only
 * what is near. Fails only without memory.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "graph/sketch_inside.h"
#include "lib/large.h"

#define STEPS 2
#define SLOTS_FIRST 1024

struct neighbours {
	const struct print_run *run;
	uint64_t *service;  /* by connection: what it leads to */
	uint64_t *hash[2];  /* by item: of the step before, and of this one */
	uint32_t *shown;    /* by item: the last one of its thread up to there that is in, + 1; 0 none */
	struct sketch_counts *counts;
};

static uint64_t hash_of(const uint64_t *numbers, size_t n)
{
	uint64_t data[5];

	for (size_t i = 0; i < n; i++)
		data[i] = htole64(numbers[i]);
	return XXH3_64bits(data, n * sizeof(*data));
}

/* Where a hash is, or is to be. */
static struct sketch_slot *find_slot(struct sketch_slot *slots, size_t n_slots, uint64_t hash)
{
	size_t i = hash & (n_slots - 1);

	while (slots[i].times && slots[i].hash != hash)
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

static int grow(struct sketch_counts *counts)
{
	size_t n = 2 * counts->n_slots;
	struct sketch_slot *slots = large_calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < counts->n_slots; i++)
		if (counts->slots[i].times)
			*find_slot(slots, n, counts->slots[i].hash) = counts->slots[i];
	free(counts->slots);
	counts->slots = slots;
	counts->n_slots = n;
	return 0;
}

static int count(struct sketch_counts *counts, uint64_t hash)
{
	struct sketch_slot *slot = find_slot(counts->slots, counts->n_slots, hash);

	slot->hash = hash;
	if (slot->times++)
		return 0;
	counts->n++;
	return 2 * counts->n > counts->n_slots ? grow(counts) : 0;
}

/* What the acceptor calls it, else the connector. */
static void find_services(struct neighbours *s)
{
	const struct print_run *run = s->run;

	for (size_t i = 0; i < run->n_items; i++) {
		const struct print_item *item = &run->items[i];

		if (!item->in || !item->connection)
			continue;
		if (item->kind == PRINT_ACCEPT || (item->kind == PRINT_CONNECT && !s->service[item->connection]))
			s->service[item->connection] = item->text;
	}
}

/* What it is without its neighbours. */
static int step_first(struct neighbours *s, const struct print_thread *thread)
{
	int err = 0;
	uint32_t shown = 0;

	for (uint32_t k = thread->first; k < thread->first + thread->n && !err; k++) {
		const struct print_item *item = &s->run->items[k];
		uint64_t service = s->service[item->connection]; /* [0]: of none */

		s->shown[k] = shown = item->in ? k + 1 : shown;
		if (!item->in)
			continue;
		s->hash[0][k] = hash_of((uint64_t[]){ item->kind << 8 | item->side, item->text, thread->text, service }, 4);
		err = count(s->counts, s->hash[0][k]);
	}
	return err;
}

/* Of several spawns in a row the first stands for all. */
static uint64_t hash_behind(const struct neighbours *s, const uint64_t *hash, uint32_t link)
{
	uint32_t shown = link ? s->shown[link - 1] : 0;

	return shown ? hash[shown - 1] : 0;
}

/* What it is with its neighbours. Before the first item of a thread stands the one that made it. */
static int step(struct neighbours *s, const struct print_thread *thread, uint64_t number)
{
	const uint64_t *old = s->hash[(number + 1) % 2];
	uint64_t *new = s->hash[number % 2], before = ~hash_behind(s, old, thread->origin);
	uint32_t next, end = thread->first + thread->n;
	int err = 0;

	for (uint32_t k = thread->first; k < end && !err; k = next) {
		next = k + 1;
		if (!s->run->items[k].in)
			continue;
		while (next < end && !s->run->items[next].in)
			next++;
		new[k] = hash_of((uint64_t[]){ number, old[k], before, next < end ? old[next] : 0,
					       hash_behind(s, old, s->run->items[k].link) }, 5);
		before = old[k];
		err = count(s->counts, new[k]);
	}
	return err;
}

static int neighbours_init(struct neighbours *s, const struct print_run *run, struct sketch_counts *counts)
{
	*s = (struct neighbours){ .run = run, .counts = counts };
	s->service = calloc(run->g->n_connections + 1, sizeof(*s->service));
	s->hash[0] = large_malloc(run->n_items + 1, sizeof(*s->hash[0]));
	s->hash[1] = large_malloc(run->n_items + 1, sizeof(*s->hash[1]));
	s->shown = large_malloc(run->n_items + 1, sizeof(*s->shown));
	*counts = (struct sketch_counts){ .n_slots = SLOTS_FIRST };
	counts->slots = calloc(counts->n_slots, sizeof(*counts->slots));
	return s->service && s->hash[0] && s->hash[1] && s->shown && counts->slots ? 0 : -ENOMEM;
}

int sketch_count(const struct print_run *run, struct sketch_counts *ret)
{
	struct neighbours s;
	int err = neighbours_init(&s, run, ret);

	if (!err)
		find_services(&s);
	for (size_t i = 0; i < run->n_threads && !err; i++)
		err = step_first(&s, &run->threads[i]);
	for (uint64_t number = 1; number <= STEPS; number++)
		for (size_t i = 0; i < run->n_threads && !err; i++)
			err = step(&s, &run->threads[i], number);
	free(s.service);
	free(s.hash[0]);
	free(s.hash[1]);
	free(s.shown);
	return err;
}
