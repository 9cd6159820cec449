/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See gc.h. */
#include "collector/gc.h"

#include <errno.h>
#include <stdlib.h>

static struct gc_run *const *pair_of(const void *a)
{
	return a;
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_class(const void *a, const void *b)
{
	const struct gc_run *x = *pair_of(a), *y = *pair_of(b);
	int order = compare(x->class_id, y->class_id);

	if (!order)
		order = compare(x->outcome, y->outcome);
	return order ? order : compare(x->id, y->id);
}

/* The one that was not used for longest first. */
static int by_age(const void *a, const void *b)
{
	const struct gc_run *x = *pair_of(a), *y = *pair_of(b);
	int order = compare(x->used_ns, y->used_ns);

	return order ? order : compare(x->id, y->id);
}

static bool is_group(const struct gc_run *a, const struct gc_run *b)
{
	return a->class_id && a->class_id == b->class_id && a->outcome == b->outcome && !a->unique && !b->unique;
}

/* In each class, of each outcome, all but the first, which stands for them. What is unique stands for itself alone. order: by class. */
static void copies_find(struct gc_run **order, size_t n)
{
	struct gc_run *first = NULL;

	for (size_t i = 0; i < n; i++) {
		struct gc_run *run = order[i];

		if (run->unique)
			continue;
		if (!first || !is_group(first, run)) {
			first = run;
			continue;
		}
		run->why = GC_COPY;
		run->copy_of = first->id;
		first->used_ns = run->used_ns > first->used_ns ? run->used_ns : first->used_ns;
		first->rank = run->rank < first->rank ? run->rank : first->rank;
	}
}

static bool may_go(const struct gc_run *run, const struct gc_policy *policy)
{
	return run->why == GC_KEEP && (policy->keep_last == GC_NO_LIMIT || run->rank >= policy->keep_last) &&
	       (policy->violated || run->outcome != OUTCOME_VIOLATED);
}

static void rules_apply(struct gc_run *runs, size_t n, const struct gc_policy *policy)
{
	bool alone = !policy->before_ns && policy->max_size == GC_NO_LIMIT && policy->keep_last != GC_NO_LIMIT;

	for (size_t i = 0; i < n; i++) {
		if (!may_go(&runs[i], policy))
			continue;
		if (runs[i].used_ns < policy->before_ns)
			runs[i].why = GC_OLD;
		else if (alone)
			runs[i].why = GC_NOT_LAST;
	}
}

static void size_apply(struct gc_run **order, size_t n, const struct gc_policy *policy)
{
	uint64_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += order[i]->why == GC_KEEP ? order[i]->size : 0;
	qsort(order, n, sizeof(*order), by_age);
	for (size_t i = 0; i < n && size > policy->max_size; i++)
		if (may_go(order[i], policy)) {
			order[i]->why = GC_TOO_LARGE;
			size -= order[i]->size;
		}
}

/* order: by class. */
static void copies_follow(struct gc_run **order, size_t n)
{
	const struct gc_run *first = NULL;

	for (size_t i = 0; i < n; i++) {
		if (order[i]->why != GC_COPY) {
			first = order[i]->unique ? first : order[i];
		} else if (first->why != GC_KEEP) {
			order[i]->why = first->why;
			order[i]->copy_of = 0;
		}
	}
}

int gc_plan(struct gc_run *runs, size_t n, const struct gc_policy *policy)
{
	struct gc_run **order = calloc(n + 1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		runs[i].why = GC_KEEP;
		runs[i].copy_of = 0;
		order[i] = &runs[i];
	}
	qsort(order, n, sizeof(*order), by_class);
	copies_find(order, n);
	rules_apply(runs, n, policy);
	if (policy->max_size != GC_NO_LIMIT)
		size_apply(order, n, policy);
	qsort(order, n, sizeof(*order), by_class);
	copies_follow(order, n);
	free(order);
	return 0;
}

struct unit {
	char letter;
	uint64_t factor;
};

static int number_parse(const char *text, const struct unit *units, uint64_t *ret)
{
	char *end;
	uint64_t number;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	while (units->factor && units->letter != *end)
		units++;
	if (errno || !units->factor || (*end && end[1]) || number > (uint64_t)INT64_MAX / units->factor)
		return -EINVAL;
	*ret = number * units->factor;
	return 0;
}

int gc_time_parse(const char *text, uint64_t *ret_ns)
{
	static const uint64_t second = 1000000000;
	static const struct unit units[] = {
		{ 's', second }, { 'm', 60 * second }, { 'h', 3600 * second }, { 'd', 86400 * second }, { 'w', 7 * 86400 * second }, { 0 }
	};

	return number_parse(text, units, ret_ns);
}

int gc_size_parse(const char *text, uint64_t *ret_bytes)
{
	static const struct unit units[] = { { 'k', 1 << 10 }, { 'K', 1 << 10 }, { 'M', 1 << 20 }, { 'G', 1 << 30 }, { 'T', 1ull << 40 },
					     { '\0', 1 }, { 0 } };

	return number_parse(text, units, ret_bytes);
}
