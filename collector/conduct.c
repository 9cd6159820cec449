/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What comes into a conduct. See conduct.h. Failures inside (no memory) end the run as any other harness error does. */
#include "collector/conduct.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/agentproc.h"
#include "collector/conduct_inside.h"

void conduct_on_time(struct conduct *c, uint64_t now)
{
	if (c->state == DONE || c->state == IDLE)
		return;
	if (c->n_pending && now >= c->heard_ns + CONDUCT_SILENCE_NS) {
		conduct_agent_lost(c, OUTCOME_ERROR, "the agent does not answer any more");
		return;
	}
	conduct_advance(c, now);
	if (now < c->deadline_ns)
		return;
	conduct_overdue(c, now);
	conduct_advance(c, now);
}

uint64_t conduct_deadline(const struct conduct *c)
{
	uint64_t at = c->deadline_ns;

	if (c->state == DONE || c->state == IDLE)
		return UINT64_MAX;
	if (c->n_pending && c->heard_ns + CONDUCT_SILENCE_NS < at)
		at = c->heard_ns + CONDUCT_SILENCE_NS;
	if (c->state == STARTING && c->actors[c->current].spec->ready_run && c->processes[c->current].started &&
	    !c->helper.running && c->helper.retry_at < at)
		at = c->helper.retry_at;
	return at;
}

static int boxes_take(struct conduct *c, const struct message_reply *reply)
{
	c->boxes = calloc(reply->n_boxes + 1, sizeof(*c->boxes));
	if (!c->boxes)
		return -ENOMEM;
	for (size_t i = 0; i < reply->n_boxes; i++) {
		c->boxes[i].name = strdup(reply->boxes[i].name);
		c->boxes[i].address = strdup(reply->boxes[i].address);
		c->n_boxes++;
		if (!c->boxes[i].name || !c->boxes[i].address)
			return -ENOMEM;
	}
	return 0;
}

static void on_begun(struct conduct *c, const struct message_reply *reply, uint64_t now)
{
	c->result.began = true;
	if (boxes_take(c, reply) < 0) {
		conduct_enter(c, STARTING, now);
		conduct_failf(c, now, "out of memory");
	} else if (!conduct_order_plan(c, now)) {
		conduct_begun(c, now);
	}
}

static void on_refused(struct conduct *c, const struct conduct_pending *pending, const struct message_reply *reply,
		       uint64_t now)
{
	const char *why = *reply->error ? reply->error : strerror(reply->code < 0 ? -reply->code : EIO);

	switch (pending->kind) {
	case ORDER_BEGIN:
		if (!c->result.outcome) {
			c->result.outcome = OUTCOME_ERROR;
			snprintf(c->result.reason, sizeof(c->result.reason), "%s", why);
		}
		c->state = DONE;
		break;
	case ORDER_ATTACH:
		conduct_failf(c, now, "%s: cannot attach %s: %s", c->actors[pending->actor].spec->attach->place,
			      c->processes[pending->actor].name, why);
		break;
	case ORDER_START:
		if (pending->actor == ACTOR_HELPER)
			conduct_failf(c, now, "cannot start the ready program of %s: %s", c->processes[c->current].name, why);
		else
			conduct_failf(c, now, "cannot start %s: %s", c->processes[pending->actor].name, why);
		break;
	case ORDER_MARK:
		conduct_failf(c, now, "the agent: %s", why);
		break;
	case ORDER_FINISH:
		conduct_agent_lost(c, OUTCOME_ERROR, why);
		break;
	case ORDER_ARM:
		conduct_on_armed(c, why, now);
		break;
	case ORDER_LIFT:
	case ORDER_SIGNAL: /* it has ended meanwhile */
	case ORDER_QUIT:
	case ORDER_NONE:
		break;
	}
}

static void on_reply(struct conduct *c, const struct message_reply *reply, uint64_t now)
{
	struct conduct_pending pending = { 0 };
	size_t i;

	for (i = 0; i < c->n_pending && c->pending[i].id != reply->id; i++)
		;
	if (i == c->n_pending)
		return;
	pending = c->pending[i];
	memmove(&c->pending[i], &c->pending[i + 1], (--c->n_pending - i) * sizeof(pending));
	if (pending.token) {
		conduct_answer(c, &pending, reply->code ? reply->code : *reply->error ? -EIO : 0, reply->error);
	} else if (reply->code || *reply->error) {
		on_refused(c, &pending, reply, now);
	} else if (pending.kind == ORDER_BEGIN) {
		on_begun(c, reply, now);
	} else if (pending.kind == ORDER_START && pending.actor >= 0) {
		c->processes[pending.actor].started = true;
		if (c->state == STOPPING && c->actors[pending.actor].spec && !c->processes[pending.actor].exited)
			conduct_order_signal(c, (size_t)pending.actor, now);
	} else if (pending.kind == ORDER_ARM) {
		conduct_on_armed(c, NULL, now);
	} else if (pending.kind == ORDER_ATTACH) {
		c->processes[pending.actor].started = true;
	} else if (pending.kind == ORDER_FINISH) {
		c->state = DONE;
	}
}

