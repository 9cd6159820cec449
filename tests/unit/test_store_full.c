/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An SQLite store on a disk that is full, at every place where that can show: the disk is small, of our own, and what is left on it
 * grows by 4 KiB until the step succeeds. Before that it fails with one clear word, nothing that was acknowledged is missing, and the
 * same step succeeds once there is room.
 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "graph/sketch.h"
#include "tests/unit/store_format1.h"

enum { BATCHES = 12, BATCH = 30000, OLD_RUNS = 150, MOST = 1000 /* tries */ };

static bool has_disk;

static void setup(void)
{
	place_setup_file();
	has_disk = !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
		   !mount("bop-test", place.folder, "tmpfs", 0, "size=8m");
	if (!has_disk)
		printf("# NOT TESTED: no disk of our own can be had here (mount of a tmpfs): %s\n", strerror(errno));
	fflush(stdout);
}

static void teardown(void)
{
	if (has_disk)
		umount2(place.folder, MNT_DETACH);
	place_teardown();
}

static void room_make(void)
{
	char name[300];

	snprintf(name, sizeof(name), "%s/filler", place.folder);
	unlink(name);
}

static void room_leave(unsigned kib)
{
	static char page[4096];
	struct statvfs fs;
	char name[300];
	FILE *f;

	room_make();
	snprintf(name, sizeof(name), "%s/filler", place.folder);
	f = fopen(name, "w");
	ck_assert(f && !statvfs(place.folder, &fs));
	for (fsblkcnt_t i = kib / 4; i < fs.f_bfree; i++)
		ck_assert_uint_eq(fwrite(page, sizeof(page), 1, f), 1);
	ck_assert_int_eq(fclose(f), 0);
}

static void empty(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char name[300];

	room_make();
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", place.url, suffixes[i]);
		unlink(name);
	}
}

static unsigned batch_count(struct store *store, uint64_t id)
{
	unsigned n = 0;

	for (const char *c = batches(store, id); *c; c++)
		n += *c == '=';
	return n;
}

static void put(struct store *store, uint64_t id, unsigned number, struct error *e, int *err)
{
	static char bytes[BATCH];

	*err = store_begin(store, e);
	if (!*err)
		*err = store_batch_put(store, id, 1, number, bytes, sizeof(bytes), e);
	if (*err)
		store_rollback(store);
	else
		*err = store_commit(store, e);
}

static uint64_t recorded(struct store *store)
{
	uint64_t id = run_made(store, "x");
	struct error e = { "" };
	int err;

	for (unsigned i = 1; i <= BATCHES; i++) {
		put(store, id, i, &e, &err);
		ck_assert_msg(!err, "%s", e.text);
	}
	return id;
}

static int seal(struct store *store, uint64_t id, bool keep_all, struct error *e)
{
	struct store_run row = { .id = id, .experiment = "x", .outcome = OUTCOME_GOOD, .has_prints = true };
	struct store_process process = { .name = "p", .box = "b", .command = "c", .role = STORE_PROCESS, .output = "o", .output_size = 1 };
	static struct sketch sketch;
	struct store_seal how = { .keep_all = keep_all, .sketch = &sketch };

	return store_run_seal(store, &row, &process, 1, &how, e);
}

/* What a step does, and what is to be found before and after it. */
struct step {
	void (*prepare)(struct store **store);
	int (*step)(struct store **store, struct error *e);
	void (*check)(struct store *store, bool done);
};

static void number_get(struct store *store, uint64_t id, struct store_run **ret)
{
	struct error e = { "" };

	ck_assert_msg(!store_run_get(store, id, ret, &e), "%s", e.text);
}

static void run_step(const struct step *step)
{
	unsigned failed = 0, kib;
	struct error e = { "" };

	if (!has_disk)
		return;
	for (kib = 0; kib < 4 * MOST; kib += 4) {
		struct store *store = NULL;
		int err;

		empty();
		step->prepare(&store);
		room_leave(kib);
		e = (struct error){ "" };
		err = step->step(&store, &e);
		room_make();
		if (!err) {
			step->check(store, true);
			store_close(store);
			break;
		}
		failed++;
		ck_assert_msg(err == -ENOSPC && strstr(e.text, "full") && strstr(e.text, place.url), "with %u KiB: %d: %s", kib, err, e.text);
		if (store)
			step->check(store, false);
		err = step->step(&store, &e);
		ck_assert_msg(!err, "with room after %u KiB: %s", kib, e.text);
		step->check(store, true);
		store_close(store);
	}
	ck_assert_uint_lt(kib, 4 * MOST);
	ck_assert_uint_gt(failed, 0);
	printf("# failed with less than %u KiB left\n", kib);
	fflush(stdout);
}

/* ---- The end of a run: a repeat, then one that is new */

static void seal_prepare(struct store **store)
{
	struct error e = { "" };

	*store = store_made(STORE_CREATE);
	ck_assert_msg(!seal(*store, recorded(*store), true, &e), "%s", e.text);
	recorded(*store);
}

static int seal_step(struct store **store, struct error *e)
{
	return seal(*store, 2, false, e);
}

