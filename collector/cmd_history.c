/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop history: what an experiment's runs did, and how often. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/catch_up.h"
#include "collector/history.h"
#include "collector/replace.h"
#include "collector/show_history.h"
#include "collector/source.h"
#include "graph/chart.h"

/* Every class has a print, and there are no more than it says: else a server would be asked for ever. */
static int page_check(const Bop__Api__History *page, size_t before, struct error *e)
{
	bool sane = before + page->n_rows <= page->classes && (!page->more || page->n_rows);

	for (size_t i = 0; i < page->n_rows; i++)
		sane &= page->rows[i]->print != NULL;
	return sane ? 0 : error_set(e, -EBADMSG, "the server's answer makes no sense");
}

/* All of it: pages are put together. The rows of a page are taken. */
static int history_get(struct source *source, Bop__Api__GetHistory *ask, Bop__Api__History **ret_history, struct error *e)
{
	struct api_request request = { .kind = API_GET_HISTORY, .get_history = ask };
	Bop__Api__History *all = NULL, *page;
	Bop__Api__Class **rows;
	struct api_answer answer;
	bool more = true;
	int err = 0;

	for (ask->after = 0; more; ask->after = all->n_rows) {
		err = source_ask(source, &request, API_HISTORY, &answer, e);
		if (err)
			break;
		page = answer.history;
		more = page->more;
		err = page_check(page, all ? all->n_rows : 0, e);
		if (!all) {
			all = page;
			if (err)
				break;
			continue;
		}
		rows = err ? NULL : realloc(all->rows, (all->n_rows + page->n_rows + 1) * sizeof(*rows));
		if (rows) {
			all->rows = rows;
			memcpy(rows + all->n_rows, page->rows, page->n_rows * sizeof(*rows));
			all->n_rows += page->n_rows;
			page->n_rows = 0;
		} else if (!err) {
			err = error_set(e, -ENOMEM, "out of memory");
		}
		api_answer_fini(&answer);
		if (err)
			break;
	}
	if (err && all)
		bop__api__history__free_unpacked(all, NULL);
	else
		*ret_history = all;
	return err;
}

struct histories {
	struct shown_history *shown;
	size_t n;
	enum render_format format; /* of a figure */
};

static int figure(FILE *out, void *arg, struct error *e)
{
	const struct histories *all = arg;

	return show_histories_figure(all->shown, all->n, all->format, out, e);
}

/* In the words of bop diff, beside what is most like it of all that was found before. */
static char *explain(void *source, const Bop__Api__Class *class)
{
	Bop__Api__Diff ask = BOP__API__DIFF__INIT;
	char *lines = NULL;
	size_t size = 0;
	bool differs;
	struct error e;
	FILE *out;
	int err;

	if (class->found_at <= 1)
		return NULL;
	if (!class->kept_run)
		return strdup("the events of its runs were removed");
	out = open_memstream(&lines, &size);
	if (!out)
		return NULL;
	ask.run = class->kept_run;
	ask.format = "text";
	err = source_diff(source, &ask, out, &differs, &e);
	fclose(out);
	if (!err)
		return lines;
	free(lines);
	return strdup(e.text);
}

static int all_get(struct source *source, struct histories *all, const struct cmd_args *args, struct error *e)
{
	Bop__Api__GetHistory ask = BOP__API__GET_HISTORY__INIT;
	enum print_level level;
	int err = history_level_parse(args->level, &level, e);

	ask.level = (char *)print_level_name(level);
	ask.symmetric = args->symmetric;
	for (; all->n < (size_t)args->n_rest && !err; all->n += !err) {
		Bop__Api__History *history = NULL;

		ask.experiment = args->rest[all->n];
		err = history_get(source, &ask, &history, e);
		all->shown[all->n] = (struct shown_history){ .experiment = args->rest[all->n], .level = level,
							     .symmetric = args->symmetric, .history = history,
							     .explain = args->explain ? explain : NULL, .explain_arg = source };
	}
	return err;
}

/* Returns the exit status. */
static int all_show(struct histories *all, const struct cmd_args *args)
{
	struct error e;
	int err = 0;

	if (args->file)
		err = replace_file(args->file, figure, all, &e);
	else if (args->json)
		err = show_histories_json(all->shown, all->n, stdout, &e);
	else
		for (size_t i = 0; i < all->n; i++) {
			if (i)
				puts("");
			show_history(&all->shown[i], args->all, stdout);
		}
	return err < 0 ? cmd_fail(&e) : cmd_flush(0);
}

