/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Faults of runs that go on: requests for more, or fewer, and lists of them. Who asked is told when the agents have
 * answered.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/serve_inside.h"

/* Somebody waits for what the agents say. */
struct act_ask {
	struct act_ask *prev, *next;
	uint64_t token, request;
	struct door_id client;
	uint32_t *ids;
	size_t n;
};

static void ask_free(struct act *act, struct act_ask *ask)
{
	DL_DELETE(act->asks, ask);
	free(ask->ids);
	free(ask);
}

void act_asks_free(struct act *act)
{
	struct act_ask *ask, *next;

	DL_FOREACH_SAFE(act->asks, ask, next)
	{
		api_refuse(act->serve, &ask->client, ask->request, -EPIPE, "the run has ended");
		ask_free(act, ask);
	}
}

void act_answered(void *arg, uint64_t token, int err, const char *text)
{
	struct act *act = arg;
	struct api_answer answer = { .kind = API_INJECTED };
	struct act_ask *ask;

	DL_SEARCH_SCALAR(act->asks, ask, token, token);
	if (!ask)
		return;
	answer.id = ask->request;
	answer.injected = (struct api_injected){ course_id(act->course), ask->ids, ask->n };
	if (err)
		api_refuse(act->serve, &ask->client, ask->request, err, text);
	else
		api_answer(act->serve, &ask->client, &answer);
	ask_free(act, ask);
}

/* Reads what a request holds. */
static int plan_read(const struct api_plan *from, struct plan *plan, struct error *e)
{
	int err =
		from->seed > PLAN_SEED_MAX ? error_set(e, -EINVAL, "a seed is a number up to %llu", PLAN_SEED_MAX) : 0;

	plan->seed = from->seed;
	plan->dry = from->dry;
	plan->racy = from->racy;
	for (size_t i = 0; i < from->n && !err; i++)
		err = plan_add(plan, *from->origins[i] ? from->origins[i] : "fault", from->lines[i],
			       strlen(from->lines[i]), e);
	return err;
}

int act_plan_make(struct act *act, const struct api_plan *from, const struct labels *labels, struct error *e)
{
	int err = plan_read(from, &act->plan, e);

	if (!err)
		err = plan_check(&act->plan, act->x, labels, false, e);
	return err ? err : plan_number(&act->plan, 1, e);
}

/* The run that is meant. NULL, and e: none, or which one was not said. */
static struct act *act_find(struct serve *serve, uint64_t run, int *ret_err, struct error *e)
{
	struct act *act, *only = NULL;
	size_t n = 0;

	DL_FOREACH(serve->acts, act)
	{
		if (act->sealing) /* it is over */
			continue;
		if (course_id(act->course) == run)
			return act;
		only = act;
		n++;
	}
	if (!run && n == 1)
		return only;
	if (run)
		*ret_err = error_set(e, -ENOENT, "run %" PRIu64 " does not go on here", run);
	else
		*ret_err = n ? error_set(e, -EINVAL, "%zu runs go on: say which one", n) :
			       error_set(e, -ENOENT, "no run goes on here");
	return NULL;
}

/* n: for how many ids there is to be room. */
static struct act_ask *ask_add(struct act *act, const struct door_id *client, uint64_t request, size_t n)
{
	struct act_ask *ask = calloc(1, sizeof(*ask));
	uint32_t *ids = calloc(n + 1, sizeof(*ids));

	if (!ask || !ids) {
		free(ask);
		free(ids);
		return NULL;
	}
	ask->ids = ids;
	ask->client = *client;
	ask->request = request;
	DL_APPEND(act->asks, ask);
	return ask;
}

void acts_inject_ask(struct serve *serve, const struct door_frame *from, struct api_request *request, uint64_t now)
{
	struct error e = { "" };
	int err = 0;
	struct act *act = act_find(serve, request->about.run, &err, &e);

	if (!act) {
		api_refuse(serve, &from->from, request->id, err, e.text);
		return;
	}
	if (!check_wanted(request)) {
		acts_inject(serve, &from->from, request, NULL, now);
		return;
	}
	request->about.run = course_id(act->course); /* another one may have begun meanwhile */
	check_add(serve, from, request, act->x->name);
}

