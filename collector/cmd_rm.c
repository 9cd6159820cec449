/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop rm: removes all that are named, or says which cannot be. */
#include <stdio.h>

#include "collector/cmd.h"
#include "collector/run.h"

static int rm_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct store *store = cmd_store_open(args, STORE_WRITE);
	int err, status = 0;
	struct error e;
	uint64_t id;

	if (!store)
		return CMD_EXIT_ERROR;
	for (int i = 0; i < args->n_rest; i++) {
		err = run_find(store, args->rest[i], &id, &e);
		if (!err)
			err = store_run_remove(store, id, &e);
		if (err < 0)
			status = cmd_fail(&e);
	}
	store_close(store);
	return status;
}

static const struct cmd_option options[] = {
	CMD_OPTION_STORE,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_rm = {
	.name = "rm",
	.arguments = "RUN...",
	.summary = "Removes runs and everything that is kept of them",
	.text = "RUN is a number that `bop runs` lists, or last. Numbers are never used again.\n"
		"A run that is being recorded is not removed.\n",
	.options = options,
	.min_rest = 1,
	.max_rest = -1,
	.main = rm_main,
};
