/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop inject: faults for a run that goes on at a server. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "collector/cmd_plan.h"
#include "collector/cmd_server.h"

static int lines_read(const struct cmd_args *args, struct plan *plan, struct error *e)
{
	char origin[32];
	int err = cmd_plan_read(args, plan, e);

	for (int i = 0; i < args->n_rest && !err; i++) {
		snprintf(origin, sizeof(origin), "LINE:%d", i + 1);
		err = plan_add(plan, origin, args->rest[i], strlen(args->rest[i]), e);
	}
	return err;
}

static void injected_print(const struct api_injected *injected, struct plan *plan)
{
	plan_live(plan, NULL);
	for (size_t i = 0; i < injected->n && i < plan->n; i++)
		printf("run %" PRIu64 ": fault %" PRIu32 " is armed: %s\n", injected->run, injected->ids[i], plan->faults[i].text);
}

static int inject_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct api_request request = { .id = 1, .kind = API_INJECT };
	struct plan plan = { .n = 0 };
	struct api_answer answer;
	struct error e = { "" };
	int status = CMD_EXIT_ERROR;

	if (!args->n_rest && !args->plans.n)
		status = cmd_failf("inject: which fault? (see `bop inject --help`)");
	else if (cmd_run_number(args, &request.about.run))
		status = CMD_EXIT_ERROR;
	else if (lines_read(args, &plan, &e) < 0)
		status = cmd_fail(&e);
	else if (!plan.n)
		status = cmd_failf("inject: there is no fault in it");
	else {
		request.plan = (struct api_plan){ plan.lines, plan.origins, plan.n, plan.seed, plan.dry, plan.racy };
		status = cmd_server_ask(args, &request, API_INJECTED, &answer);
		if (!status) {
			injected_print(&answer.injected, &plan);
			api_answer_fini(&answer);
			status = cmd_flush(0);
		}
	}
	plan_fini(&plan);
	return status;
}

static const struct cmd_option options[] = {
	CMD_OPTION_PLAN,
	CMD_OPTION_RUN,
	CMD_OPTION_DRY,
	CMD_OPTION_RACY,
	CMD_OPTION_SEED,
	CMD_OPTION_SERVER,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_inject = {
	.name = "inject",
	.arguments = "LINE...",
	.summary = "Arms faults in a run that goes on at `bop serve`: all of them, or none",
	.text = "LINE as in a plan (docs/faults.md), quoted: a shell takes > < and | away. A fault without a moment acts at\n"
		"once. What has no end of its own (for, lease) ends after 30 s.\n\n"
		"  bop inject 'isolate s1'\n"
		"  bop inject 'crash s2 at recv client>s2:7000#1/3'\n"
		"  bop faults\n",
	.options = options,
	.min_rest = 0,
	.max_rest = -1,
	.main = inject_main,
};
