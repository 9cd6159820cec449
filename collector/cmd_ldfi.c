/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop ldfi: looks for the faults that an experiment does not survive. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cmd_plan.h"
#include "collector/cmd_remote.h"
#include "collector/experiment.h"
#include "collector/hunt.h"
#include "collector/private_server.h"

enum { RANDOM_RUNS = 1000, ATTEMPTS = 3, CONFIRM = 3, CONFIRM_MAX = 1000 };
#define MOST 1000000000ull

/* A number from 0, or a word for no limit. */
static int amount_parse(const char *option, const char *text, uint64_t any, uint64_t *ret)
{
	if (!strcmp(text, "any")) {
		*ret = any;
		return 0;
	}
	if (!strcmp(text, "0")) {
		*ret = 0;
		return 0;
	}
	if (cmd_number(text, MOST, ret))
		return 0;
	return cmd_failf("ldfi: %s %s: give a whole number from 0 to %llu, or any", option, text, MOST);
}

/* Without a word about losses one may get lost; if it is said until when, any number until then, as in the paper. */
static int budget_parse(const struct cmd_args *args, struct budget *ret)
{
	uint64_t losses = args->losses_until ? BUDGET_ANY : 1, crashes = 1;
	int status = 0;

	ret->losses_until = UINT64_MAX;
	if (args->losses_until)
		status = amount_parse("--losses-until", args->losses_until, UINT64_MAX, &ret->losses_until);
	if (!status && args->losses)
		status = amount_parse("--losses", args->losses, BUDGET_ANY, &losses);
	if (!status && args->crashes)
		status = amount_parse("--crashes", args->crashes, BUDGET_ANY, &crashes);
	ret->losses = (uint32_t)losses;
	ret->crashes = (uint32_t)crashes;
	return status;
}

static int strategy_parse(const char *text, enum loop_strategy *ret)
{
	*ret = text && !strcmp(text, "random") ? LOOP_RANDOM : LOOP_LINEAGE;
	if (!text || !strcmp(text, "ldfi") || *ret == LOOP_RANDOM)
		return 0;
	return cmd_failf("ldfi: --strategy %s: it is ldfi or random", text);
}

static int picture_check(const char *file)
{
	static const char *const formats[] = { ".svg", ".png", ".dot", ".json" };
	const char *suffix = file ? strrchr(file, '.') : ".svg";

	for (size_t i = 0; suffix && i < sizeof(formats) / sizeof(*formats); i++)
		if (!strcmp(suffix, formats[i]))
			return 0;
	return cmd_failf("ldfi: -o %s: the name must end in .svg, .png, .dot or .json", file);
}

static int settings_parse(const struct cmd_args *args, struct hunt_settings *ret)
{
	struct loop_settings *loop = &ret->loop;
	int status;

	*ret = (struct hunt_settings){
		.loop = { .seed = 1, .attempts = ATTEMPTS, .all = args->all, .thorough = args->thorough },
		.boxes = args->boxes, .processes = args->processes, .symmetry = !args->no_symmetry,
		.workloads = args->workloads, .confirm = CONFIRM, .file = args->rest[0], .server = args->server,
		.picture = args->file, .json = args->json,
	};
	status = budget_parse(args, &loop->budget);
	if (!status)
		status = strategy_parse(args->strategy, &loop->strategy);
	if (!status)
		status = picture_check(args->file);
	if (!status && args->seed && !cmd_number(args->seed, PLAN_SEED_MAX, &loop->seed))
		status = cmd_failf("ldfi: --seed %s: give a whole number from 1 to %llu", args->seed, (unsigned long long)PLAN_SEED_MAX);
	if (!status && args->most && !cmd_number(args->most, MOST, &loop->runs))
		status = cmd_failf("ldfi: --runs %s: give a whole number from 1 to %llu", args->most, MOST);
	if (!status && args->confirm && strcmp(args->confirm, "0") && !cmd_number(args->confirm, CONFIRM_MAX, &ret->confirm))
		status = cmd_failf("ldfi: --confirm %s: give a whole number from 0 to %d", args->confirm, CONFIRM_MAX);
	if (args->confirm && !strcmp(args->confirm, "0"))
		ret->confirm = 0;
	if (!args->most && loop->strategy == LOOP_RANDOM)
		loop->runs = RANDOM_RUNS;
	if (!status && !loop->budget.crashes && (!loop->budget.losses || loop->budget.losses_until <= 1))
		status = cmd_failf("ldfi: this budget has no fault in it: allow losses (--losses, --losses-until) or crashes (--crashes)");
	return status;
}

/* What is wrong in the file shows before anything is started. */
static int file_check(const char *path, struct error *e)
{
	struct experiment *x = NULL;
	int err = experiment_read(path, &x, e);

	experiment_free(x);
	return err;
}

