/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop faults: the faults of the runs that go on at a server, and what became of them so far. */
#include <inttypes.h>
#include <stdio.h>

#include "collector/cmd_server.h"
#include "collector/json.h"
#include "collector/receipt.h"

static void faults_text(const struct api_faults *faults)
{
	char text[512];

	if (!faults->n) {
		printf("no run that goes on has faults\n");
		return;
	}
	printf("%4s %5s  %-11s %s\n", "RUN", "FAULT", "STATE", "");
	for (size_t i = 0; i < faults->n; i++) {
		const struct api_fault *fault = &faults->rows[i];

		printf("%4" PRIu64 " %5" PRIu32 "  %-11s %s%s%s\n", fault->run, fault->receipt.id,
		       fault_state_name(fault->receipt.state), fault->receipt.line,
		       fault->dry ? "  (dry run)" : "", fault->live ? "  (injected)" : "");
		receipt_text(&fault->receipt, text, sizeof(text));
		if (*text)
			printf("%24s%s\n", "", text);
	}
}

static void faults_json(const struct api_faults *faults)
{
	json_t *all = json_array();

	for (size_t i = 0; i < faults->n; i++) {
		json_t *object = receipt_object(&faults->rows[i].receipt);

		json_object_set_new(object, "run", json_number(faults->rows[i].run));
		json_object_set_new(object, "dry_run", json_boolean(faults->rows[i].dry));
		json_object_set_new(object, "injected", json_boolean(faults->rows[i].live));
		json_array_append_new(all, object);
	}
	json_dumpf(all, stdout, JSON_INDENT(2));
	puts("");
	json_decref(all);
}

static int faults_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct api_request request = { .id = 1, .kind = API_LIST_FAULTS };
	struct api_answer answer;
	int status = cmd_run_number(args, &request.about.run);

	if (!status)
		status = cmd_server_ask(args, &request, API_FAULTS, &answer);
	if (status)
		return status;
	if (args->json)
		faults_json(&answer.faults);
	else
		faults_text(&answer.faults);
	api_answer_fini(&answer);
	return cmd_flush(0);
}

static const struct cmd_option options[] = {
	CMD_OPTION_RUN,
	CMD_OPTION_SERVER,
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print JSON (docs/json.md)" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_faults = {
	.name = "faults",
	.arguments = "",
	.summary = "Lists the faults of the runs that go on at `bop serve`, and what became of each so far",
	.text = "asked: the agents have not answered yet; armed: it waits for its moment; fired; would-fire (a dry run);\n"
		"lifted; expired (its time or lease was over); refused; unknown (its agent is gone). Those of a run that has\n"
		"ended: bop show RUN.\n",
	.options = options,
	.max_rest = 0,
	.main = faults_main,
};
