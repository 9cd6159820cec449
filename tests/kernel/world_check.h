/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What must hold of what was recorded of a world, whatever the programs did. */
#ifndef TESTS_KERNEL_WORLD_CHECK_H
#define TESTS_KERNEL_WORLD_CHECK_H

#include "tests/kernel/world.h"

static inline int by_pos(const void *a, const void *b)
{
	const union record *x = *(const union record *const *)a,
			   *y = *(const union record *const *)b;

	if (x->transfer.pos != y->transfer.pos)
		return x->transfer.pos < y->transfer.pos ? -1 : 1;
	return x->head.seq < y->head.seq ? -1 : 1;
}

/* Records of the socket with that cookie, a kind, by position. Returns how many; the caller frees. */
static inline size_t transfers(const struct world *w, unsigned kind, uint64_t cookie,
				  const union record ***ret)
{
	const union record **list = calloc(w->n + 1, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; list && i < w->n; i++)
		if (w->records[i].head.kind == kind && w->records[i].transfer.cookie == cookie &&
		    w->records[i].transfer.result > 0)
			list[n++] = &w->records[i];
	if (n)
		qsort(list, n, sizeof(*list), by_pos);
	*ret = list;
	return n;
}

/* Ranges of one direction lie end to end from 0. Returns where they end. */
static inline uint64_t check_tiles(struct world *w, unsigned kind, uint64_t cookie)
{
	const union record **list;
	size_t n = transfers(w, kind, cookie, &list);
	uint64_t end = 0;

	for (size_t i = 0; i < n; i++) {
		expect(w, list[i]->transfer.pos == end);
		end = list[i]->transfer.pos + (uint64_t)list[i]->transfer.result;
	}
	free(list);
	return end;
}

/* Numbers of a direction's messages are 1, 2, ... without a hole. Returns the last. */
static inline uint32_t check_messages(struct world *w, uint64_t cookie)
{
	const union record **list;
	size_t n = transfers(w, REC_SEND, cookie, &list);
	uint32_t last = 0;
	bool *seen = calloc(n + 2, sizeof(*seen));

	for (size_t i = 0; seen && i < n; i++) {
		uint32_t message = list[i]->transfer.message;

		if (!expect(w, message >= 1 && message <= n))
			break;
		/* the first part is not a continuation, all others are */
		expect(w, seen[message] == !!(list[i]->head.flags & REC_F_CONTINUED));
		seen[message] = true;
		last = message > last ? message : last;
	}
	for (uint32_t i = 1; seen && i <= last; i++)
		expect(w, seen[i]);
	free(seen);
	free(list);
	return last;
}

static inline int by_seq(const void *a, const void *b)
{
	const union record *x = a, *y = b;

	return x->head.seq < y->head.seq ? -1 : x->head.seq > y->head.seq;
}

/* Nothing lost: no counter moved, no gap in any CPU's numbers since the first record. */
static inline void check_lost(struct world *w)
{
	uint64_t now[COUNTER_COUNT];
	union record *sorted = malloc((w->n + 1) * sizeof(*sorted));

	tracer_counters(w->tracer, now);
	for (int i = COUNTER_LOST_RING; i < COUNTER_COUNT; i++)
		if (!expect(w, now[i] == w->counters[i]))
			printf("# %llu more: %s\n", (unsigned long long)(now[i] - w->counters[i]), world_counters[i]);
	expect(w, now[COUNTER_EMITTED] - w->counters[COUNTER_EMITTED] == w->n);
	if (!sorted)
		abort();
	memcpy(sorted, w->records, w->n * sizeof(*sorted));
	qsort(sorted, w->n, sizeof(*sorted), by_seq);
	for (size_t i = 1; i < w->n; i++)
		if (sorted[i].head.seq >> 48 == sorted[i - 1].head.seq >> 48)
			expect(w, sorted[i].head.seq == sorted[i - 1].head.seq + 1);
	free(sorted);
}

/*
 * A process's orders are its own: nothing is drawn twice (but a connect's two records share one); 0
 * = no process.
 */
static inline void check_orders(struct world *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct rec_head *a = &w->records[i].head;

		if (a->kind == REC_CONTENT) /* no event of its own */
			continue;
		expect(w, !a->order == !a->tgid);
		expect(w, a->enter_ns <= a->return_ns && a->return_ns);
		expect(w, a->box == 1 || a->box == w->other_box);
		for (size_t j = i > 50 ? i - 50 : 0; a->tgid && j < i; j++) {
			const struct rec_head *b = &w->records[j].head;

			if (b->kind == REC_CONTENT)
				continue;
			if (a->tgid == b->tgid && a->order == b->order)
				expect(w, b->kind == REC_OPEN && a->kind == REC_CONNECT);
			/* one thread's records come in its order */
			if (a->tid == b->tid && a->kind != REC_CONNECT && b->kind != REC_EXIT)
				expect(w, a->order > b->order);
		}
	}
}

/* The peer's end of an established one. */
static inline const struct rec_established *peer_of(const struct world *w, const struct rec_established *end)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct rec_established *other = &w->records[i].established;

		if (other->head.kind == REC_ESTABLISHED &&
		    other->first_local == end->first_remote &&
		    other->first_remote == end->first_local && other != end)
			return other;
	}
	return NULL;
}

static inline const struct rec_close *close_of(const struct world *w, unsigned kind, uint64_t cookie)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->records[i].head.kind == kind && w->records[i].close.cookie == cookie)
			return &w->records[i].close;
	return NULL;
}

/* What must hold whatever the programs did. */
static inline void check_common(struct world *w)
{
	check_lost(w);
	check_orders(w);
	for (size_t i = 0; i < w->n; i++) {
		const struct rec_established *end = &w->records[i].established, *peer;
		const struct rec_close *gone;

		if (end->head.kind == REC_FORK)
			for (size_t j = 0; j < i; j++)
				expect(w, w->records[j].head.tid != w->records[i].fork.child_tid);
		if (end->head.kind != REC_ESTABLISHED)
			continue;
		peer = peer_of(w, end);
		gone = close_of(w, REC_DESTROY, end->cookie);
		if (!expect(w, peer != NULL) || !expect(w, gone != NULL))
			continue;
		expect(w, (peer->head.flags ^ end->head.flags) & REC_F_ACCEPTOR);
		expect(w, peer->local.port == end->remote.port &&
				  !memcmp(peer->local.ip, end->remote.ip, 16));
		expect(w, check_tiles(w, REC_SEND, end->cookie) == gone->sent);
		expect(w, check_tiles(w, REC_RECV, end->cookie) == gone->received);
		expect(w, close_of(w, REC_DESTROY, peer->cookie) &&
				  gone->received <= close_of(w, REC_DESTROY, peer->cookie)->sent);
		check_messages(w, end->cookie);
	}
}

/* What was sent, by other means than TCP, was not seen. */
static inline void check_silent(struct world *w)
{
	expect(w, !count_kind(w, REC_LOCAL) && !count_kind(w, REC_DATAGRAM_SENT) && !count_kind(w, REC_SEND));
}

#endif
