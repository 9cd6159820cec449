/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * More records than the lanes of the CPUs hold, and nobody takes any: the rest is in the ring buffer, nothing is lost, and all
 * of it comes in order. And a record that a CPU leaves half written for long, as a virtual one can that has to wait, is no loss.
 */
#include <pthread.h>

#include "lib/clock.h"
#include "tests/kernel/world.h"
#include "tfj/tracer_inside.h"

#define MESSAGES 25000

static int talk(void *shared)
{
	char buf[8];
	int pair[2];

	pair_open(pair);
	for (int i = 0; i < MESSAGES; i++) {
		send_all(pair[0], "ping", 4);
		recv_all(pair[1], buf, 4);
	}
	return 0;
}

/* One thread did it all: it sent and took a message after the other. */
static void check_order(struct world *w)
{
	uint64_t order = 0, last_ns = 0, pos[2] = { 0 };
	bool ordered = true;

	for (size_t i = 0; i < w->n; i++) {
		const struct rec_transfer *record = &w->records[i].transfer;
		bool sent = record->head.kind == REC_SEND;

		if (!sent && record->head.kind != REC_RECV)
			continue;
		ordered &= record->head.order > order && record->head.return_ns > last_ns && record->pos == pos[sent] &&
			   record->result == 4;
		order = record->head.order;
		last_ns = record->head.return_ns;
		pos[sent] += 4;
	}
	expect(w, ordered);
}

static void lanes_test(struct world *w)
{
	uint64_t counters[COUNTER_COUNT];
	struct gate gate;

	world_start(w, talk, &gate);
	if (write(gate.go[1], "g", 1) != 1)
		abort();
	waitpid(w->root, &w->status, 0); /* nobody drains */
	expect(w, WIFEXITED(w->status) && WEXITSTATUS(w->status) == 0);
	world_drain(w);
	tracer_counters(w->tracer, counters);
	for (int i = COUNTER_EMITTED + 1; i < COUNTER_COUNT; i++)
		expect(w, counters[i] == w->counters[i]);
	expect(w, counters[COUNTER_EMITTED] - w->counters[COUNTER_EMITTED] == w->n);
	expect(w, count_kind(w, REC_SEND) == MESSAGES && count_kind(w, REC_RECV) == MESSAGES);
	check_order(w);
	gate_close(&gate);
}

#define HALF_WRITTEN_NS (CLOCK_SECOND_NS / 5)

static void slot_write(struct lane_slot *slot)
{
	slot->record = (struct rec_transfer){ .head = { .kind = REC_SEND, .return_ns = clock_monotonic_ns() } };
	__atomic_store_n(&slot->turn, slot->turn + 1, __ATOMIC_RELEASE);
}

static void *write_late(void *arg)
{
	nanosleep(&(struct timespec){ .tv_nsec = HALF_WRITTEN_NS }, NULL);
	slot_write(arg);
	return NULL;
}

/* A place in the first lane that is taken and not written yet. Nobody of ours lives: nothing else comes to the lane. */
static struct lane_slot *slot_claim(struct world *w)
{
	const struct rings_memory *memory = &w->tracer->rings.memory;
	struct lane *lane = (struct lane *)(void *)memory->lanes;
	uint64_t at = lane->head;
	struct lane_slot *slot = &lane->slot[at & (memory->slots - 1)];

	world_drain(w);
	w->n = 0;
	slot->turn = at; /* not yet at + 1 */
	__atomic_store_n(&lane->head, at + 1, __ATOMIC_RELEASE);
	return slot;
}

static uint64_t missing(struct world *w)
{
	uint64_t found;

	tracer_drain_all(w->tracer, &found);
	return found;
}

static void half_written_test(struct world *w)
{
	pthread_t writer;

	expect(w, !pthread_create(&writer, NULL, write_late, slot_claim(w)));
	expect(w, missing(w) == 0 && w->n == 1);
	pthread_join(writer, NULL);
	world_drain(w);
	expect(w, w->n == 1);
}

static void never_written_test(struct world *w)
{
	struct lane_slot *slot = slot_claim(w);

	expect(w, missing(w) == 1 && w->n == 0);
	expect(w, missing(w) == 0);
	slot_write(slot);
	expect(w, missing(w) == 0 && w->n == 1);
	expect(w, w->tracer->given_up == 0); /* or it would stand for one that is lost later */
}

int main(void)
{
	int status;
	struct world *w = world_new(&status);

	if (!w)
		return status;
	lanes_test(w);
	status |= w->failures;
	test_end(w, "what the lanes have no room for is in the ring buffer, and all comes in order");
	if (!w->tracer->slots) {
		printf("ok %d - records that are half written # SKIP no lanes: this clock cannot order them\n", ++w->tests);
	} else {
		half_written_test(w);
		status |= w->failures;
		test_end(w, "a half written record is waited for");
		never_written_test(w);
		status |= w->failures;
		test_end(w, "one that is never written is missing, once, and hides nothing when it comes after all");
	}
	world_free(w);
	return !!status;
}
