/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs of a server that was killed, taken over: nothing of them is forgotten because the store fails for a while, and
 * nobody is waited for because he says the same again.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/heir.h"
#include "collector/ingest.h"
#include "lib/claim.h"
#include "lib/clock.h"
#include "proto/wire.h"
#include "tests/scratch.h"

#define START (1000 * CLOCK_SECOND_NS)

static const unsigned char session[16] = "the agent's one", other[16] = "somebody else's";

/* A real store that fails when it is told to. */
struct shim {
	struct store store;
	struct store *real;
	int begin, commit, seal; /* negative errno: what fails */
	unsigned commits;
};

static struct {
	char folder[64], path[96];
	struct shim shim;
	struct store_ops ops;
	struct heirs *heirs;
	struct workers *workers; /* NULL: runs are counted at once */
	uint64_t run, now;
	uint64_t acknowledged, forgets; /* of `session` */
	unsigned told, sealed;
} f;

static int shim_begin(struct store *store, struct error *e)
{
	return f.shim.begin ? error_set(e, f.shim.begin, "store: it fails") : store_begin(f.shim.real, e);
}

static int shim_batch_put(struct store *store, uint64_t run, uint64_t stream, uint64_t number, const void *bytes,
			  size_t size, struct error *e)
{
	return store_batch_put(f.shim.real, run, stream, number, bytes, size, e);
}

static int shim_commit(struct store *store, struct error *e)
{
	if (f.shim.commit) {
		store_rollback(f.shim.real);
		return error_set(e, f.shim.commit, "store: it fails");
	}
	f.shim.commits++;
	return store_commit(f.shim.real, e);
}

static void shim_rollback(struct store *store)
{
	store_rollback(f.shim.real);
}

static int shim_adopt(struct store *store, uint64_t id, const struct store_owner *owner, struct error *e)
{
	return store_run_adopt(f.shim.real, id, e);
}

static int shim_seal(struct store *store, struct store_run *run, const struct store_process *processes, size_t n,
		     const struct store_class *class, const struct store_seal *how, struct error *e)
{
	return f.shim.seal ? error_set(e, f.shim.seal, "store: it fails") : store_run_seal(f.shim.real, run, processes, n, how, e);
}

static int shim_get(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e)
{
	return store_run_get(f.shim.real, id, ret_run, e);
}

static int shim_each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg, struct error *e)
{
	return store_each_run(f.shim.real, range, on_run, arg, e);
}

static int shim_each_stream(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e)
{
	return store_each_stream(f.shim.real, run, on_stream, arg, e);
}

static int shim_each_process(struct store *store, uint64_t run, store_on_process *on_process, void *arg, struct error *e)
{
	return store_each_process(f.shim.real, run, on_process, arg, e);
}

static int shim_each_batch(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e)
{
	return store_each_batch(f.shim.real, run, on_batch, arg, e);
}

static void on_acknowledge(void *arg, const unsigned char of[16], uint64_t run, uint64_t number)
{
	ck_assert_uint_eq(run, f.run);
	ck_assert_int_eq(memcmp(of, session, sizeof(session)), 0);
	if (number == UINT64_MAX)
		f.forgets++;
	else
		f.acknowledged = number;
}

static void on_tell(void *arg, uint64_t run, const struct error *why)
{
	ck_assert_uint_eq(run, f.run);
	if (why)
		f.told++;
	else
		f.sealed++;
}

