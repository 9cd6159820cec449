/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop show: one run, as text or JSON. */
#include <stdio.h>

#include "collector/cmd.h"
#include "collector/show.h"

static int show_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct store *store = NULL;
	enum graph_order order;
	struct graph *graph = NULL;
	struct run *run = NULL;
	struct error e;
	uint64_t id;
	int err;

	if (show_order_parse(args->order, &order, &e) < 0)
		return cmd_fail(&e);
	store = cmd_store_open(args, STORE_READ);
	if (!store)
		return CMD_EXIT_ERROR;
	err = run_find(store, args->rest[0], &id, &e);
	if (!err)
		err = run_load(store, id, &run, &e);
	if (!err && args->output)
		err = show_output(run, stdout, &e);
	else if (!err)
		err = graph_build(&run->trace, order, &graph, &e);
	if (!err && !args->output)
		err = args->json ? show_run_json(run, graph, stdout, &e) : show_run(run, graph, args->all, stdout, &e);
	graph_free(graph);
	run_free(run);
	store_close(store);
	return err < 0 ? cmd_fail(&e) : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "all", 'a', CMD_FLAG, CMD_OPTION(all), NULL, "list every process, connection and message, not only the first" },
	{ "output", 0, CMD_FLAG, CMD_OPTION(output), NULL, "print only what the processes wrote" },
	{ "order", 0, CMD_TEXT, CMD_OPTION(order), "ORDER", "process (default) or thread: what orders events of one process" },
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print everything as one JSON object (docs/json.md)" },
	CMD_OPTION_STORE,
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
