/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The moments of one run of two, as overlay_line.c goes through them: its own line, and what is known of each. Private to graph/. */
#ifndef GRAPH_OVERLAY_TRACK_H
#define GRAPH_OVERLAY_TRACK_H

#include "graph/overlay_inside.h"

/* The smallest key comes first. */
struct waiter {
	uint64_t key;
	uint32_t moment;
};

struct queue {
	struct waiter *heap;
	size_t n, cap;
};

/* One run; arrays by moment. */
struct track {
	const struct layer *layer;
	uint32_t *first_out, *out; /* edges that leave it: first_out[m] to first_out[m + 1] of out */
	uint32_t *first_in, *in;   /* that arrive */
	uint32_t *waits;	   /* for so many */
	uint64_t *key;
	uint32_t *order; /* the run's own line */
	uint32_t *rank;	 /* place of a pair among all of them in that line */
	uint32_t *looked; /* place in `in`: what stands before that does not keep it waiting */
	bool *joined;	 /* with its twin */
	bool *placed;
};

/* 0 or -ENOMEM. */
int queue_push(struct queue *queue, uint64_t key, uint32_t moment);
struct waiter queue_pop(struct queue *queue);

/* Its line, and keys that never go back in it; nothing is joined or placed. 0 or -ENOMEM; track_fini() in either case. */
int track_init(struct track *track, const struct layer *layer);
void track_fini(struct track *track);

#endif
