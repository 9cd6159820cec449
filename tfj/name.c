/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names. Must not know sockets, time or the program's other parts; only the records and the stream that it fills.
 *
 * Records are not trusted to be complete: after a loss a process, thread or connection can turn up that nobody
 * announced. It gets a row of its own, so that no event is ever without a place; the loss itself is told elsewhere.
 * Without memory a record is dropped and counted by the stream.
 */
#include "tfj/name.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys are small numbers or short labels: one multiplication a word does better than the default for them. */
#define HASH_FUNCTION(key, length, hash) ((hash) = key_hash(key, length))
static unsigned key_hash(const void *key, size_t length)
{
	const unsigned char *p = key;
	uint64_t h = length, word;

	for (; length; length -= length < 8 ? length : 8, p += 8) {
		word = 0;
		memcpy(&word, p, length < 8 ? length : 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h ^ h >> 32;
}
#include <uthash.h>

struct process {
	UT_hash_handle hh;
	uint32_t tgid;
	uint32_t index;
	uint32_t root;	 /* index of the process that we started and that this one descends from, 0 none */
	uint32_t unnamed; /* children whose number is not known (lost record) */
	bool provisional; /* seen before the record that announces it */
	bool fresh;	 /* started by us, has not executed anything else yet */
};

struct thread {
	UT_hash_handle hh;
	uint32_t tid;
	uint32_t tgid;
	uint32_t ordinal;
};

struct end {
	UT_hash_handle hh;
	uint64_t cookie;
	uint32_t index;
};

/* A label, and how often it was given away. */
struct label {
	UT_hash_handle hh;
	unsigned n;
	char text[];
};

struct names {
	struct stream *stream;
	const struct boxes *boxes;
	uint32_t box_base;
	names_on_listen *on_listen;
	void *arg;
	struct process *processes;
	struct thread *threads;
	struct end *ends;
	struct label *labels;
	struct process *last_process; /* the most recent ones: most records come in runs */
	struct end *last_end;
};

struct names *names_new(struct stream *stream, const struct boxes *boxes, uint32_t box_base,
			names_on_listen *on_listen, void *arg)
{
	struct names *names = calloc(1, sizeof(*names));

	if (!names)
		return NULL;
	names->stream = stream;
	names->boxes = boxes;
	names->box_base = box_base;
	names->on_listen = on_listen;
	names->arg = arg;
	for (size_t i = 0; i < boxes->n; i++) {
		struct trace_box *row = stream_box(stream, boxes->box[i].index);

		if (!row)
			goto out;
		row->name = strdup(boxes->box[i].name);
		row->address = strdup(boxes->box[i].address);
		row->address6 = strdup(boxes->box[i].address6);
		if (!row->name || !row->address || !row->address6)
			goto out;
	}
	return names;
out:
	names_free(names);
	return NULL;
}

void names_free(struct names *names)
{
	struct process *process, *next_process;
	struct thread *thread, *next_thread;
	struct end *end, *next_end;
	struct label *label, *next_label;

	if (!names)
		return;
	HASH_ITER(hh, names->processes, process, next_process)
	{
		HASH_DEL(names->processes, process);
		free(process);
	}
	HASH_ITER(hh, names->threads, thread, next_thread)
	{
		HASH_DEL(names->threads, thread);
		free(thread);
	}
	HASH_ITER(hh, names->ends, end, next_end)
	{
		HASH_DEL(names->ends, end);
		free(end);
	}
	HASH_ITER(hh, names->labels, label, next_label)
	{
		HASH_DEL(names->labels, label);
		free(label);
	}
	free(names);
}

size_t names_open_ends(const struct names *names)
{
	return HASH_COUNT(names->ends);
}

/* The label itself, or with 'K when it was given away K - 1 times before. malloc'ed. */
static char *label_take(struct names *names, const char *text)
{
	size_t len = strlen(text);
	struct label *label;
	char *taken;

	HASH_FIND(hh, names->labels, text, len, label);
	if (!label) {
		label = calloc(1, sizeof(*label) + len + 1);
		if (!label)
			return NULL;
		memcpy(label->text, text, len + 1);
		HASH_ADD_KEYPTR(hh, names->labels, label->text, len, label);
	}
	if (!label->n++)
		return strdup(text);
	return asprintf(&taken, "%s'%u", text, label->n) < 0 ? NULL : taken;
}

static const char *box_name(const struct names *names, uint32_t box)
{
	return box && box <= names->boxes->n ? names->boxes->box[box - 1].name : "?";
}

static struct process *process_find(struct names *names, uint32_t tgid)
{
	struct process *process = names->last_process;

	if (process && process->tgid == tgid)
		return process;
	HASH_FIND(hh, names->processes, &tgid, sizeof(tgid), process);
	if (process)
		names->last_process = process;
	return process;
}

/* A new row, and the id refers to it from now on. label is taken; NULL is no memory. */
static struct process *process_add(struct names *names, uint32_t tgid, uint32_t box, char *label, uint32_t parent,
				   const char *command)
{
	uint32_t index = names->stream->part.n_processes + 1;
	struct process *process = process_find(names, tgid);
	struct trace_process *row = label ? stream_process(names->stream, index) : NULL;
	char *copy = strdup(command);

	if (!row || !copy)
		goto out;
	if (!process) {
		process = calloc(1, sizeof(*process));
		if (!process)
			goto out;
		process->tgid = tgid;
		HASH_ADD(hh, names->processes, tgid, sizeof(tgid), process);
	}
	*row = (struct trace_process){ .name = label, .box = box, .parent = parent, .pid = tgid, .command = copy };
	process->index = index;
	process->root = process->unnamed = 0;
	process->provisional = process->fresh = false;
	return process;
out:
	if (row) /* it is the last one */
		row->name = strdup("?");
	free(label);
	free(copy);
	return NULL;
}

/* Somebody whose beginning was not seen: `box?what`. */
static struct process *process_unknown(struct names *names, uint32_t tgid, uint32_t box, const char *what)
{
	struct process *process;
	char *text;

	if (asprintf(&text, "%s?%s", box_name(names, box), what) < 0)
		return NULL;
	/* Separators of labels would make it say something else. */
	for (char *p = strchr(text, '?') + 1; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr(">#/:<~?'", *p))
			*p = '_';
	process = process_add(names, tgid, box, label_take(names, text), 0, what);
	free(text);
	return process;
}

static struct process *process_of(struct names *names, const struct rec_head *head, uint32_t box)
{
	struct process *process = head->tgid ? process_find(names, head->tgid) : NULL;

	if (process || !head->tgid)
		return process;
	process = process_unknown(names, head->tgid, box, "unknown");
	if (process)
		process->provisional = true;
	return process;
}

static struct thread *thread_find(struct names *names, uint32_t tid)
{
	struct thread *thread;

	HASH_FIND(hh, names->threads, &tid, sizeof(tid), thread);
	return thread;
}

static void thread_add(struct names *names, uint32_t tgid, uint32_t tid, uint32_t ordinal)
{
	struct thread *thread = thread_find(names, tid);

	if (!thread) {
		thread = calloc(1, sizeof(*thread));
		if (!thread)
			return; /* its events will seem to be the main thread's */
		thread->tid = tid;
		HASH_ADD(hh, names->threads, tid, sizeof(tid), thread);
	}
	thread->tgid = tgid;
	thread->ordinal = ordinal;
}

static uint32_t thread_ordinal(struct names *names, const struct rec_head *head)
{
	struct thread *thread = head->tid != head->tgid ? thread_find(names, head->tid) : NULL;

	return thread && thread->tgid == head->tgid ? thread->ordinal : 0;
}

static struct end *end_find(struct names *names, uint64_t cookie)
{
	struct end *end = names->last_end;

	if (end && end->cookie == cookie)
		return end;
	HASH_FIND(hh, names->ends, &cookie, sizeof(cookie), end);
	if (end)
		names->last_end = end;
	return end;
}

/* A new row; with a cookie, that socket is this end from now on (it can try to connect several times). */
static uint32_t end_add(struct names *names, uint64_t cookie, uint32_t box, uint8_t role)
{
	uint32_t index = names->stream->part.n_ends + 1;
	struct trace_end *row = stream_end(names->stream, index);
	struct end *end = cookie ? end_find(names, cookie) : NULL;

	if (!row)
		return 0;
	*row = (struct trace_end){ .box = box, .role = role };
	if (cookie && !end) {
		end = calloc(1, sizeof(*end));
		if (!end)
			return index;
		end->cookie = cookie;
		HASH_ADD(hh, names->ends, cookie, sizeof(cookie), end);
	}
	if (end)
		end->index = index;
	return index;
}

static uint32_t end_of(struct names *names, uint64_t cookie, uint32_t box, uint8_t role)
{
	struct end *end = cookie ? end_find(names, cookie) : NULL;

	if (end)
		return end->index;
	return cookie ? end_add(names, cookie, box, role) : 0;
}

static struct endpoint endpoint_of(const struct rec_addr *from)
{
	struct endpoint to = { .port = from->port };

	memcpy(to.ip, from->ip, sizeof(to.ip));
	return to;
}

static bool is_own_box(const uint8_t ip[16])
{
	static const uint8_t loopback[16] = { [15] = 1 }, any[16], mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (!memcmp(ip, mapped, sizeof(mapped)))
		return ip[12] == 127 || !memcmp(ip + 12, any, 4);
	return !memcmp(ip, loopback, 16) || !memcmp(ip, any, 16);
}

/* s1:7000 for an address of a box, else 192.0.2.1:7000 or [2001:db8::1]:7000. malloc'ed. */
static char *target_text(const struct names *names, const struct rec_addr *remote, uint32_t box)
{
	const struct box *to = boxes_at(names->boxes, remote->ip);
	char address[INET6_ADDRSTRLEN] = "?", *text;
	bool ipv4 = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)remote->ip);
	int n;

	if (to || is_own_box(remote->ip)) {
		n = asprintf(&text, "%s:%u", to ? to->name : box_name(names, box), remote->port);
	} else {
		inet_ntop(ipv4 ? AF_INET : AF_INET6, ipv4 ? remote->ip + 12 : remote->ip, address, sizeof(address));
		n = asprintf(&text, ipv4 ? "%s:%u" : "[%s]:%u", address, remote->port);
	}
	return n < 0 ? NULL : text;
}

