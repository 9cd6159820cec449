/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bop graph: the picture of a run. A file is written beside its place and renamed when it is whole, so that nothing
 * half written is ever there.
 */
#include <stdio.h>
#include <unistd.h>

#include "collector/replace.h"
#include "collector/source.h"
#include "collector/suffix.h"

/* What is asked for, and where it goes. */
struct drawing {
	struct source *source;
	Bop__Api__Render ask;
};

static int draw(FILE *out, void *arg, struct error *e)
{
	struct drawing *drawing = arg;

	return source_render(drawing->source, &drawing->ask, out, e);
}

static int graph_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct drawing drawing = { .ask = BOP__API__RENDER__INIT };
	enum graph_order order;
	struct error e;
	int err;

	if (!args->file && isatty(STDOUT_FILENO))
		return cmd_failf("graph: name a file with -o (quorum.svg, .png, .dot or .json): a terminal cannot show it");
	err = suffix_format(args->file ? args->file : ".svg", &drawing.ask.format, &e);
	if (!err)
		err = show_order_parse(args->order, &order, &e);
	if (err < 0)
		return cmd_fail(&e);
	drawing.source = source_open(args, STORE_READ);
	if (!drawing.source)
		return CMD_EXIT_ERROR;
	if (args->order)
		drawing.ask.order = (char *)args->order;
	drawing.ask.all = args->all;
	err = source_run(drawing.source, args->rest[0], &drawing.ask.run, &e);
	if (!err)
		err = args->file ? replace_file(args->file, draw, &drawing, &e) : draw(stdout, &drawing, &e);
	source_close(drawing.source);
	return err < 0 ? cmd_fail(&e) : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "out", 'o', CMD_TEXT, CMD_OPTION(file), "FILE", "where to; its name ends in .svg, .png, .dot or .json" },
	{ "order", 0, CMD_TEXT, CMD_OPTION(order), "ORDER", "process (default) or thread: what orders events of one process" },
	{ "all", 'a', CMD_FLAG, CMD_OPTION(all), NULL, "also draw what happened while the run was stopped" },
	CMD_OPTION_STORE,
	SOURCE_OPTION_SERVER,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_graph = {
	.name = "graph",
	.arguments = "RUN",
	.summary = "Draws what happened before what in a run: one lane a process, time downwards, messages as arrows",
	.text = "RUN is a number that `bop runs` lists, or last. Without -o the SVG goes to standard output.\n"
		"docs/pictures.md explains the signs. .json is what `bop show --json` prints.\n"
		"For other programs, as `bop export` writes them: .perfetto-trace, .otlp.json, .molly, .sql, .shiviz.\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 1,
	.main = graph_main,
};
