/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See show_history.h. What counts as the same is said first, then how much there is of it, then the classes, plan by plan. */
#include "collector/show_history.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/clock.h"

enum { CLASSES_SHOWN = 30, CURVE_MAX = 24, OUTCOMES_MAX = 96 };

const char *show_estimate(double number, char buf[SHOW_ESTIMATE_MAX])
{
	bool whole = number >= 100 || number - floor(number) < 0.05;

	snprintf(buf, SHOW_ESTIMATE_MAX, number >= 1e15 ? "%.1e" : whole ? "%.0f" : "%.1f", number);
	return buf;
}

static const char *plural(uint64_t n, const char *many)
{
	return n == 1 ? "" : many;
}

static uint64_t classes_at(const Bop__Api__History *history, enum print_level level, bool symmetric)
{
	for (size_t i = 0; i < history->n_levels; i++)
		if (!strcmp(history->levels[i]->level, print_level_name(level)) && history->levels[i]->symmetric == symmetric)
			return history->levels[i]->classes;
	return 0;
}

static void head_print(const struct shown_history *shown, FILE *out)
{
	const Bop__Api__History *h = shown->history;

	fprintf(out, "%s: %" PRIu64 " class%s in %" PRIu64 " run%s", shown->experiment, h->classes, plural(h->classes, "es"), h->runs,
		plural(h->runs, "s"));
	if (shown->level || shown->symmetric)
		fprintf(out, " (%s%s)", print_level_name(shown->level), shown->symmetric ? ", up to the roles" : "");
	fputc('\n', out);
	if (h->runs) {
		fprintf(out, "  at each level:");
		for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
			fprintf(out, "%s %s %" PRIu64 " (%" PRIu64 " up to the roles)", level ? "," : "", print_level_name(level),
				classes_at(h, level, false), classes_at(h, level, true));
		fputc('\n', out);
	}
	if (h->plans > 1)
		fprintf(out, "  %" PRIu64 " plans of faults, each with classes of its own\n", h->plans);
	if (h->unclassed)
		fprintf(out, "  %" PRIu64 "%s run%s not count:", h->unclassed, h->runs ? " more" : "",
			h->unclassed == 1 ? " does" : "s do");
	for (size_t i = 0; i < h->n_reasons; i++)
		fprintf(out, "%s %s (%" PRIu64 ")", i ? ";" : "", h->reasons[i]->name, h->reasons[i]->count);
	if (h->unclassed)
		fputc('\n', out);
}

static void estimate_print(const Bop__Api__History *h, FILE *out)
{
	char classes[SHOW_ESTIMATE_MAX], low[SHOW_ESTIMATE_MAX], high[SHOW_ESTIMATE_MAX];
	const Bop__Api__Estimate *estimate = h->estimate;

	if (!estimate)
		return;
	show_estimate(estimate->classes, classes);
	fprintf(out, "  there %s %s class%s at least, by Chao1 (95%%: %s to %s)", strcmp(classes, "1") ? "are" : "is", classes,
		strcmp(classes, "1") ? "es" : "", show_estimate(estimate->low, low), show_estimate(estimate->high, high));
	if (!estimate->once)
		fprintf(out, "; none came only once\n");
	else if (estimate->next_new > 0.9)
		fprintf(out, "; %" PRIu64 " came only once: nearly every run is new\n", estimate->once);
	else
		fprintf(out, "; %" PRIu64 " came only once: about 1 run in %.*f is new\n", estimate->once, estimate->next_new > 0.1,
			1 / estimate->next_new);
}

/* How many classes there were after 1, 2, 5, 10, ... runs. */
static void curve_print(const Bop__Api__History *h, FILE *out)
{
	static const unsigned round[] = { 1, 2, 5 };
	uint64_t at[CURVE_MAX], n = 0, power = 1;
	char runs[24], classes[24];
	size_t row = 0;

	for (size_t i = 0; n + 1 < CURVE_MAX && power * round[i % 3] < h->runs; i++) {
		at[n++] = power * round[i % 3];
		power *= i % 3 == 2 ? 10 : 1;
	}
	if (!h->runs)
		return;
	at[n++] = h->runs;
	fprintf(out, "  after  ");
	for (uint64_t i = 0; i < n; i++)
		fprintf(out, " %6" PRIu64, at[i]);
	fprintf(out, " run%s\n  classes", plural(at[n - 1], "s"));
	for (uint64_t i = 0; i < n; i++) {
		for (; row < h->n_rows && h->rows[row]->found_at <= at[i]; row++)
			;
		snprintf(runs, sizeof(runs), "%" PRIu64, at[i]);
		snprintf(classes, sizeof(classes), "%zu", row);
		fprintf(out, " %*s", strlen(runs) > 6 ? (int)strlen(runs) : 6, classes);
	}
	fputc('\n', out);
	if (h->n_rows)
		fprintf(out, "  the last new one came at run %" PRIu64 " of these: %" PRIu64 " run%s ago\n", h->rows[h->n_rows - 1]->found_at,
			h->runs - h->rows[h->n_rows - 1]->found_at, plural(h->runs - h->rows[h->n_rows - 1]->found_at, "s"));
}

