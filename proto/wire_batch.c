/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Batches to bytes and back (docs/wire.md describes the columns). Pure: no file, no socket. A damaged or hostile batch
 * gives -EBADMSG before any of its numbers is used as an index or a size.
 */
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/trace.pb-c.h"

/*
 * What the columns predict from. Slots are chosen by the low bits of an index, without tags: two ends that share a slot
 * predict badly and are still right, and a hostile index costs no memory.
 */
#define SLOTS 1024u
#define CPU_SLOTS 256u
#define SEQ_BITS 48
#define SEQ_MASK ((UINT64_C(1) << SEQ_BITS) - 1)

struct predict {
	uint64_t order[SLOTS];
	uint64_t cpu_seq[CPU_SLOTS];
	struct {
		uint64_t pos;
		int64_t value;
		uint32_t message;
	} stream[SLOTS];
	uint64_t enter_ns;
	uint32_t box, process, end;
};

static unsigned stream_slot(const struct event *event)
{
	return (event->end * 4 + (event->kind == EVENT_RECV) * 2 + (event->kind == EVENT_SEND)) % SLOTS;
}

static uint32_t message_expected(const struct predict *p, const struct event *event)
{
	return event->kind == EVENT_SEND ? p->stream[stream_slot(event)].message + 1 : 0;
}

static void predict_learn(struct predict *p, const struct event *event)
{
	unsigned slot = stream_slot(event);

	p->box = event->box;
	p->process = event->process;
	p->end = event->end;
	p->enter_ns = event->enter_ns;
	p->order[event->process % SLOTS] = event->order;
	p->cpu_seq[(event->seq >> SEQ_BITS) % CPU_SLOTS] = event->seq & SEQ_MASK;
	p->stream[slot].pos = event->pos + (event->value > 0 ? (uint64_t)event->value : 0);
	p->stream[slot].value = event->value;
	p->stream[slot].message = event->message;
}

/* X(field, type): columns but kind, which is bytes. */
#define COLUMNS(X)                                                                                 \
	X(flags, uint32_t) X(box, int32_t) X(process, int32_t) X(thread, uint32_t) X(enter_ns, int64_t) \
	X(duration_ns, uint64_t) X(order, int64_t) X(cpu, uint32_t) X(cpu_seq, int64_t)            \
	X(end, int32_t) X(pos, int64_t) X(value, int64_t) X(message, int32_t) X(peer, uint32_t)    \
	X(text, uint32_t)

/* Differences wrap: subtraction and addition modulo 2^64 (2^32) undo each other for every input. */
static void columns_put(Bop__Wire__Columns *c, size_t i, struct predict *p, const struct event *event)
{
	uint64_t seq = event->seq & SEQ_MASK;
	unsigned slot = stream_slot(event);

	c->kind.data[i] = (uint8_t)event->kind;
	c->flags[i] = event->flags;
	c->box[i] = (int32_t)(event->box - p->box);
	c->process[i] = (int32_t)(event->process - p->process);
	c->thread[i] = event->thread;
	c->enter_ns[i] = (int64_t)(event->enter_ns - p->enter_ns);
	c->duration_ns[i] = event->return_ns - event->enter_ns;
	c->order[i] = (int64_t)(event->order - p->order[event->process % SLOTS] - 1);
	c->cpu[i] = (uint32_t)(event->seq >> SEQ_BITS);
	c->cpu_seq[i] = (int64_t)(seq - p->cpu_seq[(event->seq >> SEQ_BITS) % CPU_SLOTS] - 1);
	c->end[i] = (int32_t)(event->end - p->end);
	c->pos[i] = (int64_t)(event->pos - p->stream[slot].pos);
	c->value[i] = (int64_t)((uint64_t)event->value - (uint64_t)p->stream[slot].value);
	c->message[i] = (int32_t)(event->message - message_expected(p, event));
	c->peer[i] = event->peer;
	c->text[i] = event->text;
	predict_learn(p, event);
}

static void columns_free(Bop__Wire__Columns *c)
{
#define X(field, type) free(c->field);
	COLUMNS(X)
#undef X
	free(c->kind.data);
}