static void end_name(struct names *names, uint32_t index, uint32_t process, const struct rec_addr *remote,
		     uint32_t ordinal)
{
	struct trace_end *row = stream_end(names->stream, index);

	if (!row)
		return;
	row->role = END_CONNECTOR;
	row->process = process;
	row->remote = endpoint_of(remote);
	row->ordinal = ordinal;
	free(row->target);
	row->target = target_text(names, remote, row->box);
}

/* The event of a record with all that every kind has; its kind stays to be set. NULL: no memory. */
static struct event *event_add(struct names *names, enum event_kind kind, const struct rec_head *head, uint32_t box,
			       const struct process *process)
{
	struct event *event = stream_event(names->stream);

	if (!event)
		return NULL;
	event->kind = kind;
	event->enter_ns = head->enter_ns;
	event->return_ns = head->return_ns;
	event->order = head->order;
	event->seq = head->seq;
	event->box = box;
	event->process = process ? process->index : 0;
	event->thread = process ? thread_ordinal(names, head) : 0;
	return event;
}

uint32_t names_root(struct names *names, const char *name, uint32_t box, uint32_t pid, const char *command)
{
	struct process *process = process_add(names, pid, box, label_take(names, name), 0, command);

	if (!process)
		return 0;
	process->root = process->index;
	process->fresh = true;
	return process->index;
}

