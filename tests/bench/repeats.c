/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a run costs that did nothing new: bytes on disk of each repeat (4 processes and a check, as in examples/quorum), and how many
 * are sealed in a second. `build/tests/bench/repeats URL [N]`; URL names a store that is not there yet. Prints `name value`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collector/store.h"
#include "lib/clock.h"

static void must(int err, const struct error *e)
{
	if (!err)
		return;
	fprintf(stderr, "%s\n", e->text);
	exit(3);
}

/* The file and its log. 0: it is no file. */
static uint64_t size_of(const char *url)
{
	static const char *const suffixes[] = { "", "-wal" };
	uint64_t size = 0;
	struct stat st;
	char name[4096];

	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s%s", url, suffixes[i]);
		if (!stat(name, &st))
			size += (uint64_t)st.st_size;
	}
	return size;
}

static void run_make(struct store *store, const char *text)
{
	static struct store_process processes[] = {
		{ .name = "s1", .box = "s1", .command = "/opt/bop/build/examples/quorum/quorum-server 7000", .role = STORE_PROCESS, .started = true },
		{ .name = "s2", .box = "s2", .command = "/opt/bop/build/examples/quorum/quorum-server 7000", .role = STORE_PROCESS, .started = true },
		{ .name = "s3", .box = "s3", .command = "/opt/bop/build/examples/quorum/quorum-server 7000", .role = STORE_PROCESS, .started = true },
		{ .name = "client", .box = "c", .command = "/opt/bop/build/examples/quorum/quorum-client client 7000 2 s1 s2 s3",
		  .role = STORE_WORKLOAD, .started = true, .exited = true },
		{ .name = "check", .box = "c", .command = "/opt/bop/examples/quorum/./check 2 client", .role = STORE_CHECK, .started = true,
		  .exited = true, .output = "", .output_size = 0 },
	};
	struct store_run run = { .experiment = "quorum", .path = "/opt/bop/examples/quorum/experiment.yaml", .text = (char *)text,
				 .version = "0.1.0", .outcome = OUTCOME_GOOD, .has_prints = true, .duration_ns = 70000000, .events = 56,
				 .messages = 12 };
	struct store_stream stream = { .host = "machine", .boot_id = "2d0a6be0-3c9f-4d43-8b28-0c8d0ef6f4b5", .kernel = "6.18.0",
				       .backend = "tracepoint" };
	static const char bytes[3000];
	struct error e;

	run.started_ns = clock_realtime_ns();
	run.started_monotonic_ns = clock_monotonic_ns();
	run.prints[STORE_OWN][PRINT_LEVEL_EXACT].low = 1;
	must(store_owner_self(&run.owner, &e), &e);
	must(store_begin(store, &e), &e);
	must(store_run_create(store, &run, &e), &e);
	must(store_stream_add(store, run.id, &stream, &e), &e);
	must(store_commit(store, &e), &e);
	must(store_begin(store, &e), &e);
	must(store_batch_put(store, run.id, stream.number, 1, bytes, sizeof(bytes), &e), &e);
	must(store_commit(store, &e), &e);
	must(store_run_seal(store, &run, processes, 5, NULL, &e), &e);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000, before, took;
	struct store *store = NULL;
	static char text[1500];
	struct error e;

	if (argc < 2 || !n) {
		fprintf(stderr, "usage: repeats URL [N]\n");
		return 3;
	}
	memset(text, 'x', sizeof(text) - 1);
	must(store_open(argv[1], STORE_CREATE, &store, &e), &e);
	for (int i = 0; i < 100; i++)
		run_make(store, text);
	store_close(store);
	before = size_of(argv[1]);
	must(store_open(argv[1], STORE_WRITE, &store, &e), &e);
	took = clock_monotonic_ns();
	for (uint64_t i = 0; i < n; i++)
		run_make(store, text);
	took = clock_monotonic_ns() - took;
	store_close(store);
	if (before)
		printf("repeat_bytes %.1f\n", (double)(size_of(argv[1]) - before) / (double)n);
	printf("repeats_per_s %.1f\n", (double)n * CLOCK_SECOND_NS / (double)took);
	return 0;
}
