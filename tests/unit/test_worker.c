/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Work beside a loop: all of it is done once, told in the loop, and a long piece keeps neither the loop nor a short one waiting. */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "collector/worker.h"

enum { JOBS = 200, TIMEOUT_MS = 20000 };

struct piece {
	struct worker_job job;
	atomic_int begun, worked;
	unsigned told;
	pthread_t who, teller;
	int gate; /* descriptor to be read from first; -1: none */
};

static struct workers *workers;

static void setup(void)
{
	struct error e;

	ck_assert_int_eq(workers_open(&workers, &e), 0);
}

static void on_work(struct worker_job *job)
{
	struct piece *piece = (struct piece *)job;
	char c;

	piece->begun++;
	if (piece->gate >= 0 && read(piece->gate, &c, 1) != 1)
		return;
	piece->who = pthread_self();
	piece->worked++;
}

static void on_done(struct worker_job *job)
{
	struct piece *piece = (struct piece *)job;

	piece->told++;
	piece->teller = pthread_self();
}

static void add(struct piece *piece, int gate)
{
	*piece = (struct piece){ .job = { .work = on_work, .done = on_done }, .gate = gate };
	workers_add(workers, &piece->job);
}

static void wait_told(struct piece *piece)
{
	while (!piece->told) {
		struct pollfd fd = { .fd = workers_fd(workers), .events = POLLIN };

		ck_assert_int_eq(poll(&fd, 1, TIMEOUT_MS), 1);
		workers_done(workers);
	}
}

/* Each piece is worked on once, not by the caller, and told once, by the caller. */
START_TEST(all)
{
	struct piece *pieces = calloc(JOBS, sizeof(*pieces));

	for (int i = 0; i < JOBS; i++)
		add(&pieces[i], -1);
	for (int i = 0; i < JOBS; i++)
		wait_told(&pieces[i]);
	workers_close(workers);
	for (int i = 0; i < JOBS; i++) {
		ck_assert_int_eq(pieces[i].worked, 1);
		ck_assert_uint_eq(pieces[i].told, 1);
		ck_assert(!pthread_equal(pieces[i].who, pthread_self()));
		ck_assert(pthread_equal(pieces[i].teller, pthread_self()));
	}
	free(pieces);
}
END_TEST

/* While one piece takes as long as it likes, others are done, and the caller goes on. */
START_TEST(long_one)
{
	struct piece slow, quick;
	int gate[2];

	ck_assert_int_eq(pipe(gate), 0);
	add(&slow, gate[0]);
	for (int i = 0; i < 10; i++) {
		add(&quick, -1);
		wait_told(&quick);
		ck_assert_int_eq(slow.worked, 0);
	}
	ck_assert_int_eq(write(gate[1], "x", 1), 1);
	wait_told(&slow);
	ck_assert_int_eq(slow.worked, 1);
	workers_close(workers);
	close(gate[0]);
	close(gate[1]);
}
END_TEST

static atomic_int closer_tid;

static void *close_all(void *arg)
{
	closer_tid = gettid();
	workers_close(workers);
	return NULL;
}

/* Nothing else of it sleeps: it waits for the threads, and has said that this is the end. */
static bool closer_waits(void)
{
	char path[64], state = '?';
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", closer_tid);
	stat = fopen(path, "r");
	if (stat) {
		if (fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
			state = '?';
		fclose(stat);
	}
	return state == 'S';
}

/* The end waits for what is being worked on, drops the rest, and tells of nothing. */
START_TEST(closed)
{
	struct piece slow[2], waiting[3];
	pthread_t closer;
	int gate[2];

	ck_assert_int_eq(pipe(gate), 0);
	for (int i = 0; i < 2; i++)
		add(&slow[i], gate[0]);
	for (int i = 0; i < 3; i++)
		add(&waiting[i], gate[0]);
	while (!slow[0].begun || !slow[1].begun)
		sched_yield();
	ck_assert(!workers_closing(workers));
	ck_assert_int_eq(pthread_create(&closer, NULL, close_all, NULL), 0);
	while (!closer_waits())
		sched_yield();
	ck_assert(workers_closing(workers)); /* who is at work can ask */
	ck_assert_int_eq(write(gate[1], "xxxxx", 5), 5);
	pthread_join(closer, NULL);
	for (int i = 0; i < 2; i++)
		ck_assert(slow[i].worked == 1 && !slow[i].told);
	for (int i = 0; i < 3; i++)
		ck_assert(!waiting[i].begun && !waiting[i].told);
	close(gate[0]);
	close(gate[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("worker");
	TCase *tc = tcase_create("worker");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, all);
	tcase_add_test(tc, long_one);
	tcase_add_test(tc, closed);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
