/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ends of runs for others than who asked for the run. One that goes on here is waited for; one that is over is read,
 * beside the loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/query.h"
#include "collector/serve_inside.h"
#include "lib/clock.h"

enum { RECALLS_MAX = 64, WARNINGS_MAX = 1024 };

struct act_waiter {
	struct act_waiter *prev, *next;
	struct door_id client;
	int fd;
	uint64_t request;
	bool end;
};

/* A run that is over. */
struct recall {
	struct worker_job job; /* first: it stands for the recall */
	struct recall *prev, *next;
	struct serve *serve;
	struct door_id client;
	int fd;
	uint64_t request, run;
	bool left, begun;
	struct run *found;
	struct prints prints;
	bool has_prints;
	int err;
	struct error e;
};

int act_waiter_add(struct act *act, const struct door_id *client, int fd, uint64_t request, bool end)
{
	struct act_waiter *waiter, *other;
	size_t n;

	DL_COUNT(act->waiters, other, n);
	if (n >= SERVE_WAITERS_MAX)
		return -EBUSY;
	waiter = calloc(1, sizeof(*waiter));
	if (!waiter)
		return -ENOMEM;
	waiter->client = *client;
	waiter->fd = fd;
	waiter->request = request;
	waiter->end = end;
	DL_APPEND(act->waiters, waiter);
	return 0;
}

static void waiter_free(struct act *act, struct act_waiter *waiter)
{
	DL_DELETE(act->waiters, waiter);
	free(waiter);
}

void act_waiters_progress(struct act *act, struct api_answer *answer)
{
	struct act_waiter *waiter;

	DL_FOREACH(act->waiters, waiter)
	{
		answer->id = waiter->request;
		api_answer(act->serve, &waiter->client, answer);
	}
}

void act_waiters_end(struct act *act, struct api_answer *answer)
{
	struct act_waiter *waiter;

	DL_FOREACH(act->waiters, waiter)
	{
		answer->id = waiter->request;
		if (waiter->end)
			api_answer(act->serve, &waiter->client, answer);
	}
}

void act_waiters_free(struct act *act)
{
	while (act->waiters)
		waiter_free(act, act->waiters);
}

bool acts_wait_cancel(struct serve *serve, const struct door_id *client, uint64_t request)
{
	struct act_waiter *waiter;
	struct act *act;

	DL_FOREACH(serve->acts, act)
	DL_FOREACH(act->waiters, waiter)
	{
		if (!waiter->end || waiter->request != request || !door_id_same(&waiter->client, client))
			continue;
		api_refuse(serve, client, request, -ECANCELED, "no longer waited for");
		waiter_free(act, waiter);
		return true;
	}
	return false;
}

void acts_waiter_gone(struct serve *serve, const struct door *door, int fd)
{
	struct act_waiter *waiter, *next;
	struct recall *recall;
	struct act *act;

	DL_FOREACH(serve->acts, act)
	DL_FOREACH_SAFE(act->waiters, waiter, next)
	if (waiter->fd == fd && waiter->client.door == door)
		waiter_free(act, waiter);
	DL_FOREACH(serve->recalls, recall)
	recall->left |= recall->fd == fd && recall->client.door == door;
}

/* In a thread. What cannot be printed has no print. */
static void on_recall(struct worker_job *job)
{
	struct recall *recall = (struct recall *)job;
	struct graph *graph = NULL;
	struct store *store = NULL;

	recall->err = store_open(recall->serve->store_url, STORE_READ, &store, &recall->e);
	if (!recall->err)
		recall->err = query_run_load(store, recall->run, &recall->found, &recall->e);
	store_close(store);
	if (!recall->err && !recall->found->row->running &&
	    !graph_build(&recall->found->trace, GRAPH_ORDER_PROCESS, &graph, NULL))
		recall->has_prints = !prints_make(recall->found, recall->found->row, graph, &recall->prints, NULL);
	graph_free(graph);
}