/* A store with one running run of a process that does not live any more, and one stream. */
static void open_heirs(bool threads)
{
	struct store_run row = { .experiment = "x", .path = "/x", .text = "", .version = "1",
				 .owner = { .boot_id = "another boot", .pid = 1 } };
	struct store_stream stream = { .host = "h", .boot_id = "b", .kernel = "k", .backend = "p" };
	struct heirs_door door = { .acknowledge = on_acknowledge, .tell = on_tell, .store_url = f.path };
	struct error e = { "" };

	memset(&f, 0, sizeof(f));
	scratch_name(f.folder, sizeof(f.folder), "test-bop-heir-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f.folder));
	snprintf(f.path, sizeof(f.path), "%s/runs.db", f.folder);
	ck_assert_msg(store_open(f.path, STORE_CREATE, &f.shim.real, &e) == 0, "%s", e.text);
	f.ops = (struct store_ops){
		.begin = shim_begin, .batch_put = shim_batch_put, .commit = shim_commit, .rollback = shim_rollback,
		.run_adopt = shim_adopt, .run_seal = shim_seal, .run_get = shim_get, .each_run = shim_each_run,
		.each_stream = shim_each_stream, .each_process = shim_each_process, .each_batch = shim_each_batch,
	};
	f.shim.store.ops = &f.ops;
	ck_assert_int_eq(store_run_create(f.shim.real, &row, &e), 0);
	memcpy(stream.session, session, sizeof(session));
	ck_assert_int_eq(store_stream_add(f.shim.real, row.id, &stream, &e), 0);
	f.run = row.id;
	f.now = START;
	if (threads)
		ck_assert_int_eq(workers_open(&f.workers, &e), 0);
	door.workers = f.workers;
	ck_assert_msg(heirs_open(&f.shim.store, f.now, &door, &f.heirs, &e) == 0, "%s", e.text);
}

static void setup(void)
{
	open_heirs(false);
}

static void setup_threads(void)
{
	open_heirs(true);
}

static void teardown(void)
{
	workers_close(f.workers);
	heirs_close(f.heirs);
	store_close(f.shim.real);
	claim_remove_tree(f.folder);
}

static bool batch_from(const unsigned char of[16], uint64_t run, uint64_t number, bool last, uint32_t process)
{
	struct wire_batch head = { .run = run, .number = number, .last = last };
	struct wire_rows rows = { 0 };
	unsigned char *bytes = NULL;
	struct trace part;
	size_t size;
	bool wanted;

	trace_init(&part);
	trace_event_add(&part)->kind = EVENT_MARK;
	part.events[0].process = process;
	ck_assert_int_eq(wire_batch_encode(&head, &part, &rows, &bytes, &size), 0);
	wanted = heirs_batch(f.heirs, of, run, bytes, size, f.now);
	trace_fini(&part);
	free(bytes);
	return wanted;
}

static bool batch(uint64_t number, bool last)
{
	return batch_from(session, f.run, number, last, 0);
}

/* The next moment at which something is to be done comes. */
static void next(void)
{
	uint64_t at = heirs_deadline(f.heirs);

	ck_assert_uint_ne(at, UINT64_MAX);
	if (at > f.now)
		f.now = at;
	heirs_time(f.heirs, f.now);
	if (f.workers && heirs_deadline(f.heirs) == UINT64_MAX && !f.sealed && !f.forgets) {
		struct pollfd fd = { .fd = workers_fd(f.workers), .events = POLLIN };

		ck_assert(!batch(1, false)); /* the run takes nothing while it is counted */
		ck_assert_int_eq(poll(&fd, 1, 20000), 1);
		workers_done(f.workers);
	}
}

static int on_count(uint64_t stream, uint64_t number, const void *bytes, size_t size, void *arg, struct error *e)
{
	++*(unsigned *)arg;
	return 0;
}

static unsigned stored(void)
{
	unsigned n = 0;

	ck_assert_int_eq(store_each_batch(f.shim.real, f.run, on_count, &n, NULL), 0);
	return n;
}

static struct store_run *row_get(void)
{
	struct store_run *row;

	ck_assert_int_eq(store_run_get(f.shim.real, f.run, &row, NULL), 0);
	return row;
}

/* A burst of batches is one commit, as in any run; then the run is sealed as whole, and the agent may forget it. */
START_TEST(goes_on)
{
	struct store_run *row;

	for (uint64_t i = 1; i <= 20; i++) {
		ck_assert(batch(i, i == 20));
		heirs_time(f.heirs, f.now);
		ck_assert_uint_eq(f.acknowledged, 0);
	}
	next();
	ck_assert_uint_eq(f.acknowledged, 20);
	ck_assert_uint_eq(f.shim.commits, 1);
	ck_assert_uint_eq(f.now, START + INGEST_COMMIT_NS);
	ck_assert_uint_eq(f.sealed, 1);
	ck_assert_uint_eq(f.forgets, 1);
	ck_assert_uint_eq(stored(), 20);
	row = row_get();
	ck_assert(!row->running && !row->incomplete);
	store_run_free(row);
	ck_assert_uint_eq(heirs_deadline(f.heirs), UINT64_MAX);
}
END_TEST

/* Nothing is acknowledged, and nobody is told to forget, while the store cannot be written to; when it can be, all is there. */
START_TEST(store_fails)
{
	const int errors[] = { -EBUSY, -ENOSPC, -EIO };
	struct store_run *row;

	f.shim.begin = _i % 2 ? errors[_i / 2] : 0;
	f.shim.commit = _i % 2 ? 0 : errors[_i / 2];
	ck_assert(batch(1, false));
	ck_assert(batch(2, false));
	while (f.now < START + 3 * HEIR_STREAM_NS) /* also for longer than an agent may be silent */
		next();
	ck_assert(batch(3, true));
	next();
	ck_assert_uint_eq(f.acknowledged, 0);
	ck_assert_uint_eq(f.forgets, 0);
	ck_assert_uint_eq(f.sealed, 0);
	ck_assert_uint_eq(f.told, 1);
	ck_assert_uint_eq(stored(), 0);
	f.shim.begin = f.shim.commit = 0;
	next();
	ck_assert_uint_eq(f.acknowledged, 3);
	ck_assert_uint_eq(stored(), 3);
	ck_assert_uint_eq(f.sealed, 1);
	row = row_get();
	ck_assert(!row->running && !row->incomplete);
	store_run_free(row);
}
END_TEST

/* A seal that cannot be written is tried again; until then the run is not given up. */
START_TEST(seal_fails)
{
	f.shim.seal = -ENOSPC;
	ck_assert(batch(1, true));
	for (int i = 0; i < 10; i++)
		next();
	ck_assert_uint_eq(f.acknowledged, 1);
	ck_assert_uint_eq(f.told, 1);
	ck_assert_uint_eq(f.sealed, 0);
	f.shim.seal = 0;
	next();
	ck_assert_uint_eq(f.sealed, 1);
	ck_assert_uint_eq(f.forgets, 1);
	ck_assert_uint_eq(heirs_deadline(f.heirs), UINT64_MAX);
}
END_TEST

/* Only what can never be used is not wanted: another run's, another agent's, nonsense, and what comes behind that. */
START_TEST(not_wanted)
{
	ck_assert(!batch_from(session, f.run + 1, 1, false, 0));
	ck_assert(!batch_from(other, f.run, 1, false, 0));
	ck_assert(batch(1, false));
	ck_assert(!batch_from(session, f.run, 2, false, 7));
	ck_assert(!batch(2, false));
	next();
	ck_assert_uint_eq(f.acknowledged, 1);
	ck_assert_uint_eq(stored(), 1);
}
END_TEST

/* A batch that was there before is acknowledged again, and gives its agent no more time. */
START_TEST(repeats)
{
	struct store_run *row;

	ck_assert(batch(1, false));
	next();
	f.acknowledged = 0;
	while (!f.sealed) {
		ck_assert(batch(1, false));
		next();
		ck_assert_uint_le(f.now, START + HEIR_STREAM_NS + CLOCK_SECOND_NS);
		f.now += CLOCK_SECOND_NS;
	}
	ck_assert_uint_eq(f.acknowledged, 1);
	ck_assert_uint_eq(f.forgets, 1);
	row = row_get();
	ck_assert(!row->running && row->incomplete);
	store_run_free(row);
}
END_TEST

/* A run that another bop has sealed meanwhile takes nothing: its agent need not keep it. */
START_TEST(sealed_meanwhile)
{
	struct store_run end = { .id = f.run, .outcome = OUTCOME_ERROR };

	ck_assert_int_eq(store_run_seal(f.shim.real, &end, NULL, 0, NULL, NULL), 0);
	ck_assert(batch(1, false));
	next();
	ck_assert_uint_eq(f.acknowledged, 0);
	ck_assert_uint_eq(f.forgets, 1);
	ck_assert(!batch(1, false));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("heir");
	SRunner *runner = srunner_create(suite);
	int failed;

	for (int threads = 0; threads < 2; threads++) {
		TCase *tc = tcase_create(threads ? "heir beside workers" : "heir");

		tcase_set_timeout(tc, 60);
		tcase_add_checked_fixture(tc, threads ? setup_threads : setup, teardown);
		tcase_add_test(tc, goes_on);
		tcase_add_loop_test(tc, store_fails, 0, 6);
		tcase_add_test(tc, seal_fails);
		tcase_add_test(tc, not_wanted);
		tcase_add_test(tc, repeats);
		tcase_add_test(tc, sealed_meanwhile);
		suite_add_tcase(suite, tc);
	}
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
