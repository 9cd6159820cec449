/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs from one store to another, whole: what `bop export` and `bop import` do. A run that repeats another comes with the events
 * of that one, as its own. Its class is found anew where it goes to, and its events are kept there.
 *
 * The store that is read can be anybody's: what is in it is bounded, texts become printable, and a run that cannot be read is
 * refused.
 */
#ifndef COLLECTOR_COPY_H
#define COLLECTOR_COPY_H

#include "collector/copy_index.h"
#include "collector/store.h"

#define COPY_TEXT_MAX (16u << 20)   /* bytes of a text of a run */
#define COPY_NAME_MAX 1024u	    /* of a name: of its experiment, an agent's machine, a process, a box */
#define COPY_PROCESSES_MAX 100000u

struct copied {
	uint64_t from, to;
	bool there; /* it was there already, as `to`: the same experiment began at the same moment, recorded by the same process */
};

/*
 * 0 if it can be copied, now. -ENOENT; -EBUSY: it is still being recorded; -ENODATA: its events were removed; -EBADMSG, -E2BIG:
 * it is damaged, or no run of bop.
 */
int copy_check(struct store *from, uint64_t id, struct error *e);
/* One transaction of `to`, whose index it is. Errors as above, and as of both stores; -EAGAIN: `from` changed meanwhile. */
int copy_run(struct store *from, uint64_t id, struct store *to, struct copy_index *index, struct copied *ret_copied, struct error *e);

/* The n runs `from` of copied into a new store at path, which must not be there; sets their `to`. It is whole, and one file, or not there. */
int copy_export(struct store *from, struct copied *copied, size_t n, const char *path, struct error *e);

#endif