static const char *when_text(uint64_t realtime_ns, char *buf, size_t size)
{
	time_t seconds = (time_t)(realtime_ns / CLOCK_SECOND_NS);
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}

/* "good", or "good 12, violated 3". */
static void outcomes_text(const Bop__Api__Class *class, char buf[OUTCOMES_MAX])
{
	size_t used = 0;

	*buf = '\0';
	for (size_t i = 0; i < class->n_outcomes && used < OUTCOMES_MAX; i++) {
		used += (size_t)snprintf(buf + used, OUTCOMES_MAX - used, "%s%s", i ? ", " : "", class->outcomes[i]->name);
		if (class->n_outcomes > 1 && used < OUTCOMES_MAX)
			used += (size_t)snprintf(buf + used, OUTCOMES_MAX - used, " %" PRIu64, class->outcomes[i]->count);
	}
}

static bool same_plan(const Bop__Api__Class *a, const Bop__Api__Class *b)
{
	if (a->n_plan != b->n_plan || a->dry_run != b->dry_run)
		return false;
	for (size_t i = 0; i < a->n_plan; i++)
		if (strcmp(a->plan[i], b->plan[i]))
			return false;
	return true;
}

static void plan_print(const Bop__Api__Class *class, FILE *out)
{
	fprintf(out, "\n  %s%s\n", class->n_plan ? "with" : "without faults", class->n_plan ? class->dry_run ? " (a dry run)" : "" : "");
	for (size_t i = 0; i < class->n_plan; i++)
		fprintf(out, "    %s\n", class->plan[i]);
}

static void indent_print(const char *lines, FILE *out)
{
	for (const char *end; lines && *lines; lines = end + (*end == '\n')) {
		end = strchrnul(lines, '\n');
		fprintf(out, "        %.*s\n", (int)(end - lines), lines);
	}
}

static void class_print(const struct shown_history *shown, size_t i, FILE *out)
{
	const Bop__Api__Class *class = shown->history->rows[i];
	struct print print = { class->print->high, class->print->low, class->print->approximate };
	char hash[PRINT_TEXT_SIZE], when[32], outcomes[OUTCOMES_MAX], *explained;

	print_text(&print, hash);
	outcomes_text(class, outcomes);
	fprintf(out, "  %5zu %7" PRIu64 " %7" PRIu64 " %7" PRIu64 " %7" PRIu64 "  %s  %-20s  %s%s\n", i + 1, class->count, class->found_at,
		class->first_run, class->last_run, when_text(class->last_ns, when, sizeof(when)), outcomes, hash,
		print.approximate ? " (approximate)" : "");
	explained = shown->explain ? shown->explain(shown->explain_arg, class) : NULL;
	indent_print(explained, out);
	free(explained);
}

static int by_count(const void *a, const void *b)
{
	const Bop__Api__Class *x = *(Bop__Api__Class *const *)a, *y = *(Bop__Api__Class *const *)b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->found_at < y->found_at ? -1 : x->found_at > y->found_at;
}

/* Which rows are not to be listed: all but the most frequent. Returns how many; NULL without memory. */
static bool *leave_out(const Bop__Api__History *h, bool all, size_t *ret_n)
{
	Bop__Api__Class **sorted = malloc((h->n_rows + 1) * sizeof(*sorted));
	bool *out = calloc(h->n_rows + 1, sizeof(*out));

	*ret_n = 0;
	if (!sorted || !out) {
		free(sorted);
		free(out);
		return NULL;
	}
	if (!all && h->n_rows > CLASSES_SHOWN) {
		memcpy(sorted, h->rows, h->n_rows * sizeof(*sorted));
		qsort(sorted, h->n_rows, sizeof(*sorted), by_count);
		for (size_t i = 0; i < h->n_rows; i++) {
			out[i] = by_count(&h->rows[i], &sorted[CLASSES_SHOWN - 1]) > 0;
			*ret_n += out[i];
		}
	}
	free(sorted);
	return out;
}

void show_history(const struct shown_history *shown, bool all, FILE *out)
{
	const Bop__Api__History *h = shown->history;
	size_t n_left_out;
	bool *done = leave_out(h, all, &n_left_out);

	head_print(shown, out);
	estimate_print(h, out);
	curve_print(h, out);
	for (size_t i = 0; done && i < h->n_rows; i++) {
		if (done[i])
			continue;
		if (h->plans > 1 || h->rows[i]->n_plan)
			plan_print(h->rows[i], out);
		else
			fputc('\n', out);
		fprintf(out, "  %5s %7s %7s %7s %7s  %-19s  %-20s  %s\n", "CLASS", "RUNS", "FOUND", "FIRST", "LAST", "WHEN", "OUTCOMES", "PRINT");
		for (size_t k = i; k < h->n_rows; k++)
			if (!done[k] && same_plan(h->rows[i], h->rows[k])) {
				class_print(shown, k, out);
				done[k] = true;
			}
	}
	if (n_left_out)
		fprintf(out, "  ... %zu more, none of which came more often: --all lists them, --json has everything\n", n_left_out);
	free(done);
}
