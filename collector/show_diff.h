/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What differs between two runs, for people and as JSON (docs/diff.md). */
#ifndef COLLECTOR_SHOW_DIFF_H
#define COLLECTOR_SHOW_DIFF_H

#include <stdio.h>

#include "collector/near.h"
#include "graph/diff.h"
#include "graph/print.h"

/* Of the run before and the run after; all borrowed. */
struct shown_diff {
	const struct diff *diff;
	const struct graph *graphs[2];
	uint64_t runs[2];
	uint64_t events_of[2]; /* which run recorded the events; another one, of a repeat */
	const struct near *near; /* how the run before was found; NULL: it was named */
	uint64_t lost[2]; /* events, UINT64_MAX: an unknown number */
	const char *experiments[2];
	struct print prints[2][PRINT_LEVEL_COUNT];
};

/* all: not only the first sentences. */
void show_diff(const struct shown_diff *shown, bool all, FILE *out);
/* 0 or -ENOMEM. */
int show_diff_json(const struct shown_diff *shown, FILE *out, struct error *e);
/* At which level they are the same. Static. */
const char *show_diff_verdict(const struct shown_diff *shown);

/*
 * One picture of both: format svg, png or dot; json: all of show_diff_json(), and the vertices and edges that a picture is made
 * of. From any thread. -EINVAL: there is no such format; as render_diff().
 */
int show_diff_draw(const struct shown_diff *shown, const char *format, FILE *out, struct error *e);

/* What show_diff_json() writes, in an object that somebody else began. */
struct json_writer;
void show_diff_members(struct json_writer *w, const struct shown_diff *shown);

#endif
