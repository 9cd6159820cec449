/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A history of many prints: how long it takes to know one again, to find what is most like a new one, and how many runs are
 * sealed in a second. Prints `name value`; percentiles are of what is measured one by one.
 *
 *     history fill URL N             makes a store of N classes; URL names one that is not there yet
 *     history measure URL N ROUND    in each round (from 0) others are asked for
 *
 * The classes are made up, in families that have more or less in common, and put into the tables in bulk, past the store's
 * interface (history_fill.h), with what they are found by and without runs; everything that is measured goes through it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/near.h"
#include "lib/clock.h"
#include "tests/bench/history_fill.h"

enum { LOOKUPS = 2000, NEAREST = 500, RUNS = 200, BATCH = 3000 /* bytes, of a run of examples/quorum */ };

static int compare(const void *a, const void *b)
{
	uint64_t p = *(const uint64_t *)a, q = *(const uint64_t *)b;

	return p < q ? -1 : p > q;
}

static void say(const char *name, uint64_t *times, size_t n)
{
	qsort(times, n, sizeof(*times), compare);
	printf("%s_us %.1f\n%s_p99_us %.1f\n", name, times[n / 2] / 1e3, name, times[n * 99 / 100] / 1e3);
}

static void must(int err, const struct error *e)
{
	if (err >= 0)
		return;
	fprintf(stderr, "%s\n", e->text);
	exit(3);
}

/* Keys come in random order: little of what is read was read before. */
static void measure_known(struct store *store, uint64_t n, uint64_t round, bool there)
{
	static const unsigned char no_plan[STORE_PLAN_KEY_SIZE];
	static uint64_t times[LOOKUPS];
	uint64_t rng = 2 * round + there;

	for (size_t i = 0; i < LOOKUPS; i++) {
		uint64_t number = made_random(&rng) % n, began;
		struct store_class *class = NULL;
		struct made_class made;
		struct error e;
		int found;

		made_class(there ? number : n + 1 + number, &made);
		began = clock_monotonic_ns();
		found = store_class_find(store, MADE_EXPERIMENT, no_plan, made.prints, &class, &e);
		times[i] = clock_monotonic_ns() - began;
		must(found, &e);
		if (found != there || (there && class->id != number + 1)) {
			fprintf(stderr, "class %llu was not found, or another one\n", (unsigned long long)number + 1);
			exit(3);
		}
		store_class_free(class);
	}
	say(there ? "known" : "unknown", times, LOOKUPS);
}

/* Of new ones: what is found must be of the same family, at least. */
static void measure_nearest(struct store *store, uint64_t n, uint64_t round)
{
	static uint64_t times[NEAREST];
	unsigned related = 0;

	for (size_t i = 0; i < NEAREST; i++) {
		struct near_of of = { .experiment = MADE_EXPERIMENT, .run = INT64_MAX };
		struct made_class made;
		struct near near = { .class_id = 0 };
		struct error e;
		uint64_t number = n + 1 + (round * NEAREST + i) * 7919, began;
		int err;

		made_class(number, &made);
		of.sketch = &made.sketch;
		began = clock_monotonic_ns();
		err = near_find(store, &of, &near, &e);
		times[i] = clock_monotonic_ns() - began;
		must(err == -ENOENT ? 0 : err, &e); /* nothing that is like it was found */
		related += near.class_id && made_family(near.class_id - 1) == made_family(number);
	}
	say("nearest", times, NEAREST);
	printf("nearest_related %.3f\n", (double)related / NEAREST);
}

static void run_make(struct store *store, uint64_t number)
{
	static const char text[4000] = "experiment: bench\n", bytes[BATCH];
	struct store_run run = { .experiment = MADE_EXPERIMENT, .path = "/opt/bench.yaml", .text = (char *)text, .version = "0.1.0",
				 .outcome = OUTCOME_GOOD, .has_prints = true, .events = 56, .messages = 12 };
	struct store_process process = { .name = "client", .box = "c", .command = "/opt/bench", .role = STORE_WORKLOAD, .started = true,
					 .exited = true };
	struct store_stream stream = { .host = "machine", .boot_id = "2d0a6be0-3c9f-4d43-8b28-0c8d0ef6f4b5", .kernel = "6.18.0",
				       .backend = "tracepoint" };
	struct store_seal how;
	struct made_class made;
	struct error e;

	made_class(number, &made);
	how = (struct store_seal){ .sketch = &made.sketch };
	run.started_ns = clock_realtime_ns();
	run.started_monotonic_ns = clock_monotonic_ns();
	memcpy(run.prints, made.prints, sizeof(run.prints));
	must(store_owner_self(&run.owner, &e), &e);
	must(store_run_create(store, &run, &e), &e);
	must(store_stream_add(store, run.id, &stream, &e), &e);
	must(store_begin(store, &e), &e);
	must(store_batch_put(store, run.id, stream.number, 1, bytes, sizeof(bytes), &e), &e);
	must(store_commit(store, &e), &e);
	must(store_run_seal(store, &run, &process, 1, &how, &e), &e);
}

/* Each new, or all the same as the one before. */
static void measure_runs(struct store *store, uint64_t n, uint64_t round, bool repeats)
{
	uint64_t began = clock_monotonic_ns();

	for (uint64_t i = 0; i < RUNS; i++)
		run_make(store, (1ull << 40) + n + round * RUNS + (repeats ? 0 : i));
	printf("%s_runs_per_s %.0f\n", repeats ? "repeated" : "new", RUNS * 1e9 / (clock_monotonic_ns() - began));
}

static void fill(const char *url, uint64_t n)
{
	uint64_t began = clock_monotonic_ns();
	struct store *store = NULL;
	struct error e;

	must(store_open(url, STORE_CREATE, &store, &e), &e);
	store_close(store);
	history_fill(url, n);
	printf("fill_s %.1f\n", (clock_monotonic_ns() - began) / 1e9);
}

static void measure(const char *url, uint64_t n, uint64_t round)
{
	struct store *store = NULL;
	struct error e;

	must(store_open(url, STORE_WRITE, &store, &e), &e);
	measure_known(store, n, round, true);
	measure_known(store, n, round, false);
	measure_nearest(store, n, round);
	measure_runs(store, n, round, false);
	measure_runs(store, n, round, true);
	store_close(store);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

	if (argc == 4 && !strcmp(argv[1], "fill") && n)
		fill(argv[2], n);
	else if (argc == 5 && !strcmp(argv[1], "measure") && n)
		measure(argv[2], n, strtoull(argv[4], NULL, 10));
	else
		return fprintf(stderr, "history fill URL N, or history measure URL N ROUND\n"), 3;
	return 0;
}
