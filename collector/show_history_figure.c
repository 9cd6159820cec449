/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See show_history.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/show_history.h"
#include "graph/chart.h"

enum { NOTE_MAX = 160 };

/* What a line needs and chart borrows. */
struct drawn {
	uint64_t *at;
	char name[300], notes[CHART_NOTES_MAX][NOTE_MAX];
};

static void note_classes(const Bop__Api__History *h, char note[NOTE_MAX])
{
	char classes[CHART_NUMBER_MAX], runs[CHART_NUMBER_MAX];

	snprintf(note, NOTE_MAX, "%s class%s in %s run%s", chart_number(h->classes, classes), h->classes == 1 ? "" : "es",
		 chart_number(h->runs, runs), h->runs == 1 ? "" : "s");
}

/* With commas, and a decimal only where it says something. */
static const char *number(double value, char buf[CHART_NUMBER_MAX], char other[SHOW_ESTIMATE_MAX])
{
	return value >= 1000 && value < 1e15 ? chart_number((uint64_t)llround(value), buf) : show_estimate(value, other);
}

static void note_estimate(const Bop__Api__Estimate *estimate, char note[NOTE_MAX])
{
	char a[3][CHART_NUMBER_MAX], b[3][SHOW_ESTIMATE_MAX];

	if (estimate)
		snprintf(note, NOTE_MAX, "Chao1: at least %s (95%%: %s to %s)", number(estimate->classes, a[0], b[0]),
			 number(estimate->low, a[1], b[1]), number(estimate->high, a[2], b[2]));
}

static void note_levels(const struct shown_history *shown, char note[NOTE_MAX])
{
	uint64_t at[2] = { 0 };
	char text[2][CHART_NUMBER_MAX];

	for (size_t i = 0; i < shown->history->n_levels; i++) {
		const Bop__Api__LevelCount *row = shown->history->levels[i];

		for (enum print_level level = PRINT_LEVEL_FOLDED; level <= PRINT_LEVEL_SHAPE; level++)
			if (row->symmetric == shown->symmetric && !strcmp(row->level, print_level_name(level)))
				at[level - PRINT_LEVEL_FOLDED] = row->classes;
	}
	if (shown->level == PRINT_LEVEL_EXACT && shown->history->runs)
		snprintf(note, NOTE_MAX, "folded %s, shape %s", chart_number(at[0], text[0]), chart_number(at[1], text[1]));
}

static int line_make(const struct shown_history *shown, struct drawn *drawn, struct chart_line *line)
{
	const Bop__Api__History *h = shown->history;

	drawn->at = malloc((h->n_rows + 1) * sizeof(*drawn->at));
	if (!drawn->at)
		return -ENOMEM;
	for (size_t i = 0; i < h->n_rows; i++)
		drawn->at[i] = h->rows[i]->found_at;
	snprintf(drawn->name, sizeof(drawn->name), "%s", shown->experiment);
	note_classes(h, drawn->notes[0]);
	note_estimate(h->estimate, drawn->notes[1]);
	note_levels(shown, drawn->notes[2]);
	*line = (struct chart_line){ .name = drawn->name, .at = drawn->at, .n = h->n_rows, .end = h->runs };
	for (size_t i = 0; i < CHART_NOTES_MAX; i++)
		line->notes[i] = *drawn->notes[i] ? drawn->notes[i] : NULL;
	return 0;
}

int show_histories_figure(const struct shown_history *shown, size_t n, enum render_format format, FILE *out, struct error *e)
{
	static const char *const same[] = {
		[PRINT_LEVEL_EXACT] = "a run is distinct if no earlier one exchanged the same messages in the same causal order",
		[PRINT_LEVEL_FOLDED] = "a run is distinct if no earlier one did the same but for how often exchanges were repeated (folded)",
		[PRINT_LEVEL_SHAPE] = "a run is distinct if no earlier one had the same sorts of exchanges between the same processes (shape)",
	};
	struct chart_line lines[CHART_LINES_MAX] = { { .name = NULL } };
	struct drawn *drawn = calloc(CHART_LINES_MAX, sizeof(*drawn));
	struct chart chart = { .title = n == 1 ? shown->experiment : "Distinct runs", .x_title = "runs", .y_title = "distinct runs",
			       .lines = lines, .n_lines = n };
	char title[400], subtitle[200];
	int err = drawn ? 0 : -ENOMEM;

	snprintf(title, sizeof(title), "Distinct runs%s%s", n == 1 ? " of " : "", n == 1 ? shown->experiment : "");
	snprintf(subtitle, sizeof(subtitle), "%s%s", same[shown->level], shown->symmetric ? ", up to the roles" : "");
	chart.title = title;
	chart.subtitle = subtitle;
	for (size_t i = 0; i < n && !err; i++)
		err = line_make(&shown[i], &drawn[i], &lines[i]);
	err = err ? error_set(e, err, "out of memory") : chart_write(&chart, format, out, e);
	for (size_t i = 0; drawn && i < n; i++)
		free(drawn[i].at);
	free(drawn);
	return err;
}
