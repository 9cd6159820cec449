/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Collectors on one store, killed with SIGKILL at random moments of inserting, sealing, dropping and removing: what was acknowledged
 * is there, no class is there twice, and no repeat points to a run that never was. And without kills: what several have done adds up.
 *
 * Each collector says through a pipe what it is about to do and what has come back: what was not said is free to be either way.
 */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "collector/run.h"
#include "tests/unit/store_place.h"

enum { COLLECTORS = 3, ROUNDS = 12, RUNS = 20000, DID = 5, RUNS_OF_EACH = 120, BATCHES = 4 };

/* What a collector says. */
struct news {
	enum { CREATED = 1, PUT, SEALED, LEAVES } what; /* LEAVES: from now on it may be dropped or removed */
	uint64_t run, a, b;
};

/* What is known of a run from what was said. */
static struct known {
	bool created, sealed, leaves;
	unsigned batches;
	uint64_t class_id, kept;
} known[RUNS];

static uint64_t state;

static unsigned pick(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % n);
}

static void say(int out, struct news news)
{
	if (write(out, &news, sizeof(news)) != sizeof(news)) /* less than PIPE_BUF: whole or not at all */
		_exit(3);
}

/* The parent sees it by the exit status. */
static void must(int err, const struct error *e)
{
	if (!err)
		return;
	fprintf(stderr, "%s\n", e->text);
	_exit(2);
}

static uint64_t run_record(struct store *store, int out)
{
	struct store_stream stream = { .host = "h", .boot_id = "b", .kernel = "6", .backend = "t" };
	struct store_run row = { .experiment = "e", .path = "/x", .text = "x", .version = "1" };
	unsigned batches = 1 + pick(BATCHES), did = pick(DID);
	static char bytes[40000];
	struct error e = { "" };

	must(store_owner_self(&row.owner, &e), &e);
	must(store_run_create(store, &row, &e), &e);
	must(store_stream_add(store, row.id, &stream, &e), &e);
	say(out, (struct news){ CREATED, row.id });
	for (unsigned i = 1; i <= batches; i++) {
		must(store_begin(store, &e), &e);
		must(store_batch_put(store, row.id, stream.number, i, bytes, sizeof(bytes), &e), &e);
		must(store_commit(store, &e), &e);
		say(out, (struct news){ PUT, row.id, i });
	}
	row.outcome = did ? OUTCOME_GOOD : OUTCOME_VIOLATED;
	row.has_prints = true;
	row.prints[STORE_OWN][PRINT_LEVEL_EXACT].low = did;
	must(store_run_seal(store, &row, NULL, 0, NULL, &e), &e);
	say(out, (struct news){ SEALED, row.id, row.class_id, row.kept });
	return row.id;
}

static void collect(int out, unsigned runs, bool removes)
{
	struct store *store = NULL;
	struct error e = { "" };
	uint64_t id;
	int err;

	must(store_open(place.url, STORE_WRITE, &store, &e), &e);
	for (unsigned i = 0; i < runs; i++) {
		id = run_record(store, out);
		if (!removes || pick(3))
			continue;
		id = pick(2) ? id : 1 + pick((unsigned)id);
		say(out, (struct news){ LEAVES, id });
		err = pick(2) ? store_run_drop(store, id, STORE_UNKNOWN, &e) : store_run_remove(store, id, &e);
		must(err == -ENOENT || err == -EBUSY ? 0 : err, &e);
	}
	store_close(store);
	_exit(0);
}

static void learn(const struct news *news)
{
	struct known *run = &known[news->run];

	ck_assert_uint_lt(news->run, RUNS);
	switch (news->what) {
	case CREATED:
		ck_assert_msg(!run->created, "run %llu was made twice", (unsigned long long)news->run);
		run->created = true;
		break;
	case PUT:
		run->batches = (unsigned)news->a;
		break;
	case SEALED:
		run->sealed = true;
		run->class_id = news->a;
		run->kept = news->b;
		break;
	case LEAVES:
		run->leaves = true;
		break;
	}
}

