/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Requests whose plan is looked at beside the labels of an earlier run. Reading that one can take seconds: it is done
 * beside the loop, and the request goes on when it is there. Who asked may have gone by then, or changed its mind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/labels.h"
#include "collector/serve_inside.h"
#include "lib/clock.h"

enum { CHECKS_MAX = 64 };

struct check {
	struct worker_job job; /* first: it stands for the check */
	struct check *prev, *next;
	struct serve *serve;
	struct door_frame from; /* who, and its connection; nothing else */
	struct api_request request;
	char *experiment; /* whose labels; NULL: of the file in the request */
	struct labels *labels;
	int err;
	struct error e;
	bool left, cancelled;
};

bool check_wanted(const struct api_request *request)
{
	return request->plan.n && !request->plan.racy;
}

static void check_free(struct check *check)
{
	api_request_fini(&check->request);
	labels_free(check->labels);
	free(check->experiment);
	free(check);
}

/* In a thread. A file that cannot be read has no labels; that it cannot is said later. */
static void on_load(struct worker_job *job)
{
	struct check *check = (struct check *)job;
	const struct api_run *run = &check->request.run;
	struct experiment *x = NULL;
	struct store *store = NULL;

	if (!check->experiment && experiment_parse(run->name, run->path, run->text, run->size, &x, NULL) < 0)
		return;
	check->err = store_open(check->serve->store_url, STORE_READ, &store, &check->e);
	if (!check->err)
		check->err = labels_load(store, x ? x->name : check->experiment, &check->labels, &check->e);
	store_close(store);
	experiment_free(x);
}

static void on_loaded(struct worker_job *job)
{
	struct check *check = (struct check *)job;
	struct serve *serve = check->serve;
	uint64_t now = clock_monotonic_ns();

	DL_DELETE(serve->checks, check);
	if (check->left)
		; /* nobody waits for it */
	else if (check->cancelled)
		api_refuse(serve, &check->from.from, check->request.id, -ECANCELED, "stopped before it began");
	else if (serve->stopping)
		api_refuse(serve, &check->from.from, check->request.id, -EBUSY, "the server is ending");
	else if (check->err)
		api_refuse(serve, &check->from.from, check->request.id, check->err, check->e.text);
	else if (check->request.kind == API_RUN)
		act_open(serve, &check->from, &check->request, check->labels, now);
	else
		acts_inject(serve, &check->from.from, &check->request, check->labels, now);
	check_free(check);
}

void check_add(struct serve *serve, const struct door_frame *frame, struct api_request *request, const char *experiment)
{
	struct check *check, *other;
	size_t n;

	DL_COUNT(serve->checks, other, n);
	check = n < CHECKS_MAX ? calloc(1, sizeof(*check)) : NULL;
	if (check && experiment && !(check->experiment = strdup(experiment))) {
		free(check);
		check = NULL;
	}
	if (!check) {
		api_refuse(serve, &frame->from, request->id, -EBUSY,
			   "the server has too many plans to check, or no memory");
		return;
	}
	check->serve = serve;
	check->from = (struct door_frame){ .from = frame->from, .fd = frame->fd, .user = "", .address = "" };
	check->request = *request;
	*request = (struct api_request){ .id = 0 };
	check->job = (struct worker_job){ .work = on_load, .done = on_loaded };
	DL_APPEND(serve->checks, check);
	workers_add(serve->workers, &check->job);
}

bool check_cancel(struct serve *serve, const struct door_id *client, uint64_t request)
{
	struct check *check;

	DL_FOREACH(serve->checks, check)
		if (check->request.id == request && door_id_same(&check->from.from, client)) {
			check->cancelled = true;
			return true;
		}
	return false;
}

void checks_client_gone(struct serve *serve, const struct door *door, int fd)
{
	struct check *check;

	DL_FOREACH(serve->checks, check)
		check->left |= check->from.fd == fd && check->from.from.door == door;
}

void checks_free(struct serve *serve)
{
	struct check *check, *next;

	DL_FOREACH_SAFE(serve->checks, check, next)
	{
		DL_DELETE(serve->checks, check);
		check_free(check);
	}
}
