/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Threads: who follows whom. Vertices of a process are numbered in process order already, so a thread's events are
 * a subsequence of them. Fails only without memory.
 */
#include "graph/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/sort.h"
#include "lib/large.h"

static int chain_add(struct build *b, size_t *cap, uint32_t rank, uint32_t thread, uint32_t head)
{
	int err = build_grow((void **)&b->chains, cap, b->n_chains, sizeof(*b->chains));

	if (err < 0)
		return err;
	b->chains[b->n_chains++] = (struct chain){ rank, thread, head };
	b->g->process_threads[b->process_at[rank]]++;
	return 0;
}

static bool is_single(const struct pair *pairs, uint32_t n)
{
	uint32_t differ = 0;

	for (uint32_t i = 1; i < n; i++)
		differ |= pairs[i].more ^ pairs[0].more;
	return !differ;
}

static int chain_process(struct build *b, uint32_t rank, struct pair **spare, size_t *n_spare, size_t *cap)
{
	uint32_t first = b->lane[rank], n = b->floating[rank] - first;
	struct pair *pairs = b->pairs + first;
	int err = 0;

	if (n && is_single(pairs, n)) {
		for (uint32_t i = 1; i < n; i++)
			b->thread_next[first + i - 1] = first + i;
		return chain_add(b, cap, rank, pairs[0].more, first);
	}
	for (uint32_t i = 0; i < n; i++)
		pairs[i] = (struct pair){ .key = pairs[i].more, .value = first + i };
	err = pairs_sort(pairs, n, spare, n_spare);
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
	size_t n = b->g->n_vertices, cap = 0, n_spare = 0;
	struct pair *spare = NULL;
	int err = 0;

	b->thread_next = large_malloc(n + 1, sizeof(*b->thread_next));
	b->g->process_threads = calloc(b->trace->n_processes + 1, sizeof(*b->g->process_threads));
	if (!b->thread_next || !b->g->process_threads)
		return -ENOMEM;
	memset(b->thread_next, 0xff, n * sizeof(*b->thread_next));
	for (size_t i = 0; i < b->trace->n_processes && !err; i++)
		err = chain_process(b, i, &spare, &n_spare, &cap);
	free(spare);
	free(b->pairs);
	b->pairs = NULL;
	return err;
}