static int columns_alloc(Bop__Wire__Columns *c, size_t n)
{
#define X(field, type)                                                                             \
	c->field = calloc(n, sizeof(*c->field));                                                   \
	c->n_##field = n;                                                                          \
	if (!c->field)                                                                             \
		return -ENOMEM;
	COLUMNS(X)
#undef X
	c->kind.data = malloc(n);
	c->kind.len = n;
	c->count = (uint32_t)n;
	return c->kind.data ? 0 : -ENOMEM;
}

/* A column that is all zero is left out. */
static void columns_drop_zero(Bop__Wire__Columns *c, size_t n)
{
	size_t i;

#define X(field, type)                                                                             \
	for (i = 0; i < n && !c->field[i]; i++)                                                    \
		;                                                                                  \
	if (i == n)                                                                                \
		c->n_##field = 0;
	COLUMNS(X)
#undef X
}

static char *or_empty(char *s)
{
	return s ? s : (char *)"";
}

static void fill_box(Bop__Wire__Box *row, const struct trace *part, uint32_t index)
{
	const struct trace_box *b = &part->boxes[index];

	row->name = or_empty(b->name);
	row->address = or_empty(b->address);
	row->address6 = or_empty(b->address6);
}

static void fill_process(Bop__Wire__Process *row, const struct trace *part, uint32_t index)
{
	const struct trace_process *p = &part->processes[index];

	row->name = or_empty(p->name);
	row->box = p->box;
	row->parent = p->parent;
	row->pid = p->pid;
	row->command = or_empty(p->command);
}

static void fill_end(Bop__Wire__End *row, const struct trace *part, uint32_t index)
{
	struct trace_end *e = &part->ends[index];

	row->box = e->box;
	row->process = e->process;
	row->role = e->role;
	row->keyed = e->keyed;
	row->first_local = e->first_local;
	row->first_remote = e->first_remote;
	row->local_ip.data = e->local.ip;
	row->local_ip.len = sizeof(e->local.ip);
	row->local_port = e->local.port;
	row->remote_ip.data = e->remote.ip;
	row->remote_ip.len = sizeof(e->remote.ip);
	row->remote_port = e->remote.port;
	row->target = or_empty(e->target);
	row->ordinal = e->ordinal;
	row->error = e->error;
	row->established_ns = e->established_ns;
	row->finished = e->finished;
	row->sent = e->sent;
	row->received = e->received;
	row->unacked = e->unacked;
	row->unread = e->unread;
}

static void fill_text(Bop__Wire__Text *row, const struct trace *part, uint32_t index)
{
	row->text.data = (uint8_t *)or_empty(part->texts[index]);
	row->text.len = strlen((char *)row->text.data);
}