static void start_event(struct names *names, uint32_t index, uint64_t now_ns)
{
	const struct trace_process *row = &names->stream->part.processes[index];
	struct event *event = stream_event(names->stream);

	if (!event)
		return;
	event->kind = EVENT_START;
	event->enter_ns = event->return_ns = now_ns;
	event->box = row->box;
	event->process = index;
	event->text = row->command && *row->command ? stream_text(names->stream, row->command) : 0;
}

void names_start(struct names *names, uint32_t process, uint64_t now_ns)
{
	start_event(names, process, now_ns);
}

void names_note(struct names *names, enum event_kind kind, int64_t value, const char *text, uint64_t now_ns)
{
	struct event *event = stream_event(names->stream);

	if (!event)
		return;
	event->kind = kind;
	event->enter_ns = event->return_ns = now_ns;
	event->value = value;
	event->text = stream_text(names->stream, text);
}

/* k-th child of s1 is s1.k; s1.?k when the kernel did not say which one it is. */
static char *child_label(struct names *names, struct process *parent, uint32_t ordinal)
{
	const char *name = names->stream->part.processes[parent->index].name;
	char *text, *label;
	int n;

	if (ordinal)
		n = asprintf(&text, "%s.%u", name, ordinal);
	else
		n = asprintf(&text, "%s.?%u", name, ++parent->unnamed);
	if (n < 0)
		return NULL;
	label = label_take(names, text);
	free(text);
	return label;
}

