/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The inside of run.h: run.c (records, the end), run_open.c (the beginning), run_faults.c (faults). Nobody else includes this.
 */
#ifndef TFJ_RUN_INSIDE_H
#define TFJ_RUN_INSIDE_H

#include "lib/claim.h"
#include "tfj/attached.h"
#include "tfj/batch.h"
#include "tfj/box.h"
#include "tfj/cgroup.h"
#include "tfj/content.h"
#include "tfj/crew.h"
#include "tfj/hoard.h"
#include "tfj/inject.h"
#include "tfj/name.h"
#include "tfj/run.h"
#include "tfj/syn.h"

#define RUN_PATH_MAX 300

struct run {
	struct run_place place;
	struct stream stream;
	struct boxes *boxes;
	struct names *names;
	struct crew *crew;
	struct attached *attached;
	struct hoard *hoard; /* NULL: live */
	struct contents *contents; /* NULL: off */
	struct syn *syn; /* NULL: no box is on another kernel, or SYNs say nothing, */
	struct error no_syn; /* because of that */
	struct inject *inject; /* NULL: no fault was ever ordered */
	bool deferring;
	struct cgroup cgroup;
	struct claim files; /* directory of the two below */
	struct claim directory; /* where the programs work, if nobody had made it: the collector is on another machine */
	char hosts[RUN_PATH_MAX], resolv[RUN_PATH_MAX];
	uint64_t before[COUNTER_COUNT]; /* the counters when the run began */
	uint64_t lost, dropped; /* said so far */
	uint64_t losses_ns;	/* when they were looked for last */
};

/* An event of nobody, or about a fault. */
struct kept_note {
	enum event_kind kind;
	uint32_t process; /* of an event about a fault, whose number is value */
	int64_t value;
	uint64_t now_ns;
	char text[256];
};

/* run.c: to be dealt with behind everything that came before. */
void run_note(struct run *run, const struct kept_note *note);
/* Deals with all that was deferred. */
void run_catch_up(struct run *run);

/* run_faults.c: the last word on each fault goes with the last batches. */
void run_receipts_keep(struct run *run);

#endif
