/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Ownership of things that can outlive us (work directories, cgroups). A claimed directory carries our tag as its name
 * and an flock() on itself that the kernel drops when the last holder is gone, whatever killed it. So "is its owner
 * alive?" needs no pid, no clock and works across pid and mount namespaces: a lock that can be had means that nobody
 * lives there any more. Descriptors are close-on-exec: children never hold a claim.
 *
 * Names: bop.<kind>.<16 hex digits>; only such names, owned by our user, are ever swept.
 */
#ifndef LIB_CLAIM_H
#define LIB_CLAIM_H

#include "lib/error.h"

struct claim {
	int fd;		/* the locked directory; -1: not held */
	char path[256]; /* absolute */
	char tag[17];	/* 16 hex digits */
};

#define CLAIM_NONE { .fd = -1 }

/* Makes and locks `base/bop.kind.<tag>` with mode. tag NULL: a random one. Returns 0 or negative errno. */
int claim_open(struct claim *claim, const char *base, const char *kind, const char *tag, unsigned mode,
	       struct error *e);

/* Drops the lock; the directory stays. A claim that is not held is fine. */
void claim_close(struct claim *claim);

/*
 * Calls on_stale for every claimed directory of that kind below base whose owner is gone; the claim is held during the
 * call, which removes the content and the directory itself. Directories of living owners and of other users are left
 * alone. Returns how many were stale, or negative errno; a base that does not exist has none. The first negative
 * result of on_stale is returned after all were tried.
 */
int claim_sweep(const char *base, const char *kind, int (*on_stale)(struct claim *claim, void *arg), void *arg,
		struct error *e);

/*
 * Removes path and everything below it, without following links or crossing mounts; a path that is itself a
 * mount point is left alone (-EXDEV). Returns 0 or negative errno.
 */
int claim_remove_tree(const char *path);

/* Where claimed directories of runs live: $BOP_TMPDIR if set, else /tmp. Borrowed. */
const char *claim_base(void);

#endif
