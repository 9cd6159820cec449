/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ring buffer and the lanes as one sequence, in memory of our own that is written as the programs do. No root needed. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "tfj/rings.h"

#define RING 4096u
#define SLOTS 64u
#define LANES 3
#define BUSY (1u << 31)
#define DISCARD (1u << 30)
#define STRIDE (sizeof(struct lane) + SLOTS * sizeof(struct lane_slot))
#define ALL (UINT64_MAX - 1)
#define EACH 100000u /* records of a thread */

/* What is written twice in a row by the kernel's mapping is written twice here. */
static struct {
	uint64_t taken, given;
	unsigned char data[2 * RING];
	_Alignas(64) unsigned char lanes[LANES * STRIDE];
	struct rings *rings;
	uint64_t got[512]; /* `order` of what was handed over */
	size_t n;
	bool waits;
} m;

static struct lane *lane(size_t i)
{
	return (struct lane *)(void *)(m.lanes + i * STRIDE);
}

static void setup_with(size_t n_lanes)
{
	struct rings_memory memory = { .ring_taken = &m.taken, .ring_given = &m.given, .ring = m.data, .ring_bytes = RING,
				       .lanes = n_lanes ? m.lanes : NULL, .lane_bytes = STRIDE, .n_lanes = n_lanes, .slots = SLOTS };

	memset(&m, 0, sizeof(m));
	ck_assert_int_eq(rings_new(&memory, &m.rings), 0);
}

static void setup(void)
{
	setup_with(LANES);
}

static void teardown(void)
{
	rings_free(m.rings);
}

/* Claims; the record is still being written. NULL: full. */
static struct lane_slot *claim_lane(size_t i)
{
	uint64_t head = lane(i)->head;

	if (head - __atomic_load_n(&lane(i)->tail, __ATOMIC_ACQUIRE) >= SLOTS)
		return NULL;
	__atomic_store_n(&lane(i)->head, head + 1, __ATOMIC_RELEASE);
	return &lane(i)->slot[head % SLOTS];
}

static void put_lane(size_t i, uint64_t ns, uint64_t order)
{
	struct lane_slot *slot = claim_lane(i);

	ck_assert_ptr_nonnull(slot);
	slot->record = (struct rec_transfer){ .head = { .return_ns = ns, .order = order } };
	slot->turn = lane(i)->head;
}

static void *data_at(uint64_t at)
{
	return m.data + at % RING;
}

/* Reserves; the record is still being written. Returns where it is; UINT64_MAX: full. */
static uint64_t claim_ring(uint64_t ns, uint64_t order, uint64_t cookie, uint32_t flags)
{
	struct rec_transfer record = { .head = { .return_ns = ns, .order = order }, .cookie = cookie };
	uint64_t at = m.given;
	uint32_t length = sizeof(record) | flags;

	if (at + 8 + sizeof(record) - __atomic_load_n(&m.taken, __ATOMIC_ACQUIRE) > RING)
		return UINT64_MAX;
	__atomic_store_n((uint32_t *)data_at(at), length, __ATOMIC_RELAXED);
	memcpy((unsigned char *)data_at(at) + 8, &record, sizeof(record));
	if (at % RING + 8 + sizeof(record) > RING) /* the second mapping shows the first again */
		memcpy(m.data, m.data + RING, at % RING + 8 + sizeof(record) - RING);
	__atomic_store_n(&m.given, at + 8 + sizeof(record), __ATOMIC_RELEASE);
	return at;
}

static void commit_ring(uint64_t at, uint32_t flags)
{
	__atomic_store_n((uint32_t *)data_at(at), (uint32_t)sizeof(struct rec_transfer) | flags, __ATOMIC_RELEASE);
}

static void put_ring(uint64_t ns, uint64_t order)
{
	ck_assert_uint_ne(claim_ring(ns, order, 0, 0), UINT64_MAX);
}

