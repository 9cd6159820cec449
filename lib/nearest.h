/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The word that somebody may have meant: by the edits that are between them. Pure. Cannot fail. */
#ifndef LIB_NEAREST_H
#define LIB_NEAREST_H

#include <stddef.h>

#define NEAREST_MAX 255u /* bytes of a word that are compared; longer ones are near to nothing */

/* Insertions, deletions, replacements and swaps of neighbours from a (n bytes) to b (m bytes); `limit` or more: limit. */
unsigned nearest_distance(const char *a, size_t n, const char *b, size_t m, unsigned limit);

/*
 * Whoever looks for the nearest of several words offers them one after the other. The first of equals stays, and what is further
 * away than a third of the word (two bytes at least) is none.
 */
struct nearest {
	const char *word; /* as given to nearest_begin(), borrowed */
	size_t n;
	const char *best; /* borrowed from who offered it; NULL: none yet */
	unsigned distance; /* of best; without: one more than is near */
};

void nearest_begin(struct nearest *nearest, const char *word, size_t n);
void nearest_offer(struct nearest *nearest, const char *candidate);

#endif
