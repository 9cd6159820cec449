/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs of a class one after the other, by tables from what the store calls it to its place here. See history.h. */
#define HASH_NONFATAL_OOM 1
#include "collector/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "lib/grow.h"

enum { REASONS_MAX = 16 /* different ones; others are counted together */ };

/* Key: a class of the store; a plan; a print of a plan at a level. */
struct key {
	uint64_t what, a, b, c;
};

enum what { OF_CLASS, OF_PLAN, OF_PRINT /* and so on: one for each view and level */ };

struct entry {
	UT_hash_handle hh;
	struct key key;
	size_t at; /* its place */
};

struct maker {
	struct history *h;
	const struct store_class *classes;
	struct entry *entries;
	size_t cap_classes, cap_plans, cap_reasons;
};

int history_level_parse(const char *name, enum print_level *ret_level, struct error *e)
{
	*ret_level = PRINT_LEVEL_EXACT;
	if (!name || !*name)
		return 0;
	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
		if (!strcmp(name, print_level_name(level))) {
			*ret_level = level;
			return 0;
		}
	return error_set(e, -EINVAL, "level '%s': it is exact, folded or shape", name);
}

static struct entry *find(const struct maker *m, const struct key *key)
{
	struct entry *entry;

	HASH_FIND(hh, m->entries, key, sizeof(*key), entry);
	return entry;
}

static int put(struct maker *m, const struct key *key, size_t at)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return -ENOMEM;
	entry->key = *key;
	entry->at = at;
	HASH_ADD(hh, m->entries, key, sizeof(entry->key), entry);
	if (entry->hh.tbl)
		return 0;
	free(entry);
	return -ENOMEM;
}

static int plan_find(struct maker *m, const unsigned char *plan_key, const char *lines, bool dry_run, size_t *ret_at)
{
	struct key key = { .what = OF_PLAN };
	struct history *h = m->h;
	struct history_plan *plan;
	struct entry *entry;

	memcpy(&key.a, plan_key, sizeof(key.a));
	memcpy(&key.b, plan_key + sizeof(key.a), sizeof(key.b));
	entry = find(m, &key);
	if (entry) {
		*ret_at = entry->at;
		return 0;
	}
	if (grow(&h->plans, &m->cap_plans, h->n_plans + 1, sizeof(*h->plans)))
		return -ENOMEM;
	plan = &h->plans[h->n_plans];
	*plan = (struct history_plan){ .lines = strdup(lines ? lines : ""), .dry_run = dry_run };
	memcpy(plan->key, plan_key, sizeof(plan->key));
	if (!plan->lines)
		return -ENOMEM;
	*ret_at = h->n_plans++;
	return put(m, &key, *ret_at);
}

/* 1: that print of the plan was not seen before at this level; 0: it was, at *ret_at. at: where it is to be, if it is new. */
static int print_see(struct maker *m, size_t plan, enum store_view view, enum print_level level, const struct store_class *class,
		     size_t at, size_t *ret_at)
{
	const struct print *print = &class->prints[view][level];
	struct key key = { OF_PRINT + 2 * (PRINT_LEVEL_COUNT * (uint64_t)view + (uint64_t)level) + print->approximate, print->high,
			   print->low, plan };
	struct entry *entry = find(m, &key);

	*ret_at = entry ? entry->at : at;
	return entry ? 0 : put(m, &key, at) ? -ENOMEM : 1;
}

/* The first run of a class of the store: *ret_at is the class here that it is in. */
static int class_take(struct maker *m, const struct store_class *class, size_t *ret_at)
{
	struct history *h = m->h;
	size_t plan, at;
	int new = 0, err = plan_find(m, class->plan_key, class->plan, class->dry_run, &plan);

	for (enum store_view view = 0; view < STORE_VIEW_COUNT && !err; view++)
		for (enum print_level level = 0; level < PRINT_LEVEL_COUNT && !err; level++) {
			int seen = print_see(m, plan, view, level, class, h->n_classes, &at);

			err = seen < 0 ? seen : 0;
			h->at[view][level] += seen > 0;
			if (view == h->view && level == h->level) {
				new = seen;
				*ret_at = at;
			}
		}
	if (err || !new)
		return err;
	if (grow(&h->classes, &m->cap_classes, h->n_classes + 1, sizeof(*h->classes)))
		return -ENOMEM;
	h->classes[h->n_classes++] = (struct history_class){ .id = class->id, .plan = plan,
							     .print = class->prints[h->view][h->level] };
	return 0;
}

static void plan_count(struct history_plan *plan, const struct history_run *run)
{
	plan->first_run = plan->first_run ? plan->first_run : run->id;
	plan->last_run = run->id;
	plan->outcomes[run->outcome]++;
	if (run->class_id)
		plan->runs++;
	else
		plan->unclassed++;
}

