/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From one state of a conduct to the next, and how a run is judged. See conduct.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "collector/agentproc.h"
#include "collector/conduct_inside.h"
#include "lib/clock.h"

void conduct_enter(struct conduct *c, enum conduct_state state, uint64_t now)
{
	uint64_t *const spent[] = {
		[BEGINNING] = &c->result.boxes_ns, [STARTING] = &c->result.ready_ns, [WORKLOAD] = &c->result.workload_ns,
		[CHECK] = &c->result.check_ns,	   [STOPPING] = &c->result.stop_ns,
	};

	if (c->state != IDLE && c->state <= STOPPING)
		*spent[c->state] += now - c->since_ns;
	c->since_ns = now;
	c->state = state;
}

void conduct_failf(struct conduct *c, uint64_t now, const char *format, ...)
{
	char reason[sizeof(c->result.reason)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(reason, sizeof(reason), format, ap);
	va_end(ap);
	conduct_stop(c, OUTCOME_ERROR, reason, now);
}

/* The last line of text that is not empty. */
void conduct_last_line(const char *text, size_t size, char *buf, size_t buf_size)
{
	size_t start;

	while (size && (text[size - 1] == '\n' || text[size - 1] == ' ' || text[size - 1] == '\r'))
		size--;
	for (start = size; start && text[start - 1] != '\n';)
		start--;
	snprintf(buf, buf_size, "%.*s", (int)(size - start), size ? text + start : "");
}

static void start_next(struct conduct *c, uint64_t now)
{
	conduct_enter(c, STARTING, now);
	c->deadline_ns = now + c->x->ready_timeout_ns;
	c->helper = (struct conduct_helper){ .retry_at = 0 };
	conduct_order_start(c, c->current, now);
}

static void workload_begin(struct conduct *c, uint64_t now)
{
	conduct_enter(c, WORKLOAD, now);
	c->deadline_ns = now + c->x->timeout_ns;
	conduct_order_mark(c, "workload", now);
	for (size_t i = 0; i < c->x->n_workloads && c->state == WORKLOAD; i++)
		conduct_order_start(c, c->x->n_processes + i, now);
}

static void starting_advance(struct conduct *c, uint64_t now)
{
	struct conduct_actor *actor = &c->actors[c->current];
	const struct store_process *process = &c->processes[c->current];
	char how[64];

	if (!process->started)
		return;
	if (!actor->spec->ready_port && !actor->spec->ready_run)
		actor->ready = true;
	if (!actor->ready && process->exited) {
		c->result.blame = process->name;
		status_text((int)process->status, how, sizeof(how));
		conduct_failf(c, now, "%s ended before it was ready: %s%s", process->name, how,
			      process->status ? "" : "; it must stay in the foreground, not become a daemon");
		return;
	}
	if (!actor->ready) {
		if (actor->spec->ready_run && !c->helper.running && now >= c->helper.retry_at)
			conduct_order_helper(c, now);
		return;
	}
	if (++c->current < c->x->n_processes)
		start_next(c, now);
	else
		workload_begin(c, now);
}

/* No check: what the workloads returned decides. */
static void judge_workloads(struct conduct *c, uint64_t now)
{
	char how[64], reason[sizeof(c->result.reason)];
	bool any = false; /* that no fault ended */

	for (size_t i = 0; i < c->x->n_workloads; i++) {
		const struct store_process *process = &c->processes[c->x->n_processes + i];

		if (c->actors[c->x->n_processes + i].fault)
			continue;
		any = true;
		if (!process->status)
			continue;
		c->result.blame = process->name;
		status_text((int)process->status, how, sizeof(how));
		snprintf(reason, sizeof(reason), "%s: %s", process->name, how);
		conduct_stop(c, OUTCOME_VIOLATED, reason, now);
		return;
	}
	if (any)
		conduct_stop(c, OUTCOME_GOOD, "", now);
	else
		conduct_stop(c, OUTCOME_VACUOUS, "every workload was ended by a fault, and there is no check", now);
}

static void judge_check(struct conduct *c, uint64_t now)
{
	static const enum outcome outcomes[] = { OUTCOME_GOOD, OUTCOME_VIOLATED, OUTCOME_VACUOUS };
	const struct store_process *check = &c->processes[c->n_actors - 1];
	char how[64], line[256];
	int status = (int)check->status;

	conduct_last_line(check->output ? check->output : "", check->output_size, line, sizeof(line));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		conduct_stop(c, OUTCOME_GOOD, "", now);
	} else if (WIFEXITED(status) && WEXITSTATUS(status) <= 2) {
		conduct_stop(c, outcomes[WEXITSTATUS(status)], line, now);
	} else {
		status_text(status, how, sizeof(how));
		conduct_failf(c, now, "the check ended with %s (0 means good, 1 violated, 2 vacuous)%s%s", how, *line ? ": " : "",
		     line);
	}
}

