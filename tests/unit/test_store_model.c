/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A store says after any sequence of runs, seals, removals and drops what a model of a hundred lines says that knows no database:
 * which runs there are, of which class each is, whose events stand for it, and what was recorded of it.
 *
 * BOP_TEST_SEED: another sequence. BOP_TEST_STEPS: how long each is.
 */
#include <time.h>

#include "tests/unit/store_place.h"

enum { RUNS = 4000, SEQUENCES = 6, STEPS = 250, EXPERIMENTS = 3, PLANS = 4, DID = 4 };

enum events { WHOLE, REPEAT, DROPPED };

/* What the model knows of a run. */
struct model_run {
	bool there, running;
	int experiment, plan, injected, did; /* did: which print it has */
	bool approximate;
	bool has_class, has_reason;
	enum outcome outcome;
	enum events events;
	uint64_t repeats;
	unsigned batches;
	uint64_t class_id; /* as the store called it */
};

static struct model {
	struct model_run runs[RUNS];
	uint64_t n;
} model;

static uint64_t state;

static unsigned pick(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % n);
}

static const char *const experiments[EXPERIMENTS] = { "a", "b", "it's" };
static const char *const plans[PLANS] = { NULL, "cut a>b:1#1/1\n", "cut a>b:1#1/1\nisolate b\n", "cut a>b:1#1/1\n" };
static bool is_dry(int plan) { return plan == 3; }

static struct print print_of(const struct model_run *run, enum store_view view, enum print_level level)
{
	return (struct print){ .high = UINT64_MAX - (uint64_t)run->did, .low = (uint64_t)level * 10 + (uint64_t)view,
			       .approximate = run->approximate && level == PRINT_LEVEL_EXACT };
}

/* ---- The model */

static bool same_class(const struct model_run *a, const struct model_run *b)
{
	return a->experiment == b->experiment && a->plan == b->plan && a->injected == b->injected && a->did == b->did &&
	       a->approximate == b->approximate;
}

/* The lowest of its class that is there, whole if so wanted and with that outcome (0: with any). */
static uint64_t lowest(const struct model_run *of, bool whole, enum outcome outcome)
{
	for (uint64_t id = 1; id <= model.n; id++) {
		const struct model_run *run = &model.runs[id];

		if (run->there && run->has_class && same_class(run, of) && (!whole || run->events == WHOLE) &&
		    (!outcome || run->outcome == outcome))
			return id;
	}
	return 0;
}

static uint64_t kept_of(uint64_t id)
{
	const struct model_run *run = &model.runs[id];

	if (run->events != REPEAT)
		return run->events == WHOLE ? id : 0;
	return model.runs[run->repeats].there && model.runs[run->repeats].events == WHOLE ? run->repeats : 0;
}

static uint64_t baseline_of(int experiment)
{
	for (uint64_t id = model.n; id; id--) {
		const struct model_run *run = &model.runs[id];

		if (run->there && !run->running && run->experiment == experiment && kept_of(id) &&
		    (run->outcome == OUTCOME_GOOD || run->outcome == OUTCOME_VIOLATED) && (!plans[run->plan] || is_dry(run->plan)))
			return id;
	}
	return 0;
}

/* ---- What the store says, beside it */

static int check_run(const struct store_run *row, void *arg, struct error *e)
{
	const struct model_run *run = &model.runs[row->id];
	uint64_t *last = arg;

	for (uint64_t id = *last + 1; id < row->id; id++)
		ck_assert_msg(!model.runs[id].there, "run %llu is missing", (unsigned long long)id);
	*last = row->id;
	ck_assert_msg(row->id <= model.n && run->there, "run %llu is there", (unsigned long long)row->id);
	ck_assert_str_eq(row->experiment, experiments[run->experiment]);
	ck_assert_int_eq(row->running, run->running);
	ck_assert_int_eq(row->outcome, run->running ? OUTCOME_NONE : run->outcome);
	ck_assert_msg(row->class_id == (run->has_class ? run->class_id : 0), "run %llu is of class %llu", (unsigned long long)row->id,
		      (unsigned long long)row->class_id);
	ck_assert_msg(row->kept == kept_of(row->id), "run %llu: its events are those of %llu, not of %llu", (unsigned long long)row->id,
		      (unsigned long long)kept_of(row->id), (unsigned long long)row->kept);
	ck_assert_int_eq(row->new_class, run->has_class && lowest(run, false, 0) == row->id);
	ck_assert_int_eq(row->unclassed != NULL, run->has_reason);
	return 0;
}

