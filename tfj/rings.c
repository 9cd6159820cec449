/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See rings.h. Every record bears a time, return_ns, that the run of a program which put it out has read before it reserved a
 * place. So if a record A was put out before the run began that put out B, then A's time is less than B's, and A, and all
 * that was reserved before A in its ring, has less than B's time too. Records of all rings are therefore handed over
 * in the order of these times, each ring in its own order, and only those up to the time at which the looking began: what
 * came into a ring after that one was looked at is later than that. A record that is still being written has no time
 * yet, and stops everything that would have to come behind it.
 */
#include "tfj/rings.h"

#include <errno.h>
#include <stdlib.h>

#define RING_BUSY (1u << 31) /* as in linux/bpf.h, in the length before each record */
#define RING_DISCARD (1u << 30)
#define RING_HEAD 8u
#define TELL_EVERY 256 /* records of a lane, between two words to its programs that there is room again */

struct ring_state {
	uint64_t at, end; /* bytes or slots: the next one, and how far we look */
	const struct rec_head *next; /* NULL: there is none */
	struct lane *lane; /* NULL: the ring buffer */
};

struct rings {
	struct rings_memory memory;
	size_t n, n_filled;
	struct ring_state **filled; /* room for n: those in which there is something */
	struct ring_state state[];  /* the ring buffer is the first */
};

int rings_new(const struct rings_memory *memory, struct rings **ret_rings)
{
	size_t n = 1 + (memory->lanes ? memory->n_lanes : 0);
	struct rings *rings = calloc(1, sizeof(*rings) + n * (sizeof(*rings->state) + sizeof(*rings->filled)));

	if (!rings)
		return -ENOMEM;
	rings->memory = *memory;
	rings->n = n;
	rings->filled = (struct ring_state **)(void *)&rings->state[n];
	rings->state[0].at = *memory->ring_taken;
	for (size_t i = 1; i < n; i++) {
		rings->state[i].lane = (struct lane *)(void *)(memory->lanes + (i - 1) * memory->lane_bytes);
		rings->state[i].at = rings->state[i].lane->tail;
	}
	*ret_rings = rings;
	return 0;
}

void rings_free(struct rings *rings)
{
	free(rings);
}

static const struct lane_slot *slot_at(const struct rings *rings, const struct ring_state *state)
{
	return &state->lane->slot[state->at & (rings->memory.slots - 1)];
}

static const uint32_t *length_at(const struct rings *rings, const struct ring_state *state)
{
	return (const uint32_t *)(const void *)(rings->memory.ring + (state->at & (rings->memory.ring_bytes - 1)));
}

static uint64_t step(uint32_t length)
{
	return (RING_HEAD + (length & ~(RING_BUSY | RING_DISCARD)) + 7) / 8 * 8;
}

static void ring_tell(const struct rings *rings, const struct ring_state *state)
{
	__atomic_store_n(state->lane ? (uint64_t *)&state->lane->tail : rings->memory.ring_taken, state->at, __ATOMIC_RELEASE);
}

/* Finds the next one. False: that is still being written. */
static bool look_at_next(struct rings *rings, struct ring_state *state)
{
	uint32_t length;

	state->next = NULL;
	if (state->lane) {
		if (state->at == state->end)
			return true;
		if (__atomic_load_n(&slot_at(rings, state)->turn, __ATOMIC_ACQUIRE) != state->at + 1)
			return false;
		state->next = &slot_at(rings, state)->record.head;
		return true;
	}
	while (state->at < state->end) {
		length = __atomic_load_n(length_at(rings, state), __ATOMIC_ACQUIRE);
		if (length & RING_BUSY)
			return false;
		if (!(length & RING_DISCARD) && length >= sizeof(*state->next)) {
			state->next = (const void *)((const unsigned char *)length_at(rings, state) + RING_HEAD);
			return true;
		}
		state->at += step(length);
		ring_tell(rings, state);
	}
	return true;
}

static void hand_over(struct rings *rings, struct ring_state *state, rings_on_record *on_record, void *arg)
{
	uint32_t length;

	if (state->lane) {
		on_record(arg, state->next, sizeof(struct rec_transfer));
		if (!(++state->at % TELL_EVERY))
			ring_tell(rings, state);
		return;
	}
	length = *length_at(rings, state);
	on_record(arg, state->next, length);
	state->at += step(length);
	ring_tell(rings, state);
}

/* Of two at the same time, which a clock that counts in many nanoseconds may show, only a CPU's own can be cause and effect. */
static bool is_earlier(const struct rec_head *a, const struct rec_head *b)
{
	return a->return_ns < b->return_ns || (a->return_ns == b->return_ns && a->seq < b->seq);
}

/* Index into those that are filled, of which there is one at least. */
static size_t earliest(const struct rings *rings)
{
	size_t found = 0;

	for (size_t i = 1; i < rings->n_filled; i++)
		if (is_earlier(rings->filled[i]->next, rings->filled[found]->next))
			found = i;
	return found;
}

/* Looks how far to go, and which have something. False: in one of them the first one is still being written. */
static bool look(struct rings *rings)
{
	struct ring_state *state;
	bool whole = true;

	rings->n_filled = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (size_t i = 0; i < rings->n; i++) {
		state = &rings->state[i];
		state->end = __atomic_load_n(state->lane ? (const uint64_t *)&state->lane->head : rings->memory.ring_given,
					     __ATOMIC_ACQUIRE);
	}
	for (size_t i = 0; i < rings->n; i++) {
		state = &rings->state[i];
		whole &= look_at_next(rings, state);
		if (state->next)
			rings->filled[rings->n_filled++] = state;
	}
	return whole;
}

int rings_drain(struct rings *rings, uint64_t now_ns, rings_on_record *on_record, void *arg, bool *ret_waits)
{
	struct ring_state *state;
	bool whole = look(rings);
	size_t i;
	int n = 0;

	while (whole && rings->n_filled) {
		i = earliest(rings);
		state = rings->filled[i];
		if (state->next->return_ns > now_ns)
			break;
		hand_over(rings, state, on_record, arg);
		n++;
		whole = look_at_next(rings, state);
		if (!state->next) {
			if (state->lane)
				ring_tell(rings, state);
			rings->filled[i] = rings->filled[--rings->n_filled];
		}
	}
	for (i = 0; i < rings->n_filled; i++)
		if (rings->filled[i]->lane)
			ring_tell(rings, rings->filled[i]);
	*ret_waits = !whole;
	return n;
}

uint64_t rings_lanes_given(const struct rings *rings)
{
	uint64_t n = 0;

	for (size_t i = 1; i < rings->n; i++)
		n += __atomic_load_n(&rings->state[i].lane->head, __ATOMIC_ACQUIRE);
	return n;
}