static void workload_advance(struct conduct *c, uint64_t now)
{
	for (size_t i = 0; i < c->x->n_workloads; i++)
		if (!c->processes[c->x->n_processes + i].exited)
			return;
	if (!c->x->check_run) {
		judge_workloads(c, now);
		return;
	}
	conduct_enter(c, CHECK, now);
	conduct_order_mark(c, "check", now);
	conduct_order_start(c, c->n_actors - 1, now);
}

void conduct_stop(struct conduct *c, enum outcome outcome, const char *reason, uint64_t now)
{
	if (c->state >= STOPPING || c->result.outcome)
		return;
	c->result.outcome = outcome;
	snprintf(c->result.reason, sizeof(c->result.reason), "%s", reason);
	if (c->state <= BEGINNING) /* goes on when the agent has answered */
		return;
	conduct_enter(c, STOPPING, now);
	c->deadline_ns = now + c->x->grace_ns;
	conduct_order_mark(c, "outcome", now);
	conduct_order_mark(c, "teardown", now);
	for (size_t i = 0; i < c->x->n_processes + c->x->n_workloads && c->state == STOPPING; i++)
		if (c->processes[i].started && !c->processes[i].exited && !conduct_is_attached(c, i))
			conduct_order_signal(c, i, now);
}

static void finish(struct conduct *c, uint64_t now)
{
	conduct_enter(c, FINISHING, now);
	c->deadline_ns = UINT64_MAX;
	conduct_order(c, &(struct message_order){ .kind = ORDER_FINISH }, ACTOR_NONE, now);
}

static void stopping_advance(struct conduct *c, uint64_t now)
{
	bool waiting = false;

	for (size_t i = 0; i < c->n_pending; i++)
		waiting |= (c->pending[i].kind == ORDER_START && c->pending[i].actor >= 0) || c->pending[i].kind == ORDER_ATTACH;
	for (size_t i = 0; i < c->x->n_processes + c->x->n_workloads; i++)
		waiting |= c->processes[i].started && !c->processes[i].exited && !conduct_is_attached(c, i);
	if (!waiting || now >= c->deadline_ns)
		finish(c, now);
}

/* Goes on as far as what is known allows. */
void conduct_advance(struct conduct *c, uint64_t now)
{
	enum conduct_state before;

	do {
		before = c->state;
		switch (c->state) {
		case STARTING:
			starting_advance(c, now);
			break;
		case WORKLOAD:
			workload_advance(c, now);
			break;
		case CHECK:
			if (c->processes[c->n_actors - 1].exited)
				judge_check(c, now);
			break;
		case STOPPING:
			stopping_advance(c, now);
			break;
		case IDLE:
		case BEGINNING:
		case FINISHING:
		case DONE:
			break;
		}
	} while (before != c->state);
}

static void timeout_reason(const struct conduct *c, char *buf, size_t size)
{
	size_t n;

	n = (size_t)snprintf(buf, size, "after %.3g s ", (double)c->x->timeout_ns / CLOCK_SECOND_NS);
	if (c->state == CHECK) {
		snprintf(buf + n, size - n, "the check had not ended");
		return;
	}
	n += (size_t)snprintf(buf + n, size - n, "these had not ended:");
	for (size_t i = 0; i < c->x->n_workloads && n < size; i++)
		if (!c->processes[c->x->n_processes + i].exited)
			n += (size_t)snprintf(buf + n, size - n, " %s", c->processes[c->x->n_processes + i].name);
}

static void not_ready(struct conduct *c, uint64_t now)
{
	const struct experiment_process *spec = c->actors[c->current].spec;
	double seconds = (double)c->x->ready_timeout_ns / CLOCK_SECOND_NS;

	c->result.blame = spec->name;
	if (spec->attach)
		conduct_failf(c, now, "%s: %s was not attached after %.3g s", spec->attach->place, spec->name, seconds);
	else if (!c->processes[c->current].started)
		conduct_failf(c, now, "%s was not started after %.3g s", spec->name, seconds);
	else if (spec->ready_port)
		conduct_failf(c, now, "%s was not ready after %.3g s: it does not listen on port %u", spec->name, seconds,
		     spec->ready_port);
	else
		conduct_failf(c, now, "%s was not ready after %.3g s: its ready program %s%s%s", spec->name, seconds,
		     c->helper.running && !*c->helper.said ? "did not end" : "did not exit with 0",
		     *c->helper.said ? ", and said: " : "", c->helper.said);
}

void conduct_overdue(struct conduct *c, uint64_t now)
{
	char reason[sizeof(c->result.reason)];

	if (c->state == STARTING) {
		not_ready(c, now);
	} else if (c->state == WORKLOAD || c->state == CHECK) {
		timeout_reason(c, reason, sizeof(reason));
		conduct_stop(c, OUTCOME_TIMEOUT, reason, now);
	}
}

void conduct_begun(struct conduct *c, uint64_t now)
{
	if (c->result.outcome) /* the user was quicker */
		finish(c, now);
	else if (c->x->n_processes)
		start_next(c, now);
	else
		workload_begin(c, now);
}
