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

#include "collector/source.h"

/* What is asked for, and where it goes. */
struct drawing {
	struct source *source;
	Bop__Api__Render ask;
};

/* svg, png, ...: as the end of the file's name says. */
static int format_of(const char *file, char **ret_format, struct error *e)
{
	static char *const formats[] = { "svg", "png", "dot", "json", "molly", "sql", "shiviz" };
	const char *suffix = file ? strrchr(file, '.') : ".svg";

	for (size_t i = 0; suffix && i < sizeof(formats) / sizeof(*formats); i++)
		if (!strcmp(suffix + 1, formats[i])) {
			*ret_format = formats[i];
			return 0;
		}
	return error_set(e, -EINVAL, "-o %s: the name must end in .svg, .png, .dot or .json (or .molly, .sql, .shiviz)", file);
}

/* A device or pipe: nothing can be renamed onto it. */
static int draw_special(struct drawing *drawing, const char *file, struct error *e)
{
	FILE *out = fopen(file, "we");
	int err;

	if (!out)
		return error_set(e, -errno, "%s: %s", file, strerror(errno));
	err = source_render(drawing->source, &drawing->ask, out, e);
	if (!err && ferror(out))
		err = error_set(e, -EIO, "%s: %s", file, strerror(errno));
	if (fclose(out) && !err)
		err = error_set(e, -errno, "%s: %s", file, strerror(errno));
	return err;
}

/* Draws into a temporary file beside `file`, and puts it there. */
static int draw_file(struct drawing *drawing, const char *file, struct error *e)
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
	err = source_render(drawing->source, &drawing->ask, out, e);
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

static int draw_to(struct drawing *drawing, const char *file, struct error *e)
{
	char real[PATH_MAX];
	struct stat st;

	if (!file)
		return source_render(drawing->source, &drawing->ask, stdout, e);
	if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
		return draw_special(drawing, file, e);
	/* a link stays one: what it points to is replaced */
	return draw_file(drawing, realpath(file, real) ? real : file, e);
}

static int graph_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct drawing drawing = { .ask = BOP__API__RENDER__INIT };
	enum graph_order order;
	struct error e;
	int err;

	if (!args->file && isatty(STDOUT_FILENO))
		return cmd_failf("graph: name a file with -o (quorum.svg, .png, .dot or .json): a terminal cannot show it");
	err = format_of(args->file, &drawing.ask.format, &e);
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
		err = draw_to(&drawing, args->file, &e);
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
		"Not to be looked at: .molly is Molly's runs.json, .sql a table of messages in logical time, .shiviz a log\n"
		"for ShiViz (docs/lineage.md).\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 1,
	.main = graph_main,
};