static int reason_count(struct maker *m, const char *text)
{
	struct history *h = m->h;
	size_t at;

	text = text ? text : "nobody has looked yet what it did";
	for (at = 0; at < h->n_reasons && strcmp(h->reasons[at].text, text); at++)
		;
	if (at == h->n_reasons && at >= REASONS_MAX)
		return reason_count(m, h->reasons[REASONS_MAX - 1].text);
	if (at == h->n_reasons) {
		char *copy = strdup(at == REASONS_MAX - 1 ? "other reasons" : text);

		if (!copy || grow(&h->reasons, &m->cap_reasons, at + 1, sizeof(*h->reasons))) {
			free(copy);
			return -ENOMEM;
		}
		h->reasons[h->n_reasons++] = (struct history_reason){ .text = copy };
	}
	h->reasons[at].runs++;
	return 0;
}

static int unclassed_take(struct maker *m, const struct history_run *run)
{
	unsigned char key[STORE_PLAN_KEY_SIZE];
	size_t plan;
	int err;

	store_plan_key(run->plan, run->dry_run, key);
	err = plan_find(m, key, run->plan, run->dry_run, &plan);
	if (err)
		return err;
	m->h->unclassed++;
	plan_count(&m->h->plans[plan], run);
	return reason_count(m, run->reason);
}

/* By its number in the store. */
static const struct store_class *class_find(const struct store_class *classes, size_t n, uint64_t id)
{
	size_t low = 0;

	while (low < n) {
		size_t middle = low + (n - low) / 2;

		if (classes[middle].id == id)
			return &classes[middle];
		if (classes[middle].id < id)
			low = middle + 1;
		else
			n = middle;
	}
	return NULL;
}

static int run_take(struct maker *m, const struct history_run *run, size_t n_classes)
{
	const struct key key = { .what = OF_CLASS, .a = run->class_id };
	const struct entry *entry = find(m, &key);
	const struct store_class *stored = NULL;
	struct history_class *class;
	size_t at = 0;
	int err;

	if (entry) {
		at = entry->at;
	} else {
		stored = class_find(m->classes, n_classes, run->class_id);
		if (!stored)
			return 0;
		err = class_take(m, stored, &at);
		if (!err)
			err = put(m, &key, at);
		if (err)
			return err;
	}
	class = &m->h->classes[at];
	m->h->runs++;
	if (!class->count) {
		class->first_run = run->id;
		class->first_ns = run->started_ns;
		class->found_at = m->h->runs;
	}
	if (stored) {
		class->exact++;
		if (!class->kept_run)
			class->kept_run = stored->kept_run;
	}
	class->count++;
	class->last_run = run->id;
	class->last_ns = run->started_ns;
	class->outcomes[run->outcome]++;
	plan_count(&m->h->plans[class->plan], run);
	return 0;
}

static int by_runs(const void *a, const void *b)
{
	const struct history_reason *x = a, *y = b;

	return x->runs < y->runs ? 1 : x->runs > y->runs ? -1 : 0;
}

/* Of each plan, from how often its classes came; and of all of them. */
static int richness_set(struct history *h)
{
	struct {
		uint64_t classes, once, twice;
	} *counts = calloc(h->n_plans + 1, sizeof(*counts));

	if (!counts)
		return -ENOMEM;
	for (size_t i = 0; i < h->n_classes; i++) {
		const struct history_class *class = &h->classes[i];

		counts[class->plan].classes++;
		counts[class->plan].once += class->count == 1;
		counts[class->plan].twice += class->count == 2;
	}
	for (size_t i = 0; i < h->n_plans; i++) {
		h->plans[i].richness =
			richness_of(h->plans[i].runs, counts[i].classes, counts[i].once, counts[i].twice);
		if (h->plans[i].runs)
			richness_join(&h->richness, &h->plans[i].richness);
	}
	free(counts);
	return 0;
}

int history_make(const struct history_run *runs, size_t n_runs, const struct store_class *classes, size_t n_classes,
		 enum print_level level, enum store_view view, struct history **ret_history)
{
	struct maker m = { .h = calloc(1, sizeof(*m.h)), .classes = classes };
	struct entry *entry, *next;
	int err = m.h ? 0 : -ENOMEM;

	if (!err) {
		m.h->level = level;
		m.h->view = view;
	}
	for (size_t i = 0; i < n_runs && !err; i++)
		err = !runs[i].id ? 0 : runs[i].class_id ? run_take(&m, &runs[i], n_classes) : unclassed_take(&m, &runs[i]);
	if (!err)
		err = richness_set(m.h);
	HASH_ITER(hh, m.entries, entry, next) {
		HASH_DEL(m.entries, entry);
		free(entry);
	}
	if (err) {
		history_free(m.h);
		return err;
	}
	if (m.h->n_reasons)
		qsort(m.h->reasons, m.h->n_reasons, sizeof(*m.h->reasons), by_runs);
	*ret_history = m.h;
	return 0;
}

void history_free(struct history *history)
{
	if (!history)
		return;
	for (size_t i = 0; i < history->n_plans; i++)
		free(history->plans[i].lines);
	for (size_t i = 0; i < history->n_reasons; i++)
		free(history->reasons[i].text);
	free(history->classes);
	free(history->plans);
	free(history->reasons);
	free(history);
}
