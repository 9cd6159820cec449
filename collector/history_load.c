/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The rows of an experiment, from a store. Runs come first: the class of each exists by then, and one that goes meanwhile takes its runs
 * with it. See history.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/history.h"
#include "collector/run.h"
#include "lib/grow.h"

#define NAMES_SHOWN 8

struct rows {
	struct history_run *runs;
	size_t n_runs, cap_runs;
	struct store_class *classes;
	size_t n_classes, cap_classes;
	bool running; /* there is a run that goes on */
};

static int on_run(const struct store_run *row, void *arg, struct error *e)
{
	struct rows *rows = arg;
	struct history_run *run;

	rows->running |= row->running;
	if (row->running)
		return 0;
	if (grow(&rows->runs, &rows->cap_runs, rows->n_runs + 1, sizeof(*rows->runs)))
		return error_set(e, -ENOMEM, "out of memory");
	run = &rows->runs[rows->n_runs++];
	*run = (struct history_run){ .id = row->id, .class_id = row->class_id, .started_ns = row->started_ns,
				     .outcome = row->outcome };
	if (row->class_id)
		return 0;
	run->reason = row->unclassed ? strdup(row->unclassed) : NULL;
	if (row->unclassed && !run->reason)
		return error_set(e, -ENOMEM, "out of memory");
	run->plan = row->faults ? "" : NULL; /* is read later */
	return 0;
}

static int on_class(const struct store_class *class, void *arg, struct error *e)
{
	struct rows *rows = arg;
	struct store_class *copy;

	if (grow(&rows->classes, &rows->cap_classes, rows->n_classes + 1, sizeof(*rows->classes)))
		return error_set(e, -ENOMEM, "out of memory");
	copy = &rows->classes[rows->n_classes++];
	*copy = *class;
	copy->experiment = NULL;
	copy->plan = class->plan ? strdup(class->plan) : NULL;
	return class->plan && !copy->plan ? error_set(e, -ENOMEM, "out of memory") : 0;
}

/* Of those that have no class and had faults: lists do not have it. One that went meanwhile is none. */
static int plans_read(struct store *store, struct rows *rows, struct error *e)
{
	for (size_t i = 0; i < rows->n_runs; i++) {
		struct history_run *run = &rows->runs[i];
		struct store_run *row = NULL;
		int err = 0;

		if (!run->plan)
			continue;
		run->plan = NULL;
		err = store_run_get(store, run->id, &row, e);
		if (err == -ENOENT) {
			run->id = 0;
			continue;
		}
		if (!err && row->plan) {
			run->dry_run = row->dry_run;
			run->plan = strdup(row->plan);
			err = run->plan ? 0 : error_set(e, -ENOMEM, "out of memory");
		}
		store_run_free(row);
		if (err) {
			while (++i < rows->n_runs)
				rows->runs[i].plan = NULL; /* not ours yet */
			return err;
		}
	}
	return 0;
}

static void rows_fini(struct rows *rows)
{
	for (size_t i = 0; i < rows->n_runs; i++) {
		free((char *)rows->runs[i].reason);
		free((char *)rows->runs[i].plan);
	}
	for (size_t i = 0; i < rows->n_classes; i++)
		free(rows->classes[i].plan);
	free(rows->runs);
	free(rows->classes);
}

/* Experiments that have runs. */
struct names {
	char *names[NAMES_SHOWN];
	size_t n;
	bool more;
};

static int on_named(const struct store_run *row, void *arg, struct error *e)
{
	struct names *names = arg;

	for (size_t i = 0; i < names->n; i++)
		if (!strcmp(names->names[i], row->experiment))
			return 0;
	if (names->n == NAMES_SHOWN) {
		names->more = true;
		return 1;
	}
	names->names[names->n] = strdup(row->experiment);
	return names->names[names->n++] ? 0 : error_set(e, -ENOMEM, "out of memory");
}

static int unknown(struct store *store, const char *experiment, struct error *e)
{
	struct names names = { .n = 0 };
	char list[400] = "";
	size_t used = 0;
	int err = run_each(store, NULL, on_named, &names, e);

	for (size_t i = 0; i < names.n; i++) {
		if (used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", names.names[i] ? names.names[i] : "");
		free(names.names[i]);
	}
	if (err < 0)
		return err;
	if (!names.n)
		return error_set(e, -ENOENT, "there is no run of '%s': the store is empty", experiment);
	return error_set(e, -ENOENT, "there is no run of '%s'; there are runs of %s%s", experiment, list, names.more ? ", ..." : "");
}

int history_load(struct store *store, const char *experiment, enum print_level level, enum store_view view,
		 struct history **ret_history, struct error *e)
{
	struct store_range range = { .experiment = experiment };
	struct rows rows = { .n_runs = 0 };
	int err = run_each(store, &range, on_run, &rows, e);

	if (!err && !rows.n_runs && !rows.running)
		err = unknown(store, experiment, e);
	if (!err)
		err = store_each_class(store, experiment, on_class, &rows, e);
	if (!err)
		err = plans_read(store, &rows, e);
	else
		for (size_t i = 0; i < rows.n_runs; i++)
			rows.runs[i].plan = NULL; /* not ours yet */
	if (!err) {
		err = history_make(rows.runs, rows.n_runs, rows.classes, rows.n_classes, level, view, ret_history);
		if (err)
			error_set(e, err, "no memory for the history of %zu runs", rows.n_runs);
	}
	rows_fini(&rows);
	return err;
}
