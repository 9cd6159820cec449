/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See copy_index.h. Tables by what a run is known by, one for each experiment that was asked for. */
#define HASH_NONFATAL_OOM 1
#include "collector/copy_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct key {
	uint64_t started_ns, pid_namespace, start;
	int64_t pid;
	char boot_id[sizeof(((struct store_owner *)0)->boot_id)];
};

struct entry {
	UT_hash_handle hh;
	struct key key;
	uint64_t id;
};

struct experiment {
	UT_hash_handle hh;
	struct entry *entries;
	uint64_t last; /* the highest number that was seen */
	char name[];
};

struct copy_index {
	struct store *store;
	struct experiment *experiments;
};

static void key_make(const struct store_run *row, struct key *ret)
{
	memset(ret, 0, sizeof(*ret)); /* it is hashed whole */
	ret->started_ns = row->started_ns;
	ret->pid_namespace = row->owner.pid_namespace;
	ret->start = row->owner.start;
	ret->pid = row->owner.pid;
	memcpy(ret->boot_id, row->owner.boot_id, strnlen(row->owner.boot_id, sizeof(ret->boot_id)));
}

static struct entry *entry_find(const struct experiment *x, const struct key *key)
{
	struct entry *entry;

	HASH_FIND(hh, x->entries, key, sizeof(*key), entry);
	return entry;
}

/* Of equal ones the first. */
static int on_run(const struct store_run *row, void *arg, struct error *e)
{
	struct experiment *x = arg;
	struct entry *entry;
	struct key key;

	x->last = row->id > x->last ? row->id : x->last;
	key_make(row, &key);
	if (entry_find(x, &key))
		return 0;
	entry = calloc(1, sizeof(*entry));
	if (entry) {
		entry->key = key;
		entry->id = row->id;
		HASH_ADD(hh, x->entries, key, sizeof(entry->key), entry);
	}
	if (entry && entry->hh.tbl)
		return 0;
	free(entry);
	return error_set(e, -ENOMEM, "out of memory");
}

static struct experiment *experiment_of(struct copy_index *index, const char *name)
{
	struct experiment *x;
	size_t n = strlen(name);

	HASH_FIND_STR(index->experiments, name, x);
	if (x)
		return x;
	x = calloc(1, sizeof(*x) + n + 1);
	if (!x)
		return NULL;
	memcpy(x->name, name, n);
	HASH_ADD_KEYPTR(hh, index->experiments, x->name, n, x);
	if (x->hh.tbl)
		return x;
	free(x);
	return NULL;
}

struct copy_index *copy_index_new(struct store *store)
{
	struct copy_index *index = calloc(1, sizeof(*index));

	if (index)
		index->store = store;
	return index;
}

static void entries_free(struct experiment *x)
{
	struct entry *entry, *next;

	HASH_ITER(hh, x->entries, entry, next)
	{
		HASH_DEL(x->entries, entry);
		free(entry);
	}
}

void copy_index_free(struct copy_index *index)
{
	struct experiment *x, *next;

	if (!index)
		return;
	HASH_ITER(hh, index->experiments, x, next)
	{
		HASH_DEL(index->experiments, x);
		entries_free(x);
		free(x);
	}
	free(index);
}

/* It may have been removed since. */
static int is_there(struct copy_index *index, struct experiment *x, struct entry *entry, struct error *e)
{
	struct store_run *row = NULL;
	int err = store_run_get(index->store, entry->id, &row, e);

	store_run_free(row);
	if (err != -ENOENT)
		return err ? err : 1;
	HASH_DEL(x->entries, entry);
	free(entry);
	return 0;
}

int copy_index_find(struct copy_index *index, const struct store_run *row, uint64_t *ret_id, struct error *e)
{
	struct experiment *x = experiment_of(index, row->experiment);
	struct store_range range = { .experiment = row->experiment };
	struct entry *entry;
	struct key key;
	int err;

	if (!x)
		return error_set(e, -ENOMEM, "out of memory");
	range.after = x->last; /* what is copied meanwhile gets a higher number, see store_transaction() */
	err = store_each_run(index->store, &range, on_run, x, e);
	if (err < 0)
		return err;
	key_make(row, &key);
	entry = entry_find(x, &key);
	if (!entry)
		return 0;
	*ret_id = entry->id;
	return is_there(index, x, entry, e);
}
