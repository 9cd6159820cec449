/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop rm: removes all that are named, or says which cannot be. */
#include <stdio.h>

#include "collector/source.h"

static int run_remove(struct source *source, const char *name, struct error *e)
{
	Bop__Api__RemoveRun ask = BOP__API__REMOVE_RUN__INIT;
	struct api_request request = { .kind = API_REMOVE_RUN, .remove_run = &ask };
	struct api_answer answer;
	int err = source_run(source, name, &ask.run, e);

	if (!err)
		err = source_ask(source, &request, API_REMOVED, &answer, e);
	if (!err)
		api_answer_fini(&answer);
	return err;
}

static int rm_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct source *source = source_open(args, STORE_WRITE);
	int status = 0;
	struct error e;

	if (!source)
		return CMD_EXIT_ERROR;
	for (int i = 0; i < args->n_rest; i++)
		if (run_remove(source, args->rest[i], &e) < 0)
			status = cmd_fail(&e);
	source_close(source);
	return status;
}

static const struct cmd_option options[] = {
	CMD_OPTION_STORE,
	SOURCE_OPTION_SERVER,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_rm = {
	.name = "rm",
	.arguments = "RUN...",
	.summary = "Removes runs and everything that is kept of them",
	.text = "RUN is a number that `bop runs` lists, or last. Numbers are never used again.\n"
		"A run that is being recorded is not removed. Repeats of one that is removed have no events any more\n"
		"(docs/store.md).\n",
	.options = options,
	.min_rest = 1,
	.max_rest = -1,
	.main = rm_main,
};
