/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which runs a store has already, for many that are copied into it one after the other: each of its rows is read once, and not again
 * for each of them.
 */
#ifndef COLLECTOR_COPY_INDEX_H
#define COLLECTOR_COPY_INDEX_H

#include "collector/store.h"

struct copy_index;

struct copy_index *copy_index_new(struct store *store); /* borrowed; NULL: no memory */
void copy_index_free(struct copy_index *index);	  /* NULL is fine */

/*
 * The run of the same experiment that began at the same moment, recorded by the same process: 1 and *ret_id, 0: there is none, or a
 * negative errno. To be asked within store_transaction(), before anything is added: then a run that others copy at the same moment is
 * found, too.
 */
int copy_index_find(struct copy_index *index, const struct store_run *row, uint64_t *ret_id, struct error *e);

#endif
