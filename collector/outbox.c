/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See outbox.h. A ROUTER does not tell when one of its peers has room again: what waits is tried again from time to time.
 * That a client is gone shows in the answer to that.
 *
 * ZeroMQ counts messages, not bytes: so we count those that it still has for a client, and give it no more than some.
 */
#include "collector/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

struct answer {
	struct answer *prev, *next;
	unsigned char *bytes;
	size_t size;
};

/* A client for which something waits. */
struct reader {
	struct reader *prev, *next;
	struct door_id id;
	struct answer *waiting; /* oldest first */
	size_t n, bytes;
};

/* What ZeroMQ has for a client. It frees what it has sent in a thread of its own. */
struct flight {
	struct flight *prev, *next;
	struct door_id id;
	size_t bytes;  /* atomic */
	unsigned uses; /* atomic: one for each message, and ours */
};

struct landing {
	struct flight *flight;
	size_t size;
};

struct outbox {
	struct door *door;
	struct flight *flights;
	struct reader *readers;
	uint64_t retry_at; /* UINT64_MAX: nothing waits */
};

struct outbox *outbox_new(struct door *door)
{
	struct outbox *outbox = calloc(1, sizeof(*outbox));

	if (!outbox)
		return NULL;
	outbox->door = door;
	outbox->retry_at = UINT64_MAX;
	return outbox;
}

static void answer_free(struct reader *reader, struct answer *answer)
{
	DL_DELETE(reader->waiting, answer);
	reader->n--;
	reader->bytes -= answer->size;
	free(answer->bytes);
	free(answer);
}

static void flight_drop(struct flight *flight)
{
	if (__atomic_sub_fetch(&flight->uses, 1, __ATOMIC_ACQ_REL) == 0)
		free(flight);
}

/* In ZeroMQ's thread: the message has left, or never will. */
static void on_landed(void *bytes, void *arg)
{
	struct landing *landing = arg;

	__atomic_sub_fetch(&landing->flight->bytes, landing->size, __ATOMIC_ACQ_REL);
	flight_drop(landing->flight);
	free(landing);
	free(bytes);
}

static void flight_forget(struct outbox *outbox, struct flight *flight)
{
	DL_DELETE(outbox->flights, flight);
	flight_drop(flight);
}

static struct flight *flight_of(struct outbox *outbox, const struct door_id *to)
{
	struct flight *flight, *next;

	DL_FOREACH_SAFE(outbox->flights, flight, next)
	{
		if (door_id_same(&flight->id, to))
			return flight;
		if (__atomic_load_n(&flight->uses, __ATOMIC_ACQUIRE) == 1) /* ours */
			flight_forget(outbox, flight);
	}
	flight = calloc(1, sizeof(*flight));
	if (!flight)
		return NULL;
	flight->id = *to;
	flight->uses = 1;
	DL_APPEND(outbox->flights, flight);
	return flight;
}

/* Takes bytes, if it returns 0. -EAGAIN: not now. */
static int flight_send(struct outbox *outbox, const struct door_id *to, unsigned char *bytes, size_t size)
{
	struct flight *flight = flight_of(outbox, to);
	struct landing *landing = flight ? malloc(sizeof(*landing)) : NULL;
	size_t flying;
	int err;

	if (!landing)
		return -ENOMEM;
	flying = __atomic_load_n(&flight->bytes, __ATOMIC_ACQUIRE);
	*landing = (struct landing){ flight, size };
	__atomic_add_fetch(&flight->uses, 1, __ATOMIC_ACQ_REL);
	__atomic_add_fetch(&flight->bytes, size, __ATOMIC_ACQ_REL);
	err = flying && flying + size > OUTBOX_BYTES_MAX ? -EAGAIN :
							   door_lend(outbox->door, to, bytes, size, on_landed, landing);
	if (!err)
		return 0;
	__atomic_sub_fetch(&flight->bytes, size, __ATOMIC_ACQ_REL);
	flight_drop(flight);
	free(landing);
	return err;
}

static void reader_free(struct outbox *outbox, struct reader *reader)
{
	while (reader->waiting)
		answer_free(reader, reader->waiting);
	DL_DELETE(outbox->readers, reader);
	free(reader);
}

void outbox_free(struct outbox *outbox)
{
	if (!outbox)
		return;
	while (outbox->readers)
		reader_free(outbox, outbox->readers);
	while (outbox->flights)
		flight_forget(outbox, outbox->flights);
	free(outbox);
}

static struct reader *reader_of(const struct outbox *outbox, const struct door_id *id)
{
	struct reader *reader;

	DL_FOREACH(outbox->readers, reader)
		if (door_id_same(&reader->id, id))
			return reader;
	return NULL;
}

static bool reader_full(const struct reader *reader)
{
	return reader && (reader->n >= OUTBOX_ANSWERS_MAX || reader->bytes >= OUTBOX_BYTES_MAX);
}

static int wait_behind(struct outbox *outbox, struct reader *reader, const struct door_id *to, unsigned char *bytes,
		       size_t size, uint64_t now)
{
	struct answer *answer = calloc(1, sizeof(*answer));

	if (answer && !reader) {
		reader = calloc(1, sizeof(*reader));
		if (reader) {
			reader->id = *to;
			DL_APPEND(outbox->readers, reader);
		}
	}
	if (!answer || !reader) {
		free(answer);
		free(bytes);
		return -ENOMEM;
	}
	answer->bytes = bytes;
	answer->size = size;
	DL_APPEND(reader->waiting, answer);
	reader->n++;
	reader->bytes += size;
	if (outbox->retry_at == UINT64_MAX)
		outbox->retry_at = now + OUTBOX_RETRY_NS;
	return 0;
}

int outbox_put(struct outbox *outbox, const struct door_id *to, enum outbox_kind kind, unsigned char *bytes, size_t size,
	       uint64_t now)
{
	struct reader *reader = reader_of(outbox, to);
	int err = reader ? -EAGAIN : flight_send(outbox, to, bytes, size); /* nothing overtakes what waits */

	if (err == -EAGAIN && kind == OUTBOX_ANSWER && reader_full(reader))
		err = -ENOBUFS;
	if (err == -EAGAIN && kind != OUTBOX_SKIP)
		return wait_behind(outbox, reader, to, bytes, size, now);
	if (err)
		free(bytes);
	return err;
}

bool outbox_full(const struct outbox *outbox, const struct door_id *to)
{
	return reader_full(reader_of(outbox, to));
}

static void reader_time(struct outbox *outbox, struct reader *reader)
{
	int err = 0;

	while (reader->waiting && !err) {
		err = flight_send(outbox, &reader->id, reader->waiting->bytes, reader->waiting->size);
		if (err)
			break;
		reader->waiting->bytes = NULL;
		answer_free(reader, reader->waiting);
	}
	if (err != -EAGAIN) /* all is sent, or there is nobody */
		reader_free(outbox, reader);
}

void outbox_time(struct outbox *outbox, uint64_t now)
{
	struct reader *reader, *next;

	DL_FOREACH_SAFE(outbox->readers, reader, next)
		reader_time(outbox, reader);
	outbox->retry_at = outbox->readers ? now + OUTBOX_RETRY_NS : UINT64_MAX;
}

uint64_t outbox_deadline(const struct outbox *outbox)
{
	return outbox->retry_at;
}

bool outbox_empty(const struct outbox *outbox)
{
	const struct flight *flight;

	DL_FOREACH(outbox->flights, flight)
	if (__atomic_load_n(&flight->bytes, __ATOMIC_ACQUIRE))
		return false;
	return !outbox->readers;
}
