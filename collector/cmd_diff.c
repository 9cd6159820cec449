/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop diff: what differs between two runs that are kept. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collector/replace.h"
#include "collector/source.h"

enum { EXIT_SAME = 0, EXIT_DIFFER = 1 };

/* What is asked for, and where it goes. */
struct comparing {
	struct source *source;
	Bop__Api__Diff ask;
	bool differs;
};

/* svg, png, ...: as the end of the file's name says. That of a picture in JSON has a name of its own. */
static int format_of(const char *file, char **ret_format, struct error *e)
{
	static char *const formats[] = { "svg", "png", "dot" };
	const char *suffix = strrchr(file, '.');

	for (size_t i = 0; suffix && i < sizeof(formats) / sizeof(*formats); i++)
		if (!strcmp(suffix + 1, formats[i]))
			*ret_format = formats[i];
	if (suffix && !strcmp(suffix, ".json"))
		*ret_format = "picture";
	return *ret_format ? 0 : error_set(e, -EINVAL, "-o %s: the name must end in .svg, .png, .dot or .json", file);
}

static int compare(FILE *out, void *arg, struct error *e)
{
	struct comparing *c = arg;

	return source_diff(c->source, &c->ask, out, &c->differs, e);
}

static int diff_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct comparing c = { .ask = BOP__API__DIFF__INIT };
	char *format = NULL;
	struct error e;
	int err;

	if (args->file && args->json)
		return cmd_failf("diff: --json prints what differs, -o FILE.json writes that and the picture: choose one");
	if (args->file && format_of(args->file, &format, &e) < 0)
		return cmd_fail(&e);
	c.source = source_open(args, STORE_READ);
	if (!c.source)
		return CMD_EXIT_ERROR;
	c.ask.format = format ? format : args->json ? "json" : "text";
	c.ask.all = args->all;
	err = source_run(c.source, args->rest[args->n_rest - 1], &c.ask.run, &e);
	if (!err && args->n_rest == 2)
		err = source_run(c.source, args->rest[0], &c.ask.other, &e);
	if (!err)
		err = args->file ? replace_file(args->file, compare, &c, &e) : compare(stdout, &c, &e);
	source_close(c.source);
	return err < 0 ? cmd_fail(&e) : cmd_flush(c.differs ? EXIT_DIFFER : EXIT_SAME);
}

static const struct cmd_option options[] = {
	{ "out", 'o', CMD_TEXT, CMD_OPTION(file), "FILE", "one picture of both runs, instead; its name ends in .svg, .png, .dot or .json" },
	{ "all", 'a', CMD_FLAG, CMD_OPTION(all), NULL, "say all that differs, not only the first 50 things" },
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print everything as one JSON object (docs/diff.md)" },
	CMD_OPTION_STORE,
	SOURCE_OPTION_SERVER,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_diff = {
	.name = "diff",
	.arguments = "RUN [RUN]",
	.summary = "Says what differs between two runs, and what a fault explains of it",
	.text = "RUN is a number that `bop runs` lists, or last. `bop diff 3 7` says what run 7 has and run 3 has not, and\n"
		"the other way round; `bop diff 7` compares run 7 with what is most like it of all that its experiment did before,\n"
		"with or without faults. For a repeat that is not the run that it repeats, but the nearest one that did something else.\n"
		"If nothing is like it, it is the last whole run without faults. What was found, and how much they have in common,\n"
		"stands in the first lines.\n\n"
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
