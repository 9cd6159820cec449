/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Twins. Connections between the same parties are paired in their order, so that as little as possible differs on them; so
 * are the messages of two connections that are twins. Past a bound what is left is paired by number. Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/diff_inside.h"
#include "lib/large.h"

#define CELLS_MAX ((size_t)1 << 22) /* of a table: 4 MiB */
#define LOOK_MAX 64u /* messages of a connection, from each end */

/* Two sequences, and what it costs to pair an element of each, or to leave one alone. Less is better. */
struct sequences {
	size_t n[2];
	uint32_t (*pairing)(const void *arg, size_t i, size_t k); /* UINT32_MAX: never */
	uint32_t (*leaving)(const void *arg, unsigned side, size_t i);
	void (*pair)(void *arg, size_t i, size_t k);
	void *arg;
};

enum step { STEP_PAIR, STEP_LEAVE_0, STEP_LEAVE_1 };

/* Fills the table of steps; row by row. */
static void weigh(const struct sequences *s, size_t from, const size_t *n, uint8_t *steps, uint64_t *row)
{
	row[0] = 0;
	for (size_t k = 1; k <= n[1]; k++) {
		row[k] = row[k - 1] + s->leaving(s->arg, 1, from + k - 1);
		steps[k] = STEP_LEAVE_1;
	}
	for (size_t i = 1; i <= n[0]; i++) {
		uint64_t diagonal = row[0], leaving = s->leaving(s->arg, 0, from + i - 1);

		row[0] += leaving;
		steps[i * (n[1] + 1)] = STEP_LEAVE_0;
		for (size_t k = 1; k <= n[1]; k++) {
			uint32_t pairing = s->pairing(s->arg, from + i - 1, from + k - 1);
			uint64_t best = row[k] + leaving, other = row[k - 1] + s->leaving(s->arg, 1, from + k - 1);
			enum step step = STEP_LEAVE_0;

			if (other <= best) {
				best = other;
				step = STEP_LEAVE_1;
			}
			if (pairing != UINT32_MAX && diagonal + pairing <= best) {
				best = diagonal + pairing;
				step = STEP_PAIR;
			}
			diagonal = row[k];
			row[k] = best;
			steps[i * (n[1] + 1) + k] = step;
		}
	}
}

static void walk_back(const struct sequences *s, size_t from, const size_t *n, const uint8_t *steps)
{
	size_t i = n[0], k = n[1];

	while (i || k) {
		switch ((enum step)steps[i * (n[1] + 1) + k]) {
		case STEP_PAIR:
			s->pair(s->arg, from + --i, from + --k);
			break;
		case STEP_LEAVE_0:
			i--;
			break;
		case STEP_LEAVE_1:
			k--;
			break;
		}
	}
}

/* What costs nothing at the beginning and the end is paired at once. 0, 1: not all could be weighed; -ENOMEM. */
static int align(const struct sequences *s)
{
	size_t from = 0, n[2] = { s->n[0], s->n[1] };
	uint8_t *steps;
	uint64_t *row;

	for (; from < n[0] && from < n[1] && s->pairing(s->arg, from, from) == 0; from++)
		s->pair(s->arg, from, from);
	for (; n[0] > from && n[1] > from && s->pairing(s->arg, n[0] - 1, n[1] - 1) == 0; n[0]--, n[1]--)
		s->pair(s->arg, n[0] - 1, n[1] - 1);
	n[0] -= from;
	n[1] -= from;
	if (!n[0] || !n[1])
		return 0;
	if (n[0] + 1 > CELLS_MAX / (n[1] + 1)) {
		for (size_t i = from, k = from; i < from + n[0] && k < from + n[1]; i++, k++)
			if (s->pairing(s->arg, i, k) != UINT32_MAX)
				s->pair(s->arg, i, k);
		return 1;
	}
	steps = calloc((n[0] + 1) * (n[1] + 1), 1);
	row = calloc(n[1] + 1, sizeof(*row));
	if (steps && row) {
		weigh(s, from, n, steps, row);
		walk_back(s, from, n, steps);
	}
	free(row);
	free(steps);
	return steps && row ? 0 : -ENOMEM;
}

