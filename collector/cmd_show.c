/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop show: one run, as text or JSON. */
#include <stdio.h>

#include "collector/source.h"

static int show_main(const struct cmd *cmd, const struct cmd_args *args)
{
	Bop__Api__Render ask = BOP__API__RENDER__INIT;
	struct source *source = NULL;
	enum graph_order order;
	struct error e;
	int err;

	if (show_order_parse(args->order, &order, &e) < 0)
		return cmd_fail(&e);
	source = source_open(args, STORE_READ);
	if (!source)
		return CMD_EXIT_ERROR;
	ask.format = args->output ? "output" : args->json ? "json" : "text";
	if (args->order)
		ask.order = (char *)args->order;
	ask.all = args->all;
	err = source_run(source, args->rest[0], &ask.run, &e);
	if (!err)
		err = source_render(source, &ask, stdout, &e);
	source_close(source);
	return err < 0 ? cmd_fail(&e) : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "all", 'a', CMD_FLAG, CMD_OPTION(all), NULL, "list every process, connection and message, not only the first" },
	{ "output", 0, CMD_FLAG, CMD_OPTION(output), NULL, "print only what the processes wrote" },
	{ "order", 0, CMD_TEXT, CMD_OPTION(order), "ORDER", "process (default) or thread: what orders events of one process" },
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print everything as one JSON object (docs/json.md)" },
	CMD_OPTION_STORE,
	SOURCE_OPTION_SERVER,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_show = {
	.name = "show",
	.arguments = "RUN",
	.summary = "Shows a run: how it ended, its faults, processes, connections and messages, and what was lost",
	.text = "RUN is a number that `bop runs` lists, or last. Its print is equal for runs in which the same happened in the\n"
		"same causal order; the second one also if members of one role have changed places (docs/print.md).\n\n"
		"A message is called client>s1:7000#2/3: the third that the process client sent on its second\n"
		"connection to port 7000 of box s1; client<s1:7000#2/1 is the first reply on it. The same name\n"
		"is the same message in the next run. A name with ! behind it is racy: which of two concurrent\n"
		"connections is the second may differ from run to run.\n\n"
		"Of each fault it says what became of it, and what it hit (docs/faults.md); a message that a fault took away\n"
		"is `lost: fault N`.\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 1,
	.main = show_main,
};
