/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A random execution, as another run of it would have been recorded: nothing of what a print must not see stays. And executions that
 * differ a little. Included by one file of a program.
 */
#ifndef TESTS_UNIT_DISGUISE_H
#define TESTS_UNIT_DISGUISE_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/random_run.h"

/* For inner loops: Check writes a line to a file for each assertion, also for one that holds. */
#define REQUIRE(condition) (void)((condition) || (ck_abort_msg("not true: %s", #condition), 0))

static void other_numbers(struct random_run *run, uint64_t *rng)
{
	struct trace *t = &run->trace;
	uint64_t mask = random_next(rng);

	for (size_t i = 0; i < t->n_events; i++) {
		struct event *event = &t->events[i];
		bool transfers = event->kind == EVENT_SEND || event->kind == EVENT_RECV;

		event->enter_ns = random_below(rng, 1000000);
		event->return_ns = event->enter_ns + random_below(rng, 1000000);
		event->order = event->order ? 4 * event->order + 1000 : 0;
		event->pos *= 3;
		if (transfers && event->value > 0)
			event->value *= 3;
		event->seq = random_next(rng);
		if (event->kind == EVENT_CONNECT && (event->value == 0 || event->value == -EINPROGRESS))
			event->value = random_below(rng, 2) ? 0 : -EINPROGRESS;
	}
	for (size_t i = 1; i <= t->n_processes; i++)
		t->processes[i].pid = random_below(rng, 30000);
	for (size_t i = 1; i <= t->n_ends; i++) {
		struct trace_end *end = &t->ends[i];

		end->first_local ^= mask;
		end->first_remote ^= mask;
		end->local.port += mask;
		end->remote.port += mask;
		end->local.ip[14] ^= mask;
		end->remote.ip[14] ^= mask;
		end->sent *= 3;
		end->received *= 3;
		end->ordinal += end->ordinal ? 7 : 0;
	}
}

/* Threads that were not there from the beginning get other numbers, children other names. */
static void other_names(struct random_run *run, uint64_t *rng)
{
	struct trace *t = &run->trace;
	uint32_t shift[RANDOM_PROCESSES_MAX + 1];

	for (size_t i = 1; i <= t->n_processes; i++) {
		shift[i] = random_below(rng, RANDOM_THREADS_MAX);
		if (!t->processes[i].parent)
			continue;
		free(t->processes[i].name);
		REQUIRE(asprintf(&t->processes[i].name, "child%u", (unsigned)random_next(rng)) > 0);
	}
	for (size_t i = 0; i < t->n_events; i++) {
		struct event *event = &t->events[i];

		if (event->process && event->thread)
			event->thread = 1 + (event->thread + shift[event->process]) % RANDOM_THREADS_MAX;
		if (event->kind == EVENT_SPAWN && event->flags & EVENT_F_THREAD)
			event->value = 1 + (event->value + shift[event->process]) % RANDOM_THREADS_MAX;
	}
}

/* Half of the transfers are made in two pieces. */
static void other_segments(struct random_run *run, uint64_t *rng)
{
	struct trace *t = &run->trace;

	for (size_t i = 0, n = t->n_events; i < n; i++) {
		struct event first = t->events[i], *rest;
		bool send = first.kind == EVENT_SEND;
		int64_t size;

		if ((!send && first.kind != EVENT_RECV) || first.value < 2 || random_below(rng, 2))
			continue;
		size = 1 + random_below(rng, first.value - 1);
		rest = need(trace_event_add(t));
		*rest = first;
		rest->pos += size;
		rest->value -= size;
		rest->order++;
		rest->flags |= send ? EVENT_F_CONTINUED : 0;
		t->events[i].value = size;
	}
}

/* Other numbers, names of children, segments, arrival. */
static inline void disguise(struct random_run *run, uint64_t seed)
{
	uint64_t rng = seed;

	other_numbers(run, &rng);
	other_names(run, &rng);
	other_segments(run, &rng);
	random_run_shuffle(run, seed);
}

/* p1 and b1 become what p2 and b2 were, and so on; what they did stays. */
static inline void rename_roots(struct random_run *run, unsigned n, unsigned by)
{
	struct trace *t = &run->trace;
	unsigned number;
	char rest[32];

	for (size_t i = 1; i <= t->n_processes; i++) {
		if (t->processes[i].parent || sscanf(t->processes[i].name, "p%u", &number) != 1)
			continue;
		free(t->processes[i].name);
		REQUIRE(asprintf(&t->processes[i].name, "p%u", 1 + (number - 1 + by) % n) > 0);
	}
	for (size_t i = 1; i <= t->n_boxes; i++) {
		REQUIRE(sscanf(t->boxes[i].name, "b%u", &number) == 1);
		free(t->boxes[i].name);
		REQUIRE(asprintf(&t->boxes[i].name, "b%u", 1 + (number - 1 + by) % n) > 0);
	}
	for (size_t i = 1; i <= t->n_ends; i++) {
		if (!t->ends[i].target || sscanf(t->ends[i].target, "b%u%31s", &number, rest) != 2)
			continue;
		free(t->ends[i].target);
		REQUIRE(asprintf(&t->ends[i].target, "b%u%s", 1 + (number - 1 + by) % n, rest) > 0);
	}
}

/* Two neighbours in a process change places, or one event moves to another thread. */
static inline void mutate(struct random_run *run, uint64_t *rng)
{
	struct trace *t = &run->trace;
	struct event *a = &t->events[random_below(rng, t->n_events)], *next = NULL;

	if (random_below(rng, 4) == 0 && a->process && a->thread) {
		a->thread = 1 + random_below(rng, RANDOM_THREADS_MAX - 1);
		return;
	}
	for (size_t i = 0; i < t->n_events; i++) {
		struct event *b = &t->events[i];

		if (b->process == a->process && b->order > a->order && (!next || b->order < next->order))
			next = b;
	}
	if (next && a->process) {
		uint64_t order = a->order;

		a->order = next->order;
		next->order = order;
	}
}

#endif
