/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the steps of diff_new() share. Private to graph/.
 *
 *   diff_side.c     what there is in one run: connections, each with its messages in an order
 *   diff_align.c    pairs them with those of the other run
 *   diff_collect.c  what has no twin, or a twin that is different
 *   diff_order.c    what a thread did in another order
 *   diff_explain.c  what faults and losses explain of it
 *   diff_words.c    sentences
 */
#ifndef GRAPH_DIFF_INSIDE_H
#define GRAPH_DIFF_INSIDE_H

#include "graph/build.h"
#include "graph/diff.h"

/* One run. */
struct diff_side {
	const struct graph *g;
	uint32_t *receive;    /* by message: the last receive before the outcome; NO_VERTEX */
	bool *in;	      /* by connection: something of it happened before the outcome */
	uint32_t *word;	      /* messages, those of a connection together, in the order at one of its ends */
	uint32_t *first;      /* by connection, and one more: where its part of `word` begins; that of the next one is its end */
	uint32_t *sorted;     /* connections that are in, by name, then by ordinal; n_sorted */
	uint32_t *exit;	      /* by process: its exit before the outcome; NO_VERTEX */
	uint32_t *connection; /* by connection: its twin; 0 none */
	uint32_t *message;    /* by message: its twin; DIFF_NONE */
	uint32_t *process;    /* by process: its twin; 0 none */
	size_t n_sorted;
};

struct diffing {
	struct diff_side sides[2];
	struct diff_pair *pairs; /* by vertex of run 0 */
	struct diff *diff;	 /* in the end it has them, and the twins */
	size_t n_pairs, cap_pairs, cap_changes;
};

/* 0 or -ENOMEM; diff_side_fini() in either case. */
int diff_side_init(struct diff_side *side, const struct graph *g);
void diff_side_fini(struct diff_side *side);

/* What a connection is called without its ordinal: how many bytes of its label. */
size_t diff_name_size(const char *label);
/* Whether all of a message was received before the outcome. */
bool diff_received(const struct diff_side *side, uint32_t message);
/* What became of a connect: "", "refused", ... Static. */
const char *diff_result(const struct diff_side *side, uint32_t connection);
/* Process at an end of a connection: 0 the connector, 1 the acceptor; 0: not known. */
uint32_t diff_party(const struct diff_side *side, uint32_t connection, unsigned direction);
/* Where a connection begins: its connect, else its accept, else its first message; NO_VERTEX. */
uint32_t diff_begin(const struct diff_side *side, uint32_t connection);

/* The steps. All return 0 or -ENOMEM. */
int diff_align(struct diffing *d);
int diff_collect(struct diffing *d);
int diff_order(struct diffing *d);
int diff_explain(struct diffing *d);
int diff_words(struct diffing *d);

/* A new change, zeroed but for vertices, which are DIFF_NONE. NULL: no memory. */
struct diff_change *diff_change_add(struct diffing *d, enum diff_kind kind);

#endif
