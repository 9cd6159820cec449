/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which runs lose their events: a policy, and what it says of a list of runs. Pure. Rows, and with them history, always stay. */
#ifndef COLLECTOR_GC_H
#define COLLECTOR_GC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/outcome.h"
#include "lib/error.h"

#define GC_NO_LIMIT UINT64_MAX

/*
 * Without any of the four, only copies go: runs that did what another one did, and keep events of their own all the same. With
 * `before` or `max_size`, also others; keep_last protects what the last n runs of each experiment are shown with from these, and
 * alone lets all others go. Events that stand for those of later runs, too, are as young as the last of these.
 */
struct gc_policy {
	uint64_t before_ns; /* those of runs that began before (CLOCK_REALTIME); 0: not asked for */
	uint64_t max_size;  /* bytes; then the oldest, until all have no more; GC_NO_LIMIT: not asked for */
	uint64_t keep_last; /* GC_NO_LIMIT: not asked for */
	bool violated;	    /* also runs whose outcome is that, unless it is a copy */
};

enum gc_why { GC_KEEP, GC_COPY, GC_OLD, GC_NOT_LAST, GC_TOO_LARGE };

/* A run that has ended and has events of its own. */
struct gc_run {
	uint64_t id, size; /* of its events, bytes */
	uint64_t used_ns;  /* when the last run began that is shown with them */
	uint64_t uses;	   /* how many runs are shown with them */
	uint64_t rank;	   /* how many runs of its experiment began after that one */
	const char *experiment;
	enum outcome outcome;
	uint64_t class_id;
	bool unique; /* no other one's events can stand for its own: approximate prints, contents of messages */
	enum gc_why why;  /* set by gc_plan() */
	uint64_t copy_of; /* the run whose events stand for a copy's; with GC_COPY */
};

/*
 * Sets why and copy_of of all. Copies of one that is not kept go for the same reason as that; what stands for copies is as young as
 * they are. 0 or -ENOMEM.
 */
int gc_plan(struct gc_run *runs, size_t n, const struct gc_policy *policy);

/* "30d", "12h", "90m", "10s", "2w": in nanoseconds; "2G", "500M", "10k", "4096": in bytes. -EINVAL. */
int gc_time_parse(const char *text, uint64_t *ret_ns);
int gc_size_parse(const char *text, uint64_t *ret_bytes);

#endif
