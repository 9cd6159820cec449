/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Random executions whose causes are known: a small simulator of processes, threads, sockets and a network draws what
 * happens next, writes the trace that a tracer would have recorded, and keeps what really caused what. Used by tests
 * of the graph and of the pictures. Gives up by abort(): there is no memory, or the simulator is wrong.
 *
 * The low 48 bits of event.seq are unique in a run, so events can be told apart after they were shuffled.
 */
#ifndef TESTS_UNIT_RANDOM_RUN_H
#define TESTS_UNIT_RANDOM_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "graph/graph.h"
#include "proto/event.h"

#define RANDOM_PROCESSES_MAX 64 /* of a run */
#define RANDOM_THREADS_MAX 6 /* of a process */

struct random_options {
	unsigned processes; /* that the experiment starts, 1..16 */
	unsigned steps;
	bool threads; /* also several threads a process */
	bool forks;   /* also children, which share their parent's sockets */
	bool resets;  /* also closes with unread data, sends into closed sockets */
};

struct truth_edge {
	uint64_t from, to; /* event ids */
	enum graph_rule rule;
	uint64_t bytes;
};

struct random_run {
	struct trace trace;
	struct truth_edge *edges; /* of all rules but thread and process */
	char **labels;		  /* by event id: what the vertex's things must be called, separated by blanks */
	size_t n_edges, cap_edges, n_ids;
};

void random_run_init(struct random_run *run, uint64_t seed, const struct random_options *options);
void random_run_fini(struct random_run *run);

/*
 * Adds up to n faults, of any kind, that fired at random places and hit what there is, or say so and did not; each with its
 * line. What the programs did stays as it was.
 */
void random_run_faults(struct random_run *run, uint64_t seed, unsigned n);

/* Another arrival: permutes events and the rows of every table. */
void random_run_shuffle(struct random_run *run, uint64_t seed);

static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline unsigned random_below(uint64_t *state, unsigned n)
{
	return random_next(state) % n;
}

static inline uint64_t event_id(const struct event *event)
{
	return event->seq & ((1ull << 48) - 1);
}

static inline void *need(void *p)
{
	if (!p)
		abort();
	return p;
}

#endif
