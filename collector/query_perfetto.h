/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between the files query_perfetto*.c. Nobody else includes this. */
#ifndef COLLECTOR_QUERY_PERFETTO_H
#define COLLECTOR_QUERY_PERFETTO_H

#include "collector/query_inside.h"
#include "graph/sort.h"
#include "graph/timeline.h"
#include "proto/perfetto.h"

enum { PERFETTO_NAME_SIZE = 2200 };

enum track_kind { TRACK_RUN = 1, TRACK_BOX, TRACK_PROCESS, TRACK_THREAD, TRACK_FAULT };

/* What of a row is written; one behind the other where their times are the same. */
enum part { PART_RUN_BEGIN, PART_HOLE, PART_BEGIN, PART_MOMENT, PART_END, PART_FAULT_BEGIN, PART_FAULT_END, PART_RUN_END };

struct perfetto_writer {
	const struct query_run *q;
	const struct graph *g;
	struct timeline *t;
	uint32_t *first_out; /* by vertex: place of its edges in g->edges */
	uint32_t *first_in, *edges_in; /* by vertex: place in edges_in; edges */
	int32_t *pids; /* by process */
	struct pair *parts; /* time, what, enum part */
	size_t n_parts;
	uint64_t *arrows;
	size_t cap_arrows;
	FILE *out;
};

uint64_t perfetto_uuid(enum track_kind kind, uint32_t index);
/* "quorum, run 7: good" */
void perfetto_run_name(const struct perfetto_writer *w, char *buf, size_t size);

/* What one part says. 0 or -ENOMEM. */
int perfetto_part_write(struct perfetto_writer *w, const struct pair *part);

#endif
