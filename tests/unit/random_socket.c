/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sockets of the simulator, and the network between them: bytes are received in the order in which they were sent, and a close is seen behind them. */
#include "tests/unit/random_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPHEMERAL 40000

static void mapped(struct endpoint *endpoint, uint32_t box, uint16_t port)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(endpoint->ip, prefix, 12);
	memcpy(endpoint->ip + 12, (uint8_t[4]){ 10, 0, 0, box }, 4);
	endpoint->port = port;
}

static struct trace_end *end_row(struct sim *s, enum end_role role, uint32_t box, uint32_t *ret_end)
{
	struct trace_end *row = need(trace_end_at(&s->run->trace, ++s->n_ends));

	if (s->n_ends >= MAX_ENDS)
		abort();
	row->role = role;
	row->box = box;
	*ret_end = s->n_ends;
	return row;
}

/* Connects of a process to a target so far. */
static uint32_t count_connects(struct sim *s, uint32_t process, const char *target)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i <= s->n_ends; i++) {
		const struct trace_end *row = &s->run->trace.ends[i];

		n += row->process == process && row->target && !strcmp(row->target, target);
	}
	return n;
}

/* The other side of the handshake; the kernel makes it, accept() finds it later. */
static void make_acceptor(struct sim *s, uint32_t end)
{
	uint32_t peer;
	struct trace_end *back = end_row(s, END_ACCEPTOR, 0, &peer), *row = &s->run->trace.ends[end];

	row->keyed = back->keyed = true;
	row->first_local = back->first_remote = random_next(&s->rng);
	row->first_remote = back->first_local = random_next(&s->rng);
	back->local = row->remote;
	back->remote = row->local;
	back->box = row->remote.ip[15];
	s->ends[end].peer = peer;
	s->ends[peer].peer = end;
}

void sim_connect(struct sim *s, struct sim_process *p, unsigned thread)
{
	uint32_t box = s->run->trace.processes[p->index].box, other, end;
	struct sim_process *target = &s->processes[random_below(&s->rng, s->n_roots)];
	bool refused = !target->alive || !random_below(&s->rng, 8);
	uint16_t port = refused ? 7001 : 7000;
	struct trace_end *row;
	struct event event;
	char text[64];

	if (p->n_fds == MAX_FDS || s->n_ends + 3 >= MAX_ENDS)
		return;
	other = s->run->trace.processes[target->index].box;
	snprintf(text, sizeof(text), "b%u:%u", other, port);
	event = sim_event(s, p, thread, EVENT_CONNECT);
	row = end_row(s, END_CONNECTOR, box, &end);
	row->ordinal = count_connects(s, p->index, text) + 1;
	row->process = p->index;
	row->target = need(strdup(text));
	row->error = refused ? -ECONNREFUSED : 0;
	mapped(&row->local, box, EPHEMERAL + end);
	mapped(&row->remote, other, port);
	s->ends[end].connector = true;
	s->ends[end].open_id = event_id(&event);
	event.end = end;
	event.value = refused ? -ECONNREFUSED : random_below(&s->rng, 4) ? 0 : -EINPROGRESS;
	sim_connection_name(s, end, '>', text, sizeof(text));
	sim_label(s, event_id(&event), text);
	p->threads[thread].busy = true;
	p->threads[thread].call = event;
	if (refused)
		return;
	make_acceptor(s, end);
	s->ends[end].holders = 1;
	p->fds[p->n_fds++] = end;
}