/* Lines to an array; NULL-terminated. text is cut into them. */
static char **lines_of(char *text)
{
	char **lines = calloc(WARNINGS_MAX + 1, sizeof(*lines)), *rest = NULL;
	size_t n = 0;

	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; lines && line && n < WARNINGS_MAX;
	     line = strtok_r(NULL, "\n", &rest))
		lines[n++] = line;
	return lines;
}

static void recall_tell(struct recall *recall)
{
	struct store_run *row = recall->found->row;
	char **warnings = lines_of(row->warnings);
	struct api_answer answer = { .id = recall->request, .kind = API_RUN_END };

	answer.run_end = (struct api_run_end){
		.run = row->id, .experiment = row->experiment, .outcome = (char *)outcome_name(row->outcome),
		.reason = row->reason, .warnings = warnings, .incomplete = row->incomplete, .started_ns = row->started_ns,
		.duration_ns = row->duration_ns, .events = row->events, .messages = row->messages, .lost = row->lost,
		.holes = row->holes, .total_ns = row->duration_ns, .store = recall->serve->store_name,
	};
	serve_prints(&answer.run_end, recall->has_prints, &recall->prints);
	serve_class(&answer.run_end, row);
	api_answer(recall->serve, &recall->client, &answer);
	free(warnings);
}

static void recall_free(struct recall *recall)
{
	DL_DELETE(recall->serve->recalls, recall);
	run_free(recall->found);
	free(recall);
}

/* The next one: one at a time, since the other threads are to have room for runs that end. */
static void recalls_begin(struct serve *serve)
{
	struct recall *recall;

	while (serve->recalls && serve->recalls->left && !serve->recalls->begun)
		recall_free(serve->recalls);
	recall = serve->recalls;
	if (!recall || recall->begun)
		return;
	recall->begun = true;
	workers_add(serve->workers, &recall->job);
}

static void on_recalled(struct worker_job *job)
{
	struct recall *recall = (struct recall *)job;
	struct serve *serve = recall->serve;
	char text[96];

	snprintf(text, sizeof(text), "run %llu goes on, but not here", (unsigned long long)recall->run);
	if (recall->left)
		; /* nobody waits for it */
	else if (recall->err)
		api_refuse(recall->serve, &recall->client, recall->request, recall->err, recall->e.text);
	else if (recall->found->row->running)
		api_refuse(recall->serve, &recall->client, recall->request, -EBUSY, text);
	else
		recall_tell(recall);
	recall_free(recall);
	recalls_begin(serve);
}

void recalls_free(struct serve *serve)
{
	while (serve->recalls)
		recall_free(serve->recalls);
}

static int recall_add(struct serve *serve, const struct door_frame *from, uint64_t request, uint64_t run)
{
	struct recall *recall, *other;
	size_t n;

	DL_COUNT(serve->recalls, other, n);
	recall = n < RECALLS_MAX ? calloc(1, sizeof(*recall)) : NULL;
	if (!recall)
		return -EBUSY;
	recall->serve = serve;
	recall->client = from->from;
	recall->fd = from->fd;
	recall->request = request;
	recall->run = run;
	recall->job = (struct worker_job){ .work = on_recall, .done = on_recalled };
	DL_APPEND(serve->recalls, recall);
	recalls_begin(serve);
	return 0;
}

void acts_wait(struct serve *serve, const struct door_frame *from, const struct api_request *request)
{
	uint64_t run = request->wait_run->run;
	struct error e = { "the server has too much to do" };
	struct act *act;
	int err = 0;

	if (!run)
		err = run_find(serve->store, "last", &run, &e);
	DL_FOREACH(serve->acts, act)
	if (course_id(act->course) == run)
		break;
	if (!err)
		err = act ? act_waiter_add(act, &from->from, from->fd, request->id, true) :
			    recall_add(serve, from, request->id, run);
	if (err)
		api_refuse(serve, &from->from, request->id, err, e.text);
}
