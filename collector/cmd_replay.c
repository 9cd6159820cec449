/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop replay: does again what a stored run did. */
#include "collector/cmd_remote.h"

static int replay_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct cmd_remote remote;
	struct course_result run;
	struct error e;
	uint64_t number;
	unsigned keep;
	int err = 0, status = cmd_run_named(cmd, args->rest[0], &number);

	if (!status)
		status = cmd_keep(args, &keep);
	if (!status)
		status = cmd_remote_open(args, &remote);
	if (status)
		return status;
	for (uint64_t i = 0; !err && i < args->runs && !remote_interrupted(remote.remote); i++) {
		err = remote_replay(remote.remote, number, keep, &run, &e);
		number = err || number ? number : run.id; /* the last one did the same as the one before it */
		if (!err)
			status = outcome_worse_status(status, cmd_run_print(&run, remote_store(remote.remote), args));
	}
	if (err)
		status = cmd_remote_fail(&remote, err, &e);
	else if (remote_interrupted(remote.remote))
		status = outcome_worse_status(status, outcome_status(OUTCOME_INTERRUPTED));
	cmd_remote_close(&remote);
	return status;
}

static const struct cmd_option options[] = {
	{ "runs", 'n', CMD_NUMBER, CMD_OPTION(runs), "N", "do it N times, each in fresh boxes (default 1)" },
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
		"The exit status is that of `bop run`.\n\n"
		"  bop replay last --runs 20\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 1,
	.main = replay_main,
};