static int actor_by_name(const struct conduct *c, const char *name)
{
	for (size_t i = 0; i < c->n_actors; i++)
		if (!strcmp(name, c->actors[i].spec ? c->processes[i].name : NAME_CHECK))
			return (int)i;
	return ACTOR_NONE;
}

/* A process of the system that ends while nobody asks it to, badly or although it is not ours: no verdict, but worth knowing. */
static void warn_of_end(const struct conduct *c, size_t i)
{
	const struct store_process *process = &c->processes[i];
	char how[64], text[160];

	if (i >= c->x->n_processes || c->actors[i].fault || (!process->status && !conduct_is_attached(c, i)) || !c->actors[i].ready ||
	    c->state >= STOPPING || !c->door.warn)
		return;
	status_text((int)process->status, how, sizeof(how));
	snprintf(text, sizeof(text), "%s ended by itself: %s (bop show --output)", process->name, how);
	c->door.warn(c->door.arg, text);
}

static void on_exited(struct conduct *c, const struct message *message, uint64_t now)
{
	int i = actor_by_name(c, message->exited.name);
	struct store_process *process;

	if (c->helper.running && !strcmp(message->exited.name, c->helper.name)) {
		c->helper.running = false;
		c->helper.retry_at = now + CONDUCT_READY_RETRY_NS;
		conduct_last_line(message->exited.output ? message->exited.output : "", message->exited.size, c->helper.said,
			  sizeof(c->helper.said));
		if (!message->exited.status && c->state == STARTING)
			c->actors[c->current].ready = true;
		return;
	}
	if (i < 0)
		return;
	if (conduct_ended_by_fault(c, message, (size_t)i))
		return;
	process = &c->processes[i];
	process->exited = true;
	process->status = message->exited.status;
	warn_of_end(c, (size_t)i);
	if (message->exited.size && !process->output) {
		process->output = malloc(message->exited.size);
		if (!process->output)
			return;
		memcpy(process->output, message->exited.output, message->exited.size);
		process->output_size = message->exited.size;
	}
}

void conduct_on_message(struct conduct *c, const struct message *message, uint64_t now)
{
	int i;

	if (c->state == DONE)
		return;
	c->heard_ns = now;
	if (message->kind == MESSAGE_REPLY) {
		on_reply(c, &message->reply, now);
	} else if (message->kind == MESSAGE_EXITED) {
		on_exited(c, message, now);
	} else if (message->kind == MESSAGE_READY) {
		i = actor_by_name(c, message->ready.name);
		if (i >= 0)
			c->actors[i].ready = true;
	}
	conduct_advance(c, now);
}

void conduct_begin(struct conduct *c, uint64_t now)
{
	struct message_order begin = {
		.kind = ORDER_BEGIN,
		.begin = {
			.run = c->run,
			.experiment = c->x->name,
			.directory = (char *)c->directory,
			.boxes = c->x->boxes,
			.deferred = c->x->deferred,
			.content_bytes = c->x->content_bytes,
			.transports = c->x->transports,
			.redact = c->x->redact,
		},
	};

	conduct_enter(c, BEGINNING, now);
	c->heard_ns = now;
	conduct_order(c, &begin, ACTOR_NONE, now);
}

void conduct_interrupt(struct conduct *c, uint64_t now)
{
	conduct_stop(c, OUTCOME_INTERRUPTED, "", now);
	conduct_advance(c, now);
}

void conduct_hurry(struct conduct *c, uint64_t now)
{
	conduct_interrupt(c, now);
	if (c->state == STOPPING)
		c->deadline_ns = now;
	conduct_on_time(c, now);
}

void conduct_fail(struct conduct *c, const char *reason, uint64_t now)
{
	if (c->state >= STOPPING) { /* worse than what was known, even if all is over */
		c->result.outcome = OUTCOME_ERROR;
		snprintf(c->result.reason, sizeof(c->result.reason), "%s", reason);
	}
	conduct_stop(c, OUTCOME_ERROR, reason, now);
	conduct_advance(c, now);
}

