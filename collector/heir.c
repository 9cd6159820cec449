/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See heir.h. A batch is committed by itself: there are few of them. What a stream cannot take ends only the waiting for it. */
#include "collector/heir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/ingest.h"
#include "collector/run.h"

struct stream {
	struct stream *next;
	unsigned char session[16];
	struct ingest ingest;
};

struct heir {
	struct heir *prev, *next;
	struct heirs *heirs;
	uint64_t run, deadline_ns;
	struct stream *streams;
	bool broken;
};

struct heirs {
	struct store *store;
	struct heir *list;
	void (*on_seal)(uint64_t run, const struct error *why);
};

static void heir_free(struct heir *heir)
{
	struct stream *stream;

	while ((stream = heir->streams)) {
		heir->streams = stream->next;
		ingest_fini(&stream->ingest);
		free(stream);
	}
	free(heir);
}

static bool complete(const struct heir *heir)
{
	const struct stream *stream;

	LL_FOREACH(heir->streams, stream)
		if (!ingest_complete(&stream->ingest))
			return false;
	return heir->streams != NULL;
}

static void seal(struct heir *heir)
{
	struct error e;
	int err = run_seal_dead(heir->heirs->store, heir->run, complete(heir), &e);

	heir->heirs->on_seal(heir->run, err < 0 ? &e : NULL);
	DL_DELETE(heir->heirs->list, heir);
	heir_free(heir);
}

static int on_stream(const struct store_stream *row, void *arg, struct error *e)
{
	struct heir *heir = arg;
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return error_set(e, -ENOMEM, "out of memory");
	memcpy(stream->session, row->session, sizeof(stream->session));
	ingest_init(&stream->ingest, heir->heirs->store, heir->run, row->number);
	LL_APPEND(heir->streams, stream);
	return 0;
}

static int on_batch(uint64_t number, uint64_t batch, const void *bytes, size_t size, void *arg, struct error *e)
{
	struct heir *heir = arg;
	struct stream *stream;

	LL_FOREACH(heir->streams, stream)
		if (stream->ingest.stream == number)
			return ingest_resume(&stream->ingest, bytes, size, e);
	return 0;
}

static int on_run(const struct store_run *row, void *arg, struct error *e)
{
	struct heirs *heirs = arg;
	struct heir *heir;

	if (!row->running || store_owner_alive(&row->owner))
		return 0;
	heir = calloc(1, sizeof(*heir));
	if (!heir)
		return error_set(e, -ENOMEM, "out of memory");
	heir->heirs = heirs;
	heir->run = row->id;
	DL_APPEND(heirs->list, heir);
	return 0;
}

static int take_over(struct heir *heir, struct error *e)
{
	struct store *store = heir->heirs->store;
	int err = store_run_adopt(store, heir->run, e);

	if (!err)
		err = store_each_stream(store, heir->run, on_stream, heir, e);
	if (!err && store_each_batch(store, heir->run, on_batch, heir, NULL) < 0)
		heir->broken = true; /* what is there cannot be read: nothing can be added to it */
	return err;
}

int heirs_open(struct store *store, uint64_t now, void (*on_seal)(uint64_t run, const struct error *why),
	       struct heirs **ret_heirs, struct error *e)
{
	struct heirs *heirs = calloc(1, sizeof(*heirs));
	struct heir *heir, *next;
	int err;

	if (!heirs)
		return error_set(e, -ENOMEM, "out of memory");
	heirs->store = store;
	heirs->on_seal = on_seal;
	err = store_each_run(store, on_run, heirs, e);
	DL_FOREACH_SAFE(heirs->list, heir, next)
	{
		if (!err)
			err = take_over(heir, e);
		if (err == -ESTALE) { /* sealed by another bop meanwhile */
			err = 0;
			DL_DELETE(heirs->list, heir);
			heir_free(heir);
			continue;
		}
		heir->deadline_ns = now + HEIR_WAIT_NS;
		if (!err && (heir->broken || !heir->streams || complete(heir)))
			seal(heir);
	}
	if (err)
		heirs_close(heirs);
	else
		*ret_heirs = heirs;
	return err;
}

void heirs_close(struct heirs *heirs)
{
	if (!heirs)
		return;
	while (heirs->list)
		seal(heirs->list);
	free(heirs);
}

bool heirs_batch(struct heirs *heirs, const unsigned char session[16], uint64_t run, const void *bytes, size_t size,
		 uint64_t now, uint64_t *ret_acknowledge)
{
	struct stream *stream = NULL;
	struct heir *heir;

	DL_SEARCH_SCALAR(heirs->list, heir, run, run);
	if (heir)
		LL_FOREACH(heir->streams, stream)
			if (!memcmp(stream->session, session, sizeof(stream->session)))
				break;
	if (!stream || ingest_put(&stream->ingest, bytes, size, NULL) < 0 ||
	    ingest_flush(&stream->ingest, ret_acknowledge, NULL) < 0)
		return false;
	heir->deadline_ns = now + HEIR_STREAM_NS;
	if (complete(heir))
		heir->deadline_ns = now;
	return true;
}

void heirs_time(struct heirs *heirs, uint64_t now)
{
	struct heir *heir, *next;

	DL_FOREACH_SAFE(heirs->list, heir, next)
		if (now >= heir->deadline_ns)
			seal(heir);
}

uint64_t heirs_deadline(const struct heirs *heirs)
{
	uint64_t at = UINT64_MAX;
	const struct heir *heir;

	DL_FOREACH(heirs->list, heir)
		if (heir->deadline_ns < at)
			at = heir->deadline_ns;
	return at;
}
