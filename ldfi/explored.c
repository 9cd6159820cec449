/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See explored.h. Fails only without memory. */
#define HASH_NONFATAL_OOM 1
#include "ldfi/explored.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "lib/grow.h"

struct row {
	UT_hash_handle hh;
	size_t n;
	uint32_t failures[];
};

struct explored {
	struct row *rows;
	struct failures *violations;
	size_t n_violations, cap_violations;
};

int explored_new(struct explored **ret_explored)
{
	*ret_explored = calloc(1, sizeof(**ret_explored));
	return *ret_explored ? 0 : -ENOMEM;
}

void explored_free(struct explored *explored)
{
	struct row *row, *next;

	if (!explored)
		return;
	HASH_ITER (hh, explored->rows, row, next) {
		HASH_DEL(explored->rows, row);
		free(row);
	}
	for (size_t i = 0; i < explored->n_violations; i++)
		failures_fini(&explored->violations[i]);
	free(explored->violations);
	free(explored);
}

static struct row *row_find(const struct explored *explored, const struct failures *plan)
{
	struct row *row;

	HASH_FIND(hh, explored->rows, plan->rows, plan->n * sizeof(*plan->rows), row);
	return row;
}

int explored_add(struct explored *explored, const struct failures *plan)
{
	size_t size = plan->n * sizeof(*plan->rows);
	struct row *row;

	if (!plan->n || row_find(explored, plan))
		return 0;
	row = calloc(1, sizeof(*row) + size);
	if (!row)
		return -ENOMEM;
	row->n = plan->n;
	memcpy(row->failures, plan->rows, size);
	HASH_ADD_KEYPTR(hh, explored->rows, row->failures, size, row);
	if (row->hh.tbl)
		return 0;
	free(row);
	return -ENOMEM;
}

int explored_add_violation(struct explored *explored, const struct failures *plan)
{
	struct failures copy = { .n = 0 };
	int err = grow(&explored->violations, &explored->cap_violations, explored->n_violations + 1, sizeof(copy));

	for (size_t i = 0; i < plan->n && !err; i++)
		err = failures_add(&copy, plan->rows[i]);
	if (err)
		failures_fini(&copy);
	else
		explored->violations[explored->n_violations++] = copy;
	return err;
}

size_t explored_count(const struct explored *explored)
{
	return HASH_COUNT(explored->rows);
}

bool explored_has(const struct explored *explored, const struct failures *plan)
{
	return plan->n && row_find(explored, plan);
}

static bool superset(const struct explored *explored, const struct failures *plan)
{
	for (size_t i = 0; i < explored->n_violations; i++) {
		const struct failures *violation = &explored->violations[i];
		size_t there = 0;

		for (size_t k = 0; k < violation->n; k++)
			there += failures_has(plan, violation->rows[k]);
		if (there == violation->n)
			return true;
	}
	return false;
}

enum explored_how explored_find(const struct explored *explored, const struct knowledge *knowledge, size_t n_ways,
				const struct failures *plan)
{
	enum explored_how how = EXPLORED_NOT;
	struct failures image = { .n = 0 };

	if (!plan->n)
		return EXPLORED_NOT; /* the run without faults */
	if (row_find(explored, plan))
		return EXPLORED_SAME;
	if (superset(explored, plan))
		return EXPLORED_SUPERSET;
	for (size_t way = 1; way < n_ways && how == EXPLORED_NOT; way++) {
		if (!knowledge_mirror(knowledge, way, plan, &image))
			continue;
		if (row_find(explored, &image))
			how = EXPLORED_MIRRORED;
		else if (superset(explored, &image))
			how = EXPLORED_SUPERSET;
	}
	failures_fini(&image);
	return how;
}
