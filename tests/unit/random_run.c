/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See random_run.h. Gives up by abort(): there is no memory, or the simulator is wrong. */
#include "tests/unit/random_run.h"

#include "proto/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROCESSES 64
#define MAX_THREADS 6
#define MAX_FDS 64
#define MAX_ENDS 1024
#define EPHEMERAL 40000

struct segment { /* bytes under way, all of one send */
	uint64_t send; /* event id */
	uint32_t message;
	uint64_t pos, size;
	struct segment *next;
};

struct sim_end {
	uint32_t peer; /* other end, 0: none */
	bool connector, accepted, closed, reset, told; /* told: the program knows of the reset */
	uint64_t open_id, close_id, half_id, reset_id; /* events: CONNECT, CLOSE, CLOSE by shutdown, RESET; 0: none */
	uint64_t sent, received;
	uint32_t messages;
	unsigned holders; /* processes that have it open */
	struct segment *head, *tail; /* to be read by this end */
};

struct sim_thread {
	bool alive, busy;
	struct event call; /* busy: what it will record when the call returns */
	uint32_t short_end, short_message; /* a short write to be continued */
	uint64_t first_cause; /* SPAWN that made it, until its first event */
};

struct sim_process {
	bool alive, waited;
	uint32_t index, parent; /* table indices are number + 1 until a shuffle */
	uint64_t order, exit_id, first_cause;
	unsigned n_threads, n_children;
	struct sim_thread threads[MAX_THREADS];
	uint32_t fds[MAX_FDS];
	unsigned n_fds;
};

struct sim {
	struct random_run *run;
	struct random_options options;
	uint64_t rng, now, next_id;
	struct sim_process processes[MAX_PROCESSES];
	unsigned n_processes, n_roots;
	struct sim_end ends[MAX_ENDS];
	unsigned n_ends;
};

uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

unsigned random_below(uint64_t *state, unsigned n)
{
	return random_next(state) % n;
}

uint64_t event_id(const struct event *event)
{
	return event->seq & ((1ull << 48) - 1);
}

static void *need(void *p)
{
	if (!p)
		abort();
	return p;
}

static void truth(struct sim *s, uint64_t from, uint64_t to, enum graph_rule rule, uint64_t bytes)
{
	struct random_run *run = s->run;

	if (!from || !to)
		return;
	if (run->n_edges == run->cap_edges) {
		run->cap_edges = run->cap_edges ? 2 * run->cap_edges : 256;
		run->edges = need(realloc(run->edges, run->cap_edges * sizeof(*run->edges)));
	}
	run->edges[run->n_edges++] = (struct truth_edge){ from, to, rule, bytes };
}

/* Adds a name, once. */
static void label(struct sim *s, uint64_t id, const char *text)
{
	char **at, *old, *found;
	size_t size = strlen(text);

	if (id >= s->run->n_ids)
		abort();
	at = &s->run->labels[id];
	old = *at;
	found = old ? strstr(old, text) : NULL;
	for (; found; found = strstr(found + 1, text))
		if ((found == old || found[-1] == ' ') && (!found[size] || found[size] == ' '))
			return;
	if (asprintf(at, "%s%s%s", old ? old : "", old ? " " : "", text) < 0)
		abort();
	free(old);
}

static const char *name_of(struct sim *s, uint32_t process)
{
	return s->run->trace.processes[process].name;
}

static void connection_text(struct sim *s, uint32_t end, char arrow, char *buf, size_t size)
{
	const struct trace_end *c = &s->run->trace.ends[s->ends[end].connector ? end : (uint32_t)s->ends[end].peer];

	snprintf(buf, size, "%s%c%s#%u", name_of(s, c->process), arrow, c->target, c->ordinal);
}

/* A new event of a thread; its id is known at once, it is recorded by emit(). */
static struct event event_new(struct sim *s, struct sim_process *p, unsigned thread, enum event_kind kind)
{
	struct event event = { .kind = kind };