static int open_both(const struct cmd_args *args, struct cmd_remote *ret, struct error *e)
{
	int err = 0;

	if (!args->server)
		err = file_check(args->rest[0], e);
	if (!args->server && !err)
		err = store_exists(cmd_store_url(args), e);
	if (!args->server && err >= 0)
		err = private_server_open(cmd_store_url(args), NULL, &ret->server, e);
	return err < 0 ? err : remote_open(ret->server ? private_server_url(ret->server) : args->server, args->rest[0], &ret->remote, e);
}

static int ldfi_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct cmd_remote remote = { .server = NULL };
	struct hunt_settings settings;
	struct hunt *hunt = NULL;
	struct error e;
	int err, status = settings_parse(args, &settings);

	if (status)
		return status;
	if (args->server && args->store)
		return cmd_failf("--store is the server's to say (bop serve --store); it does not go together with --server");
	err = open_both(args, &remote, &e);
	if (!err)
		err = hunt_new(&settings, remote.remote, &hunt, &e);
	if (!err)
		err = hunt_go(hunt, &status, &e);
	if (err && remote.remote)
		status = cmd_remote_fail(&remote, err, &e);
	else if (err)
		status = cmd_fail(&e);
	hunt_free(hunt);
	cmd_remote_close(&remote);
	return cmd_flush(status);
}

static const struct cmd_option options[] = {
	{ "losses-until", 0, CMD_TEXT, CMD_OPTION(losses_until), "T",
	  "messages may get lost whose logical time is less than T (the paper's EFF; default: any)" },
	{ "losses", 0, CMD_TEXT, CMD_OPTION(losses), "N", "at most N losses in a plan (default 1; any with --losses-until)" },
	{ "crashes", 0, CMD_TEXT, CMD_OPTION(crashes), "N", "at most N crashes in a plan (default 1)" },
	{ "boxes", 0, CMD_TEXTS, CMD_OPTION(boxes), "BOXES", "only processes in these boxes (a,b) may be hit, and what they send and receive" },
	{ "processes", 0, CMD_TEXTS, CMD_OPTION(processes), "NAMES", "the same by name; as often as wanted, also with --boxes" },
	{ "workloads", 0, CMD_FLAG, CMD_OPTION(workloads), NULL, "workloads may crash, too" },
	{ "thorough", 0, CMD_FLAG, CMD_OPTION(thorough), NULL, "believe only what a run has shown with the very faults (many more runs)" },
	{ "no-symmetry", 0, CMD_FLAG, CMD_OPTION(no_symmetry), NULL, "do not take members of a role for interchangeable" },
	{ "all", 'a', CMD_FLAG, CMD_OPTION(all), NULL, "go on after a violation, with what does not contain it" },
	{ "strategy", 0, CMD_TEXT, CMD_OPTION(strategy), "WHICH", "ldfi (default), or random: plans by chance, to compare with" },
	{ "runs", 'n', CMD_TEXT, CMD_OPTION(most), "N", "stop after N runs (default: when no plan is left; random: 1000)" },
	{ "seed", 0, CMD_TEXT, CMD_OPTION(seed), "N", "of what is left to chance (default 1)" },
	{ "confirm", 0, CMD_TEXT, CMD_OPTION(confirm), "N", "repeat a violation N times (default 3)" },
	{ "out", 'o', CMD_TEXT, CMD_OPTION(file), "FILE",
	  "the picture of a violation, .svg, .png, .dot or .json; its plan goes beside it (default: NAME-ldfi.svg, NAME-ldfi.plan)" },
	CMD_OPTION_STORE,
	CMD_OPTION_ELSEWHERE,
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print one JSON object a run, a line each, and one at the end (docs/json.md)" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_ldfi = {
	.name = "ldfi",
	.arguments = "FILE",
	.summary = "Looks for the faults that an experiment does not survive: lineage-driven fault injection",
	.text = "It runs the experiment without faults, asks which messages the good outcome stood on, chooses the fewest losses\n"
		"and crashes that would have broken all ways to it that were seen, runs that, and learns the way that was taken\n"
		"instead, until a run is violated or no plan is left (docs/ldfi.md). Of a violation it leaves out what is not\n"
		"needed, and says how to repeat it. Needs root, with --server only whose server it is. All runs are kept.\n\n"
		"exit status: 0 certified, 1 violated, 2 not certified (plans that stayed inconclusive, --runs), 3 could not run,\n"
		"             130 interrupted; if the outcome is not good without faults, as of `bop run`\n\n"
		"  bop ldfi examples/ldfi/classic-deliv.yaml --losses-until 3 --crashes 0\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 1,
	.main = ldfi_main,
};