struct fleet {
	pid_t pids[COLLECTORS];
	int in[COLLECTORS];
	unsigned n;
};

static void fleet_start(struct fleet *fleet, unsigned n, unsigned runs, bool removes)
{
	int ends[2];

	fleet->n = n;
	for (unsigned i = 0; i < n; i++) {
		pick(2); /* each has its own chances */
		ck_assert_int_eq(pipe(ends), 0);
		fleet->pids[i] = fork();
		if (!fleet->pids[i]) {
			close(ends[0]);
			state += i + 1;
			collect(ends[1], runs, removes);
		}
		close(ends[1]);
		fleet->in[i] = ends[0];
	}
}

static bool hear(const struct fleet *fleet, unsigned i)
{
	struct news news;

	if (read(fleet->in[i], &news, sizeof(news)) != sizeof(news))
		return false;
	learn(&news);
	return true;
}

/* Returns how many ended by themselves. */
static unsigned fleet_end(struct fleet *fleet)
{
	unsigned alive = 0;
	int status;

	for (unsigned i = 0; i < fleet->n; i++) {
		while (hear(fleet, i))
			;
		ck_assert_int_eq(waitpid(fleet->pids[i], &status, 0), fleet->pids[i]);
		ck_assert_msg(WIFSIGNALED(status) || !WEXITSTATUS(status), "a collector failed: %d", WEXITSTATUS(status));
		alive += WIFEXITED(status);
		close(fleet->in[i]);
	}
	return alive;
}

/* ---- What must hold afterwards */

struct look {
	struct store *store;
	uint64_t ids[RUNS]; /* classes by what they did, and how many runs each has */
	unsigned whole[DID], runs[DID];
	uint64_t classes[DID];
};

static int on_class(const struct store_class *class, void *arg, struct error *e)
{
	struct look *look = arg;
	uint64_t did = class->prints[STORE_OWN][PRINT_LEVEL_EXACT].low;

	ck_assert_uint_lt(did, DID);
	ck_assert_msg(!look->classes[did], "what print %llu shows has two classes", (unsigned long long)did);
	look->classes[did] = class->id;
	return 0;
}

static int number_batch(uint64_t stream, uint64_t number, const void *bytes, size_t size, void *arg, struct error *e)
{
	ck_assert_uint_eq(number, ++*(unsigned *)arg);
	ck_assert_uint_eq(size, 40000);
	return 0;
}

static unsigned batches_of(struct store *store, uint64_t id)
{
	unsigned n = 0;

	ck_assert_int_eq(store_each_batch(store, id, number_batch, &n, NULL), 0);
	return n;
}

static int on_row(const struct store_run *row, void *arg, struct error *e)
{
	const struct known *run = &known[row->id];
	struct look *look = arg;
	unsigned did;

	look->ids[row->id] = row->id;
	if (row->running) {
		ck_assert(!run->sealed);
		ck_assert_uint_ge(batches_of(look->store, row->id), run->batches);
		return 0;
	}
	if (row->unclassed || !row->class_id) /* an orphan, sealed by who came after it */
		return 0;
	for (did = 0; did < DID && look->classes[did] != row->class_id; did++)
		;
	ck_assert_msg(did < DID, "run %llu is of a class that is not there", (unsigned long long)row->id);
	look->runs[did]++;
	look->whole[did] += row->kept == row->id;
	if (run->sealed)
		ck_assert_uint_eq(row->class_id, run->class_id);
	if (run->sealed && !run->leaves && !known[run->kept].leaves)
		ck_assert_msg(row->kept == run->kept, "run %llu points to %llu", (unsigned long long)row->id, (unsigned long long)row->kept);
	if (row->kept == row->id)
		ck_assert_uint_ge(batches_of(look->store, row->id), run->batches);
	else if (row->kept)
		ck_assert_uint_gt(batches_of(look->store, row->kept), 0);
	return 0;
}

