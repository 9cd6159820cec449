/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pictures of how many different things were seen, against how many were looked at: a line that goes up by one at each
 * new thing. With axes, ticks at round numbers, and a legend.
 */
#ifndef GRAPH_CHART_H
#define GRAPH_CHART_H

#include <stdint.h>
#include <stdio.h>

#include "graph/render.h"

#define CHART_LINES_MAX 8 /* as many can be told apart */
#define CHART_NOTES_MAX 3

struct chart_line {
	const char *name;
	const char *notes[CHART_NOTES_MAX]; /* what the legend says below the name; NULL: no more */
	const uint64_t *at; /* where it goes up: n positions from 1 to end, ascending */
	size_t n;
	uint64_t end; /* it goes on until there */
};

/* Strings may hold anything, and are borrowed. */
struct chart {
	const char *title, *subtitle; /* subtitle may be NULL */
	const char *x_title, *y_title;
	const struct chart_line *lines;
	size_t n_lines; /* 1 to CHART_LINES_MAX */
};

/* RENDER_SVG or RENDER_PNG. 0 or negative errno; nothing useful is in out after a failure. */
int chart_write(const struct chart *chart, enum render_format format, FILE *out, struct error *e);

/* The step between ticks on an axis up to `most`: 1, 2 or 5 times a power of ten, so that there are at most `ticks`. */
uint64_t chart_step(uint64_t most, unsigned ticks);

/* 12,345. */
#define CHART_NUMBER_MAX 32
const char *chart_number(uint64_t number, char buf[CHART_NUMBER_MAX]);

#endif