	event.seq = s->next_id++ | (uint64_t)random_below(&s->rng, 4) << 48;
	event.enter_ns = event.return_ns = ++s->now;
	if (p) {
		p->order += 1 + random_below(&s->rng, 3);
		event.order = p->order;
		event.process = p->index;
		event.thread = thread;
		event.box = s->run->trace.processes[p->index].box;
		if (p->first_cause)
			truth(s, p->first_cause, event_id(&event), RULE_SPAWN, 0);
		else if (p->threads[thread].first_cause)
			truth(s, p->threads[thread].first_cause, event_id(&event), RULE_SPAWN, 0);
		p->first_cause = p->threads[thread].first_cause = 0;
	}
	return event;
}

static void emit(struct sim *s, struct event event)
{
	event.return_ns = ++s->now;
	*(struct event *)need(trace_event_add(&s->run->trace)) = event;
}

static struct sim_process *process_new(struct sim *s, const char *name, uint32_t box, uint32_t parent)
{
	struct sim_process *p = &s->processes[s->n_processes++];
	struct trace_process *row = need(trace_process_at(&s->run->trace, s->n_processes));

	*p = (struct sim_process){ .alive = true, .index = s->n_processes, .parent = parent, .n_threads = 1 };
	p->threads[0].alive = true;
	row->name = need(strdup(name));
	row->box = box;
	row->parent = parent;
	row->pid = 1000 + s->n_processes;
	row->command = need(strdup("program --option"));
	return p;
}

static void start(struct sim *s, struct sim_process *p)
{
	struct event event = event_new(s, p, 0, EVENT_START);

	label(s, event_id(&event), name_of(s, p->index));
	emit(s, event);
}

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

static void do_connect(struct sim *s, struct sim_process *p, unsigned thread)
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
	event = event_new(s, p, thread, EVENT_CONNECT);
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
	connection_text(s, end, '>', text, sizeof(text));
	label(s, event_id(&event), text);
	p->threads[thread].busy = true;
	p->threads[thread].call = event;
	if (refused)
		return;
	make_acceptor(s, end);
	s->ends[end].holders = 1;
	p->fds[p->n_fds++] = end;
}

static void do_accept(struct sim *s, struct sim_process *p, unsigned thread)
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
		event = event_new(s, p, thread, EVENT_ACCEPT);
		event.end = end;
		e->accepted = true;
		e->holders = 1;
		p->fds[p->n_fds++] = end;
		connection_text(s, end, '>', text, sizeof(text));
		label(s, event_id(&event), text);
		truth(s, s->ends[e->peer].open_id, event_id(&event), RULE_CONNECT, 0);
		emit(s, event);
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
	event = event_new(s, NULL, 0, EVENT_RESET);
	event.end = end;
	event.box = s->run->trace.ends[end].box;
	event.pos = e->received;
	e->reset = true;
	e->reset_id = event_id(&event);
	connection_text(s, end, '>', text, sizeof(text));
	label(s, e->reset_id, text);
	truth(s, cause, e->reset_id, RULE_CLOSE, 0);
	emit(s, event);
}

static uint32_t pick_end(struct sim *s, struct sim_process *p)
{
	return p->n_fds ? p->fds[random_below(&s->rng, p->n_fds)] : 0;
}

static void do_send(struct sim *s, struct sim_process *p, unsigned thread)
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
	event = event_new(s, p, thread, EVENT_SEND);
	event.end = end;
	connection_text(s, end, e->connector ? '>' : '<', text, sizeof(text));
	if (e->reset) {
		event.value = -EPIPE;
		connection_text(s, end, '>', text, sizeof(text));
		label(s, event_id(&event), text);
		emit(s, event);
		return;
	}
	message = rest ? t->short_message : ++e->messages;
	event.flags = rest ? EVENT_F_CONTINUED : 0;
	event.message = message;
	event.pos = e->sent;
	event.value = size;
	snprintf(number, sizeof(number), "/%u", message);
	strcat(text, number);
	label(s, event_id(&event), text);
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

		truth(s, segment->send, id, RULE_MESSAGE, size);
		connection_text(s, end, e->connector ? '<' : '>', text, sizeof(text));
		snprintf(number, sizeof(number), "/%u", segment->message);
		strcat(text, number);
		label(s, id, text);
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

