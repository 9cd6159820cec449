/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the class of a run is, for every backend alike: its plan and its prints. See store.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "collector/store_class.h"

void store_plan_key(const char *lines, bool dry_run, unsigned char ret_key[STORE_PLAN_KEY_SIZE])
{
	XXH128_canonical_t key;

	_Static_assert(sizeof(key.digest) == STORE_PLAN_KEY_SIZE, "the key is the hash");
	memset(ret_key, 0, STORE_PLAN_KEY_SIZE);
	if (!lines || !*lines)
		return;
	XXH128_canonicalFromHash(&key, XXH3_128bits_withSeed(lines, strlen(lines), dry_run ? 1 : 0));
	memcpy(ret_key, key.digest, STORE_PLAN_KEY_SIZE);
}

uint64_t store_experiment_key(const char *experiment)
{
	return XXH3_64bits_withSeed(experiment, strlen(experiment), UINT64_MAX); /* no key of a sketch is seeded so */
}

/* Those that it began with, then those that came while it went on. Caller frees; NULL: no memory. */
static char *lines_all(const struct store_run *run, const struct store_seal *how)
{
	const char *plan = run->plan ? run->plan : "", *injected = how->injected ? how->injected : "";
	char *lines = malloc(strlen(plan) + strlen(injected) + 1);

	return lines ? strcat(strcpy(lines, plan), injected) : NULL;
}

/* The class that run would be of; its members are borrowed from run and from lines. 0: it has none. */
static int class_of(const struct store_run *run, char *lines, struct store_class *ret)
{
	if (!run->has_prints || run->unclassed)
		return 0;
	*ret = (struct store_class){
		.experiment = run->experiment,
		.plan = *lines ? lines : NULL,
		.dry_run = *lines && run->dry_run,
	};
	store_plan_key(ret->plan, ret->dry_run, ret->plan_key);
	memcpy(ret->prints, run->prints, sizeof(ret->prints));
	return 1;
}

static const struct store_seal plain;

int store_run_seal(struct store *store, struct store_run *run, const struct store_process *processes, size_t n,
		   const struct store_seal *how, struct error *e)
{
	struct store_class class;
	char *lines;
	int err;

	how = how ? how : &plain;
	lines = lines_all(run, how);
	if (!lines)
		return error_set(e, -ENOMEM, "out of memory");
	err = store->ops->run_seal(store, run, processes, n, class_of(run, lines, &class) ? &class : NULL, how, e);
	free(lines);
	return err;
}

int store_run_class(struct store *store, struct store_run *run, const struct store_seal *how, struct error *e)
{
	struct store_class class;
	char *lines;
	int err;

	how = how ? how : &plain;
	lines = lines_all(run, how);
	if (!lines)
		return error_set(e, -ENOMEM, "out of memory");
	err = store->ops->run_class(store, run, class_of(run, lines, &class) ? &class : NULL, how, e);
	free(lines);
	return err;
}

int store_run_get(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e)
{
	struct store_class *class = NULL;
	struct store_run *run = NULL;
	int err = store->ops->run_get(store, id, &run, e);

	if (!err && run->class_id)
		err = store_class_get(store, run->class_id, &class, e);
	if (err == -ENOENT && run) /* the run was removed a moment ago */
		err = error_set(e, -ENOENT, "run %llu was removed by somebody else", (unsigned long long)id);
	if (err) {
		store_run_free(run);
		return err;
	}
	if (class) {
		memcpy(run->prints, class->prints, sizeof(run->prints));
		run->has_prints = true;
	}
	store_class_free(class);
	*ret_run = run;
	return 0;
}

int store_format_busy(const char *name, uint64_t run, const struct store_owner *owner, struct error *e)
{
	if (!store_owner_certain(owner))
		return 0;
	return error_set(e, -EBUSY,
			 "store %s: it is of format 1, and an older bop (process %d) records run %llu in it, which it could not go on with in "
			 "format 2: wait until that has ended, then try again",
			 name, owner->pid, (unsigned long long)run);
}

unsigned store_approximate(const struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT])
{
	unsigned bits = 0;

	for (enum store_view view = 0; view < STORE_VIEW_COUNT; view++)
		for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
			if (prints[view][level].approximate)
				bits |= store_approximate_bit(view, level);
	return bits;
}

struct store_class *store_class_copy(const struct store_class *from)
{
	struct store_class *class = malloc(sizeof(*class));

	if (!class)
		return NULL;
	*class = *from;
	class->experiment = from->experiment ? strdup(from->experiment) : NULL;
	class->plan = from->plan ? strdup(from->plan) : NULL;
	if ((!from->experiment || class->experiment) && (!from->plan || class->plan))
		return class;
	store_class_free(class);
	return NULL;
}

void store_class_free(struct store_class *class)
{
	if (!class)
		return;
	free(class->experiment);
	free(class->plan);
	free(class);
}