static struct process *child_add(struct names *names, struct process *parent, const struct rec_fork *fork,
				 uint32_t box)
{
	struct process *child = process_find(names, fork->child_tgid);
	uint32_t root = parent->root, parent_index = parent->index;
	char *label = child_label(names, parent, fork->ordinal), *command;
	struct trace_process *row;

	if (child && child->provisional && label) {
		row = stream_process(names->stream, child->index);
		if (!row) {
			free(label);
			return NULL;
		}
		free(row->name);
		row->name = label;
		row->parent = parent_index;
		child->provisional = false;
	} else {
		command = names->stream->part.processes[parent_index].command;
		child = process_add(names, fork->child_tgid, box, label, parent_index, command ? command : "");
	}
	if (child)
		child->root = root;
	return child;
}

static void take_fork(struct names *names, const struct rec_fork *fork, uint32_t box, struct process *process)
{
	bool thread = fork->head.flags & REC_F_GROUP;
	struct event *event = event_add(names, EVENT_SPAWN, &fork->head, box, process);
	struct process *child;

	if (!event || !process)
		return;
	event->value = fork->ordinal;
	if (thread) {
		event->flags = EVENT_F_THREAD;
		thread_add(names, fork->head.tgid, fork->child_tid, fork->ordinal);
		return;
	}
	child = child_add(names, process, fork, box);
	if (!child)
		return;
	event->peer = child->index;
	start_event(names, child->index, fork->head.return_ns);
}

static void take_exec(struct names *names, const struct rec_exec *exec, uint32_t box, struct process *process)
{
	struct event *event;
	struct trace_process *row;
	char path[REC_NAME_MAX + 1], *command;

	snprintf(path, sizeof(path), "%.*s", REC_NAME_MAX, exec->name);
	event = event_add(names, EVENT_EXEC, &exec->head, box, process);
	if (!event || !process)
		return;
	event->text = stream_text(names->stream, path);
	if (process->fresh) { /* the whole command line is known already */
		process->fresh = false;
		return;
	}
	command = strdup(path);
	row = command ? stream_process(names->stream, process->index) : NULL;
	if (!row) {
		free(command);
		return;
	}
	free(row->command);
	row->command = command;
}

static void take_appear(struct names *names, const struct rec_exec *exec, uint32_t box)
{
	struct process *process = process_find(names, exec->head.tgid);
	char comm[sizeof(exec->comm) + 1];

	if (process && !process->provisional)
		return;
	snprintf(comm, sizeof(comm), "%.*s", (int)sizeof(exec->comm), exec->comm);
	process = process_unknown(names, exec->head.tgid, box, comm);
	if (process)
		start_event(names, process->index, exec->head.return_ns);
}

