/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of a course, for course.c (from the row to the outcome) and course_seal.c (the end). Nobody else includes this. */
#ifndef COLLECTOR_COURSE_INSIDE_H
#define COLLECTOR_COURSE_INSIDE_H

#include "collector/armed.h"
#include "collector/course.h"
#include "collector/ingest.h"
#include "collector/troupe.h"
#include "lib/claim.h"

struct course {
	struct store *store;
	const struct cast *cast;
	struct course_door door;
	struct claim claim; /* the directory */
	unsigned keep; /* course_keep */
	struct store_run row;
	struct conduct *conduct;
	struct armed armed;
	struct course_injecting *injecting; /* orders about faults that have no answer yet */
	uint64_t last_token;
	struct troupe *troupe;
	struct ingest *ingests; /* by agent */
	uint64_t *events;	/* by agent: recorded so far, as it says */
	uint64_t *heard;	/* by agent: when it said something, or was last asked */
	bool *lost;		/* by agent */
	uint64_t commit_at; /* UINT64_MAX: nothing waits */
	char *warnings; /* lines */
	unsigned n_warnings;
	bool store_failed;
	char *plan_text; /* NULL: no faults */
};

/* course_faults.c */
int course_plan_take(struct course *course, const struct plan *plan, struct error *e);
void course_receipts(struct course *course, size_t agent, const struct message *message);
void course_answered(void *course, uint64_t token, int err, const char *text); /* for the conduct */
void course_faults_fini(struct course *course);
/* Faults whose effect ended before the outcome although nobody asked for that: the outcome is not one. */
void course_faults_judge(const struct run *run, struct store_run *row, char *reason, size_t size);

#endif
