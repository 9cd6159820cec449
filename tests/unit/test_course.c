/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The beginning of a run in a store: it is there whole, or not at all; and what is kept of what its agents say. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/course.h"
#include "lib/claim.h"
#include "tests/heap.h"
#include "tests/scratch.h"

/* An experiment of one box, and a store. */

static char folder[64], path[96];
static struct store *store;
static struct cast cast;

static char *boxes[] = { "a", NULL }, *argv_true[] = { "/bin/true", NULL }, *no_env[] = { NULL };
static struct experiment_process workload = { .name = "w", .box = "a", .run = argv_true, .env = no_env, .stop_signal = SIGTERM };
static const struct experiment x = {
	.name = "x", .path = "/x", .text = "text", .boxes = boxes, .n_boxes = 1, .search_path = "/bin", .workloads = &workload,
	.n_workloads = 1, .check_box = "a", .check_run = argv_true, .timeout_ns = 1000000000, .grace_ns = 1000000000,
};
static const struct message_hello hello = { .host = "h", .boot_id = "b", .kernel = "k", .backend = "p" };

static void setup(void)
{
	struct error e = { "" };

	scratch_name(folder, sizeof(folder), "test-bop-course-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	setenv("BOP_TMPDIR", folder, 1);
	snprintf(path, sizeof(path), "%s/runs.db", folder);
	ck_assert_msg(store_open(path, STORE_CREATE, &store, &e) == 0, "%s", e.text);
	ck_assert_int_eq(cast_single(&x, &cast, &e), 0);
}

static void teardown(void)
{
	cast_fini(&cast);
	store_close(store);
	claim_remove_tree(folder);
}

static void on_send(void *arg, size_t agent, const struct message *message)
{
}

static char warned[600];

static void on_warn(void *arg, const char *text)
{
	snprintf(warned, sizeof(warned), "%s", text);
}

static int on_run(const struct store_run *row, void *arg, struct error *e)
{
	++*(unsigned *)arg;
	return 0;
}

static unsigned runs(void)
{
	unsigned n = 0;

	ck_assert_int_eq(store_each_run(store, NULL, on_run, &n, NULL), 0);
	return n;
}

/* Folders of runs. */
static unsigned folders(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned n = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		n += !strncmp(entry->d_name, "bop.run.", 8);
	closedir(dir);
	return n;
}

/* Whichever allocation fails: there is no run, no folder of it, and an error; what follows finds the store as it was. */
START_TEST(no_memory)
{
	struct course_door door = { .send = on_send, .warn = on_warn };
	const struct message_hello *hellos[] = { &hello };
	unsigned begun = 0, failures = 0;
	bool failed = true;

#ifdef SANITIZED
	fprintf(stderr, "the sanitizer has a heap of its own: nothing fails here\n");
#endif
	for (long n = 1; failed; n++) {
		struct course *course = NULL;
		struct error e = { "" };
		int err;

		ck_assert_int_lt(n, 100000);
		heap_arm(n);
		err = course_open(store, &x, &cast, hellos, NULL, false, &door, &course, &e);
		failed = heap_disarm();
		begun += !err; /* SQLite can do without some of them */
		failures += !!err;
		ck_assert_uint_eq(runs(), begun);
		ck_assert_uint_eq(folders(), !err);
		ck_assert(!err || *e.text);
		ck_assert(failed || !err);
		course_close(course);
		ck_assert_uint_eq(folders(), 0);
	}
#ifndef SANITIZED
	ck_assert_uint_gt(failures, 20);
#endif
}
END_TEST

/* What an agent warns of is one clean line of bounded length, whatever it says. */
START_TEST(warnings)
{
	struct course_door door = { .send = on_send, .warn = on_warn };
	const struct message_hello *hellos[] = { &hello };
	static char text[100000];
	struct message message = { .kind = MESSAGE_WARNING, .text = text };
	struct course *course = NULL;
	struct error e = { "" };

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "a\nb\033[2Jc\177", 9);
	ck_assert_int_eq(course_open(store, &x, &cast, hellos, NULL, false, &door, &course, &e), 0);
	course_message(course, 0, &message, 1);
	ck_assert_uint_lt(strlen(warned), sizeof(e.text));
	ck_assert_int_eq(strncmp(warned, "a?b?[2Jc?x", 10), 0);
	course_close(course);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("course");
	TCase *tc = tcase_create("course");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, warnings);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