/* Messages of two connections, or connections of two groups. */
struct strip {
	struct diffing *d;
	const uint32_t *at[2];
	bool as_many[2]; /* by direction: there are as many messages in both, so that those of one number are one */
};

static const struct graph_message *message_at(const struct strip *s, unsigned side, size_t i)
{
	return &s->d->sides[side].g->messages[s->at[side][i]];
}

static uint32_t message_pairing(const void *arg, size_t i, size_t k)
{
	const struct strip *s = arg;

	const struct graph_message *m = message_at(s, 0, i), *n = message_at(s, 1, k);

	if (m->direction != n->direction || (s->as_many[m->direction] && m->number != n->number))
		return UINT32_MAX;
	return diff_received(&s->d->sides[0], s->at[0][i]) != diff_received(&s->d->sides[1], s->at[1][k]);
}

static uint32_t message_leaving(const void *arg, unsigned side, size_t i)
{
	return 1;
}

static void message_pair(void *arg, size_t i, size_t k)
{
	struct strip *s = arg;

	s->d->sides[0].message[s->at[0][i]] = s->at[1][k];
	s->d->sides[1].message[s->at[1][k]] = s->at[0][i];
	s->d->diff->same_messages++;
}

static size_t word_size(const struct diff_side *side, uint32_t connection)
{
	return side->first[connection + 1] - side->first[connection];
}

static struct strip words_of(struct diffing *d, uint32_t a, uint32_t b)
{
	return (struct strip){
		.d = d, .at = { d->sides[0].word + d->sides[0].first[a], d->sides[1].word + d->sides[1].first[b] },
	};
}

/* Where there are as many, what the order of both ways has left alone is paired as well: it only came in another order. */
static void pair_rest(struct strip *s, const size_t n[2], unsigned direction)
{
	const uint32_t *twins[2] = { s->d->sides[0].message, s->d->sides[1].message };

	for (size_t i = 0, k = 0; i < n[0] && k < n[1];) {
		if (message_at(s, 0, i)->direction != direction || twins[0][s->at[0][i]] != DIFF_NONE)
			i++;
		else if (message_at(s, 1, k)->direction != direction || twins[1][s->at[1][k]] != DIFF_NONE)
			k++;
		else
			message_pair(s, i++, k++);
	}
}

static int align_messages(struct diffing *d, uint32_t a, uint32_t b)
{
	struct strip strip = words_of(d, a, b);
	struct sequences sequences = {
		.n = { word_size(&d->sides[0], a), word_size(&d->sides[1], b) }, .pairing = message_pairing,
		.leaving = message_leaving, .pair = message_pair, .arg = &strip,
	};
	size_t counts[2][2] = { { 0 } };
	int err;

	for (unsigned side = 0; side < 2; side++)
		for (size_t i = 0; i < sequences.n[side]; i++)
			counts[side][message_at(&strip, side, i)->direction]++;
	for (unsigned direction = 0; direction < 2; direction++)
		strip.as_many[direction] = counts[0][direction] == counts[1][direction];
	err = align(&sequences);
	for (unsigned direction = 0; direction < 2 && err >= 0; direction++)
		if (strip.as_many[direction])
			pair_rest(&strip, sequences.n, direction);
	return err;
}

/* How much differs on two connections, without looking too closely: what is not alike at the beginning and the end. */
static uint32_t connection_pairing(const void *arg, size_t i, size_t k)
{
	const struct strip *s = arg;
	uint32_t a = s->at[0][i], b = s->at[1][k];
	struct strip words = words_of(s->d, a, b);
	size_t n = word_size(&s->d->sides[0], a), m = word_size(&s->d->sides[1], b), from = 0, to = 0;
	uint32_t result = strcmp(diff_result(&s->d->sides[0], a), diff_result(&s->d->sides[1], b)) != 0;

	while (from < LOOK_MAX && from < n && from < m && message_pairing(&words, from, from) == 0)
		from++;
	if (from == LOOK_MAX)
		return (uint32_t)(n > m ? n - m : m - n) + result;
	while (to < LOOK_MAX && n - to > from && m - to > from && message_pairing(&words, n - to - 1, m - to - 1) == 0)
		to++;
	return (uint32_t)(n - from - to + m - from - to) + result;
}