static int count_batch(uint64_t stream, uint64_t number, const void *bytes, size_t size, void *arg, struct error *e)
{
	++*(unsigned *)arg;
	ck_assert_uint_eq(number, *(unsigned *)arg);
	return 0;
}

struct class_count {
	size_t n;
	const char *experiment;
};

static int check_class(const struct store_class *class, void *arg, struct error *e)
{
	const struct model_run *run = &model.runs[class->first_run];
	unsigned char key[STORE_PLAN_KEY_SIZE];
	struct class_count *count = arg;
	bool has_plan = plans[run->plan] || run->injected;

	count->n++;
	ck_assert(class->first_run && class->first_run <= model.n && run->there && run->has_class);
	ck_assert_uint_eq(lowest(run, false, 0), class->first_run);
	ck_assert_msg(lowest(run, true, 0) == class->kept_run, "class %llu keeps %llu, and not %llu", (unsigned long long)class->id,
		      (unsigned long long)class->kept_run, (unsigned long long)lowest(run, true, 0));
	ck_assert_uint_eq(run->class_id, class->id);
	ck_assert_str_eq(class->experiment, experiments[run->experiment]);
	ck_assert(!count->experiment || !strcmp(count->experiment, class->experiment));
	ck_assert_int_eq(class->dry_run, has_plan && is_dry(run->plan));
	ck_assert_int_eq(class->plan != NULL, has_plan);
	store_plan_key(class->plan, class->dry_run, key);
	ck_assert_int_eq(memcmp(key, class->plan_key, sizeof(key)), 0);
	for (enum store_view view = 0; view < STORE_VIEW_COUNT; view++)
		for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++) {
			struct print want = print_of(run, view, level);

			ck_assert_int_eq(print_compare(&class->prints[view][level], &want), 0);
		}
	return 0;
}

static size_t classes_of(const char *experiment)
{
	size_t n = 0;

	for (uint64_t id = 1; id <= model.n; id++)
		n += model.runs[id].there && model.runs[id].has_class && lowest(&model.runs[id], false, 0) == id &&
		     (!experiment || !strcmp(experiment, experiments[model.runs[id].experiment]));
	return n;
}

static int count_unknown(const struct store_run *row, void *arg, struct error *e)
{
	const struct model_run *run = &model.runs[row->id];

	++*(size_t *)arg;
	ck_assert(!run->running && !run->has_class && !run->has_reason);
	return 0;
}

static void check(struct store *store)
{
	size_t unknown = 0, running = 0, n = 0, n_running = 0;
	uint64_t last = 0, id;

	ck_assert_int_eq(store_each_run(store, NULL, check_run, &last, NULL), 0);
	for (uint64_t i = 1; i <= model.n; i++) {
		struct model_run *run = &model.runs[i];
		unsigned batches = 0;

		ck_assert(i <= last || !run->there);
		ck_assert_int_eq(store_each_batch(store, i, count_batch, &batches, NULL), 0);
		ck_assert_msg(batches == (run->there && run->events == WHOLE ? run->batches : 0), "run %llu has %u batches",
			      (unsigned long long)i, batches);
		unknown += run->there && !run->running && !run->has_class && !run->has_reason;
		running += run->there && run->running;
	}
	ck_assert_int_eq(store_each_run(store, &(struct store_range){ .unknown = true }, count_unknown, &n, NULL), 0);
	ck_assert_uint_eq(n, unknown);
	ck_assert_int_eq(store_each_run(store, &(struct store_range){ .running = true }, count, &n_running, NULL), 0);
	ck_assert_uint_eq(n_running, running);
	for (int i = -1; i < EXPERIMENTS; i++) {
		struct class_count count = { 0, i < 0 ? NULL : experiments[i] };

		ck_assert_int_eq(store_each_class(store, count.experiment, check_class, &count, NULL), 0);
		ck_assert_uint_eq(count.n, classes_of(count.experiment));
		if (i < 0)
			continue;
		ck_assert_int_eq(store_run_baseline(store, experiments[i], &id, NULL), 0);
		ck_assert_uint_eq(id, baseline_of(i));
	}
}

/* ---- Steps: the same to both */

static void step_create(struct store *store)
{
	struct model_run *run = &model.runs[++model.n];
	struct store_run row = { .path = "/x", .text = "x", .version = "1", .started_ns = 1, .started_monotonic_ns = 1 };
	struct error e = { "" };

	*run = (struct model_run){ .there = true, .running = true, .experiment = (int)pick(EXPERIMENTS), .plan = (int)pick(PLANS),
				   .batches = pick(4) };
	row.experiment = (char *)experiments[run->experiment];
	row.plan = (char *)plans[run->plan];
	row.dry_run = is_dry(run->plan);
	ck_assert_int_eq(store_owner_self(&row.owner, &e), 0);
	ck_assert_msg(!store_run_create(store, &row, &e), "%s", e.text);
	ck_assert_uint_eq(row.id, model.n);
	ck_assert_int_eq(store_begin(store, &e), 0);
	for (unsigned i = 0; i < run->batches; i++)
		ck_assert_msg(!store_batch_put(store, row.id, 1, i + 1, "batch", 5, &e), "%s", e.text);
	ck_assert_int_eq(store_commit(store, &e), 0);
}