void sim_accept(struct sim *s, struct sim_process *p, unsigned thread)
{
	uint32_t box = s->run->trace.processes[p->index].box;
	char text[64];

	if (p->n_fds == MAX_FDS || p->index > s->n_roots)
		return;
	for (uint32_t end = 1; end <= s->n_ends; end++) {
		struct sim_end *e = &s->ends[end];
		struct event event;

		if (e->connector || e->accepted || s->run->trace.ends[end].box != box)
			continue;
		event = sim_event(s, p, thread, EVENT_ACCEPT);
		event.end = end;
		e->accepted = true;
		e->holders = 1;
		p->fds[p->n_fds++] = end;
		sim_connection_name(s, end, '>', text, sizeof(text));
		sim_label(s, event_id(&event), text);
		sim_truth(s, s->ends[e->peer].open_id, event_id(&event), RULE_CONNECT, 0);
		sim_emit(s, event);
		return;
	}
}

/* Bytes into the peer's queue. */
static void deliver(struct sim *s, uint32_t end, struct segment bytes)
{
	struct sim_end *peer = &s->ends[s->ends[end].peer];
	struct segment *segment;

	if (peer->closed || peer->reset)
		return;
	segment = need(calloc(1, sizeof(*segment)));
	*segment = bytes;
	if (peer->tail)
		peer->tail->next = segment;
	else
		peer->head = segment;
	peer->tail = segment;
}

/* The peer's kernel says that `end` is over. */
static void reset_end(struct sim *s, uint32_t end, uint64_t cause)
{
	struct sim_end *e = &s->ends[end];
	struct event event;
	char text[64];

	if (e->reset || e->closed || (!e->connector && !e->accepted))
		return;
	event = sim_event(s, NULL, 0, EVENT_RESET);
	event.end = end;
	event.box = s->run->trace.ends[end].box;
	event.pos = e->received;
	e->reset = true;
	e->reset_id = event_id(&event);
	sim_connection_name(s, end, '>', text, sizeof(text));
	sim_label(s, e->reset_id, text);
	sim_truth(s, cause, e->reset_id, RULE_CLOSE, 0);
	sim_emit(s, event);
}

static uint32_t pick_end(struct sim *s, struct sim_process *p)
{
	return p->n_fds ? p->fds[random_below(&s->rng, p->n_fds)] : 0;
}

void sim_send(struct sim *s, struct sim_process *p, unsigned thread)
{
	struct sim_thread *t = &p->threads[thread];
	bool rest = t->short_end && random_below(&s->rng, 2);
	uint32_t end = rest ? t->short_end : pick_end(s, p), message;
	struct sim_end *e = &s->ends[end];
	uint64_t size = 1 + random_below(&s->rng, random_below(&s->rng, 4) ? 100 : 100000);
	char text[80], number[16];
	struct event event;

	t->short_end = 0;
	if (!end || e->closed || e->half_id)
		return;
	event = sim_event(s, p, thread, EVENT_SEND);
	event.end = end;
	sim_connection_name(s, end, e->connector ? '>' : '<', text, sizeof(text));
	if (e->reset) {
		event.value = -EPIPE;
		sim_connection_name(s, end, '>', text, sizeof(text));
		sim_label(s, event_id(&event), text);
		sim_emit(s, event);
		return;
	}
	message = rest ? t->short_message : ++e->messages;
	event.flags = rest ? EVENT_F_CONTINUED : 0;
	event.message = message;
	event.pos = e->sent;
	event.value = size;
	snprintf(number, sizeof(number), "/%u", message);
	strcat(text, number);
	sim_label(s, event_id(&event), text);
	deliver(s, end, (struct segment){ event_id(&event), message, e->sent, size, NULL });
	e->sent += size;
	if (s->ends[e->peer].closed) /* nobody is there: an RST comes back */
		reset_end(s, end, s->ends[e->peer].close_id);
	t->busy = true;
	t->call = event;
	if (!random_below(&s->rng, 5)) {
		t->short_end = end;
		t->short_message = message;
	}
}

