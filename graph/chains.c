/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Threads: who follows whom. Vertices of a process are numbered in process order already, so a thread's events are
 * a subsequence of them. Fails only without memory.
 */
#include "graph/build.h"

#include <errno.h>
#include <stdlib.h>

#include "graph/sort.h"

static uint32_t vertex_thread(const struct build *b, uint32_t vertex)
{
	return build_event(b, vertex)->thread;
}

static int chain_add(struct build *b, size_t *cap, uint32_t rank, uint32_t thread, uint32_t head)
{
	int err = build_grow((void **)&b->chains, cap, b->n_chains, sizeof(*b->chains));

	if (!err)
		b->chains[b->n_chains++] = (struct chain){ rank, thread, head };
	return err;
}

static int chain_process(struct build *b, uint32_t rank, struct pair *pairs, struct pair *spare, size_t *cap)
{
	uint32_t first = b->lane[rank], n = b->floating[rank] - first;
	int err = 0;

	for (uint32_t i = 0; i < n; i++)
		pairs[i] = (struct pair){ vertex_thread(b, first + i), first + i };
	pairs_sort(pairs, spare, n);
	for (uint32_t i = 0; i < n && !err; i++) {
		if (i > 0 && pairs[i].key == pairs[i - 1].key)
			b->thread_next[pairs[i - 1].value] = pairs[i].value;
		else
			err = chain_add(b, cap, rank, pairs[i].key, pairs[i].value);
	}
	return err;
}

int build_chains(struct build *b)
{
	size_t n = b->g->n_vertices, widest = 0, cap = 0;
	struct pair *pairs, *spare;
	int err = 0;

	for (size_t i = 0; i < b->trace->n_processes; i++)
		if (b->floating[i] - b->lane[i] > widest)
			widest = b->floating[i] - b->lane[i];
	pairs = malloc((widest + 1) * sizeof(*pairs));
	spare = malloc((widest + 1) * sizeof(*spare));
	b->thread_next = malloc((n + 1) * sizeof(*b->thread_next));
	if (!pairs || !spare || !b->thread_next) {
		err = -ENOMEM;
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		b->thread_next[i] = NO_VERTEX;
	for (size_t i = 0; i < b->trace->n_processes && !err; i++)
		err = chain_process(b, i, pairs, spare, &cap);
out:
	free(pairs);
	free(spare);
	return err;
}
