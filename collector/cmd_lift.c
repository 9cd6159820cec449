/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop lift: takes a fault of a run that goes on away. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "collector/cmd_server.h"

/* all: 0. */
static int id_read(const char *text, uint32_t *ret_id)
{
	uint64_t value = 0;

	if (strcmp(text, "all") && !cmd_number(text, UINT32_MAX, &value))
		return cmd_failf("lift: '%s' is no number of a fault (see `bop faults`), nor 'all'", text);
	*ret_id = (uint32_t)value;
	return 0;
}

static int lift_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct api_request request = { .id = 1, .kind = API_LIFT };
	struct api_answer answer;
	int status = id_read(args->rest[0], &request.about.id);

	if (!status)
		status = cmd_run_number(args, &request.about.run);
	if (!status)
		status = cmd_server_ask(args, &request, API_INJECTED, &answer);
	if (status)
		return status;
	if (request.about.id)
		printf("run %" PRIu64 ": fault %" PRIu32 " is lifted\n", answer.injected.run, request.about.id);
	else
		printf("run %" PRIu64 ": all faults are lifted\n", answer.injected.run);
	api_answer_fini(&answer);
	return cmd_flush(0);
}

static const struct cmd_option options[] = {
	CMD_OPTION_RUN,
	CMD_OPTION_SERVER,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_lift = {
	.name = "lift",
	.arguments = "ID",
	.summary = "Takes a fault of a run that goes on at `bop serve` away: what has not fired never does, an effect ends",
	.text = "ID as `bop faults` shows it, or all. What was lost stays lost; a process that was killed stays so.\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 1,
	.main = lift_main,
};