static void on_exited(struct names *names, const struct rec_exit *exit, uint32_t box, struct process *process)
{
	struct event *event = event_add(names, EVENT_EXIT, &exit->head, box, process);
	bool group = exit->head.flags & REC_F_GROUP;

	if (!event)
		return;
	event->value = exit->status;
	event->flags = group ? 0 : EVENT_F_THREAD;
}

static void take_wait(struct names *names, const struct rec_wait *wait, uint32_t box, struct process *process)
{
	struct process *child = process_find(names, wait->child_tgid);
	struct event *event = event_add(names, EVENT_WAIT, &wait->head, box, process);

	if (event)
		event->peer = child ? child->index : 0;
}

static void take_listen(struct names *names, const struct rec_listen *listen, uint32_t box, struct process *process)
{
	struct event *event = event_add(names, EVENT_LISTEN, &listen->head, box, process);

	if (event)
		event->value = listen->local.port;
	if (process && process->root)
		names->on_listen(names->arg, process->root, listen->local.port);
}

static void take_open(struct names *names, const struct rec_open *open, uint32_t box, struct process *process)
{
	uint32_t end = end_add(names, open->cookie, box, END_CONNECTOR);

	if (end)
		end_name(names, end, process ? process->index : 0, &open->remote, open->ordinal);
}

static void take_connect(struct names *names, const struct rec_connect *connect, uint32_t box, struct process *process)
{
	struct end *known = connect->cookie ? end_find(names, connect->cookie) : NULL;
	uint32_t index = known ? known->index : end_add(names, connect->cookie, box, END_CONNECTOR);
	struct trace_end *row;
	struct event *event;

	if (index && !known)
		end_name(names, index, process ? process->index : 0, &connect->remote, connect->ordinal);
	row = index && connect->result < 0 && connect->result != -EINPROGRESS ? stream_end(names->stream, index) : NULL;
	if (row && !row->keyed)
		row->error = connect->result;
	event = event_add(names, EVENT_CONNECT, &connect->head, box, process);
	if (!event)
		return;
	event->end = index;
	event->value = connect->result;
}

static void take_established(struct names *names, const struct rec_established *established, uint32_t box)
{
	bool acceptor = established->head.flags & REC_F_ACCEPTOR;
	uint32_t index = end_of(names, established->cookie, box, acceptor ? END_ACCEPTOR : END_CONNECTOR);
	struct trace_end *row = stream_end(names->stream, index);

	if (!row)
		return;
	if (acceptor)
		row->role = END_ACCEPTOR;
	row->local = endpoint_of(&established->local);
	row->remote = endpoint_of(&established->remote);
	row->first_local = established->first_local;
	row->first_remote = established->first_remote;
	row->keyed = true;
	row->established_ns = established->head.return_ns;
	if (!acceptor && !row->target)
		row->target = target_text(names, &established->remote, box);
}

static void take_failed(struct names *names, const struct rec_failed *failed, uint32_t box)
{
	struct trace_end *row = stream_end(names->stream, end_of(names, failed->cookie, box, END_CONNECTOR));

	if (row)
		row->error = failed->error;
}

static void take_accept(struct names *names, const struct rec_accept *accept, uint32_t box, struct process *process)
{
	uint32_t end = end_of(names, accept->cookie, box, END_ACCEPTOR);
	struct event *event = event_add(names, EVENT_ACCEPT, &accept->head, box, process);

	if (!event)
		return;
	event->end = end;
	event->value = accept->result < 0 ? accept->result : 0;
}

static void take_transfer(struct names *names, enum event_kind kind, const struct rec_transfer *transfer, uint32_t box,
			struct process *process)
{
	uint32_t end = end_of(names, transfer->cookie, box, END_UNKNOWN);
	struct event *event = event_add(names, kind, &transfer->head, box, process);
	unsigned flags = transfer->head.flags;

