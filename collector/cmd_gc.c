/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bop gc: removes events of runs that nobody misses, or that a policy names (gc.h); finishes what a killed bop began to remove. Each run
 * is a transaction of its own: whoever is killed meanwhile has done a part of it, and the next one goes on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/catch_up.h"
#include "collector/cmd.h"
#include "collector/experiment.h"
#include "collector/gc.h"
#include "collector/json.h"
#include "lib/clock.h"
#include "lib/grow.h"

/* A run that is shown with the events of one that has its own: itself, or another. */
struct use {
	uint64_t whole, started_ns, rank;
};

/* How many runs of an experiment were seen. */
struct experiment_count {
	char *name;
	uint64_t n;
};

struct garbage {
	struct store *store;
	const struct cmd_args *args;
	struct gc_policy policy;
	struct gc_run *runs;
	size_t n, cap;
	struct use *uses;
	size_t n_uses, cap_uses;
	struct experiment_count *experiments;
	size_t n_experiments, cap_experiments;
	uint64_t dropped, bytes; /* runs; of their events */
	uint64_t before, after;	 /* bytes of the store */
	int swept;
	json_t *rows; /* NULL: text */
};

static int option_fail(const char *option, const char *value, const char *what, struct error *e)
{
	return error_set(e, -EINVAL, "--%s %s: give %s", option, value, what);
}

static int policy_read(const struct cmd_args *args, struct gc_policy *ret, struct error *e)
{
	uint64_t ago, now = clock_realtime_ns();

	*ret = (struct gc_policy){ .max_size = GC_NO_LIMIT, .keep_last = GC_NO_LIMIT, .violated = args->violated };
	if (args->older_than) {
		if (gc_time_parse(args->older_than, &ago) || ago >= now)
			return option_fail("older-than", args->older_than, "a time, such as 30d (s, m, h, d, w)", e);
		ret->before_ns = now - ago;
	}
	if (args->max_size && gc_size_parse(args->max_size, &ret->max_size))
		return option_fail("max-size", args->max_size, "a size, such as 2G (k, M, G, T)", e);
	if (args->keep_last && strcmp(args->keep_last, "0") && !cmd_number(args->keep_last, GC_NO_LIMIT - 1, &ret->keep_last))
		return option_fail("keep-last", args->keep_last, "how many runs of each experiment", e);
	if (args->keep_last && !strcmp(args->keep_last, "0"))
		ret->keep_last = 0;
	if (args->violated && !args->older_than && !args->max_size && !args->keep_last)
		return error_set(e, -EINVAL, "--violated says nothing alone: it goes with --older-than, --max-size or --keep-last");
	return 0;
}

static struct experiment_count *experiment_of(struct garbage *g, const char *name)
{
	struct experiment_count *count;

	for (size_t i = 0; i < g->n_experiments; i++)
		if (!strcmp(g->experiments[i].name, name))
			return &g->experiments[i];
	if (grow(&g->experiments, &g->cap_experiments, g->n_experiments + 1, sizeof(*g->experiments)))
		return NULL;
	count = &g->experiments[g->n_experiments];
	*count = (struct experiment_count){ .name = strdup(name) };
	if (!count->name)
		return NULL;
	g->n_experiments++;
	return count;
}

/* From the newest on. */
static int on_run(const struct store_run *row, void *arg, struct error *e)
{
	struct experiment_count *count;
	struct garbage *g = arg;

	if (row->running || !row->kept)
		return 0;
	count = experiment_of(g, row->experiment);
	if (!count || grow(&g->runs, &g->cap, g->n + 1, sizeof(*g->runs)) ||
	    grow(&g->uses, &g->cap_uses, g->n_uses + 1, sizeof(*g->uses)))
		return error_set(e, -ENOMEM, "out of memory");
	g->uses[g->n_uses++] = (struct use){ row->kept, row->started_ns, count->n++ };
	if (row->kept != row->id)
		return 0;
	g->runs[g->n++] = (struct gc_run){
		.id = row->id,
		.rank = UINT64_MAX,
		.experiment = count->name, /* names stay where they are, counts do not */
		.outcome = row->outcome,
		.class_id = row->class_id,
		.unique = true, /* until its class was looked at */
	};
	return 0;
}

