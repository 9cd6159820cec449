/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which receive returned which datagram. Nothing in a datagram numbers it: sends and receives have in common where it went
 * (box and port), where from (if the program asked for that), its size and a digest of its content. What happens on the way is
 * not seen: it can be lost, doubled or overtaken.
 *
 *   one send fits        it was this one, whatever was lost: content singles it out
 *   several fit,         the k-th receive (of one thread, from one socket) is after the k-th of them, because k receives took
 *   all of one thread    k different ones, of which one is the k-th or later. That edge is right; which of them it was is a guess
 *   several of several   nothing orders them: only if there are as many receives as sends, the k-th is taken to be the k-th
 *   threads
 *
 * So a loss never moves what comes after it to a wrong place; it leaves a send that nobody received. A receive for which none
 * of this holds has no edge, and is counted. A receive that filled its buffer may have cut the datagram off: then the digest
 * of its first bytes must do.
 *
 * No clock is looked at, and threads, not processes, order things here: the edges are the same in every order of the graph.
 * Fails only without memory.
 */
#include "graph/build.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BOX_GROUP UINT32_MAX /* a multicast or broadcast address: of every box */
#define CUT_MAX 4096	     /* sends that are looked at for one that was cut off */

/* A send or a receive. Receives: `to` is this side, `from` the other; from_port 0: not known. */
struct datagram {
	uint32_t to_box, from_box;
	uint16_t to_port, from_port;
	uint64_t digest;
	uint64_t size;
	uint32_t socket; /* receives: which, with its box */
	uint32_t chain;	 /* a number of its thread */
	uint32_t vertex;
	uint32_t same_until; /* sends: the first behind it that another thread sent */
};

struct matching {
	struct build *b;
	uint8_t (*ips)[2][16]; /* by box */
	struct datagram *sends, *receives;
	size_t n_sends, n_receives;
};

