/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Answers to the requests of the API that read a store: what `bop serve` says to controllers, and what bop's own
 * commands say without a server. Knows no socket and no loop; may take as long as reading a run does. Every answer is
 * bounded: long lists come in pages.
 */
#ifndef COLLECTOR_QUERY_H
#define COLLECTOR_QUERY_H

#include <stdio.h>

#include "collector/store.h"
#include "proto/api.h"

/* Rows of one page, at most. X(NAME, value, name of the limit, what it bounds) */
#define QUERY_LIMITS(X)                                                                                              \
	X(RUNS, 1000, "page_runs", "rows of a page of Runs")                                                         \
	X(PRINTS, 50, "page_runs_prints", "the same, with prints")                                                   \
	X(MESSAGES, 10000, "page_messages", "messages of a page of Messages, Past and Supports")                     \
	X(GOALS, 1000, "page_goals", "goals of a page of Supports")                                                  \
	X(SUPPORT, 50000, "goal_messages", "messages of one goal's support; a larger one is refused")                \
	X(RECEIVES, 1000, "message_receives", "receives of one message that are listed")                             \
	X(LIST, 10000, "run_rows", "processes, and faults, of one RunInfo; processes of one Past")                    \
	X(CLASSES, 10000, "page_classes", "classes of a page of History, and plans of one of Hypotheses")                 \
	X(CLASSES_BYTES, (4 << 20), "page_classes_bytes", "bytes of their plans, in a page")                          \
	X(PAGE_BYTES, (1 << 20), "page_bytes", "bytes of a page of Rendered")

enum {
#define X(NAME, value, name, text) QUERY_##NAME##_MAX = value,
	QUERY_LIMITS(X)
#undef X
};

/* Whether query_answer() answers requests of that kind, and in which mode it wants the store. */
bool query_answers(enum api_request_kind kind, enum store_mode *ret_mode);

/*
 * Answers it; *ret_answer is malloc'ed, with the id of the request: api_answer_fini() frees it. Run 0 is the last one.
 * -ENOENT: there is no such run, moment or goal; -EINVAL: the request makes no sense; -ENODATA: the run is not whole, or its events were removed;
 * -EBUSY; -E2BIG; as the store fails.
 */
int query_answer(struct store *store, const struct api_request *request, struct api_answer *ret_answer,
		 struct error *e);

/*
 * Writes the whole of what Render asks for, whatever its offset. A write that fails is left in ferror(out). Errors as
 * above.
 */
int query_render(struct store *store, const Bop__Api__Render *render, FILE *out, struct error *e);

/* What is known of a comparison besides its text. */
struct query_diffed {
	uint64_t other; /* which run it was compared with */
	bool differs;
};

/* The same of what Diff asks for. */
int query_diff(struct store *store, const Bop__Api__Diff *diff, FILE *out, struct query_diffed *ret_diffed, struct error *e);

/* The number of the run that is meant: 0 is the last one. -ENOENT: there is none. */
int query_run_number(struct store *store, uint64_t run, uint64_t *ret_run, struct error *e);

/* As run_load(); but one that is damaged is -EIO: there is nothing wrong with who asks. */
struct run;
int query_run_load(struct store *store, uint64_t run, struct run **ret_run, struct error *e);

/* The row of a list as the store has it: what it has borrowed belongs to `from`. prints is filled if it has them. */
struct prints;
void query_row_back(const Bop__Api__RunRow *from, struct store_run *ret_row, struct prints *ret_prints,
		    bool *ret_has_prints);

#endif
