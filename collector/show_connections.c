/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The connections of a run as a table for people. A process can have thousands to one service: the first few of them stand
 * in a line each, the rest in one line that sums up. Fails only without memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "collector/show.h"

enum {
	ALIKE_SHOWN = 6,   /* connections of one process to one target with a line of their own */
	LINES_SHOWN = 100, /* in all */
	ENDS_SHOWN = 4,	   /* different ends told of many connections */
	LABEL_SIZE = 512,
};

struct line {
	uint32_t first, n; /* places in `sorted` */
};

struct table {
	const struct graph *graph;
	const char **ends; /* by connection */
	const struct graph_connection **sorted;
	size_t n;
	struct line *lines;
	size_t n_lines, n_left_out; /* connections */
	int width;
	FILE *out;
};

/* c.2 before c.10, #2 before #10. */
static int label_compare(const void *a, const void *b)
{
	const struct graph_connection *p = *(const struct graph_connection *const *)a;
	const struct graph_connection *q = *(const struct graph_connection *const *)b;

	return strverscmp(p->label, q->label);
}

/* Length of what connections of one process to one target have in common: client>s1:7000 */
static size_t target_length(const struct graph_connection *c)
{
	const char *ordinal = strchr(c->label, '#');

	return ordinal ? (size_t)(ordinal - c->label) : strlen(c->label);
}

static bool is_alike(const struct graph_connection *a, const struct graph_connection *b)
{
	size_t n = target_length(a);

	return n == target_length(b) && !memcmp(a->label, b->label, n);
}

static void choose_lines(struct table *t, bool all)
{
	for (size_t i = 0, last; i < t->n; i = last) {
		for (last = i + 1; last < t->n && is_alike(t->sorted[i], t->sorted[last]); last++)
			;
		for (size_t k = i; k < last; k++) {
			bool rest = !all && k - i == ALIKE_SHOWN && last - k > 1;

			if (!all && t->n_lines == LINES_SHOWN) {
				t->n_left_out += last - k;
				break;
			}
			t->lines[t->n_lines++] = (struct line){ k, rest ? last - k : 1 };
			if (rest)
				break;
		}
	}
}

/* What stands in the first column: the label, or how many connections the line stands for. Returns its length. */
static int name_text(const struct table *t, const struct line *line, char *buf, size_t size)
{
	const struct graph_connection *c = t->sorted[line->first];

	if (line->n == 1)
		return snprintf(buf, size, "%s%s", c->label, c->racy ? "!" : "");
	return snprintf(buf, size, "%" PRIu32 " more of %.*s", line->n, (int)target_length(c), c->label);
}

/* "99998 closed, 2 reset" */
static void ends_print(const struct table *t, const struct line *line)
{
	const char *ends[ENDS_SHOWN];
	uint32_t counts[ENDS_SHOWN] = { 0 }, others = 0;
	unsigned n = 0, k;

	for (uint32_t i = line->first; i < line->first + line->n; i++) {
		const char *end = t->ends[t->sorted[i] - t->graph->connections];

		for (k = 0; k < n && strcmp(ends[k], end); k++)
			;
		if (k == ENDS_SHOWN) {
			others++;
			continue;
		}
		ends[k] = end;
		counts[k]++;
		n += k == n;
	}
	for (k = 0; k < n; k++)
		fprintf(t->out, "%s%" PRIu32 " %s", k ? ", " : "", counts[k], ends[k]);
	if (others)
		fprintf(t->out, ", %" PRIu32 " others", others);
}

static void line_print(const struct table *t, const struct line *line)
{
	uint64_t bytes[2] = { 0 }, messages[2] = { 0 };
	char name[LABEL_SIZE];

	for (uint32_t i = line->first; i < line->first + line->n; i++)
		for (int way = 0; way < 2; way++) {
			bytes[way] += t->sorted[i]->bytes[way];
			messages[way] += t->sorted[i]->messages[way];
		}
	name_text(t, line, name, sizeof(name));
	fprintf(t->out, "  %-*s %10" PRIu64 " %12" PRIu64 " %10" PRIu64 " %12" PRIu64 "  ", t->width, name, messages[0],
		bytes[0], messages[1], bytes[1]);
	if (line->n == 1)
		fprintf(t->out, "%s", t->ends[t->sorted[line->first] - t->graph->connections]);
	else
		ends_print(t, line);
	fputc('\n', t->out);
}

static void table_print(struct table *t)
{
	int n;

	t->width = (int)strlen("CONNECTION");
	for (size_t i = 0; i < t->n_lines; i++) {
		n = name_text(t, &t->lines[i], NULL, 0);
		if (n > t->width)
			t->width = n;
	}
	fprintf(t->out, "\nconnections\n  %-*s %10s %12s %10s %12s  %s\n", t->width, "CONNECTION", "> MESSAGES", "> BYTES",
		"< MESSAGES", "< BYTES", "END");
	for (size_t i = 0; i < t->n_lines; i++)
		line_print(t, &t->lines[i]);
	if (t->n_left_out)
		fprintf(t->out, "  ... %zu more: --all lists them, --json has everything\n", t->n_left_out);
}

int show_connections(const struct graph *graph, bool all, FILE *out, struct error *e)
{
	struct table t = { .graph = graph, .out = out };
	size_t n = graph->n_connections;
	int err;

	if (!n)
		return 0;
	err = show_connection_ends(graph, &t.ends, e);
	if (err < 0)
		return err;
	t.sorted = malloc(n * sizeof(*t.sorted));
	t.lines = malloc(n * sizeof(*t.lines));
	if (!t.sorted || !t.lines) {
		err = error_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	for (size_t i = 1; i <= n; i++)
		if (t.ends[i])
			t.sorted[t.n++] = &graph->connections[i];
	qsort(t.sorted, t.n, sizeof(*t.sorted), label_compare);
	choose_lines(&t, all);
	table_print(&t);
out:
	free(t.ends);
	free(t.sorted);
	free(t.lines);
	return err;
}