static bool is_loopback(const uint8_t ip[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, one[16] = { [15] = 1 };

	return (!memcmp(ip, mapped, 12) && ip[12] == 127) || !memcmp(ip, one, 16);
}

static bool is_group(const uint8_t ip[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (memcmp(ip, mapped, 12))
		return ip[0] == 0xff;
	return ip[12] >> 4 == 14 || ip[15] == 255; /* 224.0.0.0/4; the broadcast address of a box's network ends so */
}

/* Texts of the boxes' addresses, as the ends have them. */
static int read_boxes(struct matching *m)
{
	const struct trace *trace = m->b->trace;

	m->ips = calloc(trace->n_boxes + 1, sizeof(*m->ips));
	if (!m->ips)
		return -ENOMEM;
	for (size_t i = 1; i <= trace->n_boxes; i++) {
		m->ips[i][0][10] = m->ips[i][0][11] = 0xff;
		if (inet_pton(AF_INET, text_or(trace->boxes[i].address, ""), m->ips[i][0] + 12) != 1)
			memset(m->ips[i][0], 0, 16);
		if (inet_pton(AF_INET6, text_or(trace->boxes[i].address6, ""), m->ips[i][1]) != 1)
			memset(m->ips[i][1], 0, 16);
	}
	return 0;
}

/* 0: of no box. */
static uint32_t box_of(const struct matching *m, const uint8_t ip[16], uint32_t own)
{
	if (is_loopback(ip))
		return own;
	for (size_t i = 1; i <= m->b->trace->n_boxes; i++)
		if (!memcmp(m->ips[i][0], ip, 16) || !memcmp(m->ips[i][1], ip, 16))
			return i;
	return is_group(ip) ? BOX_GROUP : 0;
}

static struct datagram read_event(const struct matching *m, uint32_t v, const struct event *event, const uint32_t *boxes)
{
	uint32_t index = build_end(m->b, event);
	const struct trace_end *end = &m->b->trace->ends[index];
	bool send = event->kind == EVENT_SEND;

	return (struct datagram){
		.to_box = send ? boxes[index] : end->box,
		.from_box = send ? end->box : boxes[index],
		.to_port = send ? end->remote.port : end->local.port,
		.from_port = send ? end->local.port : end->remote.port,
		.digest = event->pos,
		.size = event->value,
		.socket = end->first_local,
		.vertex = v,
	};
}

#define COMPARE(field)                                                                             \
	do {                                                                                       \
		if (p->field != q->field)                                                          \
			return p->field < q->field ? -1 : 1;                                       \
	} while (0)

/* Places sorted so that what can be one datagram stands together; then by sender. */
static int send_compare(const void *a, const void *b)
{
	const struct datagram *p = a, *q = b;

	COMPARE(to_box);
	COMPARE(to_port);
	COMPARE(digest);
	COMPARE(size);
	COMPARE(from_box);
	COMPARE(from_port);
	COMPARE(vertex);
	return 0;
}

/* Receives that count together stand together: of one thread, socket, content and sender. */
static int receive_compare(const void *a, const void *b)
{
	const struct datagram *p = a, *q = b;

	COMPARE(to_box);
	COMPARE(to_port);
	COMPARE(digest);
	COMPARE(size);
	COMPARE(from_box);
	COMPARE(from_port);
	COMPARE(socket);
	COMPARE(chain);
	COMPARE(vertex);
	return 0;
}

static bool counts_together(const struct datagram *p, const struct datagram *q)
{
	struct datagram same = *q;

	same.vertex = p->vertex;
	return !receive_compare(p, &same);
}

/* A number for each thread; vertices of a process stand together. */
static uint32_t chain_of(const struct build *b, uint32_t v)
{
	uint32_t rank = b->rank[b->g->vertices[v].process], thread = build_event(b, v)->thread;
	size_t low = 0, high = b->n_chains;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct chain *chain = &b->chains[middle];

		if (chain->rank < rank || (chain->rank == rank && chain->thread < thread))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Has this event a place in its thread's order? Without, nothing can be counted. */
static bool has_place(const struct build *b, uint32_t v)
{
	uint32_t rank = b->rank[b->g->vertices[v].process];

	return rank < b->trace->n_processes && v < b->floating[rank];
}

static int gather(struct matching *m)
{
	struct build *b = m->b;
	uint32_t *boxes = calloc(b->trace->n_ends + 1, sizeof(*boxes));
	size_t n = 0;

	if (!boxes)
		return -ENOMEM;
	for (size_t i = 1; i <= b->trace->n_ends; i++) {
		if (build_transport(b, i) != TRANSPORT_UDP)
			continue;
		boxes[i] = box_of(m, b->trace->ends[i].remote.ip, b->trace->ends[i].box);
	}
	for (uint32_t v = 0; v < b->g->n_vertices; v++)
		n += build_transport(b, build_end(b, build_event(b, v))) == TRANSPORT_UDP;
	m->sends = malloc((n + 1) * sizeof(*m->sends));
	m->receives = malloc((n + 1) * sizeof(*m->receives));
	for (uint32_t v = 0; v < b->g->n_vertices && m->sends && m->receives && n; v++) {
		const struct event *event = build_event(b, v);
		struct datagram *datagram;

		if (build_transport(b, build_end(b, event)) != TRANSPORT_UDP || event->value < 0 ||
		    (event->kind != EVENT_SEND && event->kind != EVENT_RECV))
			continue;
		if (!event->pos || !has_place(b, v)) { /* its content is not known */
			b->g->unmatched_datagrams += event->kind == EVENT_RECV;
			continue;
		}
		datagram = event->kind == EVENT_SEND ? &m->sends[m->n_sends++] : &m->receives[m->n_receives++];
		*datagram = read_event(m, v, event, boxes);
		datagram->chain = chain_of(b, v);
	}
	free(boxes);
	return m->sends && m->receives ? 0 : -ENOMEM;
}

/* Sends from `first` on that are equal to `like` as far as `compare` looks. */
struct slice {
	size_t first, n;
};

static int fits_place(const struct datagram *p, const struct datagram *q)
{
	COMPARE(to_box);
	COMPARE(to_port);
	COMPARE(digest);
	COMPARE(size);
	return 0;
}

static int fits_sender(const struct datagram *p, const struct datagram *q)
{
	int diff = fits_place(p, q);

	if (diff)
		return diff;
	COMPARE(from_box);
	COMPARE(from_port);
	return 0;
}

static size_t bound(const struct matching *m, const struct datagram *like,
		    int (*compare)(const struct datagram *, const struct datagram *), bool behind)
{
	size_t low = 0, high = m->n_sends;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&m->sends[middle], like) < behind)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The sends that can be what a receive returned: to its box, or to a group that its box may be in; not both. */
static struct slice find_sends(const struct matching *m, const struct datagram *receive)
{
	struct datagram like = *receive;
	struct slice found[2] = { 0 };

	for (int i = 0; i < 2; i++) {
		like.to_box = i ? BOX_GROUP : receive->to_box;
		found[i].first = bound(m, &like, receive->from_port ? fits_sender : fits_place, false);
		found[i].n = bound(m, &like, receive->from_port ? fits_sender : fits_place, true) - found[i].first;
	}
	if (found[0].n && found[1].n)
		return (struct slice){ 0 };
	return found[0].n ? found[0] : found[1];
}

static int join(struct matching *m, uint32_t send, uint32_t receive, bool guessed)
{
	struct build *b = m->b;
	struct graph *g = b->g;
	uint32_t message = g->vertex_messages[g->vertices[send].first_message];
	uint64_t sent = build_event(b, send)->value, returned = build_event(b, receive)->value;
	uint64_t bytes = returned < sent ? returned : sent;
	int err = build_edge_add(b, send, receive, RULE_DATAGRAM, bytes);

	if (err < 0)
		return err;
	b->cross[b->n_cross - 1].inferred = true;
	b->cross[b->n_cross - 1].guessed = guessed;
	g->messages[message].delivered = true;
	if (g->messages[message].received < bytes)
		g->messages[message].received = bytes;
	g->vertices[receive].connection = g->messages[message].connection;
	return build_vertex_message_add(b, receive, message);
}

/* Receives [first, first + n) count together. others: that are equal but for thread and socket, with these. */
static int match_group(struct matching *m, const struct datagram *group, size_t n, size_t others, bool *matched)
{
	struct slice slice = find_sends(m, group);
	bool ordered = slice.n && m->sends[slice.first].same_until >= slice.first + slice.n;
	int err = 0;

	if (!slice.n || (slice.n > 1 && !ordered && others != slice.n))
		return 0;
	if (slice.n > 1 && !ordered && others != n) /* several threads on both sides */
		return 0;
	for (size_t i = 0; i < n && !err; i++) {
		size_t k = slice.n == 1 ? 0 : i;

		if (k >= slice.n) /* there are more than were sent: doubled on the way */
			break;
		matched[i] = true;
		err = join(m, m->sends[slice.first + k].vertex, group[i].vertex, slice.n > 1);
	}
	return err;
}

/* Sends whose first bytes are the same, and that are at least as long as what was returned. */
static int match_cut(struct matching *m, const struct datagram *sends, size_t n_sends, const struct datagram *receive, size_t k,
		     bool *matched)
{
	size_t n_fit = 0, found = SIZE_MAX;
	uint32_t chain = 0;
	bool ordered = true;

	for (size_t i = 0; i < n_sends && i < CUT_MAX; i++) {
		const struct datagram *send = &sends[i];

		if (send->size < receive->size || (send->to_box != receive->to_box && send->to_box != BOX_GROUP) ||
		    (receive->from_port &&
		     (send->from_port != receive->from_port || send->from_box != receive->from_box)))
			continue;
		ordered &= !n_fit || send->chain == chain;
		chain = send->chain;
		if (n_fit++ == k || found == SIZE_MAX)
			found = i;
	}
	if (!n_fit || (n_fit > 1 && (!ordered || n_fit <= k)) || n_sends > CUT_MAX)
		return 0;
	*matched = true;
	return join(m, sends[found].vertex, receive->vertex, n_fit > 1);
}

/* By port and first bytes, in the sender's order. */
static int head_compare(const void *a, const void *b)
{
	const struct datagram *p = a, *q = b;

	COMPARE(to_port);
	COMPARE(digest >> 32);
	COMPARE(vertex);
	return 0;
}

static size_t head_bound(const struct datagram *sends, size_t n, const struct datagram *like, bool behind)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct datagram at = sends[middle];

		at.vertex = like->vertex;
		if (head_compare(&at, like) < behind)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What found no send although its buffer was full. Sorts the sends another way: the last step. */
static int match_cuts(struct matching *m, bool *matched)
{
	size_t k = 0, last = SIZE_MAX;
	bool sorted = false;
	int err = 0;

	for (size_t i = 0; i < m->n_receives && !err; i++) {
		const struct datagram *receive = &m->receives[i];
		size_t first;

		if (matched[i] || !(build_event(m->b, receive->vertex)->flags & EVENT_F_TRUNCATED))
			continue;
		if (!sorted)
			qsort(m->sends, m->n_sends, sizeof(*m->sends), head_compare);
		sorted = true;
		k = last != SIZE_MAX && counts_together(&m->receives[last], receive) ? k + 1 : 0;
		last = i;
		first = head_bound(m->sends, m->n_sends, receive, false);
		err = match_cut(m, m->sends + first, head_bound(m->sends, m->n_sends, receive, true) - first, receive, k,
				&matched[i]);
	}
	return err;
}

static int match(struct matching *m)
{
	bool *matched = calloc(m->n_receives + 1, sizeof(*matched));
	int err = matched ? 0 : -ENOMEM;
	size_t all = 0, all_end = 0;

	for (size_t i = m->n_sends; i-- > 0;)
		m->sends[i].same_until = i + 1 < m->n_sends && m->sends[i + 1].chain == m->sends[i].chain ?
						 m->sends[i + 1].same_until : i + 1;
	for (size_t i = 0, k; i < m->n_receives && !err; i = k) {
		for (k = i + 1; k < m->n_receives && counts_together(&m->receives[i], &m->receives[k]); k++)
			;
		if (i >= all_end) {
			for (all_end = k; all_end < m->n_receives && !fits_sender(&m->receives[i], &m->receives[all_end]);)
				all_end++;
			all = all_end - i;
		}
		err = match_group(m, &m->receives[i], k - i, all, matched + i);
	}
	if (!err)
		err = match_cuts(m, matched);
	for (size_t i = 0; i < m->n_receives && !err; i++)
		m->b->g->unmatched_datagrams += !matched[i];
	free(matched);
	return err;
}

int build_datagrams(struct build *b)
{
	struct matching m = { .b = b };
	int err = 0;
	size_t n = 0;

	for (size_t i = 1; i <= b->trace->n_ends; i++)
		n += build_transport(b, i) == TRANSPORT_UDP;
	if (!n)
		return 0;
	if ((err = read_boxes(&m)) < 0 || (err = gather(&m)) < 0)
		goto out;
	qsort(m.sends, m.n_sends, sizeof(*m.sends), send_compare);
	qsort(m.receives, m.n_receives, sizeof(*m.receives), receive_compare);
	err = match(&m);
out:
	free(m.ips);
	free(m.sends);
	free(m.receives);
	return err;
}