/* What it did, for the row and for the model alike. */
static void row_fill(struct model_run *run, struct store_run *row, struct store_seal *how)
{
	static const char *const injected = "isolate a\n";
	unsigned what = pick(8);

	run->did = (int)pick(DID);
	run->approximate = pick(8) == 0;
	run->injected = pick(8) == 0;
	run->has_reason = what == 0;
	run->has_class = what > 1;
	row->experiment = (char *)experiments[run->experiment];
	row->plan = (char *)plans[run->plan];
	row->dry_run = is_dry(run->plan);
	row->outcome = run->outcome;
	row->has_prints = what != 1;
	row->unclassed = run->has_reason ? (char *)"events were lost" : NULL;
	how->injected = run->injected ? injected : NULL;
	for (enum store_view view = 0; view < STORE_VIEW_COUNT; view++)
		for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
			row->prints[view][level] = print_of(run, view, level);
}

/* first: of its class there was none; repeats: 0, or whose repeat it is. */
static void took_class(struct model_run *run, const struct store_run *row, uint64_t first, uint64_t repeats)
{
	ck_assert_int_eq(row->class_id != 0, run->has_class);
	ck_assert_int_eq(row->new_class, run->has_class && !first);
	run->class_id = row->class_id;
	if (run->has_class && first)
		ck_assert_uint_eq(row->class_id, model.runs[first].class_id);
	for (uint64_t id = 1; run->has_class && !first && id <= model.n; id++)
		ck_assert(&model.runs[id] == run || !model.runs[id].has_class || model.runs[id].class_id != run->class_id);
	if (!repeats)
		return;
	run->events = REPEAT;
	run->repeats = repeats;
}

static void step_seal(struct store *store, uint64_t id)
{
	static const enum outcome outcomes[] = { OUTCOME_GOOD, OUTCOME_GOOD, OUTCOME_VIOLATED, OUTCOME_TIMEOUT };
	struct model_run *run = &model.runs[id], wanted = *run;
	struct store_run row = { .id = id };
	struct store_seal how = { .keep_all = pick(4) == 0 };
	uint64_t first, repeats = 0;
	struct error e = { "" };

	wanted.outcome = outcomes[pick(4)];
	wanted.running = false;
	row_fill(&wanted, &row, &how);
	if (!run->there || !run->running) {
		ck_assert_int_eq(store_run_seal(store, &row, NULL, 0, &how, &e), -ESTALE);
		return;
	}
	first = wanted.has_class ? lowest(&wanted, false, 0) : 0;
	if (first && !how.keep_all && !wanted.approximate)
		repeats = lowest(&wanted, true, wanted.outcome);
	ck_assert_msg(!store_run_seal(store, &row, NULL, 0, &how, &e), "%s", e.text);
	ck_assert_uint_eq(row.kept, repeats ? repeats : id);
	*run = wanted;
	took_class(run, &row, first, repeats);
}

static void step_class(struct store *store, uint64_t id)
{
	struct model_run *run = &model.runs[id], wanted = *run;
	struct store_run row = { .id = id };
	struct store_seal how = { .keep_all = false };
	struct error e = { "" };
	uint64_t first;

	row_fill(&wanted, &row, &how);
	if (!run->there || run->running) {
		ck_assert_int_eq(store_run_class(store, &row, &how, &e), run->there ? -ESTALE : -ENOENT);
		return;
	}
	first = wanted.has_class ? lowest(&wanted, false, 0) : 0;
	ck_assert_msg(!store_run_class(store, &row, &how, &e), "%s", e.text);
	ck_assert_uint_eq(row.kept, kept_of(id));
	if (run->has_class || run->has_reason) {
		ck_assert_uint_eq(row.class_id, run->has_class ? run->class_id : 0);
		return;
	}
	*run = wanted;
	took_class(run, &row, first, 0);
}

