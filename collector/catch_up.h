/* SPDX-License-Identifier: GPL-3.0-or-later */
/* History of runs that were sealed before anybody looked what they did: by a bop of before, or after a crash. */
#ifndef COLLECTOR_CATCH_UP_H
#define COLLECTOR_CATCH_UP_H

#include "collector/store.h"

/*
 * Gives each run that store_run_class() is for its class, or the reason why it has none; reads it for that, and removes nothing.
 * Several may do so at once. Returns how many, or a negative errno: then those before have theirs, and the next call goes on.
 */
int history_catch_up(struct store *store, struct error *e);
/* The same for so many of them at most. */
int history_catch_up_some(struct store *store, size_t most, struct error *e);
/* Whether there are such runs: 1, 0, or a negative errno. Needs no more than STORE_READ. */
int history_lags(struct store *store, struct error *e);

#endif
