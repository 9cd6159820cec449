/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs whose server died before it could seal them, taken over by the next one: their agents may still have batches that
 * nobody acknowledged. Those that come are stored as if nothing had happened; then, or when none came for a while, the run is
 * sealed: an error, because nobody judged it, but only incomplete if something of it is missing.
 */
#ifndef COLLECTOR_HEIR_H
#define COLLECTOR_HEIR_H

#include "collector/store.h"

#define HEIR_WAIT_NS 30000000000ull   /* for the first batch of an agent that comes back */
#define HEIR_STREAM_NS 120000000000ull /* and from one to the next */

struct heirs;

/* Takes over every run whose owner is gone. on_seal is told of each that was sealed (NULL error) or could not be. */
int heirs_open(struct store *store, uint64_t now, void (*on_seal)(uint64_t run, const struct error *why),
	       struct heirs **ret_heirs, struct error *e);
/* Seals what is left. NULL is fine. */
void heirs_close(struct heirs *heirs);

/*
 * A batch of a run that nobody conducts, from the agent with that session. True: it is of one that was taken over;
 * *ret_acknowledge: as ingest_flush() says. False: nobody wants it.
 */
bool heirs_batch(struct heirs *heirs, const unsigned char session[16], uint64_t run, const void *bytes, size_t size,
		 uint64_t now, uint64_t *ret_acknowledge);

void heirs_time(struct heirs *heirs, uint64_t now);
uint64_t heirs_deadline(const struct heirs *heirs); /* UINT64_MAX: none */

#endif
