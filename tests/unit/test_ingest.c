/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Batches reach the store once and in order, whatever the way does to them, and only what is on disk is acknowledged. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/ingest.h"
#include "lib/claim.h"
#include "proto/wire.h"
#include "tests/scratch.h"

enum { BATCHES = 40 };

static char folder[64], path[96];
static struct store *store;
static uint64_t run;

static void setup(void)
{
	struct store_run row = { .experiment = "x", .path = "/x", .text = "", .version = "1" };
	struct error e = { "" };

	scratch_name(folder, sizeof(folder), "test-bop-ingest-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/runs.db", folder);
	ck_assert_msg(store_open(path, STORE_CREATE, &store, &e) == 0, "%s", e.text);
	ck_assert_int_eq(store_owner_self(&row.owner, &e), 0);
	ck_assert_int_eq(store_run_create(store, &row, &e), 0);
	run = row.id;
}

static void teardown(void)
{
	store_close(store);
	claim_remove_tree(folder);
}

/* One event, whose position is the number of its batch, of a process whose row is nowhere if it is not 0. */
static int batch_of(struct ingest *ingest, uint64_t of_run, uint64_t number, bool last, uint32_t process)
{
	struct wire_batch head = { .run = of_run, .number = number, .last = last };
	struct wire_rows rows = { 0 };
	struct trace part;
	unsigned char *bytes = NULL;
	struct error e = { "" };
	size_t size;
	int err;

	trace_init(&part);
	trace_event_add(&part)->kind = EVENT_MARK;
	part.events[0].pos = number;
	part.events[0].process = process;
	ck_assert_int_eq(wire_batch_encode(&head, &part, &rows, &bytes, &size), 0);
	err = ingest_put(ingest, bytes, size, &e);
	trace_fini(&part);
	free(bytes);
	return err;
}

static int batch_send(struct ingest *ingest, uint64_t of_run, uint64_t number, bool last)
{
	return batch_of(ingest, of_run, number, last, 0);
}

static uint64_t flush(struct ingest *ingest)
{
	uint64_t acknowledged = UINT64_MAX;
	struct error e = { "" };

	ck_assert_msg(ingest_flush(ingest, &acknowledged, &e) == 0, "%s", e.text);
	return acknowledged;
}

static int on_batch(uint64_t stream, uint64_t number, const void *bytes, size_t size, void *arg, struct error *e)
{
	uint64_t *n = arg;
	struct wire_batch head;
	struct trace trace;

	trace_init(&trace);
	ck_assert_int_eq(wire_batch_decode(bytes, size, &head, &trace, e), 0);
	ck_assert_uint_eq(number, ++*n);
	ck_assert_uint_eq(head.number, number);
	ck_assert_uint_eq(trace.events[0].pos, number);
	trace_fini(&trace);
	return 0;
}

static uint64_t stored(void)
{
	uint64_t n = 0;

	ck_assert_int_eq(store_each_batch(store, run, on_batch, &n, NULL), 0);
	return n;
}

/* Batches are not acknowledged before they are flushed, and one flush acknowledges all of them. */
START_TEST(groups)
{
	struct ingest ingest;

	ingest_init(&ingest, store, run, 1);
	ck_assert_uint_eq(flush(&ingest), 0);
	for (uint64_t i = 1; i <= 3; i++)
		ck_assert_int_eq(batch_send(&ingest, run, i, false), 0);
	ck_assert_uint_eq(flush(&ingest), 3);
	ck_assert_uint_eq(stored(), 3);
	ck_assert_uint_eq(flush(&ingest), 0);
	ingest_fini(&ingest);
}
END_TEST

/* A repeated batch is kept once and acknowledged again; one that comes too early is not taken. */
START_TEST(repeats_and_gaps)
{
	struct ingest ingest;

	ingest_init(&ingest, store, run, 1);
	ck_assert_int_eq(batch_send(&ingest, run, 2, false), 0);
	ck_assert_uint_eq(flush(&ingest), 0);
	ck_assert_int_eq(batch_send(&ingest, run, 1, false), 0);
	ck_assert_int_eq(batch_send(&ingest, run, 3, false), 0);
	ck_assert_uint_eq(flush(&ingest), 1);
	ck_assert_int_eq(batch_send(&ingest, run, 1, false), 0);
	ck_assert_uint_eq(flush(&ingest), 1);
	ck_assert_int_eq(batch_send(&ingest, run, 2, false), 0);
	ck_assert_int_eq(batch_send(&ingest, run, 2, false), 0);
	ck_assert_uint_eq(flush(&ingest), 2);
	ck_assert_uint_eq(stored(), 2);
	ingest_fini(&ingest);
}
END_TEST

