/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs copied from one store to another: how much of what is there already is read for that; what is there is not copied again. */
#include "collector/copy.h"

#include "tests/unit/store_place.h"

enum { RUNS = 100 };

static const struct store_ops *own;
static struct store_ops counting;
static unsigned long visited; /* rows of the store that is copied to */

struct visit {
	store_on_run *on_run;
	void *arg;
};

static int on_visit(const struct store_run *row, void *arg, struct error *e)
{
	struct visit *visit = arg;

	visited++;
	return visit->on_run(row, visit->arg, e);
}

static int each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg, struct error *e)
{
	struct visit visit = { on_run, arg };

	return own->each_run(store, range, on_visit, &visit, e);
}

/* A store of its own, in a file. */
static char from_path[64];

static void setup(void)
{
	place_setup();
	snprintf(from_path, sizeof(from_path), "/tmp/bop-test-copy-%d.db", getpid());
}

static void teardown(void)
{
	unlink(from_path);
	place_teardown();
}

static void did(struct store *store, uint64_t when, const char *experiment)
{
	struct store_run run = { .experiment = (char *)experiment, .path = (char *)"/x", .text = (char *)"", .version = (char *)"1", .outcome = OUTCOME_GOOD,
				 .started_ns = when };
	struct error e = { "" };

	ck_assert_int_eq(store_owner_self(&run.owner, &e), 0);
	ck_assert_msg(store_run_create(store, &run, &e) == 0, "%s", e.text);
	ck_assert_msg(store_run_seal(store, &run, NULL, 0, NULL, &e) == 0, "%s", e.text);
}

static struct copied copy(struct store *from, uint64_t id, struct store *to, struct copy_index *index)
{
	struct error e = { "" };
	struct copied copied;

	ck_assert_msg(copy_run(from, id, to, index, &copied, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(copied.from, id);
	return copied;
}

/*
 * Each row of the store that is copied to is read a bounded number of times, however many runs of one experiment there are, also when those
 * of two take turns. What is there already is found, however it came there; what was removed since is copied again.
 */
START_TEST(many)
{
	struct store *from = NULL, *to = store_made(STORE_CREATE);
	struct copy_index *index = copy_index_new(to);
	struct error e = { "" };
	struct copied copied;

	ck_assert_ptr_nonnull(index);
	ck_assert_msg(store_open(from_path, STORE_CREATE, &from, &e) == 0, "%s", e.text);
	for (uint64_t i = 1; i <= RUNS; i++)
		did(from, 1000 + i, i % 2 ? "x" : "y");
	own = to->ops;
	counting = *own;
	counting.each_run = each_run;
	to->ops = &counting;
	visited = 0;
	for (uint64_t i = 1; i <= RUNS; i++) {
		copied = copy(from, i, to, index);
		ck_assert(!copied.there && copied.to == i);
	}
	for (uint64_t i = 1; i <= RUNS; i++) {
		copied = copy(from, i, to, index);
		ck_assert(copied.there && copied.to == i);
	}
	ck_assert_uint_gt(visited, RUNS);
	ck_assert_msg(visited < 2 * RUNS * 20, "%lu rows were read for %d runs", visited, RUNS);
	ck_assert_int_eq(store_run_remove(to, 5, &e), 0);
	copied = copy(from, 5, to, index);
	ck_assert(!copied.there && copied.to == RUNS + 1);
	did(from, 77, "x");
	did(to, 77, "x"); /* by somebody else, meanwhile */
	copied = copy(from, RUNS + 1, to, index);
	ck_assert(copied.there && copied.to == RUNS + 2);
	copy_index_free(index);
	index = copy_index_new(to);
	copied = copy(from, 5, to, index);
	ck_assert(copied.there && copied.to == RUNS + 1);
	copy_index_free(index);
	to->ops = own;
	store_close(to);
	store_close(from);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("copy");
	TCase *tc = tcase_create("copy");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, many);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
