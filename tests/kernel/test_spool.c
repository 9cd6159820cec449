/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The spool of an agent: what goes in comes out, in order, within its bounds. Needs no kernel of any kind, only tfj/. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/claim.h"
#include "tests/scratch.h"
#include "tfj/spool.h"

#define QUEUE 4096

static char base[64];

struct queue {
	struct piece pieces[QUEUE];
	uint32_t seeds[QUEUE];
	size_t first, n;
	unsigned char *buffer;
	size_t buffer_size;
};

static void setup(void)
{
	scratch_name(base, sizeof(base), "test-bop-spool.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	setenv("BOP_TMPDIR", base, 1);
}

static void teardown(void)
{
	ck_assert_msg(rmdir(base) == 0, "something was left in %s", base);
}

static void fill(unsigned char *bytes, size_t size, uint32_t seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
}

static void put(struct spool *spool, struct queue *queue, uint32_t seed, size_t size)
{
	unsigned char *bytes = malloc(size);

	ck_assert_uint_lt(queue->n, QUEUE);
	fill(bytes, size, seed);
	queue->seeds[queue->n] = seed;
	spool_put(spool, bytes, size, &queue->pieces[queue->n++]);
}

static void check(struct spool *spool, struct queue *queue, size_t i)
{
	const unsigned char *got = spool_get(spool, &queue->pieces[i], &queue->buffer, &queue->buffer_size);
	size_t size = queue->pieces[i].size;
	unsigned char *wanted = malloc(size);

	ck_assert_ptr_nonnull(got);
	fill(wanted, size, queue->seeds[i]);
	ck_assert_mem_eq(got, wanted, size);
	free(wanted);
}

static void take(struct spool *spool, struct queue *queue)
{
	check(spool, queue, queue->first);
	spool_drop(spool, &queue->pieces[queue->first++]);
	if (queue->first == queue->n)
		queue->first = queue->n = 0;
}

/* Random puts and takes: every piece as it was, none over the bounds but the one that found them reached. */
START_TEST(at_random)
{
	struct spool_room room = { .memory = 4000, .disk = 20000 };
	static struct queue queue;
	struct spool spool;
	unsigned turned = 0, full = 0;

	srand(_i + 1);
	spool_init(&spool, &room);
	for (int i = 0; i < 20000; i++) {
		if (!spool_full(&room) && queue.n < QUEUE && rand() % 100 < (i / 500 % 2 ? 60 : 40))
			put(&spool, &queue, (uint32_t)i, 1 + (size_t)rand() % 900);
		else if (queue.first < queue.n)
			take(&spool, &queue);
		if (queue.first < queue.n)
			check(&spool, &queue, queue.first + (size_t)rand() % (queue.n - queue.first));
		ck_assert_uint_le(room.disk_used, room.disk);
		ck_assert_uint_lt(room.memory_used, room.memory + 900);
		turned += spool.end != 0;
		full += spool_full(&room);
	}
	while (queue.n)
		take(&spool, &queue);
	ck_assert_uint_eq(room.memory_used, 0);
	ck_assert_uint_eq(room.disk_used, 0);
	ck_assert_uint_gt(turned, 0);
	ck_assert_uint_gt(full, 0);
	spool_fini(&spool);
	free(queue.buffer);
}
END_TEST

/* Two spools share one room; what one has given back the other can take. */
START_TEST(one_room)
{
	struct spool_room room = { .memory = 100, .disk = 10000 };
	static struct queue queues[2];
	struct spool spools[2];
	struct error e;

	spool_init(&spools[0], &room);
	spool_init(&spools[1], &room);
	while (!spool_full(&room))
		put(&spools[0], &queues[0], 1, 1000);
	ck_assert(spool_complaint(&room, &e));
	ck_assert_ptr_nonnull(strstr(e.text, "10000 bytes"));
	ck_assert(!spool_complaint(&room, &e));
	put(&spools[1], &queues[1], 2, 1000);
	while (queues[0].n)
		take(&spools[0], &queues[0]);
	ck_assert_uint_eq(room.disk_used, 0);
	put(&spools[1], &queues[1], 3, 1000);
	ck_assert_uint_eq(room.disk_used, 1000);
	while (queues[1].n)
		take(&spools[1], &queues[1]);
	spool_fini(&spools[0]);
	spool_fini(&spools[1]);
	free(queues[0].buffer);
	free(queues[1].buffer);
}
END_TEST

/* No file at all when that is asked for, or when there is no directory for it; said in words. */
START_TEST(no_file)
{
	struct spool_room room = { .memory = 100 };
	static struct queue queue;
	struct spool spool;
	struct error e;

	spool_init(&spool, &room);
	put(&spool, &queue, 1, 200);
	ck_assert(spool_full(&room));
	ck_assert_int_eq(spool.fd, -1);
	take(&spool, &queue);
	ck_assert(!spool_full(&room));
	room = (struct spool_room){ .memory = 100, .disk = 1000 };
	setenv("BOP_TMPDIR", "/nowhere/at/all", 1);
	put(&spool, &queue, 1, 200);
	ck_assert(spool_full(&room));
	ck_assert(spool_complaint(&room, &e));
	ck_assert_ptr_nonnull(strstr(e.text, "/nowhere/at/all"));
	take(&spool, &queue);
	spool_fini(&spool);
	free(queue.buffer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spool");
	TCase *tc = tcase_create("spool");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, at_random, 0, 5);
	tcase_add_test(tc, one_room);
	tcase_add_test(tc, no_file);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
