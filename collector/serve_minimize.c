/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which faults of a violated run does it take? One after the other is left out, and the rest is run: violated again, and the
 * fault is gone for good; else it stays. Over when each of those that are left was tried since the last one went: none of them can be
 * left out. A run that shows nothing (timeout, inconclusive) is made again, twice; then the fault counts as needed.
 *
 * A random fault keeps what it decided by chance whichever others are left out: its seed is written into its line first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/serve_inside.h"
#include "lib/clock.h"

#define RETRY_NS (CLOCK_SECOND_NS / 20) /* somebody else has the agents */
enum { MINIMIZES_MAX = 64, TRIES = 3 };

struct minimize {
	struct minimize *prev, *next;
	struct serve *serve;
	struct door_frame from; /* who, and its connection; nothing else */
	uint64_t request, of;
	struct api_request again; /* the whole run, with the lines that are left */
	size_t at;    /* of the lines: the one that is left out now */
	size_t tried; /* so many of them, since one was left out for good */
	unsigned tries; /* of this one */
	uint64_t violated; /* the last run that was, by what is left */
	uint64_t *runs;
	size_t n_runs;
	struct act *act;   /* the run that goes on; NULL: none */
	uint64_t retry_at; /* UINT64_MAX: nothing waits */
	bool left, cancelled;
};

static void minimize_free(struct minimize *m)
{
	DL_DELETE(m->serve->minimizes, m);
	api_request_fini(&m->again);
	free(m->runs);
	free(m);
}

static void give_up(struct minimize *m, int err, const char *text)
{
	if (!m->left)
		api_refuse(m->serve, &m->from.from, m->request, err, text);
	minimize_free(m);
}

static void finish(struct minimize *m)
{
	Bop__Api__Minimized minimized = BOP__API__MINIMIZED__INIT;
	struct api_answer answer = { .id = m->request, .kind = API_MINIMIZED, .minimized = &minimized };

	minimized.plan = m->again.plan.lines;
	minimized.n_plan = m->again.plan.n;
	minimized.run = m->violated;
	minimized.runs = m->runs;
	minimized.n_runs = m->n_runs;
	serve_log("run %llu: %zu of its faults are needed, as %zu runs show", (unsigned long long)m->of, m->again.plan.n,
		  m->n_runs);
	if (!m->left)
		api_answer(m->serve, &m->from.from, &answer);
	minimize_free(m);
}

static void line_remove(struct api_plan *plan, size_t at)
{
	free(plan->lines[at]);
	free(plan->origins[at]);
	plan->n--;
	memmove(&plan->lines[at], &plan->lines[at + 1], (plan->n - at) * sizeof(*plan->lines));
	memmove(&plan->origins[at], &plan->origins[at + 1], (plan->n - at) * sizeof(*plan->origins));
}

static void on_end(struct act *act, const struct api_run_end *end);