static uint32_t connection_leaving(const void *arg, unsigned side, size_t i)
{
	const struct strip *s = arg;

	return (uint32_t)word_size(&s->d->sides[side], s->at[side][i]) + 1;
}

static void connection_pair(void *arg, size_t i, size_t k)
{
	struct strip *s = arg;

	s->d->sides[0].connection[s->at[0][i]] = s->at[1][k];
	s->d->sides[1].connection[s->at[1][k]] = s->at[0][i];
	s->d->diff->same_connections++;
}

/* Of the sorted connections of a run from `from` on: how many are called the same. */
static size_t group_size(const struct diff_side *side, size_t from)
{
	const char *label = side->g->connections[side->sorted[from]].label;
	size_t size = diff_name_size(label), n = 1;

	for (; from + n < side->n_sorted; n++) {
		const char *other = side->g->connections[side->sorted[from + n]].label;

		if (diff_name_size(other) != size || memcmp(label, other, size))
			break;
	}
	return n;
}

static int group_compare(const struct diffing *d, size_t i, size_t k)
{
	const char *a = d->sides[0].g->connections[d->sides[0].sorted[i]].label;
	const char *b = d->sides[1].g->connections[d->sides[1].sorted[k]].label;
	size_t n = diff_name_size(a), m = diff_name_size(b);
	int diff = memcmp(a, b, n < m ? n : m);

	return diff ? diff : n < m ? -1 : n > m;
}

static int align_connections(struct diffing *d)
{
	const struct diff_side *a = &d->sides[0], *b = &d->sides[1];
	int err = 0;

	for (size_t i = 0, k = 0; i < a->n_sorted && k < b->n_sorted && err >= 0;) {
		int diff = group_compare(d, i, k);
		size_t n = diff <= 0 ? group_size(a, i) : 0, m = diff >= 0 ? group_size(b, k) : 0;
		struct strip strip = { .d = d, .at = { a->sorted + i, b->sorted + k } };
		struct sequences sequences = {
			.n = { n, m }, .pairing = connection_pairing, .leaving = connection_leaving, .pair = connection_pair,
			.arg = &strip,
		};

		if (!diff)
			err = align(&sequences);
		d->diff->approximate |= err > 0;
		i += n;
		k += m;
	}
	return err < 0 ? err : 0;
}

static int process_compare(const void *a, const void *b, void *arg)
{
	const struct trace *trace = arg;

	return strcmp(text_or(trace->processes[*(const uint32_t *)a].name, ""),
		      text_or(trace->processes[*(const uint32_t *)b].name, ""));
}

static uint32_t *processes_sorted(const struct trace *trace)
{
	uint32_t *sorted = malloc((trace->n_processes + 1) * sizeof(*sorted));

	for (uint32_t i = 0; sorted && i < trace->n_processes; i++)
		sorted[i] = i + 1;
	if (sorted)
		qsort_r(sorted, trace->n_processes, sizeof(*sorted), process_compare, (void *)trace);
	return sorted;
}

/* By name. */
static int align_processes(struct diffing *d)
{
	const struct trace *traces[2] = { d->sides[0].g->trace, d->sides[1].g->trace };
	uint32_t *a = processes_sorted(traces[0]), *b = processes_sorted(traces[1]);

	for (size_t i = 0, k = 0; a && b && i < traces[0]->n_processes && k < traces[1]->n_processes;) {
		int diff = strcmp(text_or(traces[0]->processes[a[i]].name, ""), text_or(traces[1]->processes[b[k]].name, ""));

		if (!diff) {
			d->sides[0].process[a[i]] = b[k];
			d->sides[1].process[b[k]] = a[i];
		}
		i += diff <= 0;
		k += diff >= 0;
	}
	free(a);
	free(b);
	return a && b ? 0 : -ENOMEM;
}

int diff_align(struct diffing *d)
{
	int err = align_processes(d);

	if (!err)
		err = align_connections(d);
	for (uint32_t c = 1; c <= d->sides[0].g->n_connections && err >= 0; c++) {
		if (d->sides[0].connection[c])
			err = align_messages(d, c, d->sides[0].connection[c]);
		d->diff->approximate |= err > 0;
	}
	return err < 0 ? err : 0;
}