static void on_record(void *arg, const struct rec_head *record, size_t size)
{
	ck_assert_uint_eq(size, sizeof(struct rec_transfer));
	ck_assert_uint_lt(m.n, sizeof(m.got) / sizeof(*m.got));
	m.got[m.n++] = record->order;
}

/* Drains, and the numbers of what came are those. */
static void expect(uint64_t until, const char *orders)
{
	char text[64 * 4] = "";
	int n;

	m.n = 0;
	n = rings_drain(m.rings, until, on_record, NULL, &m.waits);
	ck_assert_uint_eq(m.n, (size_t)n);
	for (size_t i = 0; i < m.n && i < 64; i++)
		snprintf(text + strlen(text), 4, "%s%u", i ? " " : "", (unsigned)m.got[i] % 100);
	ck_assert_str_eq(text, orders);
}

START_TEST(by_time)
{
	put_lane(0, 10, 1);
	put_lane(0, 40, 4);
	put_ring(20, 2);
	put_ring(50, 5);
	put_lane(2, 30, 3);
	put_lane(1, 60, 6);
	expect(ALL, "1 2 3 4 5 6");
	expect(ALL, "");
	ck_assert_uint_eq(m.taken, m.given);
	ck_assert_uint_eq(lane(0)->tail, 2);
	ck_assert_uint_eq(rings_lanes_given(m.rings), 4);
}
END_TEST

/* Each ring keeps its own order, though a softirq came between the clock and the place. */
START_TEST(own_order)
{
	put_ring(30, 1);
	put_ring(20, 2);
	put_lane(0, 25, 3);
	put_lane(0, 40, 4);
	put_lane(0, 35, 5);
	expect(ALL, "3 1 2 4 5");
}
END_TEST

/* A clock may count in so many nanoseconds that cause and effect on one CPU have the same time: they come as they were numbered. */
START_TEST(same_moment)
{
	put_ring(10, 2);
	put_lane(1, 10, 1);
	((struct rec_head *)(void *)(m.data + 8))->seq = 2;
	lane(1)->slot[0].record.head.seq = 1;
	expect(ALL, "1 2");
	put_ring(20, 3);
	put_lane(1, 20, 4);
	((struct rec_head *)(void *)(m.data + 8 + sizeof(struct rec_transfer) + 8))->seq = 3;
	lane(1)->slot[1].record.head.seq = 4;
	expect(ALL, "3 4");
}
END_TEST

/* What was put out after the looking began may be the consequence of something that was not seen. */
START_TEST(not_yet)
{
	put_lane(0, 10, 1);
	put_lane(0, 30, 3);
	put_ring(20, 2);
	put_ring(31, 4);
	expect(20, "1 2");
	expect(30, "3");
	put_lane(1, 31, 5);
	expect(31, "4 5");
}
END_TEST

/* A record that is still being written stops what could follow from it, wherever that is. */
START_TEST(being_written)
{
	struct lane_slot *slot;
	uint64_t at;

	put_lane(0, 10, 1);
	slot = claim_lane(0);
	put_lane(0, 25, 3);
	put_lane(1, 5, 0);
	put_lane(1, 30, 4);
	put_ring(40, 5);
	expect(ALL, "0 1");
	ck_assert(m.waits);
	slot->record = (struct rec_transfer){ .head = { .return_ns = 20, .order = 2 } };
	slot->turn = 2;
	at = claim_ring(45, 6, 0, BUSY);
	put_lane(2, 50, 7);
	expect(ALL, "2 3 4 5");
	ck_assert(m.waits);
	commit_ring(at, 0);
	expect(ALL, "6 7");
	ck_assert(!m.waits);
}
END_TEST

START_TEST(taken_back)
{
	uint64_t at = claim_ring(10, 1, 0, BUSY);

	put_ring(20, 2);
	expect(ALL, "");
	commit_ring(at, DISCARD);
	expect(ALL, "2");
	commit_ring(claim_ring(30, 3, 0, BUSY), DISCARD);
	expect(ALL, "");
	ck_assert_uint_eq(m.taken, m.given);
}
END_TEST

