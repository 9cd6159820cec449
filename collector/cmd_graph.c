/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bop graph: the picture of a run. A file is written beside its place and renamed when it is whole, so that nothing
 * half written is ever there.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/cmd.h"
#include "collector/show.h"
#include "graph/render.h"

enum format { FORMAT_SVG, FORMAT_PNG, FORMAT_DOT, FORMAT_JSON };

static int format_of(const char *file, enum format *ret_format, struct error *e)
{
	static const char *const suffixes[] = { ".svg", ".png", ".dot", ".json" };
	const char *suffix = file ? strrchr(file, '.') : ".svg";

	for (int i = 0; suffix && i < 4; i++)
		if (!strcmp(suffix, suffixes[i])) {
			*ret_format = (enum format)i;
			return 0;
		}
	return error_set(e, -EINVAL, "-o %s: the name must end in .svg, .png, .dot or .json", file);
}

static int draw(const struct run *run, const struct graph *graph, enum format format, bool all, FILE *out,
		struct error *e)
{
	static const enum render_format formats[] = { RENDER_SVG, RENDER_PNG, RENDER_DOT };
	const struct store_run *row = run->row;
	char title[256], subtitle[256];
	struct render_options options = {
		.title = title,
		.subtitle = subtitle,
		.failed = !row->running && row->outcome != OUTCOME_GOOD,
		.incomplete = row->incomplete || row->running || row->lost || graph->n_holes,
		.teardown = all,
	};

	if (format == FORMAT_JSON)
		return show_run_json(run, graph, out, e);
	snprintf(title, sizeof(title), "%s, run %llu: %s", row->experiment, (unsigned long long)row->id,
		 row->running ? "running" : outcome_name(row->outcome) ? outcome_name(row->outcome) : "?");
	snprintf(subtitle, sizeof(subtitle), "%s", row->reason ? row->reason : "");
	return render_graph(graph, formats[format], &options, out, e);
}

/* A device or pipe: nothing can be renamed onto it. */
static int draw_special(const struct run *run, const struct graph *graph, enum format format,
			const struct cmd_args *args, struct error *e)
{
	FILE *out = fopen(args->file, "we");
	int err;

	if (!out)
		return error_set(e, -errno, "%s: %s", args->file, strerror(errno));
	err = draw(run, graph, format, args->all, out, e);
	if (!err && ferror(out))
		err = error_set(e, -EIO, "%s: %s", args->file, strerror(errno));
	if (fclose(out) && !err)
		err = error_set(e, -errno, "%s: %s", args->file, strerror(errno));
	return err;
}

/* Draws into a temporary file beside `file`, and puts it there. */
static int draw_file(const struct run *run, const struct graph *graph, enum format format, const char *file,
		     const struct cmd_args *args, struct error *e)
{
	char *temporary = NULL;
	FILE *out = NULL;
	int fd = -1, err;
	mode_t mask;

	if (asprintf(&temporary, "%s.XXXXXX", file) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	fd = mkstemp(temporary);
	if (fd < 0) {
		err = error_set(e, -errno, "%s: %s", file, strerror(errno));
		goto out;
	}
	out = fdopen(fd, "w");
	if (!out) {
		err = error_set(e, -errno, "%s: %s", file, strerror(errno));
		close(fd);
		goto remove;
	}
	err = draw(run, graph, format, args->all, out, e);
	if (!err && ferror(out))
		err = error_set(e, -EIO, "%s: %s", file, strerror(errno));
	if (err < 0)
		goto remove;
	mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
	err = fclose(out);
	out = NULL;
	if (err || rename(temporary, file) < 0)
		err = error_set(e, -errno, "%s: %s", file, strerror(errno));
remove:
	if (err < 0)
		unlink(temporary);
out:
	if (out)
		fclose(out);
	free(temporary);
	return err;
}

static int draw_to(const struct run *run, const struct graph *graph, enum format format, const struct cmd_args *args,
		   struct error *e)
{
	char real[PATH_MAX];
	struct stat st;

	if (!args->file)
		return draw(run, graph, format, args->all, stdout, e);
	if (stat(args->file, &st) == 0 && !S_ISREG(st.st_mode))
		return draw_special(run, graph, format, args, e);
	/* a link stays one: what it points to is replaced */
	return draw_file(run, graph, format, realpath(args->file, real) ? real : args->file, args, e);
}

static int graph_main(const struct cmd *cmd, const struct cmd_args *args)
{
	enum graph_order order;
	struct store *store = NULL;
	struct graph *graph = NULL;
	struct run *run = NULL;
	enum format format = FORMAT_SVG;
	struct error e;
	uint64_t id;
	int err;

	if (!args->file && isatty(STDOUT_FILENO))
		return cmd_failf("graph: name a file with -o (quorum.svg, .png, .dot or .json): a terminal cannot show it");
	err = format_of(args->file, &format, &e);
	if (!err)
		err = show_order_parse(args->order, &order, &e);
	if (err < 0)
		return cmd_fail(&e);
	store = cmd_store_open(args, STORE_READ);
	if (!store)
		return CMD_EXIT_ERROR;
	err = run_find(store, args->rest[0], &id, &e);
	if (!err)
		err = run_load(store, id, &run, &e);
	if (!err)
		err = graph_build(&run->trace, order, &graph, &e);
	if (!err)
		err = draw_to(run, graph, format, args, &e);
	graph_free(graph);
	run_free(run);
	store_close(store);
	return err < 0 ? cmd_fail(&e) : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "out", 'o', CMD_TEXT, CMD_OPTION(file), "FILE", "where to; its name ends in .svg, .png, .dot or .json" },
	{ "order", 0, CMD_TEXT, CMD_OPTION(order), "ORDER", "process (default) or thread: what orders events of one process" },
	{ "all", 'a', CMD_FLAG, CMD_OPTION(all), NULL, "also draw what happened while the run was stopped" },
	CMD_OPTION_STORE,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_graph = {
	.name = "graph",
	.arguments = "RUN",
	.summary = "Draws what happened before what in a run: one lane a process, time downwards, messages as arrows",
	.text = "RUN is a number that `bop runs` lists, or last. Without -o the SVG goes to standard output.\n"
		"docs/pictures.md explains the signs. .json is what `bop show --json` prints.\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 1,
	.main = graph_main,
};
