/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of a course, for course.c (from the row to the outcome) and course_seal.c (the end). Nobody else includes this. */
#ifndef COLLECTOR_COURSE_INSIDE_H
#define COLLECTOR_COURSE_INSIDE_H

#include "collector/course.h"
#include "collector/ingest.h"
#include "collector/troupe.h"
#include "lib/claim.h"

struct course {
	struct store *store;
	const struct cast *cast;
	struct course_door door;
	struct claim claim; /* the directory */
	bool keep;
	struct store_run row;
	struct conduct *conduct;
	struct troupe *troupe;
	struct ingest *ingests; /* by agent */
	uint64_t *events;	/* by agent: recorded so far, as it says */
	uint64_t *heard;	/* by agent: when it said something, or was last asked */
	bool *lost;		/* by agent */
	uint64_t commit_at; /* UINT64_MAX: nothing waits */
	char *warnings; /* lines */
	unsigned n_warnings;
	bool store_failed;
};

#endif