	if (!event)
		return;
	event->end = end;
	event->pos = transfer->pos;
	event->value = transfer->result;
	event->message = transfer->message;
	event->flags = (flags & REC_F_CONTINUED ? EVENT_F_CONTINUED : 0) |
		       (flags & REC_F_INTERLEAVED ? EVENT_F_INTERLEAVED : 0) |
		       (flags & REC_F_URGENT ? EVENT_F_URGENT : 0);
}

static void take_close(struct names *names, enum event_kind kind, const struct rec_close *close, uint32_t box,
		     struct process *process)
{
	uint32_t end = end_of(names, close->cookie, box, END_UNKNOWN);
	struct event *event = event_add(names, kind, &close->head, box, process);
	unsigned flags = close->head.flags;

	if (!event)
		return;
	event->end = end;
	event->pos = kind == EVENT_RESET ? close->received : close->sent;
	event->value = kind == EVENT_RESET ? 0 : close->unacked;
	event->flags = (flags & REC_F_SHUTDOWN ? EVENT_F_SHUTDOWN : 0) | (flags & REC_F_RST ? EVENT_F_RST : 0) |
		       (flags & REC_F_EXITING ? EVENT_F_EXITING : 0);
}

static void take_destroy(struct names *names, const struct rec_close *close)
{
	struct end *end = end_find(names, close->cookie);
	struct trace_end *row = end ? stream_end(names->stream, end->index) : NULL;

	if (row) {
		row->finished = true;
		row->sent = close->sent;
		row->received = close->received;
		row->unacked = close->unacked;
		row->unread = close->unread;
	}
	if (!end)
		return;
	HASH_DEL(names->ends, end);
	names->last_end = NULL;
	free(end);
}

static size_t record_size(unsigned kind)
{
	static const size_t sizes[REC_KIND_COUNT] = {
#define X(name, type, text) [REC_##name] = sizeof(struct type),
		RECORD_KINDS(X)
#undef X
	};

	return kind < REC_KIND_COUNT ? sizes[kind] : 0;
}

void names_record(struct names *names, const struct rec_head *record, size_t size)
{
	struct process *process;
	uint32_t box;

	if (size < sizeof(*record) || !record_size(record->kind) || size < record_size(record->kind) ||
	    record->box <= names->box_base || record->box - names->box_base > names->boxes->n)
		return;
	box = record->box - names->box_base;
	process = record->kind == REC_APPEAR ? NULL : process_of(names, record, box);
	switch ((enum rec_kind)record->kind) {
#define RECORD(type) ((const struct type *)record)
	case REC_FORK:
		return take_fork(names, RECORD(rec_fork), box, process);
	case REC_EXEC:
		return take_exec(names, RECORD(rec_exec), box, process);
	case REC_EXIT:
		return on_exited(names, RECORD(rec_exit), box, process);
	case REC_WAIT:
		return take_wait(names, RECORD(rec_wait), box, process);
	case REC_APPEAR:
		return take_appear(names, RECORD(rec_exec), box);
	case REC_LISTEN:
		return take_listen(names, RECORD(rec_listen), box, process);
	case REC_OPEN:
		return take_open(names, RECORD(rec_open), box, process);
	case REC_CONNECT:
		return take_connect(names, RECORD(rec_connect), box, process);
	case REC_ESTABLISHED:
		return take_established(names, RECORD(rec_established), box);
	case REC_FAILED:
		return take_failed(names, RECORD(rec_failed), box);
	case REC_ACCEPT:
		return take_accept(names, RECORD(rec_accept), box, process);
	case REC_SEND:
		return take_transfer(names, EVENT_SEND, RECORD(rec_transfer), box, process);
	case REC_RECV:
		return take_transfer(names, EVENT_RECV, RECORD(rec_transfer), box, process);
	case REC_CLOSE:
		return take_close(names, EVENT_CLOSE, RECORD(rec_close), box, process);
	case REC_RESET:
		return take_close(names, EVENT_RESET, RECORD(rec_close), box, process);
	case REC_DESTROY:
		return take_destroy(names, RECORD(rec_close));
	case REC_NONE:
	case REC_KIND_COUNT:
#undef RECORD
		return;
	}
}
