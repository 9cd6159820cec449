/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop minimize: the faults that a violation needs. */
#include <inttypes.h>
#include <stdio.h>

#include "collector/cmd_remote.h"
#include "collector/json.h"

static void json_print(const Bop__Api__Minimized *minimized)
{
	json_t *all = json_object(), *plan = json_array(), *runs = json_array();

	for (size_t i = 0; i < minimized->n_plan; i++)
		json_array_append_new(plan, json_text(minimized->plan[i]));
	for (size_t i = 0; i < minimized->n_runs; i++)
		json_array_append_new(runs, json_number(minimized->runs[i]));
	json_object_set_new(all, "plan", plan);
	json_object_set_new(all, "run", json_number(minimized->run));
	json_object_set_new(all, "runs", runs);
	json_dumpf(all, stdout, JSON_INDENT(2));
	puts("");
	json_decref(all);
}

/* A plan, as --plan takes it. */
static void plan_print(const Bop__Api__Minimized *minimized)
{
	printf("# run %" PRIu64 " was violated by %s; %zu run%s looked for fewer\n", minimized->run,
	       minimized->n_plan ? "these, each of which it needs" : "no fault at all", minimized->n_runs,
	       minimized->n_runs == 1 ? "" : "s");
	for (size_t i = 0; i < minimized->n_plan; i++)
		printf("%s\n", minimized->plan[i]);
}

static int minimize_main(const struct cmd *cmd, const struct cmd_args *args)
{
	Bop__Api__Minimize minimize = BOP__API__MINIMIZE__INIT;
	struct api_request request = { .kind = API_MINIMIZE, .minimize = &minimize };
	struct cmd_remote remote;
	struct api_answer answer;
	struct error e;
	int err, status = cmd_run_named(cmd, args->rest[0], &minimize.run);

	if (!status)
		status = cmd_remote_open(args, &remote);
	if (status)
		return status;
	err = remote_ask(remote.remote, &request, API_MINIMIZED, &answer, &e);
	if (err) {
		status = cmd_remote_fail(&remote, err, &e);
	} else {
		if (args->json)
			json_print(answer.minimized);
		else
			plan_print(answer.minimized);
		api_answer_fini(&answer);
	}
	cmd_remote_close(&remote);
	return status ? status : cmd_flush(0);
}

static const struct cmd_option options[] = {
	CMD_OPTION_STORE,
	CMD_OPTION_ELSEWHERE,
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print JSON (docs/json.md)" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_minimize = {
	.name = "minimize",
	.arguments = "RUN",
	.summary = "Finds out which faults of a violated run are needed, and prints them as a plan",
	.text = "RUN is a number that `bop runs` lists, or last. It leaves out one fault after the other and runs the rest: what\n"
		"is violated without a fault does not need it. Of the faults that it prints none can be left out. A run that\n"
		"shows nothing (timeout, inconclusive) is made again, twice; then the fault counts as needed. All runs are\n"
		"kept. Needs root, with --server only whose server it is.\n\n"
		"  bop minimize last >plan.txt && bop run my-system.yaml --plan plan.txt\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 1,
	.main = minimize_main,
};
