/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A run as spans (docs/exports.md): which there are, when they begin and end, and what each was caused by. Between the
 * files query_otlp*.c; nobody else includes this.
 */
#ifndef COLLECTOR_QUERY_OTLP_H
#define COLLECTOR_QUERY_OTLP_H

#include "collector/query_inside.h"
#include "graph/sort.h"
#include "graph/timeline.h"

enum span_kind {
	SPAN_NONE,
	SPAN_RUN,     /* 0 */
	SPAN_PROCESS, /* by process */
	SPAN_SIDE,    /* by connection: 2 * connection, + 1 for the acceptor's side */
	SPAN_SEND,    /* by message: from its send to its last receive */
	SPAN_RECEIVE, /* by message: what its receiver did for it */
};

struct span {
	enum span_kind kind;
	uint32_t index;
	uint32_t process; /* whose it is; 0: the harness's */
	uint64_t begin_ns, end_ns;
};

struct span_side {
	uint32_t process; /* 0: nothing was seen there */
	uint64_t begin_ns, end_ns;
};

/* Places in `sequence`: what its sender received since it had sent something before. */
struct span_causes {
	uint32_t first, n;
};

struct spans {
	const struct query_run *q;
	const struct graph *g;
	struct timeline *t;
	struct span *rows; /* by process */
	size_t n_rows;
	struct span_side *processes; /* by process; [0] the run */
	struct span_side *sides;     /* by connection, two each */
	uint32_t *sequence;	     /* sends and receives, by process, in its order */
	struct span_causes *causes;  /* by message */
	bool *received;		     /* by message: it has a span of its receiver */
	uint32_t *linked;	     /* by message: 1 + the last message whose links have it; the one who writes keeps it */
	struct pair *notes; /* what else happened: key of a span, vertex; by span, then time */
	size_t n_notes;
	uint64_t mask;	    /* of the spans' ids */
	unsigned char trace[16];
};

/* A number of its own for each span, never 0. */
uint64_t span_key(enum span_kind kind, uint32_t index);
/* Of which a span is a part; SPAN_NONE: of nothing. */
struct span span_parent(const struct spans *spans, const struct span *span);

/* 0 or -ENOMEM. What it filled is freed by _fini, also then. */
int spans_init(struct spans *spans, const struct query_run *q, bool all);
void spans_fini(struct spans *spans);

#endif
