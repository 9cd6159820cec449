/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stable sort of (key, value) pairs: linear, and one look for what is sorted already, as most inputs here are. */
#ifndef GRAPH_SORT_H
#define GRAPH_SORT_H

#include <stddef.h>
#include <stdint.h>

struct pair {
	uint64_t key;
	uint32_t value;
	uint32_t more; /* goes along */
};

/* *spare, which has room for *n_spare, grows when it is needed. 0 or -ENOMEM. */
int pairs_sort(struct pair *pairs, size_t n, struct pair **spare, size_t *n_spare);

#endif