/* One allocation a table: the pointers, then the rows. */
#define TABLE_FILL(Type, TYPE, plural, what)                                                       \
	static int table_##plural(Bop__Wire__##Type ***ret_rows, size_t *ret_n,                    \
				  const struct trace *part, const uint32_t *set, size_t n)         \
	{                                                                                          \
		Bop__Wire__##Type **rows, *row;                                                    \
                                                                                                   \
		rows = malloc(n * (sizeof(*rows) + sizeof(*row)) + 1);                             \
		if (!rows)                                                                         \
			return -ENOMEM;                                                            \
		row = (Bop__Wire__##Type *)(rows + n);                                             \
		for (size_t i = 0; i < n; i++) {                                                   \
			rows[i] = &row[i];                                                         \
			bop__wire__##what##__init(rows[i]);                                        \
			rows[i]->index = set[i];                                                   \
			fill_##what(rows[i], part, set[i]);                                        \
		}                                                                                  \
		*ret_rows = rows;                                                                  \
		*ret_n = n;                                                                        \
		return 0;                                                                          \
	}

TABLE_FILL(Box, BOX, boxes, box)
TABLE_FILL(Process, PROCESS, processes, process)
TABLE_FILL(End, END, ends, end)
TABLE_FILL(Text, TEXT, texts, text)

static int outputs_fill(Bop__Wire__Batch *batch, const struct trace *part)
{
	size_t n = part->n_outputs;
	Bop__Wire__Output *row;

	batch->outputs = malloc(n * (sizeof(*batch->outputs) + sizeof(*row)) + 1);
	if (!batch->outputs)
		return -ENOMEM;
	row = (Bop__Wire__Output *)(batch->outputs + n);
	for (size_t i = 0; i < n; i++) {
		const struct trace_output *o = &part->outputs[i];

		batch->outputs[i] = &row[i];
		bop__wire__output__init(&row[i]);
		row[i].process = o->process;
		row[i].stream = o->stream;
		row[i].offset = o->offset;
		row[i].bytes.data = (uint8_t *)o->bytes;
		row[i].bytes.len = o->size;
	}
	batch->n_outputs = n;
	return 0;
}

static int columns_fill(Bop__Wire__Columns *columns, const struct trace *part)
{
	struct predict *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	err = columns_alloc(columns, part->n_events);
	for (size_t i = 0; !err && i < part->n_events; i++)
		columns_put(columns, i, p, &part->events[i]);
	if (!err)
		columns_drop_zero(columns, part->n_events);
	free(p);
	return err;
}

int wire_batch_encode(const struct wire_batch *head, const struct trace *part, const struct wire_rows *rows,
		      unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__Batch batch = BOP__WIRE__BATCH__INIT;
	Bop__Wire__Columns columns = BOP__WIRE__COLUMNS__INIT;
	unsigned char *bytes = NULL;
	size_t size = 0;
	int err;

	batch.run = head->run;
	batch.number = head->number;
	batch.last = head->last;
	batch.emitted = head->emitted;
	batch.lost = head->lost;
	err = table_boxes(&batch.boxes, &batch.n_boxes, part, rows->boxes, rows->n_boxes);
	if (!err)
		err = table_processes(&batch.processes, &batch.n_processes, part, rows->processes,
				      rows->n_processes);
	if (!err)
		err = table_ends(&batch.ends, &batch.n_ends, part, rows->ends, rows->n_ends);
	if (!err)
		err = table_texts(&batch.texts, &batch.n_texts, part, rows->texts, rows->n_texts);
	if (!err)
		err = outputs_fill(&batch, part);
	if (!err && part->n_events) {
		err = columns_fill(&columns, part);
		batch.events = &columns;
	}
	if (err)
		goto out;
	size = bop__wire__batch__get_packed_size(&batch);
	bytes = malloc(size + 1);
	if (!bytes) {
		err = -ENOMEM;
		goto out;
	}
	bop__wire__batch__pack(&batch, bytes);
	*ret_bytes = bytes;
	*ret_size = size;
out:
	columns_free(&columns);
	free(batch.boxes);
	free(batch.processes);
	free(batch.ends);
	free(batch.texts);
	free(batch.outputs);
	return err;
}

static Bop__Wire__Batch *batch_unpack(const unsigned char *bytes, size_t size, struct error *e)
{
	Bop__Wire__Batch *batch = NULL;

	if (size > WIRE_MAX_BATCH) {
		error_set(e, -EBADMSG, "batch of %zu bytes is larger than %u", size, WIRE_MAX_BATCH);
		return NULL;
	}
	batch = bop__wire__batch__unpack(NULL, size, bytes);
	if (!batch)
		error_set(e, -EBADMSG, "batch is damaged: not a protobuf message of its type");
	return batch;
}

static void head_take(const Bop__Wire__Batch *batch, struct wire_batch *ret_head)
{
	*ret_head = (struct wire_batch){ batch->run, batch->number, batch->emitted, batch->lost, batch->last };
}

int wire_batch_peek(const unsigned char *bytes, size_t size, struct wire_batch *ret_head, struct error *e)
{
	Bop__Wire__Batch *batch = batch_unpack(bytes, size, e);

	if (!batch)
		return -EBADMSG;
	head_take(batch, ret_head);
	bop__wire__batch__free_unpacked(batch, NULL);
	return 0;
}

/* Length of the well-formed UTF-8 sequence at s (n bytes left), 0 if there is none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
	uint32_t code = len > 1 ? s[0] & (0x7fu >> len) : s[0];

	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (len > 1 && (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)))
		return 0;
	return len;
}

/* Copies a name from a peer: whatever is no printable UTF-8 becomes '?'. */
static int take_string(char **field, const void *from, size_t n)
{
	const unsigned char *s = from;
	char *copy = malloc(n + 1);
	size_t len;

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i += len) {
		len = utf8_length(s + i, n - i);
		memcpy(copy + i, s + i, len);
		if (!len || s[i] < 0x20 || s[i] == 0x7f) {
			copy[i] = '?';
			len = 1;
		}
	}
	copy[n] = '\0';
	free(*field);
	*field = copy;
	return 0;
}

