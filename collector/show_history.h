/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Histories for people, as JSON, and as a figure (docs/history.md). A write that fails is left in ferror(out). */
#ifndef COLLECTOR_SHOW_HISTORY_H
#define COLLECTOR_SHOW_HISTORY_H

#include <stdio.h>

#include "graph/print.h"
#include "graph/render.h"
#include "proto/api.h"

/* All of it borrowed. */
struct shown_history {
	const char *experiment;
	enum print_level level;
	bool symmetric;
	const Bop__Api__History *history; /* with all its rows */
	/* What differs from a class found earlier: lines, which the caller frees; NULL: nothing can be said. NULL: is not wanted. */
	char *(*explain)(void *arg, const Bop__Api__Class *class);
	void *explain_arg;
};

/* all: every class, not only the first. */
void show_history(const struct shown_history *shown, bool all, FILE *out);
/* n of them, as one object. 0 or -ENOMEM. */
int show_histories_json(const struct shown_history *shown, size_t n, FILE *out, struct error *e);
/* Distinct runs against runs, a line each; n is 1 to CHART_LINES_MAX. Fails as chart_write() does. */
int show_histories_figure(const struct shown_history *shown, size_t n, enum render_format format, FILE *out, struct error *e);

/* "6 to 6.3", "at least 12,345": numbers of an estimate, as short as they mean something. */
#define SHOW_ESTIMATE_MAX 32
const char *show_estimate(double number, char buf[SHOW_ESTIMATE_MAX]);

#endif
