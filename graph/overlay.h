/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two runs as one graph: what both did is one vertex, what one of them did alone is taken over and says so. It is run 1, with
 * what only run 0 has laid over it. Pure.
 *
 * A message is one send and, where it was received before the outcome, one receive: segmentation is not in it. What does not
 * count for a diff (closes, ends of file, marks) is there as run 1 has it. What a thread did in another order stands where
 * run 1 did it, and a ghost where run 0 did; a ghost has no edges. So the graph is acyclic; where even then the two
 * runs contradict each other, one more pair becomes a ghost and a vertex. Where very much was moved there are no
 * ghosts.
 *
 * Cost: O(n log n) in the number of events, also where long stretches of two runs have changed places, so that each moment of one
 * contradicts the other's order and is taken apart by itself.
 */
#ifndef GRAPH_OVERLAY_H
#define GRAPH_OVERLAY_H

#include "graph/diff.h"
#include "graph/graph.h"

/* X(NAME, name, sign, description); the sign stands in front of what a picture says of it */
#define OVERLAY_SIDES(X)                                                                                        \
	X(BOTH, common, "", "in both runs")                                                                     \
	X(ADDED, added, "+", "only in run 1")                                                                   \
	X(REMOVED, removed, "\u2212", "only in run 0")                                                          \
	X(MOVED, moved, "\u21c5", "in both, in another order: where run 1 did it")                              \
	X(GHOST, ghost, "\u21c5", "where run 0 did what was moved: the first of those that were moved together") \
	X(CHANGED, changed, "\u2260", "in both, and it came to something else")

enum overlay_side {
#define X(NAME, name, sign, text) OVERLAY_##NAME,
	OVERLAY_SIDES(X)
#undef X
	OVERLAY_SIDE_COUNT,
};

const char *overlay_side_name(enum overlay_side side);
const char *overlay_side_sign(enum overlay_side side);

/* A change of the diff, and where it shows. */
struct overlay_note {
	uint32_t vertex, change; /* change: index into diff->changes */
};

struct overlay_vertex {
	enum overlay_side side;
	uint32_t vertex[2];	    /* of run 0, of run 1; DIFF_NONE */
	uint32_t message[2];	    /* which message of theirs is sent or received; DIFF_NONE: none */
	uint32_t first_note, n_notes;
};

struct overlay_fault {
	enum overlay_side side; /* common, added, removed */
	uint32_t id;		/* of its run; of run 1, if it is in both */
};

struct overlay {
	const struct graph *graphs[2]; /* borrowed, as all texts are */
	const struct diff *diff;       /* borrowed */
	struct trace trace;
	struct graph graph; /* of trace; vertices of a process stand in its order */
	struct overlay_vertex *vertices;
	enum overlay_side *edges, *holes, *processes; /* by index */
	struct overlay_fault *faults;		       /* by place in graph.faults, where they have other ids */
	struct overlay_note *notes; /* by vertex */
	size_t n_notes;
	uint32_t *line; /* all vertices, causes first */
	uint64_t steps; /* that it took to find what is a pair, and whose turn is next in the line */
};

/* diff: of these graphs, which stay as they are. 0 or -ENOMEM; on failure *ret_overlay stays untouched. */
int overlay_new(const struct graph *const graphs[2], const struct diff *diff, struct overlay **ret_overlay);
void overlay_free(struct overlay *overlay);

#endif
