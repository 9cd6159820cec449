/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Unix-domain streams and pipes: which end a record belongs to. Records call an end by an address, which the kernel gives
 * away again; what begins an end (CONNECT, ACCEPT, LOCAL) says so. Must not know sockets or time.
 */
#include <stdio.h>

#include "tfj/name_tables.h"

#define LOCALS_MAX 65536

struct local {
	UT_hash_handle hh;
	uint64_t id;
	uint64_t number; /* 0: known by its CONNECT or ACCEPT only, and perhaps its name */
	uint32_t index;
	bool used; /* since it was last looked at for being the oldest one */
};

static struct local *local_find(struct names *names, uint64_t id)
{
	struct local *local;

	HASH_FIND(hh, names->locals, &id, sizeof(id), local);
	return local;
}

static void row_finish(struct names *names, const struct local *local)
{
	struct trace_end *row = stream_end(names->stream, local->index);

	if (row)
		row->finished = true;
}

/* Room for one more: the end that was not used for longest is over. One that is in use must stay: nobody would tell of it again. */
static void forget_oldest(struct names *names)
{
	struct local *oldest = names->locals;

	for (; oldest->used; oldest = names->locals) {
		oldest->used = false;
		HASH_DEL(names->locals, oldest);
		HASH_ADD(hh, names->locals, id, sizeof(oldest->id), oldest);
	}
	row_finish(names, oldest);
	HASH_DEL(names->locals, oldest);
	free(oldest);
}

/* A new end by that id; the one that had it before is over. NULL: no memory. */
static struct local *local_begin(struct names *names, uint64_t id, uint32_t box, uint8_t role)
{
	struct local *local = local_find(names, id);
	struct trace_end *row;

	if (local) {
		row_finish(names, local);
	} else {
		if (HASH_COUNT(names->locals) >= LOCALS_MAX)
			forget_oldest(names);
		local = calloc(1, sizeof(*local));
		if (!local)
			return NULL;
		local->id = id;
		HASH_ADD(hh, names->locals, id, sizeof(id), local);
	}
	row = stream_end(names->stream, names->stream->n_ends + 1);
	if (!row) {
		HASH_DEL(names->locals, local);
		free(local);
		return NULL;
	}
	local->number = 0;
	local->index = names->stream->n_ends;
	*row = (struct trace_end){ .box = box, .role = role, .transport = TRANSPORT_UNIX };
	return local;
}

/* Half of what pairs two ends; unique in one kernel. */
static uint32_t number_half(uint64_t number)
{
	return (uint32_t)(number ^ number >> 32);
}

/* unix:x.sock, unix:@name, unix:pair, pipe, pipe:x. Directories are of this run only; separators of labels would mislead. */
static char *local_target(const struct rec_local *local)
{
	bool pipe = local->kind == REC_LOCAL_PIPE;
	char name[REC_NAME_MAX + 1], *text;
	const char *base;
	int n;

	snprintf(name, sizeof(name), "%.*s", REC_NAME_MAX, local->name);
	base = *name != '@' && strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	for (char *p = name; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("><#/:~?'", *p))
			*p = '_';
	if (pipe)
		n = asprintf(&text, "pipe%s%s", *base ? ":" : "", base);
	else
		n = asprintf(&text, "unix:%s", *base ? base : "pair");
	return n < 0 ? NULL : text;
}

uint32_t local_connect(struct names *names, const struct rec_connect *connect, uint32_t box, struct process *process)
{
	struct local *local = local_begin(names, connect->cookie, box, END_CONNECTOR);
	struct trace_end *row = local ? stream_end(names->stream, local->index) : NULL;

	if (!row)
		return 0;
	row->process = process ? process->index : 0;
	row->ordinal = connect->ordinal;
	return local->index;
}

uint32_t local_accept(struct names *names, const struct rec_accept *accept, uint32_t box)
{
	struct local *local = local_begin(names, accept->cookie, box, END_ACCEPTOR);

	return local ? local->index : 0;
}

void take_local(struct names *names, const struct rec_local *record, uint32_t box, struct process *process)
{
	struct local *local = local_find(names, record->id);
	bool acceptor = record->head.flags & REC_F_ACCEPTOR;
	struct trace_end *row;

	if (!local || local->number || !(record->head.flags & REC_F_CONTINUED))
		local = local_begin(names, record->id, box, acceptor ? END_ACCEPTOR : END_CONNECTOR);
	row = local ? stream_end(names->stream, local->index) : NULL;
	if (!row)
		return;
	local->number = record->number;
	row->role = acceptor ? END_ACCEPTOR : END_CONNECTOR;
	row->transport = record->kind == REC_LOCAL_PIPE ? TRANSPORT_PIPE : TRANSPORT_UNIX;
	if (!acceptor && !row->process)
		row->process = process ? process->index : 0;
	if (!acceptor)
		row->ordinal = record->ordinal;
	row->keyed = record->number != 0;
	row->first_local = number_half(record->number);
	row->first_remote = number_half(record->peer);
	row->established_ns = record->head.return_ns;
	free(row->target);
	row->target = local_target(record);
}

uint32_t local_end(struct names *names, uint64_t id)
{
	struct local *local = local_find(names, id);

	if (!local)
		return 0; /* its LOCAL was lost */
	local->used = true;
	return local->index;
}

void locals_free(struct names *names)
{
	struct local *local, *next;

	HASH_ITER(hh, names->locals, local, next)
	{
		HASH_DEL(names->locals, local);
		free(local);
	}
}