/* The stream is complete when its last batch is on disk, not before; nothing follows it. */
START_TEST(last_one)
{
	struct ingest ingest;

	ingest_init(&ingest, store, run, 1);
	ck_assert_int_eq(batch_send(&ingest, run, 1, false), 0);
	ck_assert_uint_eq(flush(&ingest), 1);
	ck_assert(!ingest_complete(&ingest));
	ck_assert_int_eq(batch_send(&ingest, run, 2, true), 0);
	ck_assert(!ingest_complete(&ingest));
	ck_assert_int_eq(batch_send(&ingest, run, 3, false), 0);
	ck_assert_uint_eq(flush(&ingest), 2);
	ck_assert(ingest_complete(&ingest));
	ck_assert_uint_eq(stored(), 2);
	ingest_fini(&ingest);
}
END_TEST

/* A batch that could not be read again, because it refers to what was never sent, is not acknowledged. */
START_TEST(senseless)
{
	struct ingest ingest;

	ingest_init(&ingest, store, run, 1);
	ck_assert_int_eq(batch_send(&ingest, run, 1, false), 0);
	ck_assert_uint_eq(flush(&ingest), 1);
	ck_assert_int_eq(batch_of(&ingest, run, 2, false, 7), -EBADMSG);
	ck_assert_uint_eq(flush(&ingest), 0);
	ck_assert_uint_eq(stored(), 1);
	ingest_fini(&ingest);
}
END_TEST

/* A batch of another run is neither kept nor acknowledged; bytes that are no batch change nothing; what is dropped can come again. */
START_TEST(strangers)
{
	struct ingest ingest;
	struct error e = { "" };

	ingest_init(&ingest, store, run, 1);
	ck_assert_int_eq(batch_send(&ingest, run + 1, 1, false), 0);
	ck_assert_uint_eq(flush(&ingest), 0);
	ck_assert_int_eq(batch_send(&ingest, run, 1, false), 0);
	ck_assert_int_eq(ingest_put(&ingest, "\xff\xff\xff\xff", 4, &e), -EBADMSG);
	ck_assert_uint_ne(e.text[0], 0);
	ck_assert_uint_eq(flush(&ingest), 1);
	ck_assert_uint_eq(stored(), 1);
	ck_assert_int_eq(batch_send(&ingest, run, 2, false), 0);
	ingest_drop(&ingest);
	ck_assert_uint_eq(flush(&ingest), 0);
	ck_assert_uint_eq(stored(), 1);
	ck_assert_int_eq(batch_send(&ingest, run, 2, false), 0);
	ck_assert_uint_eq(flush(&ingest), 2);
	ck_assert_uint_eq(stored(), 2);
	ingest_fini(&ingest);
}
END_TEST

/*
 * Over a link that loses, repeats and delays, with a sender that sends again what was not acknowledged, every batch
 * arrives once, and no acknowledgement is ever ahead of the disk.
 */
START_TEST(bad_link)
{
	unsigned seed = (unsigned)_i + 1;
	uint64_t acknowledged = 0, now;
	struct ingest ingest;

	ingest_init(&ingest, store, run, 1);
	for (int step = 0; acknowledged < BATCHES; step++) {
		uint64_t number = acknowledged + 1 + (uint64_t)rand_r(&seed) % 4;

		ck_assert_int_lt(step, 100000);
		if (number > BATCHES || rand_r(&seed) % 4 == 0)
			continue;
		if (acknowledged && rand_r(&seed) % 5 == 0)
			number = 1 + (uint64_t)rand_r(&seed) % acknowledged;
		ck_assert_int_eq(batch_send(&ingest, run, number, number == BATCHES), 0);
		if (rand_r(&seed) % 3)
			continue;
		now = flush(&ingest);
		ck_assert_uint_le(now, stored());
		if (rand_r(&seed) % 3) /* else the acknowledgement is lost */
			acknowledged = now > acknowledged ? now : acknowledged;
	}
	ck_assert_uint_eq(stored(), BATCHES);
	ck_assert(ingest_complete(&ingest));
	ingest_fini(&ingest);
}
END_TEST

/* When the run is gone from the store, the batch is refused with an error and is not acknowledged. */
START_TEST(run_sealed)
{
	struct store_run end = { .id = run, .outcome = OUTCOME_GOOD };
	uint64_t acknowledged = 0;
	struct ingest ingest;
	struct error e;

	ingest_init(&ingest, store, run, 1);
	ck_assert_int_eq(store_run_seal(store, &end, NULL, 0, NULL, &e), 0);
	ck_assert_int_eq(batch_send(&ingest, run, 1, false), 0);
	ck_assert_int_eq(ingest_flush(&ingest, &acknowledged, &e), -ESTALE);
	ck_assert_int_eq(ingest_flush(&ingest, &acknowledged, &e), -ESTALE); /* what waited still does */
	ingest_drop(&ingest);
	ck_assert_uint_eq(flush(&ingest), 0);
	ck_assert_uint_eq(stored(), 0);
	ingest_fini(&ingest);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ingest");
	TCase *tc = tcase_create("ingest");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, groups);
	tcase_add_test(tc, repeats_and_gaps);
	tcase_add_test(tc, last_one);
	tcase_add_test(tc, senseless);
	tcase_add_test(tc, strangers);
	tcase_add_loop_test(tc, bad_link, 0, 5);
	tcase_add_test(tc, run_sealed);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
