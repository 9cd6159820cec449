/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Batches to bytes. Pure: no file, no socket. Fails only without memory. */
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/text.h"
#include "proto/wire_columns.h"
#include "proto/wire_receipt.h"

static void fill_box(Bop__Wire__Box *row, const struct trace *part, const struct wire_rows *set, size_t i)
{
	const struct trace_box *b = &part->boxes[set->boxes[i]];

	row->name = text_of(b->name);
	row->address = text_of(b->address);
	row->address6 = text_of(b->address6);
}

static void fill_process(Bop__Wire__Process *row, const struct trace *part, const struct wire_rows *set, size_t i)
{
	const struct trace_process *p = &part->processes[set->processes[i]];

	row->name = text_of(p->name);
	row->box = p->box;
	row->parent = p->parent;
	row->pid = p->pid;
	row->command = text_of(p->command);
}

static void fill_end(Bop__Wire__End *row, const struct trace *part, const struct wire_rows *set, size_t i)
{
	const struct trace_end *e = set->end_rows ? set->end_rows[i] : &part->ends[set->ends[i]];

	row->box = e->box;
	row->process = e->process;
	row->role = e->role;
	row->transport = e->transport;
	row->keyed = e->keyed;
	row->older = e->older;
	row->first_local = e->first_local;
	row->first_remote = e->first_remote;
	row->local_ip.data = (uint8_t *)e->local.ip;
	row->local_ip.len = sizeof(e->local.ip);
	row->local_port = e->local.port;
	row->remote_ip.data = (uint8_t *)e->remote.ip;
	row->remote_ip.len = sizeof(e->remote.ip);
	row->remote_port = e->remote.port;
	row->target = text_of(e->target);
	row->ordinal = e->ordinal;
	row->error = e->error;
	row->established_ns = e->established_ns;
	row->finished = e->finished;
	row->sent = e->sent;
	row->received = e->received;
	row->unacked = e->unacked;
	row->unread = e->unread;
}

static void fill_text(Bop__Wire__Text *row, const struct trace *part, const struct wire_rows *set, size_t i)
{
	row->text.data = (uint8_t *)text_of(part->texts[set->texts[i]]);
	row->text.len = strlen((char *)row->text.data);
}

/* One allocation a table: the pointers, then the rows. */
#define TABLE_FILL(Type, TYPE, plural, what)                                                       \
	static int table_##plural(Bop__Wire__##Type ***ret_rows, size_t *ret_n,                    \
				  const struct trace *part, const struct wire_rows *set)           \
	{                                                                                          \
		size_t n = set->n_##plural;                                                        \
		Bop__Wire__##Type **rows, *row;                                                    \
                                                                                                   \
		rows = malloc(n * (sizeof(*rows) + sizeof(*row)) + 1);                             \
		if (!rows)                                                                         \
			return -ENOMEM;                                                            \
		row = (Bop__Wire__##Type *)(rows + n);                                             \
		for (size_t i = 0; i < n; i++) {                                                   \
			rows[i] = &row[i];                                                         \
			bop__wire__##what##__init(rows[i]);                                        \
			rows[i]->index = set->plural[i];                                           \
			fill_##what(rows[i], part, set, i);                                        \
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

static int contents_fill(Bop__Wire__Batch *batch, const struct trace *part)
{
	size_t n = part->n_contents;
	Bop__Wire__Content *row;

	batch->contents = malloc(n * (sizeof(*batch->contents) + sizeof(*row)) + 1);
	if (!batch->contents)
		return -ENOMEM;
	row = (Bop__Wire__Content *)(batch->contents + n);
	for (size_t i = 0; i < n; i++) {
		const struct trace_content *c = &part->contents[i];

		batch->contents[i] = &row[i];
		bop__wire__content__init(&row[i]);
		row[i].end = c->end;
		row[i].message = c->message;
		row[i].flags = c->flags;
		row[i].bytes.data = c->bytes;
		row[i].bytes.len = c->size;
	}
	batch->n_contents = n;
	return 0;
}

static int receipts_fill(Bop__Wire__Batch *batch, const struct trace *part)
{
	batch->receipts = wire_receipts_rows(part->receipts, part->n_receipts);
	batch->n_receipts = part->n_receipts;
	return batch->receipts ? 0 : -ENOMEM;
}

int wire_batch_encode(const struct wire_batch *head, const struct trace *part, const struct wire_rows *rows,
		      unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__Batch batch = BOP__WIRE__BATCH__INIT;
	unsigned char *bytes = NULL, *columns = NULL, *p;
	size_t size = 0, columns_size = 0;
	int err;

	batch.run = head->run;
	batch.number = head->number;
	batch.last = head->last;
	batch.emitted = head->emitted;
	batch.lost = head->lost;
	err = table_boxes(&batch.boxes, &batch.n_boxes, part, rows);
	if (!err)
		err = table_processes(&batch.processes, &batch.n_processes, part, rows);
	if (!err)
		err = table_ends(&batch.ends, &batch.n_ends, part, rows);
	if (!err)
		err = table_texts(&batch.texts, &batch.n_texts, part, rows);
	if (!err)
		err = outputs_fill(&batch, part);
	if (!err)
		err = contents_fill(&batch, part);
	if (!err)
		err = receipts_fill(&batch, part);
	if (!err && part->n_events)
		err = wire_columns_encode(part->events, part->n_events, &columns, &columns_size);
	if (err)
		goto out;
	size = bop__wire__batch__get_packed_size(&batch);
	bytes = malloc(size + 16 + columns_size);
	if (!bytes) {
		err = -ENOMEM;
		goto out;
	}
	p = bytes + bop__wire__batch__pack(&batch, bytes);
	if (columns) {
		p = wire_varint_put(p, WIRE_COLUMN_EVENTS << 3 | WIRE_BYTES);
		p = wire_varint_put(p, columns_size);
		memcpy(p, columns, columns_size);
		p += columns_size;
	}
	*ret_bytes = bytes;
	*ret_size = (size_t)(p - bytes);
out:
	free(columns);
	free(batch.boxes);
	free(batch.processes);
	free(batch.ends);
	free(batch.texts);
	free(batch.outputs);
	free(batch.contents);
	free(batch.receipts);
	return err;
}
