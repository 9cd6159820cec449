/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs that do again what a stored one did: its file, plan and seed, as they were kept. Labels are not looked up: what the
 * plan names was there. Faults that somebody injected while it ran are not part of a plan.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/serve_inside.h"

/* Canonical lines, each with its end. */
static int lines_copy(const struct store_run *row, struct api_plan *plan)
{
	const char *text = row->plan ? row->plan : "", *end;
	size_t n = 0;

	for (const char *c = text; *c; c++)
		n += *c == '\n';
	plan->lines = calloc(n + 1, sizeof(*plan->lines));
	plan->origins = calloc(n + 1, sizeof(*plan->origins));
	if (!plan->lines || !plan->origins)
		return -ENOMEM;
	for (; plan->n < n; text = end + 1) {
		end = strchr(text, '\n');
		plan->lines[plan->n] = strndup(text, (size_t)(end - text));
		if (asprintf(&plan->origins[plan->n], "run %llu:%zu", (unsigned long long)row->id, plan->n + 1) < 0)
			plan->origins[plan->n] = NULL;
		if (!plan->lines[plan->n] || !plan->origins[plan->n])
			return -ENOMEM;
		plan->n++;
	}
	return 0;
}

static int request_fill(const struct store_run *row, struct api_request *request)
{
	request->kind = API_RUN;
	request->run = (struct api_run){ .name = strdup(row->path), .path = strdup(row->path), .send = strdup(""),
					 .text = strdup(row->text), .size = strlen(row->text) };
	request->plan = (struct api_plan){ .seed = row->seed, .dry = row->dry_run, .racy = row->racy };
	if (!request->run.name || !request->run.path || !request->run.send || !request->run.text)
		return -ENOMEM;
	return lines_copy(row, &request->plan);
}

int again_make(struct serve *serve, uint64_t run, struct api_request *ret_request, struct store_run **ret_row, struct error *e)
{
	struct api_request request = { .id = 0 };
	struct store_run *row = NULL;
	int err = run ? 0 : run_find(serve->store, "last", &run, e);

	if (!err)
		err = store_run_get(serve->store, run, &row, e);
	if (!err)
		err = request_fill(row, &request) ? error_set(e, -ENOMEM, "out of memory") : 0;
	if (err) {
		api_request_fini(&request);
		store_run_free(row);
		return err;
	}
	*ret_request = request;
	*ret_row = row;
	return 0;
}

void replay_open(struct serve *serve, const struct door_frame *from, const struct api_request *request, uint64_t now)
{
	struct api_request again = { .id = 0 };
	struct store_run *row = NULL;
	struct error e;
	int err = again_make(serve, request->replay->run, &again, &row, &e);

	if (err) {
		api_refuse(serve, &from->from, request->id, err, e.text);
		return;
	}
	again.id = request->id;
	again.run.keep = request->replay->keep;
	again.run.keep_runs = strdup(request->replay->keep_runs);
	act_open(serve, from, &again, NULL, now);
	api_request_fini(&again);
	store_run_free(row);
}
