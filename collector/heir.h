/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs whose server died before it could seal them, taken over by the next one: their agents may still have batches that
 * nobody acknowledged. Those that come are stored as if nothing had happened; then, or when none came for a while, the run is
 * sealed: an error, because nobody judged it, but only incomplete if something of it is missing.
 */
#ifndef COLLECTOR_HEIR_H
#define COLLECTOR_HEIR_H

#include "collector/store.h"
#include "collector/worker.h"

#define HEIR_WAIT_NS 30000000000ull   /* for the first batch of an agent that comes back */
#define HEIR_STREAM_NS 120000000000ull /* and from one to the next */

#define HEIR_RETRY_NS 5000000000ull /* between two attempts to write to a store that fails (full, locked) */

struct heirs;

struct heirs_door {
	/*
	 * The agent with that session, if it is there, need not keep batches up to that number any more; UINT64_MAX: none of
	 * the run, nobody wants it.
	 */
	void (*acknowledge)(void *arg, const unsigned char session[16], uint64_t run, uint64_t number);
	/* For the log: the run is sealed (NULL), or why the store takes nothing of it now: that is tried again. */
	void (*tell)(void *arg, uint64_t run, const struct error *why);
	void *arg;
	struct workers *workers; /* count runs, from a store of their own at store_url; NULL: that is done at once */
	const char *store_url;
};

/* Takes over every run whose owner is gone. */
int heirs_open(struct store *store, uint64_t now, const struct heirs_door *door, struct heirs **ret_heirs, struct error *e);
/* Seals what is left; the workers are closed already. NULL is fine. */
void heirs_close(struct heirs *heirs);

/*
 * A batch of a run that nobody conducts, from the agent with that session. False: nobody will ever want it, because the run
 * was not taken over, or the batch is nonsense. True: it is acknowledged when it is on disk, however long that takes.
 */
bool heirs_batch(struct heirs *heirs, const unsigned char session[16], uint64_t run, const void *bytes, size_t size,
		 uint64_t now);

/* To be called after a burst of batches, and when heirs_deadline() has come: commits and seals what is due. */
void heirs_time(struct heirs *heirs, uint64_t now);
uint64_t heirs_deadline(const struct heirs *heirs); /* UINT64_MAX: none */

#endif