static void look_at(struct store *store, struct look *look)
{
	memset(look, 0, sizeof(*look));
	look->store = store;
	ck_assert_int_eq(store_each_class(store, NULL, on_class, look, NULL), 0);
	ck_assert_int_eq(store_each_run(store, NULL, on_row, look, NULL), 0);
	for (uint64_t id = 1; id < RUNS; id++)
		ck_assert_msg(!known[id].created || known[id].leaves || look->ids[id], "run %llu is lost", (unsigned long long)id);
	for (unsigned did = 0; did < DID; did++)
		ck_assert_int_eq(look->classes[did] != 0, look->runs[did] > 0);
}

/* Nothing is left of what was to go. */
static int on_swept(const struct store_run *row, void *arg, struct error *e)
{
	struct look *look = arg;

	look->ids[row->id] = row->running || row->kept == row->id;
	return 0;
}

static void sweep(struct store *store)
{
	static struct look look;

	ck_assert_int_ge(store_sweep(store, NULL, NULL, NULL), 0);
	memset(&look, 0, sizeof(look));
	ck_assert_int_eq(store_each_run(store, NULL, on_swept, &look, NULL), 0);
	for (uint64_t id = 1; id < RUNS; id++)
		if (known[id].created && !look.ids[id])
			ck_assert_msg(!batches_of(store, id), "batches of run %llu are left", (unsigned long long)id);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	return getenv(name) ? strtoull(getenv(name), NULL, 10) : otherwise;
}

static void begin(unsigned which)
{
	uint64_t seed = number_of("BOP_TEST_SEED", (uint64_t)time(NULL));

	printf("# BOP_TEST_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	state = seed * 4 + which;
	store_close(store_made(STORE_CREATE));
}

START_TEST(killed_at_any_time)
{
	uint64_t rounds = number_of("BOP_TEST_ROUNDS", ROUNDS);
	static struct look look;
	struct fleet fleet;
	struct store *store;
	unsigned killed = 0;

	begin(1);
	for (uint64_t round = 0; round < rounds; round++) {
		struct timespec moment = { 0, (long)pick(3000000) };
		unsigned heard = 1 + pick(60);

		fleet_start(&fleet, 1 + pick(COLLECTORS), 1000, true);
		for (unsigned i = 0; i < heard; i++)
			ck_assert(hear(&fleet, i % fleet.n));
		nanosleep(&moment, NULL);
		for (unsigned i = 0; i < fleet.n; i++)
			kill(fleet.pids[i], SIGKILL);
		killed += fleet.n - fleet_end(&fleet);
		store = store_made(round % 2 ? STORE_READ : STORE_WRITE);
		look_at(store, &look);
		store_close(store);
		if (round % 3)
			continue; /* the next ones find what was left */
		store = store_made(STORE_WRITE);
		ck_assert_int_ge(run_seal_orphans(store, NULL), 0);
		sweep(store);
		look_at(store, &look);
		store_close(store);
	}
	ck_assert_uint_gt(killed, 0);
}
END_TEST

/* As many as were made, of as many classes as there are prints, and one of each class and outcome is whole. */
START_TEST(together)
{
	static struct look look;
	struct fleet fleet;
	struct store *store;
	unsigned runs = 0;

	begin(2);
	fleet_start(&fleet, COLLECTORS, RUNS_OF_EACH, false);
	ck_assert_uint_eq(fleet_end(&fleet), COLLECTORS);
	store = store_made(STORE_READ);
	look_at(store, &look);
	for (unsigned did = 0; did < DID; did++) {
		ck_assert(look.classes[did]);
		ck_assert_uint_eq(look.whole[did], 1);
		runs += look.runs[did];
	}
	ck_assert_uint_eq(runs, COLLECTORS * RUNS_OF_EACH);
	store_close(store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_kill");
	TCase *tc = tcase_create("store_kill");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 3600);
	tcase_add_checked_fixture(tc, place_setup, place_teardown);
	tcase_add_test(tc, killed_at_any_time);
	tcase_add_test(tc, together);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