/* Both come round many times; a full lane has room again as soon as it was drained. */
START_TEST(round_and_round)
{
	uint64_t ns = 1;

	for (int turn = 0; turn < 50; turn++) {
		while (lane(0)->head - lane(0)->tail < SLOTS)
			put_lane(0, ns++, 0);
		ck_assert_ptr_null(claim_lane(0));
		while (claim_ring(ns, 0, 0, 0) != UINT64_MAX)
			ns++;
		m.n = 0;
		ck_assert_int_eq(rings_drain(m.rings, ALL, on_record, NULL, &m.waits),
				 (int)(SLOTS + RING / (8 + sizeof(struct rec_transfer))));
		ck_assert_uint_eq(lane(0)->tail, lane(0)->head);
		ck_assert_uint_eq(m.taken, m.given);
	}
}
END_TEST

START_TEST(ring_alone)
{
	rings_free(m.rings);
	setup_with(0);
	put_ring(20, 1);
	put_ring(10, 2);
	expect(ALL, "1 2");
	ck_assert_uint_eq(rings_lanes_given(m.rings), 0);
}
END_TEST

/* Threads that are CPUs; each says in a record how many of the others' it knew of when it began. */
static struct {
	uint64_t done[LANES];
	uint64_t come[LANES];
	pthread_mutex_t ring;
	bool wrong;
} t;

static void *cpu_main(void *arg)
{
	size_t own = (size_t)arg, other = (own + 1) % LANES;

	for (uint64_t i = 1; i <= EACH;) {
		uint64_t known = __atomic_load_n(&t.done[other], __ATOMIC_SEQ_CST), ns = clock_monotonic_ns(), at;
		struct lane_slot *slot = i % 7 ? claim_lane(own) : NULL;

		if (slot) {
			slot->record = (struct rec_transfer){ .head = { .return_ns = ns, .order = i, .tid = (uint32_t)own },
							      .cookie = known };
			__atomic_store_n(&slot->turn, lane(own)->head, __ATOMIC_RELEASE);
		} else {
			pthread_mutex_lock(&t.ring);
			at = claim_ring(ns, i << 8 | own, known, BUSY);
			pthread_mutex_unlock(&t.ring);
			if (at == UINT64_MAX) {
				sched_yield();
				continue;
			}
			commit_ring(at, 0);
		}
		__atomic_store_n(&t.done[own], i++, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void on_cause(void *arg, const struct rec_head *head, size_t size)
{
	const struct rec_transfer *record = (const void *)head;
	bool by_lane = (const unsigned char *)head >= m.lanes && (const unsigned char *)head < m.lanes + sizeof(m.lanes);
	size_t own = by_lane ? head->tid : head->order & 0xff;
	uint64_t i = by_lane ? head->order : head->order >> 8;

	t.wrong |= i != t.come[own] + 1 || t.come[(own + 1) % LANES] < record->cookie;
	t.come[own] = i;
}

START_TEST(cause_before_effect)
{
	pthread_t thread[LANES];
	uint64_t n = 0;

	memset(&t, 0, sizeof(t));
	pthread_mutex_init(&t.ring, NULL);
	for (size_t i = 0; i < LANES; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, cpu_main, (void *)i), 0);
	while (n < LANES * EACH) {
		int came = rings_drain(m.rings, clock_monotonic_ns(), on_cause, NULL, &m.waits);

		n += (uint64_t)came;
		if (!came)
			sched_yield();
	}
	for (size_t i = 0; i < LANES; i++)
		pthread_join(thread[i], NULL);
	pthread_mutex_destroy(&t.ring);
	ck_assert(!t.wrong);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rings");
	TCase *tests = tcase_create("rings");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, by_time);
	tcase_add_test(tests, own_order);
	tcase_add_test(tests, same_moment);
	tcase_add_test(tests, not_yet);
	tcase_add_test(tests, being_written);
	tcase_add_test(tests, taken_back);
	tcase_add_test(tests, round_and_round);
	tcase_add_test(tests, ring_alone);
	tcase_add_test(tests, cause_before_effect);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
