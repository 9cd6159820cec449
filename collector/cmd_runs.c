/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop runs: the list. */
#include <stdio.h>

#include "collector/source.h"

static int runs_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct source *source = source_open(args, STORE_READ);
	struct error e;
	int err;

	if (!source)
		return CMD_EXIT_ERROR;
	err = (args->json ? show_runs_json : show_runs)(source_each_run, source, args->prints, stdout, &e);
	source_close(source);
	return err < 0 ? cmd_fail(&e) : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "prints", 0, CMD_FLAG, CMD_OPTION(prints), NULL, "also what makes a run a repeat of another (docs/print.md)" },
	CMD_OPTION_STORE,
	SOURCE_OPTION_SERVER,
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print JSON: {\"runs\": [...]} (docs/json.md)" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_runs = {
	.name = "runs",
	.arguments = "",
	.summary = "Lists the runs that are kept, oldest first",
	.text = "FAULTS is how many its plan has, LOST how many events are missing: 0 is a promise, `?` that nobody knows.\n"
		"A run that did not end as it should (bop or its agent was killed) is `incomplete`.\n"
		"CLASS says whether it did what no run of its experiment and plan did before: `new`, or `repeat of run N`, whose\n"
		"events stand for its own (docs/store.md); `not new` was kept all the same, `-` has no class,\n"
		"and of one with `no events` they were removed.\n"
		"With --prints, PRINT is equal for equal runs, FOLDED also if they differ only in how often something was\n"
		"repeated, SHAPE if the same sorts of exchanges took place in any order; `-` for a run that is not whole.\n",
	.options = options,
	.max_rest = 0,
	.main = runs_main,
};