static uint64_t take(struct sim *s, uint32_t end, uint64_t room, uint64_t id)
{
	struct sim_end *e = &s->ends[end];
	uint64_t taken = 0;
	char text[80], number[16];

	while (e->head && taken < room) {
		struct segment *segment = e->head;
		uint64_t size = segment->size < room - taken ? segment->size : room - taken;

		sim_truth(s, segment->send, id, RULE_MESSAGE, size);
		sim_connection_name(s, end, e->connector ? '<' : '>', text, sizeof(text));
		snprintf(number, sizeof(number), "/%u", segment->message);
		strcat(text, number);
		sim_label(s, id, text);
		segment->size -= size;
		taken += size;
		if (!segment->size) {
			e->head = segment->next;
			if (!e->head)
				e->tail = NULL;
			free(segment);
		}
	}
	return taken;
}

void sim_recv(struct sim *s, struct sim_process *p, unsigned thread)
{
	uint32_t end = pick_end(s, p);
	struct sim_end *e = &s->ends[end], *peer = &s->ends[e->peer];
	struct event event;
	char text[64];
	uint64_t fin = peer->half_id ? peer->half_id : peer->close_id;
	bool eof = fin && !e->head && e->received == peer->sent;

	if (!end || e->closed || (!e->head && !eof && !(e->reset && !e->told)))
		return;
	event = sim_event(s, p, thread, EVENT_RECV);
	event.end = end;
	event.pos = e->received;
	if (e->head) {
		event.value = take(s, end, 1 + random_below(&s->rng, random_below(&s->rng, 3) ? 200 : 70000),
				   event_id(&event));
		e->received += event.value;
	} else {
		sim_connection_name(s, end, '>', text, sizeof(text));
		sim_label(s, event_id(&event), text);
		event.value = e->reset && !e->told ? -ECONNRESET : 0;
		sim_truth(s, event.value ? e->reset_id : fin, event_id(&event), RULE_CLOSE, 0);
		e->told |= event.value != 0;
	}
	sim_emit(s, event);
}

void sim_queue_drop(struct sim_end *e)
{
	while (e->head) {
		struct segment *next = e->head->next;

		free(e->head);
		e->head = next;
	}
	e->tail = NULL;
}

/* The last holder of an end lets it go. */
void sim_end_close(struct sim *s, struct sim_process *p, unsigned thread, uint32_t end, unsigned flags)
{
	struct sim_end *e = &s->ends[end];
	bool rst = e->head && !e->reset;
	struct event event;
	char text[64];

	if (--e->holders || e->closed)
		return;
	event = sim_event(s, p, thread, EVENT_CLOSE);
	event.end = end;
	event.pos = e->sent;
	event.flags = flags | (rst ? EVENT_F_RST : 0);
	sim_connection_name(s, end, '>', text, sizeof(text));
	sim_label(s, event_id(&event), text);
	e->closed = true;
	if (!e->reset)
		e->close_id = event_id(&event);
	sim_queue_drop(e);
	sim_emit(s, event);
	if (rst)
		reset_end(s, e->peer, event_id(&event));
}

void sim_close(struct sim *s, struct sim_process *p, unsigned thread)
{
	unsigned at = p->n_fds ? random_below(&s->rng, p->n_fds) : 0;
	uint32_t end = p->n_fds ? p->fds[at] : 0;

	if (!end || (s->ends[end].head && !s->options.resets))
		return;
	p->fds[at] = p->fds[--p->n_fds];
	sim_end_close(s, p, thread, end, 0);
}

void sim_shutdown(struct sim *s, struct sim_process *p, unsigned thread)
{
	uint32_t end = pick_end(s, p);
	struct sim_end *e = &s->ends[end];
	struct event event;
	char text[64];

	if (!end || e->closed || e->reset || e->half_id)
		return;
	event = sim_event(s, p, thread, EVENT_CLOSE);
	event.end = end;
	event.pos = e->sent;
	event.flags = EVENT_F_SHUTDOWN;
	e->half_id = event_id(&event);
	sim_connection_name(s, end, '>', text, sizeof(text));
	sim_label(s, event_id(&event), text);
	sim_emit(s, event);
}
