/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See nearest.h. */
#include "lib/nearest.h"

#include <string.h>

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* Optimal string alignment: three rows of the table are enough. */
unsigned nearest_distance(const char *a, size_t n, const char *b, size_t m, unsigned limit)
{
	unsigned rows[3][NEAREST_MAX + 1], *before = rows[0], *last = rows[1], *row = rows[2], *spare;

	if (n > NEAREST_MAX || m > NEAREST_MAX || (n > m ? n - m : m - n) >= limit)
		return limit;
	for (size_t k = 0; k <= m; k++)
		row[k] = (unsigned)k;
	for (size_t i = 1; i <= n; i++) {
		spare = before;
		before = last;
		last = row;
		row = spare;
		row[0] = (unsigned)i;
		for (size_t k = 1; k <= m; k++) {
			row[k] = least(last[k] + 1, row[k - 1] + 1, last[k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] && before[k - 2] + 1 < row[k])
				row[k] = before[k - 2] + 1;
		}
	}
	return row[m] < limit ? row[m] : limit;
}

void nearest_begin(struct nearest *nearest, const char *word, size_t n)
{
	*nearest = (struct nearest){ word, n, NULL, (unsigned)(n < 6 ? 2 : n / 3) + 1 };
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
	unsigned distance = nearest_distance(nearest->word, nearest->n, candidate, strlen(candidate), nearest->distance);

	if (distance < nearest->distance) {
		nearest->best = candidate;
		nearest->distance = distance;
	}
}