static int by_class(const void *a, const void *b)
{
	const struct gc_run *x = a, *y = b;

	if (x->class_id != y->class_id)
		return x->class_id < y->class_id ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int by_number(const void *a, const void *b)
{
	const struct gc_run *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int by_whole(const void *a, const void *b)
{
	const struct use *x = a, *y = b;

	return x->whole < y->whole ? -1 : x->whole > y->whole;
}

/* Runs are by number. */
static void uses_apply(struct garbage *g)
{
	size_t k = 0;

	qsort(g->uses, g->n_uses, sizeof(*g->uses), by_whole);
	for (size_t i = 0; i < g->n; i++) {
		while (k < g->n_uses && g->uses[k].whole < g->runs[i].id)
			k++;
		for (; k < g->n_uses && g->uses[k].whole == g->runs[i].id; k++) {
			const struct use *use = &g->uses[k];

			g->runs[i].used_ns = use->started_ns > g->runs[i].used_ns ? use->started_ns : g->runs[i].used_ns;
			g->runs[i].rank = use->rank < g->runs[i].rank ? use->rank : g->runs[i].rank;
			g->runs[i].uses++;
		}
	}
}

/* What messages said is only in the run that kept it; what cannot be read, nobody knows. */
static int has_contents(struct store *store, uint64_t id, bool *ret_has, struct error *e)
{
	struct experiment *experiment = NULL;
	struct store_run *row = NULL;
	int err = store_run_get(store, id, &row, e);

	*ret_has = true;
	if (!err && experiment_parse(row->path, row->path, row->text, strlen(row->text), &experiment, NULL) == 0)
		*ret_has = experiment->content_bytes;
	experiment_free(experiment);
	store_run_free(row);
	return err == -ENOENT ? 0 : err;
}

/* Only of classes that have more than one run here: others have no copies. */
static int unique_find(struct garbage *g, struct error *e)
{
	int err = 0;

	qsort(g->runs, g->n, sizeof(*g->runs), by_class);
	for (size_t i = 0, n; i < g->n && !err; i += n) {
		struct store_class *class = NULL;

		for (n = 1; i + n < g->n && g->runs[i + n].class_id == g->runs[i].class_id; n++)
			;
		if (n < 2 || !g->runs[i].class_id)
			continue;
		err = store_class_get(g->store, g->runs[i].class_id, &class, e);
		for (size_t k = i; k < i + n && !err && !class->prints[STORE_OWN][PRINT_LEVEL_EXACT].approximate; k++)
			err = has_contents(g->store, g->runs[k].id, &g->runs[k].unique, e);
		store_class_free(class);
		err = err == -ENOENT ? 0 : err; /* its last run was removed meanwhile */
	}
	qsort(g->runs, g->n, sizeof(*g->runs), by_number);
	return err;
}

static int plan(struct garbage *g, struct error *e)
{
	int err = store_each_run(g->store, &(struct store_range){ .experiment = g->args->experiment, .newest = true }, on_run, g, e);

	if (!err)
		err = unique_find(g, e);
	if (!err)
		uses_apply(g);
	for (size_t i = 0; i < g->n && !err; i++)
		err = store_run_size(g->store, g->runs[i].id, &g->runs[i].size, e);
	if (!err && gc_plan(g->runs, g->n, &g->policy) < 0)
		err = error_set(e, -ENOMEM, "out of memory");
	return err;
}

static void why_text(const struct garbage *g, const struct gc_run *run, char *buf, size_t size)
{
	switch (run->why) {
	case GC_KEEP:
		break;
	case GC_COPY:
		snprintf(buf, size, "did the same as run %" PRIu64 ", which keeps its events", run->copy_of);
		return;
	case GC_OLD:
		snprintf(buf, size, "nothing that is shown with them is younger than %s", g->args->older_than);
		return;
	case GC_NOT_LAST:
		snprintf(buf, size, "none of the last %s runs of its experiment is shown with them", g->args->keep_last);
		return;
	case GC_TOO_LARGE:
		snprintf(buf, size, "one of the oldest, and all have more than %s", g->args->max_size);
		return;
	}
	*buf = '\0';
}

static const char *const why_words[] = {
	[GC_KEEP] = "kept", [GC_COPY] = "copy", [GC_OLD] = "old", [GC_NOT_LAST] = "not-last", [GC_TOO_LARGE] = "too-large"
};

static void run_tell(struct garbage *g, const struct gc_run *run)
{
	const char *outcome = outcome_name(run->outcome) ? outcome_name(run->outcome) : "?";
	char why[128];

	g->dropped++;
	g->bytes += run->size;
	if (g->rows) {
		json_array_append_new(g->rows, json_pack("{s:o,s:o,s:s,s:o,s:s,s:o}", "run", json_number(run->id), "experiment",
							 json_text(run->experiment), "outcome", outcome, "bytes",
							 json_number(run->size), "why", why_words[run->why], "copy_of",
							 run->copy_of ? json_number(run->copy_of) : json_null()));
		return;
	}
	why_text(g, run, why, sizeof(why));
	printf("run %" PRIu64 "  %s  %s  %" PRIu64 " B  %s\n", run->id, run->experiment, outcome, run->size, why);
}

/* Something that another bop did meanwhile is right as it is. */
static int run_drop(struct garbage *g, const struct gc_run *run, struct error *e)
{
	int err = 0;

	if (!g->args->dry)
		err = run->why == GC_COPY ? store_run_fold(g->store, run->id, e) : store_run_drop(g->store, run->id, run->uses, e);
	if (err == -ENOENT || err == -ESTALE)
		return 0;
	if (!err)
		run_tell(g, run);
	return err;
}

static void sum_print(const struct garbage *g)
{
	json_t *object;

	if (g->rows) {
		object = json_pack("{s:O,s:b,s:o,s:i,s:o,s:o}", "runs", g->rows, "dry_run", g->args->dry, "bytes", json_number(g->bytes),
				   "finished", g->swept, "store_before", json_number(g->before), "store_after", json_number(g->after));
		json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(object);
		return;
	}
	if (g->swept)
		printf("finished what a killed bop began to remove: %d run%s\n", g->swept, g->swept == 1 ? "" : "s");
	printf("%" PRIu64 " run%s %s events, %" PRIu64 " B", g->dropped, g->dropped == 1 ? "" : "s",
	       g->args->dry ? "would lose" : "lost", g->bytes);
	if (!g->args->dry && g->before != STORE_UNKNOWN && g->after < g->before)
		printf("; the store had %" PRIu64 " B and has %" PRIu64 " B", g->before, g->after);
	putchar('\n');
}

static int collect(struct garbage *g, struct error *e)
{
	int err = store_room(g->store, false, &g->before, e);

	if (!err && !g->args->dry) {
		g->swept = store_sweep(g->store, NULL, NULL, e);
		err = g->swept < 0 ? g->swept : history_catch_up(g->store, e);
		err = err > 0 ? 0 : err;
	}
	if (!err)
		err = plan(g, e);
	for (size_t i = 0; i < g->n && !err; i++)
		if (g->runs[i].why != GC_KEEP)
			err = run_drop(g, &g->runs[i], e);
	return err ? err : store_room(g->store, !g->args->dry, &g->after, e);
}

static int gc_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct garbage g = { .args = args, .rows = args->json ? json_array() : NULL };
	struct error e;
	int err = policy_read(args, &g.policy, &e);

	if (!err && !(g.store = cmd_store_open(args, args->dry ? STORE_READ : STORE_WRITE)))
		err = 1; /* it said why */
	if (!err)
		err = collect(&g, &e);
	if (!err)
		sum_print(&g);
	for (size_t i = 0; i < g.n_experiments; i++)
		free(g.experiments[i].name);
	free(g.experiments);
	free(g.uses);
	free(g.runs);
	json_decref(g.rows);
	store_close(g.store);
	return err > 0 ? CMD_EXIT_ERROR : err < 0 ? cmd_fail(&e) : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "older-than", 0, CMD_TEXT, CMD_OPTION(older_than), "TIME", "also runs that began longer ago: 30d, 12h" },
	{ "max-size", 0, CMD_TEXT, CMD_OPTION(max_size), "SIZE", "then the oldest, until the events of all have no more: 2G, 500M" },
	{ "keep-last", 0, CMD_TEXT, CMD_OPTION(keep_last), "N",
	  "never the last N of each experiment; without the two above: all others" },
	{ "violated", 0, CMD_FLAG, CMD_OPTION(violated), NULL, "these three take also runs whose outcome is violated" },
	{ "experiment", 0, CMD_TEXT, CMD_OPTION(experiment), "NAME", "only runs of that experiment" },
	{ "dry-run", 0, CMD_FLAG, CMD_OPTION(dry), NULL, "only say what would be removed, and why" },
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print JSON" },
	CMD_OPTION_STORE,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_gc = {
	.name = "gc",
	.arguments = "",
	.summary = "Removes events of runs that did the same as another, or are old, and gives their room back",
	.text = "Runs stay in `bop runs` and `bop history`, with their outcomes, prints, processes and plans; only their events go.\n"
		"Without --older-than, --max-size and --keep-last these are copies: runs that keep their own though another run\n"
		"of their class, with their outcome, has the same (--keep all, import). They are shown with that one's events.\n"
		"It also finishes what a bop that was killed began to remove.\n",
	.options = options,
	.min_rest = 0,
	.max_rest = 0,
	.main = gc_main,
};
