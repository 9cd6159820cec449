/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See symmetry.h. Fails only without memory. */
#include "ldfi/symmetry.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/fault.h"

struct symmetry {
	const struct symmetry_member **members; /* n of them, those of a role side by side */
	size_t n, n_ways;
	uint32_t *ways; /* n_ways times n: which member each becomes */
};

/* How many ways a role of n members makes of `ways`; 0: too many. */
static size_t ways_with(size_t ways, size_t n)
{
	for (size_t i = 2; i <= n && ways; i++)
		ways = ways * i > SYMMETRY_MAX ? 0 : ways * i;
	return ways;
}

/* The k-th order of n things that begin with `first`, by Lehmer's code. */
static void order_make(uint32_t *row, size_t first, size_t n, size_t k)
{
	for (size_t i = 0; i < n; i++)
		row[i] = (uint32_t)(first + i);
	for (size_t i = 0; i < n; i++) {
		size_t left = n - i, at = i + k % left;
		uint32_t taken = row[at];

		k /= left;
		memmove(&row[i + 1], &row[i], (at - i) * sizeof(*row));
		row[i] = taken;
	}
}

int symmetry_new(const struct symmetry_role *roles, size_t n_roles, struct symmetry **ret_symmetry,
		 size_t *ret_left_out)
{
	struct symmetry *s = calloc(1, sizeof(*s));
	size_t all = 1, left_out = 0;

	if (!s)
		return -ENOMEM;
	for (size_t i = 0; i < n_roles; i++)
		all += roles[i].n;
	s->n_ways = 1;
	s->members = calloc(all, sizeof(*s->members));
	s->ways = calloc(all * SYMMETRY_MAX, sizeof(*s->ways));
	if (!s->members || !s->ways) {
		symmetry_free(s);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n_roles; i++) {
		size_t ways = ways_with(s->n_ways, roles[i].n);

		if (!ways) {
			left_out++;
			continue;
		}
		for (size_t k = 0; k < roles[i].n; k++)
			s->members[s->n + k] = &roles[i].members[k];
		/* row r: way r % n_ways of the roles before, order r / n_ways of this one */
		for (size_t r = ways; r--;) {
			memmove(&s->ways[r * all], &s->ways[r % s->n_ways * all], s->n * sizeof(*s->ways));
			order_make(&s->ways[r * all + s->n], s->n, roles[i].n, r / s->n_ways);
		}
		s->n += roles[i].n;
		s->n_ways = ways;
	}
	for (size_t r = 0; r < s->n_ways; r++) /* close the gaps */
		memmove(&s->ways[r * s->n], &s->ways[r * all], s->n * sizeof(*s->ways));
	*ret_symmetry = s;
	if (ret_left_out)
		*ret_left_out = left_out;
	return 0;
}

void symmetry_free(struct symmetry *s)
{
	if (!s)
		return;
	free(s->members);
	free(s->ways);
	free(s);
}

size_t symmetry_ways(const struct symmetry *s)
{
	return s->n_ways;
}

/* What the first n bytes become: a member's name if they are one. NULL: they stay. */
static const char *process_of(const struct symmetry *s, size_t way, const char *name, size_t n)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strncmp(s->members[i]->process, name, n) && !s->members[i]->process[n])
			return s->members[s->ways[way * s->n + i]]->process;
	return NULL;
}

static const char *box_of(const struct symmetry *s, size_t way, const char *name, size_t n)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strncmp(s->members[i]->box, name, n) && !s->members[i]->box[n])
			return s->members[s->ways[way * s->n + i]]->box;
	return NULL;
}

static char *joined(const char *head, size_t n_head, const char *rest)
{
	char *made = malloc(n_head + strlen(rest) + 1);

	if (made) {
		memcpy(made, head, n_head);
		strcpy(made + n_head, rest);
	}
	return made;
}

/* Names have dots, too: the longest head that is a member's counts. */
char *symmetry_process(const struct symmetry *s, size_t way, const char *process)
{
	for (size_t n = strlen(process); n; n--) {
		const char *other = process[n] && !strchr(".'", process[n]) ? NULL : process_of(s, way, process, n);

		if (other)
			return joined(other, strlen(other), process + n);
	}
	return strdup(process);
}

/* Puts a copy of text, which may be NULL without memory, in the place of another. */
static bool replace(char **place, char *copy)
{
	if (!copy)
		return false;
	free(*place);
	*place = copy;
	return true;
}

char *symmetry_label(const struct symmetry *s, size_t way, const char *label)
{
	struct fault_connection *connection;
	struct fault fault;
	char line[FAULT_LINE_MAX], *text = NULL;
	const char *box;
	int column, n = snprintf(line, sizeof(line), "cut %s", label);

	if (n >= (int)sizeof(line) || fault_parse(line, (size_t)n, &fault, &column, NULL) < 0)
		return symmetry_words(s, way, label);
	connection = &fault.at.connection;
	box = box_of(s, way, connection->box, strlen(connection->box));
	if (replace(&connection->process, symmetry_process(s, way, connection->process)) &&
	    (!box || replace(&connection->box, strdup(box))))
		text = fault_print(&fault);
	fault_fini(&fault);
	if (text)
		memmove(text, text + 4, strlen(text + 4) + 1);
	return text;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* The longest name that text begins with, and a word ends behind it: "b" of "b-delivers", if nobody is called that. NULL: none. */
static const char *name_at(const struct symmetry *s, size_t way, const char *text, size_t *ret_n)
{
	for (size_t n = strlen(text); n; n--) {
		const char *other = is_word(text[n]) ? NULL : process_of(s, way, text, n);

		if (!other && !is_word(text[n]))
			other = box_of(s, way, text, n);
		*ret_n = n;
		if (other)
			return other;
	}
	return NULL;
}

char *symmetry_words(const struct symmetry *s, size_t way, const char *text)
{
	char *made = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&made, &size);

	if (!f)
		return NULL;
	for (bool inside = false; *text; inside = is_word(text[-1])) {
		size_t n = 1;
		const char *other = inside ? NULL : name_at(s, way, text, &n);

		if (other)
			fputs(other, f);
		else
			fputc(*text, f);
		text += other ? n : 1;
	}
	if (fclose(f)) {
		free(made);
		return NULL;
	}
	return made;
}