static void do_recv(struct sim *s, struct sim_process *p, unsigned thread)
{
	uint32_t end = pick_end(s, p);
	struct sim_end *e = &s->ends[end], *peer = &s->ends[e->peer];
	struct event event;
	char text[64];
	uint64_t fin = peer->half_id ? peer->half_id : peer->close_id;
	bool eof = fin && !e->head && e->received == peer->sent;

	if (!end || e->closed || (!e->head && !eof && !(e->reset && !e->told)))
		return;
	event = event_new(s, p, thread, EVENT_RECV);
	event.end = end;
	event.pos = e->received;
	if (e->head) {
		event.value = take(s, end, 1 + random_below(&s->rng, random_below(&s->rng, 3) ? 200 : 70000),
				   event_id(&event));
		e->received += event.value;
	} else {
		connection_text(s, end, '>', text, sizeof(text));
		label(s, event_id(&event), text);
		event.value = e->reset && !e->told ? -ECONNRESET : 0;
		truth(s, event.value ? e->reset_id : fin, event_id(&event), RULE_CLOSE, 0);
		e->told |= event.value != 0;
	}
	emit(s, event);
}

static void drop_queue(struct sim_end *e)
{
	while (e->head) {
		struct segment *next = e->head->next;

		free(e->head);
		e->head = next;
	}
	e->tail = NULL;
}

/* The last holder of an end lets it go. */
static void close_end(struct sim *s, struct sim_process *p, unsigned thread, uint32_t end, unsigned flags)
{
	struct sim_end *e = &s->ends[end];
	bool rst = e->head && !e->reset;
	struct event event;
	char text[64];

	if (--e->holders || e->closed)
		return;
	event = event_new(s, p, thread, EVENT_CLOSE);
	event.end = end;
	event.pos = e->sent;
	event.flags = flags | (rst ? EVENT_F_RST : 0);
	connection_text(s, end, '>', text, sizeof(text));
	label(s, event_id(&event), text);
	e->closed = true;
	if (!e->reset)
		e->close_id = event_id(&event);
	drop_queue(e);
	emit(s, event);
	if (rst)
		reset_end(s, e->peer, event_id(&event));
}

static void do_close(struct sim *s, struct sim_process *p, unsigned thread)
{
	unsigned at = p->n_fds ? random_below(&s->rng, p->n_fds) : 0;
	uint32_t end = p->n_fds ? p->fds[at] : 0;

	if (!end || (s->ends[end].head && !s->options.resets))
		return;
	p->fds[at] = p->fds[--p->n_fds];
	close_end(s, p, thread, end, 0);
}

static void do_shutdown(struct sim *s, struct sim_process *p, unsigned thread)
{
	uint32_t end = pick_end(s, p);
	struct sim_end *e = &s->ends[end];
	struct event event;
	char text[64];

	if (!end || e->closed || e->reset || e->half_id)
		return;
	event = event_new(s, p, thread, EVENT_CLOSE);
	event.end = end;
	event.pos = e->sent;
	event.flags = EVENT_F_SHUTDOWN;
	e->half_id = event_id(&event);
	connection_text(s, end, '>', text, sizeof(text));
	label(s, event_id(&event), text);
	emit(s, event);
}

static void do_spawn(struct sim *s, struct sim_process *p, unsigned thread)
{
	struct event event;
	struct sim_process *child;
	char text[64];

	if (s->options.threads && p->n_threads < MAX_THREADS && random_below(&s->rng, 2)) {
		event = event_new(s, p, thread, EVENT_SPAWN);
		event.flags = EVENT_F_THREAD;
		event.value = p->n_threads;
		snprintf(text, sizeof(text), "%s:%u", name_of(s, p->index), p->n_threads);
		label(s, event_id(&event), text);
		p->threads[p->n_threads++] = (struct sim_thread){ .alive = true, .first_cause = event_id(&event) };
		emit(s, event);
		return;
	}
	if (!s->options.forks || s->n_processes >= MAX_PROCESSES - 1 || strlen(name_of(s, p->index)) > 20)
		return;
	event = event_new(s, p, thread, EVENT_SPAWN);
	event.value = ++p->n_children;
	snprintf(text, sizeof(text), "%s.%u", name_of(s, p->index), p->n_children);
	label(s, event_id(&event), text);
	child = process_new(s, text, s->run->trace.processes[p->index].box, p->index);
	event.peer = child->index;
	child->first_cause = event_id(&event);
	memcpy(child->fds, p->fds, sizeof(p->fds));
	child->n_fds = p->n_fds;
	for (unsigned i = 0; i < p->n_fds; i++)
		s->ends[p->fds[i]].holders++;
	emit(s, event);
	start(s, child);
}