/* What can be said before anything is read. Returns the exit status. */
static int args_check(const struct cmd_args *args, enum render_format *ret_format)
{
	const char *suffix = args->file ? strrchr(args->file, '.') : ".svg";
	enum print_level level;
	struct error e;

	if (history_level_parse(args->level, &level, &e) < 0)
		return cmd_failf("history: --%s", e.text);
	if (!suffix || (strcmp(suffix, ".svg") && strcmp(suffix, ".png")))
		return cmd_failf("history: -o %s: the name must end in .svg or .png", args->file);
	if (args->file && (args->json || args->explain))
		return cmd_failf("history: -o draws a figure; it does not go together with --%s", args->json ? "json" : "explain");
	if (args->file && args->n_rest > CHART_LINES_MAX)
		return cmd_failf("history: a figure has at most %d lines, not %d", CHART_LINES_MAX, args->n_rest);
	*ret_format = strcmp(suffix, ".png") ? RENDER_SVG : RENDER_PNG;
	return 0;
}

/* Runs that nobody has looked at yet get their classes, if the store can be written; else they are counted as such. */
static void catch_up(const char *url)
{
	struct store *store = NULL;
	bool lags;

	if (store_open(url, STORE_READ, &store, NULL) < 0)
		return;
	lags = history_lags(store, NULL) > 0;
	store_close(store);
	store = NULL;
	if (lags && store_open(url, STORE_WRITE, &store, NULL) == 0)
		history_catch_up(store, NULL);
	store_close(store);
}

static int history_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct histories all = { .n = 0 };
	struct source *source;
	struct error e;
	int status = args_check(args, &all.format);

	if (status)
		return status;
	source = source_open(args, STORE_READ); /* runs of who was killed are sealed by it */
	if (!source)
		return CMD_EXIT_ERROR;
	if (!args->server)
		catch_up(cmd_store_url(args));
	all.shown = calloc((size_t)args->n_rest, sizeof(*all.shown));
	if (!all.shown)
		status = cmd_failf("out of memory");
	else
		status = all_get(source, &all, args, &e) < 0 ? cmd_fail(&e) : 0;
	if (!status)
		status = all_show(&all, args);
	for (size_t i = 0; i < all.n; i++)
		bop__api__history__free_unpacked((Bop__Api__History *)all.shown[i].history, NULL);
	free(all.shown);
	source_close(source);
	return status;
}

static const struct cmd_option options[] = {
	{ "level", 0, CMD_TEXT, CMD_OPTION(level), "LEVEL",
	  "what counts as the same: exact (default), folded (repetition collapsed) or shape (docs/print.md)" },
	{ "symmetric", 0, CMD_FLAG, CMD_OPTION(symmetric), NULL, "also when processes of one role stand for each other" },
	{ "out", 'o', CMD_TEXT, CMD_OPTION(file), "FILE", "draw distinct runs against runs, a line an experiment; FILE ends in .svg or .png" },
	{ "explain", 0, CMD_FLAG, CMD_OPTION(explain), NULL, "of each class, what differs from the one most like it that was found before" },
	{ "all", 'a', CMD_FLAG, CMD_OPTION(all), NULL, "list every class, not only the 30 most frequent" },
	CMD_OPTION_STORE,
	SOURCE_OPTION_SERVER,
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print JSON: {\"histories\": [...]} (docs/json.md)" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_history = {
	.name = "history",
	.arguments = "EXPERIMENT...",
	.summary = "Says which classes of runs an experiment has, how often each came, and how many may not have come yet",
	.text = "EXPERIMENT is a name that `bop runs` lists. Runs are of one class if they exchanged the same messages in the same\n"
		"causal order, with the same plan of faults. FOUND is the how-many-th run the first of a class was, FIRST and LAST\n"
		"are numbers of runs, WHEN the last one began. A run that lost events, or did not end as it should, is never of a\n"
		"class. How many classes there are at least is estimated by Chao1 (docs/history.md).\n\n"
		"  bop history quorum\n"
		"  bop history redis-one-client redis-two-clients -o figure.svg\n",
	.options = options,
	.min_rest = 1,
	.max_rest = -1,
	.main = history_main,
};
