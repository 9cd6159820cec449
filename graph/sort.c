/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Least significant digit first radix sort; digits in which all keys agree cost nothing. Fails only without memory. */
#include "graph/sort.h"
#include "lib/large.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DIGIT_BITS 8
#define DIGITS (64 / DIGIT_BITS)
#define BUCKETS (1 << DIGIT_BITS)
#define SMALL 48

static void insertion_sort(struct pair *pairs, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct pair p = pairs[i];
		size_t k = i;

		for (; k > 0 && pairs[k - 1].key > p.key; k--)
			pairs[k] = pairs[k - 1];
		pairs[k] = p;
	}
}

static bool is_sorted(const struct pair *pairs, size_t n, uint64_t *ret_differ)
{
	bool sorted = true;

	*ret_differ = 0;
	for (size_t i = 1; i < n; i++) {
		sorted &= pairs[i - 1].key <= pairs[i].key;
		*ret_differ |= pairs[i - 1].key ^ pairs[i].key;
	}
	return sorted;
}

int pairs_sort(struct pair *pairs, size_t n, struct pair **spare, size_t *n_spare)
{
	struct pair *from = pairs, *to, *swap;
	uint64_t differ;

	if (is_sorted(pairs, n, &differ))
		return 0;
	if (n <= SMALL) {
		insertion_sort(pairs, n);
		return 0;
	}
	if (n > *n_spare) {
		free(*spare);
		*n_spare = 0;
		*spare = large_malloc(n, sizeof(**spare));
		if (!*spare)
			return -ENOMEM;
		*n_spare = n;
	}
	to = *spare;
	for (unsigned digit = 0; digit < DIGITS; digit++) {
		unsigned shift = digit * DIGIT_BITS;
		size_t place[BUCKETS] = { 0 }, sum = 0;

		if (!((differ >> shift) & (BUCKETS - 1)))
			continue;
		for (size_t i = 0; i < n; i++)
			place[(from[i].key >> shift) & (BUCKETS - 1)]++;
		for (unsigned i = 0; i < BUCKETS; i++) {
			size_t count = place[i];

			place[i] = sum;
			sum += count;
		}
		for (size_t i = 0; i < n; i++)
			to[place[(from[i].key >> shift) & (BUCKETS - 1)]++] = from[i];
		swap = from;
		from = to;
		to = swap;
	}
	if (from != pairs)
		memcpy(pairs, from, n * sizeof(*pairs));
	return 0;
}
