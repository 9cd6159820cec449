/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs copied from one store to another: how much of what is there already is read for that; what is there is not copied again. */
#include "collector/copy.h"

#include <sys/wait.h>

#include "tests/unit/store_place.h"

enum { RUNS = 100, AT_ONCE = 4 };

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
 * Each row of the store that is copied to is read once, however many runs of one experiment there are, also when those of two take
 * turns. What is there already is found, however it came there; what was removed since is copied again.
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
	ck_assert_msg(visited == RUNS, "%lu rows were read for %d runs", visited, RUNS);
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

static int copy_all(void)
{
	struct store *from = NULL, *to = NULL;
	struct copy_index *index = NULL;
	struct error e = { "" };
	struct copied copied;
	int err = store_open(from_path, STORE_READ, &from, &e);

	if (!err)
		err = store_open(place.url, STORE_WRITE, &to, &e);
	if (!err && !(index = copy_index_new(to)))
		err = -ENOMEM;
	for (uint64_t i = 1; i <= RUNS && !err; i++)
		err = copy_run(from, i, to, index, &copied, &e);
	if (err)
		fprintf(stderr, "%s\n", e.text);
	copy_index_free(index);
	store_close(to);
	store_close(from);
	return err;
}

static int on_number(const struct store_run *row, void *arg, struct error *e)
{
	bool *there = arg;

	ck_assert(row->started_ns <= RUNS && !there[row->started_ns]);
	there[row->started_ns] = true;
	return 0;
}

/* Several who copy the same runs at the same moment: all come to their end, and each run is there once. */
START_TEST(together)
{
	bool there[RUNS + 1] = { false };
	struct store *store = NULL;
	struct error e = { "" };
	pid_t pids[AT_ONCE];
	int go[2], status;
	char byte;

	ck_assert_msg(store_open(from_path, STORE_CREATE, &store, &e) == 0, "%s", e.text);
	for (uint64_t i = 1; i <= RUNS; i++)
		did(store, i, "x");
	store_close(store);
	store_close(store_made(STORE_CREATE));
	ck_assert_int_eq(pipe(go), 0);
	fflush(stdout);
	for (int i = 0; i < AT_ONCE; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (pids[i])
			continue;
		close(go[1]);
		_exit(read(go[0], &byte, 1) || copy_all());
	}
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < AT_ONCE; i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(status, 0);
	}
	store = store_made(STORE_READ);
	ck_assert_int_eq(store_each_run(store, NULL, on_number, there, &e), 0);
	for (uint64_t i = 1; i <= RUNS; i++)
		ck_assert(there[i]);
	store_close(store);
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
	tcase_add_test(tc, together);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
