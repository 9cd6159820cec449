/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop diff: what differs between two runs that are kept. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collector/cmd.h"
#include "collector/prints.h"
#include "collector/replace.h"
#include "collector/run.h"
#include "collector/show_diff.h"

enum { EXIT_SAME = 0, EXIT_DIFFER = 1 };

struct found {
	uint64_t before, other; /* the last that will do; 0 none: before the run in question, behind it */
	uint64_t run;
};

/* A run that others can be compared with: it ended, whole, and nothing was done to it. */
static int on_run(const struct store_run *row, void *arg, struct error *e)
{
	struct found *found = arg;
	bool whole = !row->running && !row->incomplete && !row->lost && !row->holes && !row->faults;

	if (!whole || row->outcome == OUTCOME_INTERRUPTED || row->outcome == OUTCOME_ERROR || row->id == found->run)
		return 0;
	if (row->id < found->run)
		found->before = row->id;
	else
		found->other = row->id;
	return 0;
}

/* Of the same experiment, the last one before the run, else any. */
static int find_other(struct store *store, const struct run *run, uint64_t *ret_id, struct error *e)
{
	struct found found = { .run = run->row->id };
	struct store_range range = { .experiment = run->row->experiment };
	int err = run_each(store, &range, on_run, &found, e);

	if (err < 0)
		return err;
	*ret_id = found.before ? found.before : found.other;
	if (!*ret_id)
		return error_set(e, -ENOENT,
				 "experiment %s has no other whole run without faults that run %llu could be compared with: "
				 "name one (`bop runs` lists them)",
				 run->row->experiment, (unsigned long long)run->row->id);
	return 0;
}

/* One side: the run, its graph, and its prints. */
struct side {
	struct run *run;
	struct graph *graph;
	struct prints prints;
};

static int side_load(struct side *side, struct store *store, uint64_t id, struct error *e)
{
	int err = side->run ? 0 : run_load(store, id, &side->run, e);

	if (!err)
		err = graph_build(&side->run->trace, GRAPH_ORDER_THREAD, &side->graph, e);
	if (!err)
		err = prints_make(side->run, side->run->row, side->graph, &side->prints, e);
	return err;
}

static void side_fini(struct side *side)
{
	graph_free(side->graph);
	run_free(side->run);
}

/* A picture, and where it goes. */
struct picture {
	const struct shown_diff *shown;
	const char *format;
};

/* svg, png, ...: as the end of the file's name says. */
static int format_of(const char *file, const char **ret_format, struct error *e)
{
	static const char *const formats[] = { "svg", "png", "dot", "json" };
	const char *suffix = strrchr(file, '.');

	for (size_t i = 0; suffix && i < sizeof(formats) / sizeof(*formats); i++)
		if (!strcmp(suffix + 1, formats[i])) {
			*ret_format = formats[i];
			return 0;
		}
	return error_set(e, -EINVAL, "-o %s: the name must end in .svg, .png, .dot or .json", file);
}

static int draw(FILE *out, void *arg, struct error *e)
{
	const struct picture *picture = arg;

	return show_diff_draw(picture->shown, picture->format, out, e);
}

/* Returns the exit status. */
static int compare(const struct side sides[2], const char *format, const struct cmd_args *args)
{
	const struct graph *graphs[2] = { sides[0].graph, sides[1].graph };
	struct shown_diff shown = { .graphs = { graphs[0], graphs[1] } };
	struct picture picture = { &shown, format };
	struct diff *diff = NULL;
	struct error e;
	int err = diff_new(graphs, &diff);
	bool differ;

	if (err < 0) {
		error_set(&e, err, "no memory to compare runs of %zu and %zu events", graphs[0]->n_vertices,
			  graphs[1]->n_vertices);
		return cmd_fail(&e);
	}
	shown.diff = diff;
	for (int i = 0; i < 2; i++) {
		shown.runs[i] = sides[i].run->row->id;
		shown.lost[i] = sides[i].run->trace.lost;
		shown.experiments[i] = sides[i].run->row->experiment;
		memcpy(shown.prints[i], sides[i].prints.own, sizeof(shown.prints[i]));
	}
	if (args->file)
		err = replace_file(args->file, draw, &picture, &e);
	else if (args->json)
		err = show_diff_json(&shown, stdout, &e);
	else
		show_diff(&shown, args->all, stdout);
	differ = diff->n_changes ||
		 print_compare(&shown.prints[0][PRINT_LEVEL_EXACT], &shown.prints[1][PRINT_LEVEL_EXACT]);
	diff_free(diff);
	return err < 0 ? cmd_fail(&e) : cmd_flush(differ ? EXIT_DIFFER : EXIT_SAME);
}

static int diff_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct side sides[2] = { { .run = NULL } };
	int err, status = CMD_EXIT_ERROR;
	const char *format = NULL;
	uint64_t ids[2] = { 0 };
	struct store *store;
	struct error e;

	if (args->file && args->json)
		return cmd_failf("diff: --json prints what differs, -o FILE.json writes that and the picture: choose one");
	if (args->file && format_of(args->file, &format, &e) < 0)
		return cmd_fail(&e);
	store = cmd_store_open(args, STORE_READ);
	if (!store)
		return CMD_EXIT_ERROR;
	err = run_find(store, args->rest[0], &ids[args->n_rest == 1], &e);
	if (!err && args->n_rest == 2)
		err = run_find(store, args->rest[1], &ids[1], &e);
	if (!err)
		err = side_load(&sides[1], store, ids[1], &e);
	if (!err && args->n_rest == 1)
		err = find_other(store, sides[1].run, &ids[0], &e);
	if (!err)
		err = side_load(&sides[0], store, ids[0], &e);
	status = err < 0 ? cmd_fail(&e) : compare(sides, format, args);
	side_fini(&sides[0]);
	side_fini(&sides[1]);
	store_close(store);
	return status;
}

static const struct cmd_option options[] = {
	{ "out", 'o', CMD_TEXT, CMD_OPTION(file), "FILE", "one picture of both runs, instead; its name ends in .svg, .png, .dot or .json" },
	{ "all", 'a', CMD_FLAG, CMD_OPTION(all), NULL, "say all that differs, not only the first 50 things" },
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print everything as one JSON object (docs/diff.md)" },
	CMD_OPTION_STORE,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_diff = {
	.name = "diff",
	.arguments = "RUN [RUN]",
	.summary = "Says what differs between two runs, and what a fault explains of it",
	.text = "RUN is a number that `bop runs` lists, or last. `bop diff 3 7` says what run 7 has and run 3 has not, and\n"
		"the other way round; `bop diff 7` compares run 7 with the last whole run without faults of its experiment\n"
		"before it.\n\n"
		"Lines with * are not explained; those with . come after a fault that fired, or where events were lost,\n"
		"which stands behind them. What happened after the outcome does not count (docs/diff.md).\n\n"
		"-o draws both in one picture: + only in the later one, \u2212 only in the other one, \u21c5 in another order, \u2260 came\n"
		"to something else; .json is what --json prints, with the vertices and edges of the picture.\n\n"
		"exit status: 0 nothing differs, 1 something does, 3 they cannot be compared\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 2,
	.main = diff_main,
};