/* The request without one line; the rest of it is borrowed. */
static int begin_without(struct minimize *m, uint64_t now, struct error *e)
{
	const struct api_plan *plan = &m->again.plan;
	struct api_request request = m->again;
	int err = -ENOMEM;
	size_t n = 0;

	request.id = m->request;
	request.run.keep_runs = (char *)"all"; /* each is evidence for a fault that is needed, or not */
	request.plan.lines = calloc(plan->n + 1, sizeof(*plan->lines));
	request.plan.origins = calloc(plan->n + 1, sizeof(*plan->origins));
	if (!request.plan.lines || !request.plan.origins) {
		error_set(e, err, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < plan->n; i++) {
		if (i == m->at)
			continue;
		request.plan.lines[n] = plan->lines[i];
		request.plan.origins[n++] = plan->origins[i];
	}
	request.plan.n = n;
	err = act_begin(m->serve, &m->from, &request, NULL, now, &m->act, e);
	if (err)
		goto out;
	m->act->left = true; /* its end is for us */
	m->act->on_end = on_end;
	m->act->on_end_arg = m;
	act_waiter_add(m->act, &m->from.from, m->from.fd, m->request, false); /* without memory nobody hears how it goes */
out:
	free(request.plan.lines);
	free(request.plan.origins);
	return err;
}

static void go_on(struct minimize *m, uint64_t now)
{
	struct error e;
	int err;

	m->retry_at = UINT64_MAX;
	if (m->left || m->cancelled) {
		give_up(m, -ECANCELED, "stopped before it was known which faults are needed");
		return;
	}
	if (m->tried == m->again.plan.n) {
		finish(m);
		return;
	}
	if (m->serve->stopping) {
		give_up(m, -EBUSY, "the server is ending");
		return;
	}
	m->at = m->at < m->again.plan.n ? m->at : 0;
	err = begin_without(m, now, &e);
	if (err == -EBUSY)
		m->retry_at = now + RETRY_NS;
	else if (err)
		give_up(m, err, e.text);
}

static int run_note(struct minimize *m, uint64_t run)
{
	uint64_t *grown = realloc(m->runs, (m->n_runs + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	m->runs = grown;
	grown[m->n_runs++] = run;
	return 0;
}

/* A fault is needed, or not; or nothing is known yet. -ECANCELED, -EIO: nothing ever will be. */
static int learn(struct minimize *m, enum outcome outcome)
{
	switch (outcome) {
	case OUTCOME_VIOLATED:
		line_remove(&m->again.plan, m->at);
		m->violated = m->runs[m->n_runs - 1];
		m->tried = m->tries = 0;
		return 0;
	case OUTCOME_TIMEOUT:
	case OUTCOME_INCONCLUSIVE:
		if (++m->tries < TRIES)
			return 0;
		break;
	case OUTCOME_GOOD:
	case OUTCOME_VACUOUS:
		break;
	case OUTCOME_INTERRUPTED:
		return -ECANCELED;
	case OUTCOME_ERROR:
	case OUTCOME_NONE:
	case OUTCOME_COUNT:
		return -EIO;
	}
	m->at++;
	m->tried++;
	m->tries = 0;
	return 0;
}

static void on_end(struct act *act, const struct api_run_end *end)
{
	struct minimize *m = act->on_end_arg;
	char text[640];
	int err = run_note(m, end->run);

	m->act = NULL;
	snprintf(text, sizeof(text), "run %llu: %s%s%s", (unsigned long long)end->run, end->outcome, *end->reason ? ": " : "",
		 end->reason);
	if (!err)
		err = m->left || m->cancelled ? 0 : learn(m, act->result.outcome);
	if (err)
		give_up(m, err, err == -ENOMEM ? "out of memory" : text);
	else
		go_on(m, clock_monotonic_ns());
}

/* Writes the seeds of random faults into their lines. */
static int seeds_write(struct api_plan *lines, struct error *e)
{
	struct plan plan = { .seed = lines->seed };
	char *text;
	int err = 0;

	for (size_t i = 0; i < lines->n && !err; i++)
		err = plan_add(&plan, lines->origins[i], lines->lines[i], strlen(lines->lines[i]), e);
	if (!err)
		err = plan_number(&plan, 1, e);
	for (size_t i = 0; i < plan.n && plan.n == lines->n && !err; i++) {
		if (!fault_is_random(plan.faults[i].kind) || plan.faults[i].seed_given)
			continue;
		plan.faults[i].seed_given = true;
		text = fault_print(&plan.faults[i]);
		if (!text)
			err = error_set(e, -ENOMEM, "out of memory");
		else {
			free(lines->lines[i]);
			lines->lines[i] = text;
		}
	}
	plan_fini(&plan);
	return err;
}

static int can_minimize(const struct store_run *row, struct error *e)
{
	unsigned long long id = row->id;

	if (row->running)
		return error_set(e, -EBUSY, "run %llu goes on", id);
	if (row->outcome != OUTCOME_VIOLATED)
		return error_set(e, -EINVAL, "run %llu is %s: only what is violated can have fewer faults", id,
				 outcome_name(row->outcome));
	if (row->dry_run)
		return error_set(e, -EINVAL, "run %llu is a dry run: its faults did nothing", id);
	return 0;
}

void minimize_open(struct serve *serve, const struct door_frame *from, const struct api_request *request, uint64_t now)
{
	struct minimize *m, *other;
	struct store_run *row = NULL;
	struct error e;
	size_t n;
	int err;

	DL_COUNT(serve->minimizes, other, n);
	m = n < MINIMIZES_MAX ? calloc(1, sizeof(*m)) : NULL;
	if (!m) {
		api_refuse(serve, &from->from, request->id, -EBUSY, "the server minimizes too many runs, or has no memory");
		return;
	}
	m->serve = serve;
	m->from = (struct door_frame){ .from = from->from, .fd = from->fd, .user = "", .address = "" };
	m->request = request->id;
	DL_APPEND(serve->minimizes, m);
	err = again_make(serve, request->minimize->run, &m->again, &row, &e);
	if (!err)
		err = can_minimize(row, &e);
	if (!err)
		err = seeds_write(&m->again.plan, &e);
	if (!err)
		m->of = m->violated = row->id;
	store_run_free(row);
	if (err)
		give_up(m, err, e.text);
	else
		go_on(m, now);
}

bool minimize_cancel(struct serve *serve, const struct door_id *client, const struct api_request *request, uint64_t now)
{
	struct minimize *m;

	DL_FOREACH(serve->minimizes, m)
	{
		if (m->request != request->cancel || !door_id_same(&m->from.from, client))
			continue;
		m->cancelled = true;
		if (m->act)
			act_end_by(m->act, request->at_once, now);
		else
			m->retry_at = now;
		return true;
	}
	return false;
}

void minimizes_client_gone(struct serve *serve, const struct door *door, int fd, uint64_t now)
{
	struct minimize *m;

	DL_FOREACH(serve->minimizes, m)
	{
		if (m->from.fd != fd || m->from.from.door != door)
			continue;
		m->left = true;
		if (m->act)
			act_end_by(m->act, false, now);
		else
			m->retry_at = now;
	}
}

void minimizes_time(struct serve *serve, uint64_t now)
{
	struct minimize *m, *next;

	DL_FOREACH_SAFE(serve->minimizes, m, next)
	if (m->retry_at <= now || (serve->stopping && !m->act))
		go_on(m, now);
}

uint64_t minimizes_deadline(const struct serve *serve)
{
	const struct minimize *m;
	uint64_t at = UINT64_MAX;

	DL_FOREACH(serve->minimizes, m)
	at = m->retry_at < at ? m->retry_at : at;
	return at;
}

void minimizes_free(struct serve *serve)
{
	while (serve->minimizes)
		minimize_free(serve->minimizes);
}