static void seal_check(struct store *store, bool done)
{
	struct store_run *row = NULL;
	int n = 0;

	number_get(store, 2, &row);
	ck_assert_int_eq(row->running, !done);
	ck_assert_uint_eq(row->kept, done ? 1 : 2);
	ck_assert_uint_eq(batch_count(store, 2), done ? 0 : BATCHES);
	ck_assert_uint_eq(batch_count(store, 1), BATCHES);
	ck_assert_int_eq(store_each_run(store, NULL, count, &n, NULL), 0);
	ck_assert_int_eq(n, 2);
	store_run_free(row);
}

START_TEST(sealing_a_repeat)
{
	run_step(&(struct step){ seal_prepare, seal_step, seal_check });
}
END_TEST

static void new_prepare(struct store **store)
{
	*store = store_made(STORE_CREATE);
	recorded(*store);
}

static int new_step(struct store **store, struct error *e)
{
	return seal(*store, 1, false, e);
}

static void new_check(struct store *store, bool done)
{
	struct store_run *row = NULL;

	number_get(store, 1, &row);
	ck_assert(row->running == !done && row->new_class == done && (row->class_id != 0) == done);
	ck_assert_uint_eq(batch_count(store, 1), BATCHES);
	store_run_free(row);
}

START_TEST(sealing_what_is_new)
{
	run_step(&(struct step){ new_prepare, new_step, new_check });
}
END_TEST

/* ---- Catching up */

static void catch_prepare(struct store **store)
{
	struct store_run row = { .outcome = OUTCOME_GOOD };
	struct error e = { "" };

	*store = store_made(STORE_CREATE);
	row.id = recorded(*store);
	ck_assert_msg(!store_run_seal(*store, &row, NULL, 0, NULL, &e), "%s", e.text);
}

static int catch_step(struct store **store, struct error *e)
{
	struct store_run row = { .id = 1, .experiment = "x", .has_prints = true };
	static struct sketch sketch;

	return store_run_class(*store, &row, &(struct store_seal){ .sketch = &sketch }, e);
}

static void catch_check(struct store *store, bool done)
{
	struct store_run *row = NULL;

	number_get(store, 1, &row);
	ck_assert((row->class_id != 0) == done && row->kept == 1);
	ck_assert_uint_eq(batch_count(store, 1), BATCHES);
	store_run_free(row);
}

START_TEST(catching_up)
{
	run_step(&(struct step){ catch_prepare, catch_step, catch_check });
}
END_TEST

/* ---- From format 1 to format 2 */

static void migrate_prepare(struct store **store)
{
	char text[700];
	sqlite3 *db = format1_begin(place.url);

	for (uint64_t id = 1; id <= OLD_RUNS; id++) {
		snprintf(text, sizeof(text), "%0650llu", (unsigned long long)id % 9);
		format1_ended(db, id, text, "good", NULL, 0);
	}
	format1_run(db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
	sqlite3_close(db);
	*store = NULL;
}

static int migrate_step(struct store **store, struct error *e)
{
	return store_open(place.url, STORE_READ, store, e);
}

static void migrate_check(struct store *store, bool done)
{
	int n = 0;

	ck_assert(done);
	ck_assert_int_eq(store_each_run(store, NULL, count, &n, NULL), 0);
	ck_assert_int_eq(n, OLD_RUNS);
}

START_TEST(migrating)
{
	run_step(&(struct step){ migrate_prepare, migrate_step, migrate_check });
}
END_TEST

/* ---- Dropping, which needs room, too: it is said in the log first */

static void drop_prepare(struct store **store)
{
	struct error e = { "" };

	*store = store_made(STORE_CREATE);
	ck_assert_msg(!seal(*store, recorded(*store), false, &e), "%s", e.text);
}

static int drop_step(struct store **store, struct error *e)
{
	int err = store_run_drop(*store, 1, STORE_UNKNOWN, e);

	if (!err)
		err = store_sweep(*store, NULL, NULL, e);
	return err < 0 ? err : 0;
}

static void drop_check(struct store *store, bool done)
{
	struct store_run *row = NULL;

	number_get(store, 1, &row);
	ck_assert_msg(!done || !row->kept, "it was dropped, and keeps its events");
	if (row->kept)
		ck_assert_uint_eq(batch_count(store, 1), BATCHES);
	if (done)
		ck_assert_uint_eq(batch_count(store, 1), 0);
	store_run_free(row);
}

START_TEST(dropping)
{
	run_step(&(struct step){ drop_prepare, drop_step, drop_check });
}
END_TEST

/* ---- Recording: what was acknowledged before it was full is there */

static unsigned acknowledged;

static void put_prepare(struct store **store)
{
	*store = store_made(STORE_CREATE);
	run_made(*store, "x");
	acknowledged = 0;
}

static int put_step(struct store **store, struct error *e)
{
	int err = 0;

	for (unsigned i = acknowledged + 1; i <= BATCHES && !err; i++) {
		put(*store, 1, i, e, &err);
		acknowledged += !err;
	}
	return err;
}

static void put_check(struct store *store, bool done)
{
	ck_assert_uint_eq(batch_count(store, 1), acknowledged);
	ck_assert(!done || acknowledged == BATCHES);
}

START_TEST(recording)
{
	run_step(&(struct step){ put_prepare, put_step, put_check });
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_full");
	TCase *tc = tcase_create("store_full");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 600);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, sealing_a_repeat);
	tcase_add_test(tc, sealing_what_is_new);
	tcase_add_test(tc, catching_up);
	tcase_add_test(tc, migrating);
	tcase_add_test(tc, dropping);
	tcase_add_test(tc, recording);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