static void step_drop(struct store *store, uint64_t id, bool row)
{
	struct model_run *run = &model.runs[id];
	struct error e = { "" };
	uint64_t uses = 0, known;
	int err, wanted;

	for (uint64_t i = 1; i <= model.n; i++)
		uses += model.runs[i].there && kept_of(i) == id;
	known = pick(2) ? STORE_UNKNOWN : uses - pick(2) * (uses > 0);
	wanted = !run->there ? -ENOENT : run->running ? -EBUSY : !row && run->events == WHOLE && uses > known ? -ESTALE : 0;
	err = row ? store_run_remove(store, id, &e) : store_run_drop(store, id, known, &e);
	ck_assert_msg(err == wanted, "%d, not %d: %s", err, wanted, e.text);
	if (err)
		return;
	if (row)
		run->there = false;
	else if (run->events == WHOLE)
		run->events = DROPPED;
}

/* A run whose events go because another one's stand for them; and how many bytes each has. */
static void step_fold(struct store *store, uint64_t id)
{
	struct model_run *run = &model.runs[id];
	uint64_t other = 0, size;
	struct error e = { "" };
	int wanted, err = store_run_size(store, id, &size, &e);

	ck_assert_int_eq(err, 0);
	ck_assert_uint_eq(size, run->there && run->events == WHOLE ? 5 * run->batches : 0);
	for (uint64_t i = 1; i <= model.n && run->has_class && !other; i++)
		if (i != id && model.runs[i].there && model.runs[i].has_class && !model.runs[i].running &&
		    model.runs[i].events == WHOLE && same_class(&model.runs[i], run) && model.runs[i].outcome == run->outcome)
			other = i;
	wanted = !run->there ? -ENOENT : run->running ? -EBUSY : run->events == WHOLE && !other ? -ESTALE : 0;
	err = store_run_fold(store, id, &e);
	ck_assert_msg(err == wanted, "%d, not %d: %s", err, wanted, e.text);
	if (err || run->events != WHOLE)
		return;
	run->events = REPEAT;
	run->repeats = other;
	for (uint64_t i = 1; i <= model.n; i++)
		if (model.runs[i].events == REPEAT && model.runs[i].repeats == id)
			model.runs[i].repeats = other;
}

static void step_find(struct store *store)
{
	struct model_run run = { .experiment = (int)pick(EXPERIMENTS), .did = (int)pick(DID), .approximate = pick(8) == 0 };
	struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT] = { 0 };
	unsigned char key[STORE_PLAN_KEY_SIZE];
	struct store_class *class = NULL;
	uint64_t first;
	int err;

	run.plan = (int)pick(PLANS);
	store_plan_key(plans[run.plan], is_dry(run.plan), key);
	for (enum store_view view = 0; view < STORE_VIEW_COUNT; view++)
		prints[view][PRINT_LEVEL_EXACT] = print_of(&run, view, PRINT_LEVEL_EXACT);
	first = lowest(&run, false, 0);
	err = store_class_find(store, experiments[run.experiment], key, prints, &class, NULL);
	ck_assert_int_eq(err, first != 0);
	if (first)
		ck_assert_uint_eq(class->id, model.runs[first].class_id);
	store_class_free(class);
}

static struct store *step(struct store *store)
{
	uint64_t id = model.n ? 1 + pick((unsigned)model.n) : 1, recent = model.n > 4 ? model.n - pick(5) : id;

	switch (pick(13)) {
	case 0 ... 3:
		step_create(store);
		break;
	case 4 ... 6:
		step_seal(store, recent);
		break;
	case 7:
		step_class(store, id);
		break;
	case 8:
		step_drop(store, id, true);
		break;
	case 9:
		step_drop(store, id, false);
		break;
	case 10:
		step_find(store);
		break;
	case 11:
		step_fold(store, id);
		break;
	default:
		store_close(store);
		store = store_made(STORE_WRITE);
		ck_assert_int_eq(store_sweep(store, NULL, NULL, NULL), 0);
	}
	return store;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	return getenv(name) ? strtoull(getenv(name), NULL, 10) : otherwise;
}

START_TEST(as_the_model)
{
	uint64_t seed = number_of("BOP_TEST_SEED", (uint64_t)time(NULL));
	uint64_t steps = number_of("BOP_TEST_STEPS", STEPS);
	struct store *store = store_made(STORE_CREATE);

	state = seed * SEQUENCES + (uint64_t)_i + 1;
	memset(&model, 0, sizeof(model));
	printf("# BOP_TEST_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	for (uint64_t i = 0; i < steps && model.n + 1 < RUNS; i++) {
		store = step(store);
		check(store);
	}
	ck_assert_uint_gt(model.n, steps / 8);
	store_close(store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_model");
	TCase *tc = tcase_create("store_model");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 3600);
	tcase_add_checked_fixture(tc, place_setup, place_teardown);
	tcase_add_loop_test(tc, as_the_model, 0, SEQUENCES);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
