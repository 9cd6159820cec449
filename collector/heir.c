/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See heir.h. Batches are committed as those of any run are. While the store fails, what came waits here and the run is not
 * sealed: an agent sends a batch again only to the next server. A stream that cannot go on is waited for in vain, no more.
 */
#include "collector/heir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/ingest.h"
#include "collector/run.h"
#include "lib/clock.h"

enum { WAITING_MAX = 64 << 20 }; /* bytes of a stream; an agent has less than that under way */

struct stream {
	struct stream *next;
	unsigned char session[16];
	struct ingest ingest;
	bool senseless; /* it sent nonsense: nothing more is taken */
};

struct heir {
	struct worker_job job; /* counting; first: it stands for the heir */
	struct heir *prev, *next;
	struct heirs *heirs;
	uint64_t run, deadline_ns;
	uint64_t commit_at; /* UINT64_MAX: nothing waits */
	struct stream *streams;
	bool broken;
	bool told; /* that the store fails */
	bool sealing; /* being counted, beside us: nothing is done with it until that is done */
	struct run *counted;
	struct error failed; /* why it is not */
};

struct heirs {
	struct store *store;
	struct heir *list;
	struct heirs_door door;
};

static void heir_free(struct heir *heir)
{
	struct stream *stream;

	while ((stream = heir->streams)) {
		heir->streams = stream->next;
		ingest_fini(&stream->ingest);
		free(stream);
	}
	run_free(heir->counted);
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

static bool waiting(const struct heir *heir)
{
	const struct stream *stream;

	LL_FOREACH(heir->streams, stream)
		if (stream->ingest.n_waiting)
			return true;
	return false;
}

static void trouble_tell(struct heir *heir, const struct error *why)
{
	if (!heir->told)
		heir->heirs->door.tell(heir->heirs->door.arg, heir->run, why);
	heir->told = true;
}

/* The run is sealed: whoever still has something of it can forget it. */
static void finish(struct heir *heir)
{
	const struct heirs_door *door = &heir->heirs->door;
	const struct stream *stream;

	LL_FOREACH(heir->streams, stream)
		door->acknowledge(door->arg, stream->session, heir->run, UINT64_MAX);
	DL_DELETE(heir->heirs->list, heir);
	heir_free(heir);
}

static void on_count(struct worker_job *job)
{
	struct heir *heir = (struct heir *)job;
	struct store *store = NULL;

	if (store_open(heir->heirs->door.store_url, STORE_READ, &store, &heir->failed) == 0)
		run_load_dead(store, heir->run, complete(heir), &heir->counted, &heir->failed);
	store_close(store);
}

static void seal_end(struct heir *heir, uint64_t now)
{
	const struct heirs_door *door = &heir->heirs->door;
	int err = -EIO;

	heir->sealing = false;
	if (heir->counted)
		err = store_run_seal(heir->heirs->store, heir->counted->row, NULL, 0, NULL, &heir->failed);
	run_free(heir->counted);
	heir->counted = NULL;
	if (err < 0 && err != -ESTALE) { /* which means: sealed by another bop */
		trouble_tell(heir, &heir->failed);
		heir->deadline_ns = now + HEIR_RETRY_NS;
		return;
	}
	door->tell(door->arg, heir->run, err < 0 ? &heir->failed : NULL);
	finish(heir);
}

static void on_counted(struct worker_job *job)
{
	seal_end((struct heir *)job, clock_monotonic_ns());
}

static void seal(struct heir *heir, uint64_t now)
{
	const struct heirs_door *door = &heir->heirs->door;

	heir->sealing = true;
	heir->job.work = on_count;
	heir->job.done = on_counted;
	if (door->workers) {
		workers_add(door->workers, &heir->job);
		return;
	}
	run_load_dead(heir->heirs->store, heir->run, complete(heir), &heir->counted, &heir->failed);
	seal_end(heir, now);
}

/* Everything that waits. Returns false if the run is not there any more. */
static bool commit(struct heir *heir, uint64_t now)
{
	const struct heirs_door *door = &heir->heirs->door;
	struct stream *stream;
	uint64_t number;
	struct error e;
	int err;

	heir->commit_at = UINT64_MAX;
	LL_FOREACH(heir->streams, stream)
	{
		err = ingest_flush(&stream->ingest, &number, &e);
		if (err == -ESTALE) {
			door->tell(door->arg, heir->run, &e);
			finish(heir);
			return false;
		}
		if (err < 0) {
			trouble_tell(heir, &e);
			heir->commit_at = now + HEIR_RETRY_NS;
			break; /* the others would wait for the same */
		}
		if (number)
			door->acknowledge(door->arg, stream->session, heir->run, number);
	}
	if (heir->commit_at == UINT64_MAX)
		heir->told = false;
	if (complete(heir))
		heir->deadline_ns = now;
	return true;
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
	heir->commit_at = UINT64_MAX;
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

static void heirs_free(struct heirs *heirs)
{
	struct heir *heir;

	while ((heir = heirs->list)) {
		DL_DELETE(heirs->list, heir);
		heir_free(heir);
	}
	free(heirs);
}

int heirs_open(struct store *store, uint64_t now, const struct heirs_door *door, struct heirs **ret_heirs, struct error *e)
{
	struct heirs *heirs = calloc(1, sizeof(*heirs));
	struct heir *heir, *next;
	int err;

	if (!heirs)
		return error_set(e, -ENOMEM, "out of memory");
	heirs->store = store;
	heirs->door = *door;
	err = store_each_run(store, &(struct store_range){ .running = true }, on_run, heirs, e);
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
		heir->deadline_ns = heir->broken || !heir->streams || complete(heir) ? now : now + HEIR_WAIT_NS;
	}
	if (err)
		heirs_free(heirs);
	else
		*ret_heirs = heirs;
	return err;
}

/* What could not be sealed stays running, and the end of this process leaves it to the next server. */
void heirs_close(struct heirs *heirs)
{
	struct heir *heir, *next;

	if (!heirs)
		return;
	heirs->door.workers = NULL;
	DL_FOREACH_SAFE(heirs->list, heir, next)
	{
		run_free(heir->counted);
		heir->counted = NULL;
		if (commit(heir, 0) && !waiting(heir))
			seal(heir, 0);
	}
	heirs_free(heirs);
}

bool heirs_batch(struct heirs *heirs, const unsigned char session[16], uint64_t run, const void *bytes, size_t size,
		 uint64_t now)
{
	struct stream *stream = NULL;
	uint64_t taken;
	struct heir *heir;
	int err;

	DL_SEARCH_SCALAR(heirs->list, heir, run, run);
	if (heir)
		LL_FOREACH(heir->streams, stream)
			if (!memcmp(stream->session, session, sizeof(stream->session)))
				break;
	if (!stream || stream->senseless || heir->sealing)
		return false;
	if (stream->ingest.bytes_waiting + size > WAITING_MAX)
		return true;
	taken = stream->ingest.taken;
	err = ingest_put(&stream->ingest, bytes, size, NULL);
	stream->senseless = err == -EBADMSG;
	if (stream->ingest.taken > taken) /* a repeated one is no news */
		heir->deadline_ns = now + HEIR_STREAM_NS;
	if (stream->ingest.owed && heir->commit_at == UINT64_MAX)
		heir->commit_at = now + INGEST_COMMIT_NS;
	if (ingest_full(&stream->ingest) && !heir->told)
		heir->commit_at = now;
	return !stream->senseless;
}

void heirs_time(struct heirs *heirs, uint64_t now)
{
	struct heir *heir, *next;

	DL_FOREACH_SAFE(heirs->list, heir, next)
	{
		if (heir->sealing)
			continue;
		if (now >= heir->commit_at && !commit(heir, now))
			continue;
		if (now >= heir->deadline_ns && !waiting(heir))
			seal(heir, now);
	}
}

uint64_t heirs_deadline(const struct heirs *heirs)
{
	uint64_t at = UINT64_MAX;
	const struct heir *heir;

	DL_FOREACH(heirs->list, heir)
	{
		uint64_t due = waiting(heir) ? heir->commit_at : heir->deadline_ns;

		due = heir->commit_at < due ? heir->commit_at : due;
		due = heir->sealing ? UINT64_MAX : due;
		at = due < at ? due : at;
	}
	return at;
}
