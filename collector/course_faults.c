/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The faults of a course: those of its plan, those that come while it goes on, and what they mean for the outcome. See
 * course.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/course_inside.h"
#include "lib/clock.h"

#define TOKEN_NOBODY UINT64_MAX /* nobody waits for the answer */

/* An order that has no answer yet. */
struct course_injecting {
	struct course_injecting *prev, *next;
	uint64_t token;
	uint32_t first; /* ids from here on were to be armed */
	size_t n;	/* 0: it was to lift one */
};

int course_plan_take(struct course *course, const struct plan *plan, struct error *e)
{
	course->armed.n_agents = course->cast->n_agents;
	if (!plan || !plan->n)
		return 0;
	course->plan_text = plan_text(plan);
	if (!course->plan_text)
		return error_set(e, -ENOMEM, "out of memory");
	return armed_add(&course->armed, plan, false, e);
}

void course_faults_fini(struct course *course)
{
	struct course_injecting *one, *next;

	DL_FOREACH_SAFE(course->injecting, one, next)
	{
		DL_DELETE(course->injecting, one);
		free(one);
	}
	armed_fini(&course->armed);
	free(course->plan_text);
}

void course_receipts(struct course *course, size_t agent, const struct message *message)
{
	armed_take(&course->armed, agent, message->receipts.rows, message->receipts.n);
}

/* Some agents may have armed what another one refused: all or none. */
static void take_back(struct course *course, const struct course_injecting *one)
{
	for (size_t i = 0; course->cast->n_agents > 1 && i < one->n; i++)
		conduct_lift(course->conduct, one->first + (uint32_t)i, TOKEN_NOBODY, clock_monotonic_ns(), NULL);
}

void course_answered(void *arg, uint64_t token, int err, const char *text)
{
	struct course *course = arg;
	struct course_injecting *one;

	DL_SEARCH_SCALAR(course->injecting, one, token, token);
	if (!one)
		return;
	DL_DELETE(course->injecting, one);
	armed_answered(&course->armed, one->first, one->n, err, text);
	if (err)
		take_back(course, one);
	free(one);
	if (course->door.answered)
		course->door.answered(course->door.arg, token, err, text && *text ? text : err ? strerror(-err) : "");
}

static struct course_injecting *injecting_add(struct course *course, uint32_t first, size_t n, struct error *e)
{
	struct course_injecting *one = calloc(1, sizeof(*one));

	if (!one) {
		error_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	*one = (struct course_injecting){ .token = ++course->last_token, .first = first, .n = n };
	DL_APPEND(course->injecting, one);
	return one;
}

static void injecting_drop(struct course *course, struct course_injecting *one)
{
	DL_DELETE(course->injecting, one);
	free(one);
}

int course_inject(struct course *course, struct plan *plan, uint64_t *ret_token, uint64_t now, struct error *e)
{
	uint32_t first = armed_next(&course->armed);
	struct course_injecting *one;
	int err = plan_number(plan, first, e);

	if (!err)
		err = armed_add(&course->armed, plan, true, e);
	if (err)
		return err;
	one = injecting_add(course, first, plan->n, e);
	err = one ? conduct_inject(course->conduct, plan, one->token, now, e) : -ENOMEM;
	if (err) {
		armed_remove(&course->armed, first);
		if (one)
			injecting_drop(course, one);
		return err;
	}
	*ret_token = course->last_token;
	return 0;
}

int course_lift(struct course *course, uint32_t id, uint64_t *ret_token, uint64_t now, struct error *e)
{
	struct course_injecting *one;
	int err;

	if (!id && !course->armed.n)
		return error_set(e, -ENOENT, "run %llu has no faults", (unsigned long long)course->row.id);
	if (id && !armed_find(&course->armed, id))
		return error_set(e, -ENOENT, "run %llu has no fault %u (see `bop faults`)",
				 (unsigned long long)course->row.id, id);
	one = injecting_add(course, 0, 0, e);
	if (!one)
		return -ENOMEM;
	*ret_token = one->token;
	err = conduct_lift(course->conduct, id, one->token, now, e);
	if (err)
		injecting_drop(course, one);
	return err;
}

const struct armed *course_faults(const struct course *course)
{
	return &course->armed;
}

/* When the outcome was decided, on the clock of the trace; 0: it was not. */
static uint64_t outcome_ns(const struct trace *trace)
{
	uint64_t at = 0;

	for (size_t i = 0; i < trace->n_events; i++) {
		const char *phase = trace_mark_text(trace, &trace->events[i]);

		if (phase && !strcmp(phase, "outcome") && (!at || trace->events[i].enter_ns < at))
			at = trace->events[i].enter_ns;
	}
	return at;
}

/* A fault that acted, and whose effect was over too soon. Lifting one is a wish of its own; `for` is, too. */
static bool ended_early(const struct fault_receipt *receipt, uint64_t outcome)
{
	struct fault fault;
	bool asked;

	if (receipt->state != FAULT_STATE_EXPIRED || !receipt->fired_ns || !receipt->ended_ns ||
	    receipt->ended_ns >= outcome || !receipt->line ||
	    fault_parse(receipt->line, strlen(receipt->line), &fault, NULL, NULL))
		return false;
	asked = fault.duration_ns && (!fault.lease_ns || fault.lease_ns >= fault.duration_ns);
	fault_fini(&fault);
	return !asked;
}

void course_faults_judge(const struct run *run, struct store_run *row, char *reason, size_t size)
{
	uint64_t outcome = run->trace.n_receipts ? outcome_ns(&run->trace) : 0;
	char said[256];

	if (row->outcome == OUTCOME_ERROR || row->outcome == OUTCOME_INTERRUPTED || !outcome)
		return;
	for (size_t i = 0; i < run->trace.n_receipts; i++) {
		const struct fault_receipt *receipt = &run->trace.receipts[i];

		if (!ended_early(receipt, outcome))
			continue;
		snprintf(said, sizeof(said), "%s%s%s", outcome_name(row->outcome), *reason ? ": " : "", reason);
		snprintf(reason, size, "fault %u (%.200s) ended before the outcome, which was %s", receipt->id,
			 receipt->line, said);
		row->outcome = OUTCOME_INCONCLUSIVE;
		return;
	}
}
