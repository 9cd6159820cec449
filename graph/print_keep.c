/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which items are in a print. How connections and processes end is in only as far as something came of it: whether a
 * server still sees the end of file before the run is over is a matter of luck. So is how many threads and workers a
 * program made that had nothing to do. Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>

#include "graph/print_inside.h"

bool print_is_core(const struct print_run *run, const struct print_item *item)
{
	static const enum print_part parts[] = {
#define X(NAME, number, part) [number] = PART_##part,
		PRINT_KINDS(X)
#undef X
	};
	uint32_t process = run->threads[item->thread].process;

	return parts[item->kind] == PART_CORE || (parts[item->kind] == PART_OWN && run->root[process] == process);
}

/* The thread's items up to and with this one are in. */
static void keep(struct print_run *run, uint32_t item, uint32_t *queue, size_t *n_queue)
{
	struct print_thread *thread = &run->threads[run->items[item].thread];
	uint32_t to = item - thread->first + 1;

	if (to <= thread->kept_to)
		return;
	if (thread->done == thread->kept_to) /* else it waits already */
		queue[(*n_queue)++] = run->items[item].thread;
	thread->kept_to = to;
}

/* What comes with items that are in: what caused an ending, and the spawns of threads that have items. */
static void keep_causes(struct print_run *run, uint32_t *queue, size_t n_queue)
{
	while (n_queue) {
		struct print_thread *thread = &run->threads[queue[--n_queue]];
		uint32_t from = thread->done, to = thread->kept_to;

		thread->done = to;
		if (!from && thread->origin) {
			run->items[thread->origin - 1].in = true;
			keep(run, thread->origin - 1, queue, &n_queue);
		}
		if (!(thread->kinds & (1u << PRINT_FIN | 1u << PRINT_ERROR | 1u << PRINT_WAIT)))
			continue;
		for (uint32_t i = thread->first + from; i < thread->first + to; i++) {
			const struct print_item *item = &run->items[i];

			if (!item->dropped && item->link &&
			    (item->kind == PRINT_FIN || item->kind == PRINT_ERROR || item->kind == PRINT_WAIT))
				keep(run, item->link - 1, queue, &n_queue);
		}
	}
}

/* Spawns in a row are one, so that it does not matter which child does what; so is data that nobody is known to have sent. */
static bool is_repeat(const struct print_item *a, const struct print_item *b)
{
	return a && a->kind == b->kind &&
	       (b->kind == PRINT_SPAWN ||
		(b->kind == PRINT_DATA && a->connection == b->connection && a->side == b->side));
}

static void place_items(struct print_run *run)
{
	for (size_t i = 0; i < run->n_threads; i++) {
		struct print_thread *thread = &run->threads[i];
		struct print_item *last = NULL;
		uint32_t place = 0;

		for (uint32_t k = thread->first; k < thread->first + thread->kept_to; k++) {
			struct print_item *item = &run->items[k];

			item->in |= item->kind != PRINT_SPAWN && !item->dropped;
			if (!item->in)
				continue;
			item->place = place;
			if (is_repeat(last, item)) {
				item->in = false;
				item->place--;
				continue;
			}
			last = item;
			place++;
		}
		thread->n_in = place;
		run->n_in += place;
	}
}

int print_keep(struct print_run *run)
{
	uint32_t *queue = malloc((run->n_threads + 1) * sizeof(*queue));
	size_t n_queue = 0;

	if (!queue)
		return -ENOMEM;
	for (size_t i = 0; i < run->n_threads; i++) {
		const struct print_thread *thread = &run->threads[i];
		uint32_t last = thread->first + thread->n;

		while (last > thread->first && !print_is_core(run, &run->items[last - 1]))
			last--;
		if (last > thread->first)
			keep(run, last - 1, queue, &n_queue);
	}
	keep_causes(run, queue, n_queue);
	free(queue);
	place_items(run);
	return 0;
}