static int take_chars(char **field, const char *from)
{
	return take_string(field, from, strlen(from));
}

static int take_ip(uint8_t ip[16], const ProtobufCBinaryData *data)
{
	if (data->len && data->len != 16)
		return -EBADMSG;
	memset(ip, 0, 16);
	if (data->len)
		memcpy(ip, data->data, 16);
	return 0;
}

static int take_box(struct trace_box *row, const Bop__Wire__Box *from)
{
	int err = take_chars(&row->name, from->name);

	if (!err)
		err = take_chars(&row->address, from->address);
	return err ? err : take_chars(&row->address6, from->address6);
}

static int take_process(struct trace_process *row, const Bop__Wire__Process *from)
{
	int err = take_chars(&row->name, from->name);

	row->box = from->box;
	row->parent = from->parent;
	row->pid = from->pid;
	return err ? err : take_chars(&row->command, from->command);
}

static int take_end(struct trace_end *row, const Bop__Wire__End *from)
{
	if (from->role > END_ACCEPTOR || from->local_port > UINT16_MAX || from->remote_port > UINT16_MAX ||
	    take_ip(row->local.ip, &from->local_ip) < 0 || take_ip(row->remote.ip, &from->remote_ip) < 0)
		return -EBADMSG;
	row->box = from->box;
	row->process = from->process;
	row->role = (uint8_t)from->role;
	row->keyed = from->keyed;
	row->finished = from->finished;
	row->first_local = from->first_local;
	row->first_remote = from->first_remote;
	row->local.port = (uint16_t)from->local_port;
	row->remote.port = (uint16_t)from->remote_port;
	row->ordinal = from->ordinal;
	row->error = from->error;
	row->established_ns = from->established_ns;
	row->sent = from->sent;
	row->received = from->received;
	row->unacked = from->unacked;
	row->unread = from->unread;
	return take_chars(&row->target, from->target);
}

static int take_text(char **row, const Bop__Wire__Text *from)
{
	return take_string(row, from->text.data, from->text.len);
}

