/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Datagrams: which end of which exchange a record belongs to. An end is what one process exchanges through one socket
 * with one address, in one role; a label has only the process that asks and what it asks. Must not know sockets or time.
 */
#include "tfj/name_tables.h"

#include <utlist.h>

#define EXCHANGES_MAX 65536

struct exchange_key {
	uint64_t socket;
	uint32_t tgid;
	uint16_t port, local_port;
	uint8_t ip[16];
	uint8_t role;
	uint8_t pad[7];
};

struct exchange {
	UT_hash_handle hh;
	struct exchange *prev, *next; /* of the same port */
	struct port *port;	      /* NULL: of no box, or there was no memory */
	struct exchange_key key;
	uint32_t index;
};

static bool is_asking(const struct rec_datagram *record)
{
	bool reply = record->head.flags & REC_F_REPLY;

	return record->head.kind == REC_DATAGRAM_SENT ? !reply : reply;
}

/* A port that the kernel chose is asked: from now on it has a label, also where it was named before by those who asked. */
static void name_port(struct names *names, uint32_t box, uint16_t number)
{
	struct exchange *exchange;
	struct trace_end *row;
	struct port *port;
	char *label;

	port_listens(names, box, number, true);
	port = port_find(names, box, number);
	DL_FOREACH(port ? port->exchanges : NULL, exchange)
	{
		row = stream_end(names->stream, exchange->index);
		label = row ? port_label(names, box, number) : NULL;
		if (!label)
			continue;
		free(row->target);
		row->target = label;
	}
}

static bool port_is_named(const struct names *names, uint32_t box, uint16_t number)
{
	const struct port *port = port_find(names, box, number);

	return port && port->named;
}

/* The port that its label names, if it is one of a box. */
static void exchange_place(struct names *names, struct exchange *exchange, const struct rec_datagram *record, uint32_t box)
{
	bool asks = is_asking(record);
	uint32_t to = asks ? target_box(names, &record->remote, box) : box;

	exchange->port = to ? port_add(names, to, asks ? record->remote.port : record->local.port) : NULL;
	if (exchange->port)
		DL_APPEND(exchange->port->exchanges, exchange);
}

static void exchange_drop(struct names *names, struct exchange *exchange)
{
	if (exchange->port) {
		DL_DELETE(exchange->port->exchanges, exchange);
		port_drop(names, exchange->port);
	}
	HASH_DEL(names->exchanges, exchange);
	free(exchange);
}

static void end_fill(struct names *names, struct trace_end *row, const struct rec_datagram *record, uint32_t box)
{
	struct process *asker = record->asker ? process_find(names, record->asker) : NULL;
	bool asks = is_asking(record);

	*row = (struct trace_end){
		.box = box, .role = asks ? END_CONNECTOR : END_ACCEPTOR, .transport = TRANSPORT_UDP,
		.process = asker ? asker->index : 0, .first_local = (uint32_t)record->socket,
		.local = endpoint_of(&record->local), .remote = endpoint_of(&record->remote),
	};
	row->target = asks ? target_text(names, &record->remote, box) : port_label(names, box, record->local.port);
}

/* A program may ask from any number of ports. The end that was made first is over then: a later record makes another one. */
static void forget_oldest(struct names *names)
{
	struct exchange *oldest = names->exchanges;
	struct trace_end *row = stream_end(names->stream, oldest->index);

	if (row)
		row->finished = true;
	exchange_drop(names, oldest);
}

/* 0: no memory. */
static uint32_t exchange_end(struct names *names, const struct rec_datagram *record, uint32_t box)
{
	struct exchange_key key = {
		.socket = record->socket, .tgid = record->head.tgid, .port = record->remote.port,
		.local_port = record->local.port, .role = is_asking(record),
	};
	struct exchange *exchange;
	struct trace_end *row;

	memcpy(key.ip, record->remote.ip, sizeof(key.ip));
	HASH_FIND(hh, names->exchanges, &key, sizeof(key), exchange);
	if (exchange)
		return exchange->index;
	if (HASH_COUNT(names->exchanges) >= EXCHANGES_MAX)
		forget_oldest(names);
	exchange = calloc(1, sizeof(*exchange));
	row = exchange ? stream_end(names->stream, names->stream->n_ends + 1) : NULL;
	if (!row) {
		free(exchange);
		return 0;
	}
	exchange->key = key;
	exchange->index = names->stream->n_ends;
	end_fill(names, row, record, box);
	HASH_ADD(hh, names->exchanges, key, sizeof(exchange->key), exchange);
	exchange_place(names, exchange, record, box);
	return exchange->index;
}

void take_datagram(struct names *names, const struct rec_datagram *record, uint32_t box, struct process *process)
{
	bool sent = record->head.kind == REC_DATAGRAM_SENT;
	struct event *event;
	uint32_t end;

	if (record->head.flags & REC_F_EPHEMERAL && !port_is_named(names, box, record->local.port))
		name_port(names, box, record->local.port);
	end = exchange_end(names, record, box);
	event = record_event(names, sent ? EVENT_SEND : EVENT_RECV, &record->head, box, process);
	if (!event)
		return;
	event->end = end;
	event->pos = record->result < 0 ? 0 : record->digest;
	event->value = record->result;
	event->message = record->message;
	event->flags = record->head.flags & REC_F_TRUNCATED ? EVENT_F_TRUNCATED : 0;
}

void exchanges_free(struct names *names)
{
	struct exchange *exchange, *next;

	HASH_ITER(hh, names->exchanges, exchange, next)
		exchange_drop(names, exchange);
}
