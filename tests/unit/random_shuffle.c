/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Another arrival of a random run: see random_run_shuffle(). */
#include "tests/unit/random_run.h"

#include <stdlib.h>
#include <string.h>

#define MOVE_ROWS(table, n, place)                                                                 \
	do {                                                                                       \
		void *old_ = need(malloc(((n) + 1) * sizeof(*(table))));                           \
		memcpy(old_, (table), ((n) + 1) * sizeof(*(table)));                               \
		for (size_t i_ = 1; i_ <= (n); i_++)                                               \
			memcpy(&(table)[(place)[i_]], (char *)old_ + i_ * sizeof(*(table)),        \
			       sizeof(*(table)));                                                  \
		free(old_);                                                                        \
	} while (0)

/* new_place[old index]: a random permutation of 1..n. */
static uint32_t *permutation(uint64_t *rng, size_t n)
{
	uint32_t *place = need(calloc(n + 1, sizeof(*place)));

	for (size_t i = 1; i <= n; i++) {
		size_t k = 1 + random_below(rng, i);

		place[i] = place[k];
		place[k] = i;
	}
	return place;
}

void random_run_shuffle(struct random_run *run, uint64_t seed)
{
	struct trace *t = &run->trace;
	uint64_t rng = seed;
	uint32_t *boxes = permutation(&rng, t->n_boxes), *processes = permutation(&rng, t->n_processes);
	uint32_t *ends = permutation(&rng, t->n_ends), *events = permutation(&rng, t->n_events);

	for (size_t i = 1; i <= t->n_processes; i++) {
		t->processes[i].box = boxes[t->processes[i].box];
		t->processes[i].parent = processes[t->processes[i].parent];
	}
	for (size_t i = 1; i <= t->n_ends; i++) {
		t->ends[i].box = boxes[t->ends[i].box];
		t->ends[i].process = processes[t->ends[i].process];
	}
	for (size_t i = 0; i < t->n_events; i++) {
		struct event *event = &t->events[i];

		event->process = processes[event->process];
		event->peer = processes[event->peer];
		event->end = ends[event->end];
		event->box = boxes[event->box];
	}
	MOVE_ROWS(t->boxes, t->n_boxes, boxes);
	MOVE_ROWS(t->processes, t->n_processes, processes);
	if (t->n_ends)
		MOVE_ROWS(t->ends, t->n_ends, ends);
	for (size_t i = 0; i < t->n_events; i++) {
		struct event swap = t->events[i];

		t->events[i] = t->events[events[i + 1] - 1];
		t->events[events[i + 1] - 1] = swap;
	}
	free(boxes);
	free(processes);
	free(ends);
	free(events);
}
