/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What differs between two runs, for people and as JSON (docs/diff.md). */
#ifndef COLLECTOR_SHOW_DIFF_H
#define COLLECTOR_SHOW_DIFF_H

#include <stdio.h>

#include "graph/diff.h"
#include "graph/print.h"

/* Of the run before and the run after; all borrowed. */
struct shown_diff {
	const struct diff *diff;
	const struct graph *graphs[2];
	uint64_t runs[2];
	uint64_t lost[2]; /* events, UINT64_MAX: an unknown number */
	const char *experiments[2];
	struct print prints[2][PRINT_LEVEL_COUNT];
};

/* all: not only the first sentences. */
void show_diff(const struct shown_diff *shown, bool all, FILE *out);
/* 0 or -ENOMEM. */
int show_diff_json(const struct shown_diff *shown, FILE *out, struct error *e);

#endif