void acts_inject(struct serve *serve, const struct door_id *from, const struct api_request *request,
		 const struct labels *labels, uint64_t now)
{
	struct plan plan = { .n = 0 };
	struct error e = { "" };
	int err = plan_read(&request->plan, &plan, &e);
	struct act *act = err ? NULL : act_find(serve, request->about.run, &err, &e);
	struct act_ask *ask = NULL;

	if (!err && !plan.n)
		err = error_set(&e, -EINVAL, "there is no fault in it");
	if (!err)
		err = plan_check(&plan, act->x, labels, true, &e);
	if (!err)
		err = plan_check_cast(&plan, act->x, &act->cast, &e);
	if (!err)
		err = plan_live(&plan, &e);
	if (!err && !(ask = ask_add(act, from, request->id, plan.n)))
		err = error_set(&e, -ENOMEM, "out of memory");
	if (!err)
		err = course_inject(act->course, &plan, &ask->token, now, &e);
	for (size_t i = 0; i < plan.n && !err; i++)
		ask->ids[ask->n++] = plan.faults[i].id;
	if (err) {
		api_refuse(serve, from, request->id, err, e.text);
		if (ask)
			ask_free(act, ask);
	} else {
		serve_log("run %" PRIu64 ": %zu fault%s injected, from number %u", course_id(act->course), plan.n,
			  plan.n == 1 ? "" : "s", plan.faults[0].id);
	}
	plan_fini(&plan);
}

void acts_lift(struct serve *serve, const struct door_id *from, const struct api_request *request, uint64_t now)
{
	struct error e = { "" };
	int err = 0;
	struct act *act = act_find(serve, request->about.run, &err, &e);
	struct act_ask *ask = act ? ask_add(act, from, request->id, 0) : NULL;

	if (act && !ask)
		err = error_set(&e, -ENOMEM, "out of memory");
	if (!err)
		err = course_lift(act->course, request->about.id, &ask->token, now, &e);
	if (!err)
		return;
	api_refuse(serve, from, request->id, err, e.text);
	if (ask)
		ask_free(act, ask);
}

/* Appends what is known of a run's faults. */
static int faults_add(struct api_faults *faults, const struct act *act)
{
	const struct armed *armed = course_faults(act->course);
	struct api_fault *grown = realloc(faults->rows, (faults->n + armed->n + 1) * sizeof(*grown));
	int err = grown ? 0 : -ENOMEM;

	if (grown)
		faults->rows = grown;
	for (size_t i = 0; i < armed->n && !err; i++) {
		struct api_fault *row = &faults->rows[faults->n];

		*row = (struct api_fault){ course_id(act->course), armed->faults[i].dry, armed->faults[i].live };
		err = armed_receipt(armed, &armed->faults[i], &row->receipt);
		faults->n += !err;
	}
	return err;
}

void acts_faults(struct serve *serve, const struct door_id *from, const struct api_request *request)
{
	struct api_answer answer = { .id = request->id, .kind = API_FAULTS };
	struct error e = { "" };
	int err = 0;
	struct act *act;

	if (request->about.run && !act_find(serve, request->about.run, &err, &e)) {
		api_refuse(serve, from, request->id, err, e.text);
		return;
	}
	DL_FOREACH(serve->acts, act)
		if (!err && !act->sealing && (!request->about.run || course_id(act->course) == request->about.run))
			err = faults_add(&answer.faults, act);
	if (err)
		api_refuse(serve, from, request->id, err, "out of memory");
	else
		api_answer(serve, from, &answer);
	for (size_t i = 0; i < answer.faults.n; i++)
		fault_receipt_fini(&answer.faults.rows[i].receipt);
	free(answer.faults.rows);
}