static void finish_call(struct sim *s, struct sim_thread *t)
{
	if (t->busy)
		emit(s, t->call);
	t->busy = false;
}

/* All threads end, sockets are closed, then the process is gone. The thread that says so is the last to end. */
static void do_exit(struct sim *s, struct sim_process *p, unsigned thread)
{
	uint64_t ended[MAX_THREADS] = { 0 };
	struct event event;
	char text[64];

	if (p->threads[thread].first_cause || p->first_cause)
		return;
	for (unsigned i = 0; i < p->n_threads; i++) {
		if (!p->threads[i].alive || i == thread || p->threads[i].first_cause)
			continue;
		finish_call(s, &p->threads[i]);
		event = event_new(s, p, i, EVENT_EXIT);
		event.flags = EVENT_F_THREAD;
		ended[i] = event_id(&event);
		snprintf(text, sizeof(text), "%s:%u", name_of(s, p->index), i);
		label(s, ended[i], text);
		emit(s, event);
	}
	while (p->n_fds)
		close_end(s, p, thread, p->fds[--p->n_fds], EVENT_F_EXITING);
	event = event_new(s, p, thread, EVENT_EXIT);
	event.value = random_below(&s->rng, 3) ? 0 : 9;
	p->exit_id = event_id(&event);
	for (unsigned i = 0; i < p->n_threads; i++)
		truth(s, ended[i], p->exit_id, RULE_SPAWN, 0);
	label(s, p->exit_id, name_of(s, p->index));
	emit(s, event);
	p->alive = false;
}

static void do_wait(struct sim *s, struct sim_process *p, unsigned thread)
{
	for (unsigned i = 0; i < s->n_processes; i++) {
		struct sim_process *child = &s->processes[i];
		struct event event;

		if (child->parent != p->index || child->alive || child->waited)
			continue;
		child->waited = true;
		event = event_new(s, p, thread, EVENT_WAIT);
		event.peer = child->index;
		truth(s, child->exit_id, event_id(&event), RULE_SPAWN, 0);
		label(s, event_id(&event), name_of(s, child->index));
		emit(s, event);
		return;
	}
}

static void step(struct sim *s)
{
	struct sim_process *p = &s->processes[random_below(&s->rng, s->n_processes)];
	unsigned thread = random_below(&s->rng, p->n_threads), dice = random_below(&s->rng, 100);
	struct sim_thread *t = &p->threads[thread];

	if (!p->alive)
		return;
	if (t->busy)
		finish_call(s, t);
	else if (dice < 12)
		do_connect(s, p, thread);
	else if (dice < 30)
		do_accept(s, p, thread);
	else if (dice < 56)
		do_send(s, p, thread);
	else if (dice < 86)
		do_recv(s, p, thread);
	else if (dice < 89)
		do_close(s, p, thread);
	else if (dice < 91)
		do_shutdown(s, p, thread);
	else if (dice < 95)
		do_spawn(s, p, thread);
	else if (dice < 96 && p->index > 1)
		do_exit(s, p, thread);
	else
		do_wait(s, p, thread);
}

static void finish(struct sim *s)
{
	for (unsigned i = 0; i < s->n_processes; i++)
		for (unsigned k = 0; k < s->processes[i].n_threads; k++)
			finish_call(s, &s->processes[i].threads[k]);
	for (uint32_t i = 1; i <= s->n_ends; i++) {
		struct trace_end *row = &s->run->trace.ends[i];

		row->finished = true;
		row->sent = s->ends[i].sent;
		row->received = s->ends[i].received;
		drop_queue(&s->ends[i]);
	}
}