/* Rows are dense: a new index is at most as far away as the batch has rows, so memory follows what was really sent. */
#define TABLE_TAKE(what, plural)                                                                   \
	static int take_##plural(struct trace *trace, const Bop__Wire__Batch *batch)               \
	{                                                                                          \
		size_t limit = trace->n_##plural + batch->n_##plural;                              \
                                                                                                   \
		for (size_t i = 0; i < batch->n_##plural; i++) {                                   \
			uint32_t index = batch->plural[i]->index;                                  \
			int err;                                                                   \
                                                                                                   \
			if (!index || index > limit || index > WIRE_MAX_INDEX)                     \
				return -EBADMSG;                                                   \
			if (!trace_##what##_at(trace, index))                                      \
				return -ENOMEM;                                                    \
			err = take_##what(&trace->plural[index], batch->plural[i]);                \
			if (err)                                                                   \
				return err;                                                        \
		}                                                                                  \
		return 0;                                                                          \
	}

TABLE_TAKE(box, boxes)
TABLE_TAKE(process, processes)
TABLE_TAKE(end, ends)
TABLE_TAKE(text, texts)

/* Rows point at rows; checked when all of a batch are in. */
static int check_rows(const struct trace *trace, const Bop__Wire__Batch *batch)
{
	for (size_t i = 0; i < batch->n_processes; i++)
		if (batch->processes[i]->box > trace->n_boxes ||
		    batch->processes[i]->parent > trace->n_processes)
			return -EBADMSG;
	for (size_t i = 0; i < batch->n_ends; i++)
		if (batch->ends[i]->box > trace->n_boxes || batch->ends[i]->process > trace->n_processes)
			return -EBADMSG;
	return 0;
}

static int take_outputs(struct trace *trace, const Bop__Wire__Batch *batch)
{
	for (size_t i = 0; i < batch->n_outputs; i++) {
		const Bop__Wire__Output *from = batch->outputs[i];
		struct trace_output *row;

		if (from->process > trace->n_processes || from->stream < 1 || from->stream > 2)
			return -EBADMSG;
		row = trace_output_add(trace);
		if (!row)
			return -ENOMEM;
		row->process = from->process;
		row->stream = (uint8_t)from->stream;
		row->offset = from->offset;
		row->bytes = malloc(from->bytes.len + 1);
		if (!row->bytes)
			return -ENOMEM;
		if (from->bytes.len)
			memcpy(row->bytes, from->bytes.data, from->bytes.len);
		row->size = from->bytes.len;
	}
	return 0;
}

#define AT(c, field, i) ((c)->n_##field ? (c)->field[i] : 0)

static void columns_get(const Bop__Wire__Columns *c, size_t i, struct predict *p, struct event *event)
{
	unsigned slot;
	uint64_t cpu;

	event->kind = c->kind.data[i];
	event->flags = (uint16_t)AT(c, flags, i);
	event->box = p->box + (uint32_t)AT(c, box, i);
	event->process = p->process + (uint32_t)AT(c, process, i);
	event->thread = AT(c, thread, i);
	event->enter_ns = p->enter_ns + (uint64_t)AT(c, enter_ns, i);
	event->return_ns = event->enter_ns + AT(c, duration_ns, i);
	event->order = p->order[event->process % SLOTS] + 1 + (uint64_t)AT(c, order, i);
	cpu = AT(c, cpu, i) & 0xffff;
	event->seq = cpu << SEQ_BITS |
		     ((p->cpu_seq[cpu % CPU_SLOTS] + 1 + (uint64_t)AT(c, cpu_seq, i)) & SEQ_MASK);
	event->end = p->end + (uint32_t)AT(c, end, i);
	slot = stream_slot(event);
	event->pos = p->stream[slot].pos + (uint64_t)AT(c, pos, i);
	event->value = (int64_t)((uint64_t)p->stream[slot].value + (uint64_t)AT(c, value, i));
	event->message = message_expected(p, event) + (uint32_t)AT(c, message, i);
	event->peer = AT(c, peer, i);
	event->text = AT(c, text, i);
	predict_learn(p, event);
}

static int take_events(struct trace *trace, const Bop__Wire__Columns *c)
{
	struct predict *p;
	int err = 0;

	if (c->count > WIRE_MAX_EVENTS || c->kind.len != c->count)
		return -EBADMSG;
#define X(field, type)                                                                             \
	if (c->n_##field && c->n_##field != c->count)                                              \
		return -EBADMSG;
	COLUMNS(X)
#undef X
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	for (size_t i = 0; !err && i < c->count; i++) {
		struct event *event = trace_event_add(trace);

		if (!event) {
			err = -ENOMEM;
			break;
		}
		columns_get(c, i, p, event);
		if (event->kind == EVENT_NONE || event->kind >= EVENT_KIND_COUNT ||
		    event->box > trace->n_boxes || event->process > trace->n_processes ||
		    event->peer > trace->n_processes || event->end > trace->n_ends ||
		    event->text > trace->n_texts)
			err = -EBADMSG;
	}
	free(p);
	return err;
}

int wire_batch_decode(const unsigned char *bytes, size_t size, struct wire_batch *ret_head, struct trace *trace,
		      struct error *e)
{
	Bop__Wire__Batch *batch = batch_unpack(bytes, size, e);
	int err;

	if (!batch)
		return -EBADMSG;
	err = take_boxes(trace, batch);
	if (!err)
		err = take_processes(trace, batch);
	if (!err)
		err = take_ends(trace, batch);
	if (!err)
		err = take_texts(trace, batch);
	if (!err)
		err = check_rows(trace, batch);
	if (!err)
		err = take_outputs(trace, batch);
	if (!err && batch->events)
		err = take_events(trace, batch->events);
	if (err == -EBADMSG)
		error_set(e, err, "batch %llu is damaged: an index, column or size in it is out of range",
			  (unsigned long long)batch->number);
	else if (err)
		error_set(e, err, "no memory for batch %llu", (unsigned long long)batch->number);
	else
		head_take(batch, ret_head);
	bop__wire__batch__free_unpacked(batch, NULL);
	return err;
}