void conduct_agent_lost(struct conduct *c, enum outcome outcome, const char *reason)
{
	if (c->state == DONE)
		return;
	c->state = DONE;
	while (c->n_pending)
		if (c->pending[--c->n_pending].token)
			conduct_answer(c, &c->pending[c->n_pending], -EPIPE, reason);
	c->result.agent_lost = true;
	c->result.outcome = outcome;
	c->result.blame = NULL;
	snprintf(c->result.reason, sizeof(c->result.reason), "%s", reason);
}

bool conduct_done(const struct conduct *c)
{
	return c->state == DONE;
}

const struct conduct_result *conduct_result(const struct conduct *c)
{
	return &c->result;
}

const struct store_process *conduct_processes(const struct conduct *c, size_t *ret_n)
{
	*ret_n = c->n_actors;
	return c->processes;
}

const char *conduct_phase(const struct conduct *c)
{
	switch (c->state) {
	case IDLE:
	case BEGINNING:
		return "making boxes";
	case STARTING:
		snprintf(((struct conduct *)c)->phase, sizeof(c->phase), "waiting for %s",
			 c->processes[c->current].name);
		return c->phase;
	case WORKLOAD:
		return "workload";
	case CHECK:
		return "check";
	case STOPPING:
	case FINISHING:
	case DONE:
		break;
	}
	return "stopping";
}

/* The arguments, separated by blanks, on one line. */
static char *command_make(char *const *argv)
{
	size_t size = 1;
	char *text, *to;

	for (char *const *arg = argv; *arg; arg++)
		size += strlen(*arg) + 1;
	text = to = malloc(size);
	for (char *const *arg = argv; text && *arg; arg++)
		to += sprintf(to, "%s%s", arg == argv ? "" : " ", *arg);
	if (text && to == text)
		*to = '\0';
	for (to = text; to && *to; to++)
		if ((unsigned char)*to < 0x20 || *to == 0x7f)
			*to = '?';
	return text;
}

static int actor_init(struct conduct *c, size_t i, const struct experiment_process *spec, enum store_role role)
{
	struct store_process *process = &c->processes[i];
	const char *name = spec ? spec->name : "check";

	c->actors[i].spec = spec;
	process->role = role;
	process->name = strdup(name);
	process->box = strdup(spec ? spec->box : c->x->check_box);
	process->command = spec && spec->attach ? strdup(spec->attach->text) : command_make(spec ? spec->run : c->x->check_run);
	if (spec && spec->directory)
		c->actors[i].directory = strdup(spec->directory);
	else if (asprintf(&c->actors[i].directory, "%s/%s", c->directory, name) < 0)
		c->actors[i].directory = NULL;
	return process->name && process->box && process->command && c->actors[i].directory ? 0 : -ENOMEM;
}

int conduct_new(const struct experiment *x, uint64_t run, const char *directory, const struct conduct_door *door,
		struct conduct **ret_conduct, struct error *e)
{
	struct conduct *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;
	size_t n = 0;

	if (!c)
		goto out;
	c->x = x;
	c->run = run;
	c->directory = directory;
	c->door = *door;
	c->deadline_ns = UINT64_MAX;
	c->n_actors = x->n_processes + x->n_workloads + (x->check_run ? 1 : 0);
	c->actors = calloc(c->n_actors + 1, sizeof(*c->actors));
	c->processes = calloc(c->n_actors + 1, sizeof(*c->processes));
	if (!c->actors || !c->processes)
		goto out;
	err = 0;
	for (size_t i = 0; i < x->n_processes && !err; i++)
		err = actor_init(c, n++, &x->processes[i], STORE_PROCESS);
	for (size_t i = 0; i < x->n_workloads && !err; i++)
		err = actor_init(c, n++, &x->workloads[i], STORE_WORKLOAD);
	if (x->check_run && !err)
		err = actor_init(c, n, NULL, STORE_CHECK);
	if (!err) {
		*ret_conduct = c;
		c = NULL;
	}
out:
	conduct_free(c);
	return err < 0 ? error_set(e, err, "out of memory") : 0;
}

void conduct_free(struct conduct *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_actors && c->actors && c->processes; i++) {
		free(c->actors[i].directory);
		free(c->processes[i].name);
		free(c->processes[i].box);
		free(c->processes[i].command);
		free(c->processes[i].output);
	}
	for (size_t i = 0; i < c->n_boxes; i++) {
		free(c->boxes[i].name);
		free(c->boxes[i].address);
	}
	free(c->actors);
	free(c->processes);
	free(c->boxes);
	free(c->pending);
	free(c);
}