void random_run_init(struct random_run *run, uint64_t seed, const struct random_options *options)
{
	struct sim *s = need(calloc(1, sizeof(*s)));
	char name[24];

	memset(run, 0, sizeof(*run));
	s->run = run;
	s->options = *options;
	s->rng = seed;
	s->next_id = 1;
	run->n_ids = (size_t)options->steps * 4 + 1000;
	run->labels = need(calloc(run->n_ids, sizeof(*run->labels)));
	for (unsigned i = 1; i <= options->processes; i++) {
		struct trace_box *box = need(trace_box_at(&run->trace, i));

		snprintf(name, sizeof(name), "b%u", i);
		box->name = need(strdup(name));
		snprintf(name, sizeof(name), "10.0.0.%u", i);
		box->address = need(strdup(name));
		snprintf(name, sizeof(name), "p%u", i);
		process_new(s, name, i, 0);
	}
	s->n_roots = options->processes;
	for (unsigned i = 0; i < s->n_roots; i++)
		start(s, &s->processes[i]);
	for (unsigned i = 0; i < options->steps; i++)
		step(s);
	finish(s);
	free(s);
}

void random_run_fini(struct random_run *run)
{
	for (size_t i = 0; i < run->n_ids; i++)
		free(run->labels[i]);
	free(run->labels);
	free(run->edges);
	trace_fini(&run->trace);
}

/* new_place[old index]: a random permutation of 1..n. */
static uint32_t *permutation(uint64_t *rng, size_t n)
{
	uint32_t *place = need(calloc(n + 1, sizeof(*place)));

	for (size_t i = 1; i <= n; i++) {
		size_t k = 1 + random_below(rng, i);

		place[i] = place[k];
		place[k] = i;
	}
	return place;
}

#define MOVE_ROWS(table, n, place)                                                                 \
	do {                                                                                       \
		void *old_ = need(malloc(((n) + 1) * sizeof(*(table))));                           \
		memcpy(old_, (table), ((n) + 1) * sizeof(*(table)));                               \
		for (size_t i_ = 1; i_ <= (n); i_++)                                               \
			memcpy(&(table)[(place)[i_]], (char *)old_ + i_ * sizeof(*(table)),        \
			       sizeof(*(table)));                                                  \
		free(old_);                                                                        \
	} while (0)

void random_run_shuffle(struct random_run *run, uint64_t seed)
{
	struct trace *t = &run->trace;
	uint64_t rng = seed;
	uint32_t *boxes = permutation(&rng, t->n_boxes), *processes = permutation(&rng, t->n_processes);
	uint32_t *ends = permutation(&rng, t->n_ends), *events = permutation(&rng, t->n_events);

	for (size_t i = 1; i <= t->n_processes; i++) {
		t->processes[i].box = boxes[t->processes[i].box];
		t->processes[i].parent = processes[t->processes[i].parent];
	}
	for (size_t i = 1; i <= t->n_ends; i++) {
		t->ends[i].box = boxes[t->ends[i].box];
		t->ends[i].process = processes[t->ends[i].process];
	}
	for (size_t i = 0; i < t->n_events; i++) {
		struct event *event = &t->events[i];

		event->process = processes[event->process];
		event->peer = processes[event->peer];
		event->end = ends[event->end];
		event->box = boxes[event->box];
	}
	MOVE_ROWS(t->boxes, t->n_boxes, boxes);
	MOVE_ROWS(t->processes, t->n_processes, processes);
	if (t->n_ends)
		MOVE_ROWS(t->ends, t->n_ends, ends);
	for (size_t i = 0; i < t->n_events; i++) {
		struct event swap = t->events[i];

		t->events[i] = t->events[events[i + 1] - 1];
		t->events[events[i + 1] - 1] = swap;
	}
	free(boxes);
	free(processes);
	free(ends);
	free(events);
}

static const char *random_box(struct random_run *run, uint64_t *rng)
{
	return run->trace.boxes[1 + random_below(rng, run->trace.n_boxes)].name;
}

/* One of the run's events, with a place in its process; a send more often than not. NULL: none was found. */
static const struct event *random_moment(struct random_run *run, uint64_t *rng)
{
	for (unsigned tries = 0; tries < 100 && run->trace.n_events; tries++) {
		const struct event *event = &run->trace.events[random_below(rng, run->trace.n_events)];

		if (event->order && event->process && (tries > 20 || (event->kind == EVENT_SEND && event->value > 0)))
			return event;
	}
	return NULL;
}

