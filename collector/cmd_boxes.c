/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop boxes: the agents of a server, their boxes, and who was refused. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "collector/cmd_server.h"
#include "collector/json.h"

static void agent_print(const struct api_agent *agent)
{
	time_t since = (time_t)(agent->since_ns / 1000000000);
	char when[32];

	strftime(when, sizeof(when), "%F %T", localtime(&since));
	printf("%-16s %-8s Linux %s, %s, tfj %s, %s%s%s, since %s", *agent->key ? agent->key : agent->host, agent->state,
	       agent->kernel, agent->backend, agent->version, *agent->key ? agent->host : "private socket",
	       *agent->address ? " at " : "", agent->address, when);
	if (agent->run)
		printf(", run %" PRIu64, agent->run);
	printf("\n");
	for (size_t i = 0; i < agent->n_boxes; i++)
		printf("  %-14s %s%s%s\n", agent->boxes[i].name,
		       *agent->boxes[i].address ? agent->boxes[i].address : "made for each run",
		       *agent->boxes[i].address6 ? "  " : "", agent->boxes[i].address6);
	if (!agent->n_boxes)
		printf("  makes whatever boxes a run needs\n");
}

static void boxes_text(const struct api_boxes *boxes)
{
	bool any = false;

	for (size_t i = 0; i < boxes->n_agents; i++)
		agent_print(&boxes->agents[i]);
	if (!boxes->n_agents)
		printf("no agent is connected\n");
	for (size_t i = 0; i < boxes->n_refusals; i++) {
		if (!boxes->refusals[i].count)
			continue;
		if (!any)
			printf("refused since the server began\n");
		any = true;
		printf("  %10" PRIu64 "  %s\n", boxes->refusals[i].count, boxes->refusals[i].text);
	}
}

static json_t *agent_object(const struct api_agent *agent)
{
	json_t *object = json_object(), *boxes = json_array();

	json_object_set_new(object, "host", json_text(agent->host));
	json_object_set_new(object, "key", *agent->key ? json_text(agent->key) : json_null());
	json_object_set_new(object, "address", *agent->address ? json_text(agent->address) : json_null());
	json_object_set_new(object, "kernel", json_text(agent->kernel));
	json_object_set_new(object, "backend", json_text(agent->backend));
	json_object_set_new(object, "version", json_text(agent->version));
	json_object_set_new(object, "boot_id", json_text(agent->boot_id));
	json_object_set_new(object, "since", json_real((double)(agent->since_ns / 1000) / 1e6));
	json_object_set_new(object, "state", json_text(agent->state));
	json_object_set_new(object, "run", agent->run ? json_number(agent->run) : json_null());
	for (size_t i = 0; i < agent->n_boxes; i++) {
		json_t *box = json_object();

		json_object_set_new(box, "name", json_text(agent->boxes[i].name));
		json_object_set_new(box, "address", *agent->boxes[i].address ? json_text(agent->boxes[i].address) : json_null());
		json_object_set_new(box, "address6",
				    *agent->boxes[i].address6 ? json_text(agent->boxes[i].address6) : json_null());
		json_array_append_new(boxes, box);
	}
	json_object_set_new(object, "boxes", boxes);
	return object;
}

static void boxes_json(const struct api_boxes *boxes)
{
	json_t *all = json_object(), *agents = json_array(), *refused = json_object();

	for (size_t i = 0; i < boxes->n_agents; i++)
		json_array_append_new(agents, agent_object(&boxes->agents[i]));
	for (size_t i = 0; i < boxes->n_refusals; i++)
		json_object_set_new(refused, boxes->refusals[i].reason, json_number(boxes->refusals[i].count));
	json_object_set_new(all, "version", json_text(boxes->version));
	json_object_set_new(all, "store", json_text(boxes->store));
	json_object_set_new(all, "agents", agents);
	json_object_set_new(all, "refused", refused);
	json_dumpf(all, stdout, JSON_INDENT(2));
	puts("");
	json_decref(all);
}

static int boxes_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct api_request request = { .id = 1, .kind = API_LIST_BOXES };
	struct api_answer answer;
	int status = cmd_server_ask(args, &request, API_BOXES, &answer);

	if (status)
		return status;
	if (args->json)
		boxes_json(&answer.boxes);
	else
		boxes_text(&answer.boxes);
	api_answer_fini(&answer);
	return cmd_flush(0);
}

static const struct cmd_option options[] = {
	CMD_OPTION_SERVER,
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print JSON (docs/json.md)" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_boxes = {
	.name = "boxes",
	.arguments = "",
	.summary = "Lists the agents that are connected to `bop serve`, their boxes, and how many peers it refused",
	.text = "An agent is idle, running (in a run), ending (it still ends one), or away (in a run, but not connected).\n"
		"A server takes 256 agents at once, and 32 of one key.\n",
	.options = options,
	.max_rest = 0,
	.main = boxes_main,
};
