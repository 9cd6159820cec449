/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names. Must not know sockets, time or the program's other parts; only the records and the stream that it fills.
 *
 * Records are not trusted to be complete: after a loss a process, thread or connection can turn up that nobody
 * announced. It gets a row of its own, so that no event is ever without a place; the loss itself is told elsewhere.
 * Without memory a record is dropped and counted by the stream.
 */
#include "tfj/name_tables.h"

#include <stdio.h>

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
	for (size_t i = 0; i < boxes->n_known; i++) {
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
	exchanges_free(names);
	ports_free(names);
	locals_free(names);
	fault_texts_free(names);
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
char *label_take(struct names *names, const char *text)
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

char *names_next_label(struct names *names, const char *name)
{
	struct label *label;
	char *text;

	HASH_FIND(hh, names->labels, name, strlen(name), label);
	if (!label || !label->n)
		return strdup(name);
	return asprintf(&text, "%s'%u", name, label->n + 1) < 0 ? NULL : text;
}

uint32_t names_process(struct names *names, const char *label, pid_t *ret_pid)
{
	const struct trace *part = &names->stream->part;

	for (uint32_t i = part->n_processes; i > 0; i--) {
		const struct trace_process *row = &part->processes[i];
		const struct process *process;

		if (!row->name || strcmp(row->name, label))
			continue;
		process = process_find(names, (uint32_t)row->pid);
		*ret_pid = row->pid;
		return process && process->index == i ? i : 0;
	}
	return 0;
}

const char *box_name(const struct names *names, uint32_t box)
{
	return box && box <= names->boxes->n_known ? names->boxes->box[box - 1].name : "?";
}

struct process *process_find(struct names *names, uint32_t tgid)
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
struct process *process_add(struct names *names, uint32_t tgid, uint32_t box, char *label, uint32_t parent,
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
	names->stream->bytes += strlen(label) + strlen(copy);
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
struct process *process_unknown(struct names *names, uint32_t tgid, uint32_t box, const char *what)
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

struct process *process_of(struct names *names, const struct rec_head *head, uint32_t box)
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

void thread_add(struct names *names, uint32_t tgid, uint32_t tid, uint32_t ordinal)
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
	thread->lent = false;
}

void thread_lend(struct names *names, uint32_t tgid, uint32_t tid, uint32_t ordinal)
{
	struct thread *thread;

	thread_add(names, tgid, tid, ordinal);
	thread = thread_find(names, tid);
	if (thread)
		thread->lent = true;
}

bool thread_is_lent(struct names *names, const struct rec_head *head)
{
	struct thread *thread = thread_find(names, head->tid);

	return thread && thread->tgid == head->tgid && thread->lent;
}

uint32_t thread_ordinal(struct names *names, const struct rec_head *head)
{
	struct thread *thread = head->tid != head->tgid ? thread_find(names, head->tid) : NULL;

	return thread && thread->tgid == head->tgid ? thread->ordinal : 0;
}

struct end *end_find(struct names *names, uint64_t cookie)
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
uint32_t end_add(struct names *names, uint64_t cookie, uint32_t box, uint8_t role)
{
	uint32_t index = names->stream->n_ends + 1;
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

uint32_t end_of(struct names *names, uint64_t cookie, uint32_t box, uint8_t role)
{
	struct end *end = cookie ? end_find(names, cookie) : NULL;

	if (end)
		return end->index;
	return cookie ? end_add(names, cookie, box, role) : 0;
}

struct endpoint endpoint_of(const struct rec_addr *from)
{
	struct endpoint to = { .port = from->port };

	memcpy(to.ip, from->ip, sizeof(to.ip));
	return to;
}

void end_name(struct names *names, uint32_t index, uint32_t process, const struct rec_addr *remote,
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

void end_forget(struct names *names, struct end *end)
{
	HASH_DEL(names->ends, end);
	names->last_end = NULL;
	free(end);
}
