/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * When what a graph shows happened, for programs that know time and nothing else: a track for each thread, on which
 * calls stand one behind the other, and no effect before its cause. Pure.
 *
 * The times are those of the events, which all have the clock of the run's first agent. Where these contradict an edge
 * (the clocks of two machines agree only so far), the later end of the edge is moved to the nanosecond behind its
 * cause, and what follows it no further than it must. Nothing of a process is before its start. Times above INT64_MAX are INT64_MAX, and then nothing is moved.
 *
 * Cost: linear in vertices and edges.
 */
#ifndef GRAPH_TIMELINE_H
#define GRAPH_TIMELINE_H

#include "graph/graph.h"

#define TIMELINE_NONE UINT32_MAX

struct timeline_track {
	uint32_t process; /* 0: of a box, or of the run */
	uint32_t box;	  /* 0: of the run */
	uint32_t thread;  /* of a thread's: 0 main, else k-th */
	bool is_thread;	  /* what its calls did; else what happened to the process, or in the box */
};

struct timeline_row {
	uint64_t begin_ns, end_ns; /* the same: it took no time, or how long is not known */
	uint32_t track;		   /* TIMELINE_NONE: it is left out */
	uint64_t moved_ns;	   /* how much later than its own clock said */
};

struct timeline {
	struct timeline_row *rows; /* by vertex */
	uint32_t *order;	   /* vertices, causes first; on one track also by time */
	struct timeline_track *tracks; /* by process; that of a process before those of its threads */
	size_t n_rows, n_tracks;
	uint64_t first_ns, last_ns; /* of all that is not left out; 0 and 0: there is nothing */
};

/* Receives, accepts and waits: nobody can be their effect before they return. */
bool timeline_is_at_return(const struct event *event);
/* The moment that others are the causes or effects of: the return of those, the entry of all else. */
uint64_t timeline_moment(const struct timeline *timeline, const struct graph *graph, uint32_t vertex);

/* all: also what happened while the run was stopped. 0 or -ENOMEM. */
int timeline_new(const struct graph *graph, bool all, struct timeline **ret_timeline);
void timeline_free(struct timeline *timeline);

#endif