static char *random_line(struct random_run *run, uint64_t *rng, const struct event *moment)
{
	const char *a = random_box(run, rng), *b = random_box(run, rng), *label = NULL;
	const char *process = run->trace.processes[moment ? moment->process : 1].name;
	char *line = NULL;
	int n = -1;

	if (moment && moment->kind == EVENT_SEND && moment->value > 0)
		label = run->labels[event_id(moment)];
	switch (random_below(rng, label ? 12 : 5)) {
	case 0: n = asprintf(&line, "crash box %s", a); break;
	case 1: n = asprintf(&line, "isolate %s", a); break;
	case 2: n = asprintf(&line, "crash %s", process); break;
	case 3: n = asprintf(&line, "loss 50%% %s oneway", a); break;
	case 4: n = strcmp(a, b) ? asprintf(&line, "partition %s | %s", a, b) : asprintf(&line, "isolate %s oneway", a); break;
	case 5: n = asprintf(&line, "cut %s", label); break;
	case 6: n = asprintf(&line, "cut %s oneway", label); break;
	case 7: n = asprintf(&line, "reset %s", label); break;
	case 8: n = asprintf(&line, "crash %s at send %s", process, label); break;
	case 9: n = asprintf(&line, "crash %s at send %s silent", process, label); break;
	case 10: n = asprintf(&line, "hold %s for 1s", label); break;
	case 11: n = asprintf(&line, "pause %s at send %s for 1s", process, label); break;
	}
	return need(n < 0 ? NULL : line);
}

static struct event *fault_event(struct random_run *run, uint64_t *rng, enum event_kind kind, uint32_t id, const char *line)
{
	uint32_t text = (uint32_t)run->trace.n_texts + 1;
	struct event *event = need(trace_event_add(&run->trace));
	char **at = need(trace_text_at(&run->trace, text));

	*at = need(strdup(line));
	*event = (struct event){ .kind = kind, .value = id, .text = text };
	event->seq = (1ull << 40) + run->trace.n_events; /* ids of their own */
	event->enter_ns = event->return_ns = 1 + random_below(rng, 5000);
	return event;
}

void random_run_faults(struct random_run *run, uint64_t seed, unsigned n)
{
	size_t n_events = run->trace.n_events;
	uint64_t rng = seed;

	for (size_t i = 0; i < n_events; i++)
		run->trace.events[i].order *= 4 * (n + 1); /* room for what fired before it */
	/* what was not received had come, or not, or nobody knows */
	for (size_t i = 1; i <= run->trace.n_ends; i++) {
		struct trace_end *row = &run->trace.ends[i];

		row->finished = random_below(&rng, 3) == 0;
		row->unacked = random_below(&rng, row->sent + 1);
		row->unread = random_below(&rng, 20);
	}
	for (uint32_t id = 1; id <= n; id++) {
		const struct event *found = random_moment(run, &rng);
		struct event moment = found ? *found : (struct event){ .kind = EVENT_NONE }, *event;
		char *line = random_line(run, &rng, found);
		bool nowhere = !found || random_below(&rng, 4) == 0;

		if (random_below(&rng, 4))
			fault_event(run, &rng, EVENT_ARMED, id, line);
		event = fault_event(run, &rng, EVENT_FIRED, id, line);
		if (!nowhere) {
			event->process = moment.process;
			event->thread = moment.thread;
			event->box = moment.box;
			if (random_below(&rng, 2)) /* else another machine's clock */
				event->enter_ns = event->return_ns = moment.enter_ns;
			event->order = moment.order - id;
			event->end = moment.end;
			event->pos = moment.pos;
			event->message = moment.message;
		}
		if (random_below(&rng, 4) == 0)
			fault_event(run, &rng, random_below(&rng, 2) ? EVENT_LIFTED : EVENT_EXPIRED, id, line);
		if (random_below(&rng, 8) == 0)
			*(struct fault_receipt *)need(trace_receipt_add(&run->trace)) =
				(struct fault_receipt){ .id = id, .state = FAULT_STATE_WOULD_FIRE };
		free(line);
	}
}
