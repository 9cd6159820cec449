/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random runs in a real store, and what the API is asked of them. One includer a test program. */
#ifndef TESTS_UNIT_QUERY_PLACE_H
#define TESTS_UNIT_QUERY_PLACE_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/query.h"
#include "collector/rendering.h"
#include "collector/run.h"
#include "graph/lineage.h"
#include "lib/claim.h"
#include "tests/unit/random_run.h"
#include "proto/wire.h"
#include "tests/scratch.h"

static char folder[64], path[96];
static struct store *store;

static inline void setup(void)
{
	struct error e = { "" };

	scratch_name(folder, sizeof(folder), "test-bop-query-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/runs.db", folder);
	ck_assert_msg(store_open(path, STORE_CREATE, &store, &e) == 0, "%s", e.text);
}

static inline void teardown(void)
{
	store_close(store);
	claim_remove_tree(folder);
}

/* Of the run that is to be kept. */
struct kept {
	const char *experiment, *plan, *check_output;
	uint64_t lost;
	bool running, incomplete;
};

static inline void trace_put(uint64_t id, const struct trace *trace, uint64_t lost)
{
	static uint32_t all[4096];
	struct wire_rows rows = {
		all, all, all, all, trace->n_boxes, trace->n_processes, trace->n_ends, trace->n_texts
	};
	struct wire_batch head = { .run = id, .number = 1, .emitted = trace->n_events, .lost = lost, .last = true };
	struct store_stream stream = { .host = "h", .boot_id = "b", .kernel = "6.1", .backend = "tracepoint" };
	unsigned char *bytes;
	struct error e;
	size_t size;

	for (uint32_t i = 0; i < 4096; i++)
		all[i] = i + 1;
	ck_assert_int_eq(store_stream_add(store, id, &stream, &e), 0);
	ck_assert_int_eq(wire_batch_encode(&head, trace, &rows, &bytes, &size), 0);
	ck_assert_int_eq(store_begin(store, &e), 0);
	ck_assert_int_eq(store_batch_put(store, id, stream.number, 1, bytes, size, &e), 0);
	ck_assert_int_eq(store_commit(store, &e), 0);
	free(bytes);
}

/* p1 is a process, p2 the workload. */
static inline uint64_t keep(const struct trace *trace, const struct kept *kept)
{
	struct store_run row = {
		.experiment = (char *)(kept->experiment ? kept->experiment : "x"),
		.path = "/x.yaml",
		.text = "experiment: x\n",
		.version = "1",
		.plan = (char *)kept->plan,
		.seed = kept->plan ? 7 : 0,
	};
	struct store_process processes[] = {
		{ .name = "p1",
		  .box = "b1",
		  .command = "server 7000",
		  .role = STORE_PROCESS,
		  .started = true,
		  .exited = true,
		  .status = 9 },
		{ .name = "p2",
		  .box = "b2",
		  .command = "client",
		  .role = STORE_WORKLOAD,
		  .started = true,
		  .exited = true },
		{ .name = "check",
		  .box = "b2",
		  .command = "check",
		  .role = STORE_CHECK,
		  .started = true,
		  .exited = true,
		  .output = (char *)kept->check_output,
		  .output_size = kept->check_output ? strlen(kept->check_output) : 0 },
	};
	struct error e = { "" };

	ck_assert_int_eq(store_owner_self(&row.owner, &e), 0);
	ck_assert_msg(store_run_create(store, &row, &e) == 0, "%s", e.text);
	if (trace)
		trace_put(row.id, trace, kept->lost);
	row.outcome = OUTCOME_GOOD;
	row.warnings = "one\ntwo";
	row.lost = kept->lost;
	row.incomplete = kept->incomplete;
	if (!kept->running)
		ck_assert_msg(store_run_seal(store, &row, processes, 3, NULL, &e) == 0, "%s", e.text);
	return row.id;
}

/* Asks; the body is the kind's own. */
static inline int ask(enum api_request_kind kind, void *body, struct api_answer *ret, struct error *e)
{
	*e = (struct error){ "" };
	return query_answer(store, &(struct api_request){ .id = 5, .kind = kind, .body = body }, ret, e);
}

static inline struct api_answer asked(enum api_request_kind kind, void *body, enum api_answer_kind expected)
{
	struct api_answer answer;
	unsigned char *bytes;
	struct error e;
	size_t size;
	int err = ask(kind, body, &answer, &e);

	ck_assert_msg(!err, "%d %s", err, e.text);
	ck_assert(answer.kind == expected && answer.id == 5);
	ck_assert_int_eq(api_answer_encode(&answer, &bytes, &size), 0); /* it can be sent */
	free(bytes);
	return answer;
}

static inline void refused(enum api_request_kind kind, void *body, int expected, const char *word)
{
	struct api_answer answer;
	struct error e;
	int err = ask(kind, body, &answer, &e);

	ck_assert_msg(err == expected && strstr(e.text, word), "%d, not %d: %s", err, expected, e.text);
}

#endif
