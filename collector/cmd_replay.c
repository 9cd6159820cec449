/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop replay: does again what a stored run did. */
#include <stdio.h>

#include "collector/cmd_many.h"
#include "collector/cmd_remote.h"
#include "collector/query.h"

/* What the run did: its exact print, if it counts. 0 is the last run; *number becomes its own. */
static int before_get(struct remote *remote, uint64_t *number, struct cmd_many *many, struct error *e)
{
	Bop__Api__GetRun get = BOP__API__GET_RUN__INIT;
	struct api_request request = { .kind = API_GET_RUN, .get_run = &get };
	struct api_answer answer;
	struct prints prints;
	struct store_run row;
	bool has_prints;
	int err;

	get.run = *number;
	err = remote_ask(remote, &request, API_RUN_INFO, &answer, e);
	if (err)
		return err;
	if (answer.run_info->row) {
		query_row_back(answer.run_info->row, &row, &prints, &has_prints);
		*number = many->of = row.id;
		many->has_before = row.class_id && has_prints;
		if (many->has_before)
			many->before = prints.own[PRINT_LEVEL_EXACT];
	}
	api_answer_fini(&answer);
	return 0;
}

static int replay_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct cmd_remote remote;
	struct course_result run;
	struct cmd_many many;
	struct error e;
	uint64_t number;
	unsigned keep;
	int err = 0, status = cmd_run_named(cmd, args->rest[0], &number);

	if (!status)
		status = cmd_keep(args, &keep);
	if (!status)
		status = cmd_many_begin(&many, args);
	if (!status)
		status = cmd_remote_open(args, &remote);
	if (status)
		return status;
	if (args->runs > 1 || args->until_stable)
		err = before_get(remote.remote, &number, &many, &e);
	while (!err && cmd_many_more(&many) && !remote_interrupted(remote.remote)) {
		err = remote_replay(remote.remote, number, keep, &run, &e);
		if (err)
			break;
		cmd_many_run(&many, &run);
		status = outcome_worse_status(status, cmd_run_print(&run, remote_store(remote.remote), args));
	}
	if (err)
		status = cmd_remote_fail(&remote, err, &e);
	else if (remote_interrupted(remote.remote))
		status = outcome_worse_status(status, outcome_status(OUTCOME_INTERRUPTED));
	cmd_remote_close(&remote);
	return cmd_many_end(&many, status);
}

static const struct cmd_option options[] = {
	{ "runs", 'n', CMD_NUMBER, CMD_OPTION(runs), "N", "do it N times, each in fresh boxes (default 1)" },
	CMD_OPTIONS_STABLE,
	CMD_OPTION_STORE,
	CMD_OPTION_ELSEWHERE,
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print one JSON object a run, a line each (docs/json.md)" },
	CMD_OPTION_KEEP,
	{ "keep-dir", 0, CMD_FLAG, CMD_OPTION(keep), NULL, "keep the run's directory and say where it is" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_replay = {
	.name = "replay",
	.arguments = "RUN",
	.summary = "Does again what a stored run did: its experiment, as it was then, with its faults and seed",
	.text = "RUN is a number that `bop runs` lists, or last. Programs and folders are looked for where they were. Faults\n"
		"that were injected while it ran are not part of its plan. Needs root, with --server only whose server it is.\n"
		"The exit status is that of `bop run`. After several, a line says how many did what RUN did.\n\n"
		"  bop replay last --runs 20\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 1,
	.main = replay_main,
};
