/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where things came from in a run: what a moment can depend on, when in logical time each message was sent, and what
 * the goals of the run stood on (docs/lineage.md). Pure, as the graph it looks at: that is borrowed, and outlives it.
 * All follows the edges of the graph but those of faults, which are the harness's doing and not the system's: so it is
 * asked for in process order where nothing may be missed.
 *
 * Cost: linear in vertices and edges, for lineage_new(), lineage_times() and each lineage_past(); names are looked up
 * in O(log n).
 */
#ifndef GRAPH_LINEAGE_H
#define GRAPH_LINEAGE_H

#include "graph/graph.h"

#define LINEAGE_NONE UINT32_MAX
#define LINEAGE_NAME_MAX 255u /* bytes of a goal's name */

struct lineage;

/* 0 or -ENOMEM. */
int lineage_new(const struct graph *graph, struct lineage **ret_lineage);
void lineage_free(struct lineage *lineage);

/* The receives that returned bytes of a message, by number; borrowed. */
const uint32_t *lineage_receives(const struct lineage *lineage, uint32_t message, size_t *ret_n);
/* The receive that returned its first byte; if no positions tell, the first one. LINEAGE_NONE: there is none. */
uint32_t lineage_first_receive(const struct lineage *lineage, uint32_t message);

/* Who sent a message, and who received it first (if nobody did: who has that end of its connection). 0: not known. */
uint32_t lineage_sender(const struct lineage *lineage, uint32_t message);
uint32_t lineage_receiver(const struct lineage *lineage, uint32_t message);

/*
 * The vertex of a moment, spelled as in plans: `recv client<s1:7000#1/1`, `exit s1`; also of datagrams and what else
 * has a label. -EINVAL: it is no moment; -ENOENT: the run has none such; e says which would be near.
 */
int lineage_moment(struct lineage *lineage, const char *text, uint32_t *ret_vertex, struct error *e);

/*
 * What is before a vertex, itself included, by vertex. Caller frees. LINEAGE_NONE: before the outcome of the run. 0 or
 * -ENOMEM.
 */
int lineage_past(const struct lineage *lineage, uint32_t vertex, bool **ret_past);

/* Whether a receive that is in that past returned any of the message. */
bool lineage_received(const struct lineage *lineage, const bool *past, uint32_t message);
/*
 * The same, and it went from one process of the run to another: what a failure of either, or between them, takes away.
 */
bool lineage_supports(const struct lineage *lineage, const bool *past, uint32_t message);

/* Of a message: when it was sent; the receiver's clock behind its first receive, 0: there is none. */
struct lineage_time {
	uint64_t sent, received;
};

/* Of all messages, by number. Caller frees. 0 or -ENOMEM. */
int lineage_times(const struct lineage *lineage, struct lineage_time **ret_times);

/* Something that a good outcome consists of. */
struct lineage_goal {
	char *name, *moment; /* moment empty: the outcome */
	uint32_t vertex;     /* LINEAGE_NONE: the outcome */
};

struct lineage_goals {
	struct lineage_goal *rows;
	size_t n;
};

/*
 * What the check said: lines `goal NAME: MOMENT` of its output, which can hold any bytes. A line that is there twice
 * counts once. None: n is 0. -EINVAL: one names no moment of the run; e names it. -ENOMEM.
 */
int lineage_goals_read(struct lineage *lineage, const char *output, size_t size, struct lineage_goals *ret_goals,
		       struct error *e);

/*
 * Without such lines: the exit of each of the workloads (names, n of them) that has one; if no message supports any of
 * these, the outcome alone. 0 or -ENOMEM.
 */
int lineage_goals_default(struct lineage *lineage, const char *const *workloads, size_t n,
			  struct lineage_goals *ret_goals);

void lineage_goals_fini(struct lineage_goals *goals);

#endif
