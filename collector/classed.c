/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See classed.h. */
#include "collector/classed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void classed_row(const struct prints *prints, struct store_run *row)
{
	_Static_assert(sizeof(prints->own) == sizeof(row->prints[STORE_OWN]), "they are the same");
	memcpy(row->prints[STORE_OWN], prints->own, sizeof(prints->own));
	memcpy(row->prints[STORE_SYMMETRIC], prints->symmetric, sizeof(prints->symmetric));
	row->has_prints = true;
	row->unclassed = (char *)prints->why_not;
}

int classed_injected(const struct graph *graph, const struct store_run *row, char **ret_lines)
{
	char *lines = NULL;
	size_t size = 0;

	for (size_t i = 0; i < graph->n_faults; i++)
		if (graph->faults[i].id > row->faults)
			size += strlen(graph->faults[i].text) + 1;
	if (size) {
		lines = calloc(1, size + 1);
		if (!lines)
			return -ENOMEM;
	}
	for (size_t i = 0; i < graph->n_faults; i++)
		if (graph->faults[i].id > row->faults)
			strcat(strcat(lines, graph->faults[i].text), "\n");
	*ret_lines = lines;
	return 0;
}
