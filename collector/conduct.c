/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See conduct.h. Failures inside (no memory) end the run as any other harness error does. */
#include "collector/conduct.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "collector/agentproc.h"
#include "collector/environment.h"
#include "lib/clock.h"

/* Names that no process of an experiment can have. */
#define NAME_CHECK ":check"
#define NAME_READY ":ready"

enum state { IDLE, BEGINNING, STARTING, WORKLOAD, CHECK, STOPPING, FINISHING, DONE };
enum { ACTOR_NONE = -1, ACTOR_HELPER = -2 };

struct pending {
	uint64_t id;
	enum order_kind kind;
	int actor;
};

/* A program of the experiment, beside what is kept of it. */
struct actor {
	const struct experiment_process *spec; /* NULL: the check */
	char *directory;
	bool ordered, ready;
};

/* The program that tells whether a process is ready: one at a time. */
struct helper {
	char name[64];
	unsigned attempt;
	bool running;
	uint64_t retry_at;
	char said[160]; /* last line of the last attempt */
};

struct conduct {
	const struct experiment *x;
	uint64_t run;
	const char *directory;
	struct conduct_door door;
	enum state state;
	struct conduct_result result;
	struct actor *actors;
	struct store_process *processes; /* what is kept; same indices */
	size_t n_actors;
	size_t current; /* STARTING: which */
	struct helper helper;
	struct trace_box *boxes;
	size_t n_boxes;
	struct pending *pending;
	size_t n_pending, cap_pending;
	uint64_t last_id;
	uint64_t heard_ns; /* when the agent said something, or was last asked while it owed nothing */
	uint64_t deadline_ns; /* of the state */
	uint64_t since_ns;    /* when it was entered */
	char phase[96];
};

static void stop(struct conduct *c, enum outcome outcome, const char *reason, uint64_t now);
static void advance(struct conduct *c, uint64_t now);

static void enter(struct conduct *c, enum state state, uint64_t now)
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

static void fail(struct conduct *c, uint64_t now, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fail(struct conduct *c, uint64_t now, const char *format, ...)
{
	char reason[sizeof(c->result.reason)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(reason, sizeof(reason), format, ap);
	va_end(ap);
	stop(c, OUTCOME_ERROR, reason, now);
}

static void order(struct conduct *c, struct message_order *order, int actor, uint64_t now)
{
	struct pending *grown;
	struct error e = { "" };

	if (c->state == DONE)
		return;
	if (c->n_pending == c->cap_pending) {
		grown = realloc(c->pending, (c->cap_pending + 16) * sizeof(*grown));
		if (!grown) {
			conduct_agent_lost(c, OUTCOME_ERROR, "out of memory");
			return;
		}
		c->pending = grown;
		c->cap_pending += 16;
	}
	if (!c->n_pending)
		c->heard_ns = now;
	order->id = ++c->last_id;
	c->pending[c->n_pending++] = (struct pending){ order->id, order->kind, actor };
	if (c->door.order(c->door.arg, order, &e) < 0)
		conduct_agent_lost(c, OUTCOME_ERROR, e.text);
}

static void order_mark(struct conduct *c, char *text, uint64_t now)
{
	order(c, &(struct message_order){ .kind = ORDER_MARK, .mark = text }, ACTOR_NONE, now);
}

/* The last line of text that is not empty. */
static void last_line(const char *text, size_t size, char *buf, size_t buf_size)
{
	size_t start;

	while (size && (text[size - 1] == '\n' || text[size - 1] == ' ' || text[size - 1] == '\r'))
		size--;
	for (start = size; start && text[start - 1] != '\n';)
		start--;
	snprintf(buf, buf_size, "%.*s", (int)(size - start), size ? text + start : "");
}

/* BOP_STATUS=worst and BOP_STATUS_NAME=... for the check. */
static char **statuses_make(const struct conduct *c)
{
	char **list = calloc(c->x->n_workloads + 2, sizeof(*list)), name[128];
	int status, worst = 0;
	size_t n = 0;

	for (size_t i = 0; list && i < c->x->n_workloads; i++) {
		const struct store_process *workload = &c->processes[c->x->n_processes + i];

		status = WIFSIGNALED(workload->status) ? 128 + WTERMSIG(workload->status) :
							 WEXITSTATUS(workload->status);
		if (status > worst)
			worst = status;
		environment_name("BOP_STATUS_", workload->name, name, sizeof(name));
		if (asprintf(&list[n], "%s=%d", name, status) < 0)
			list[n] = NULL;
		else
			n++;
	}
	if (list && asprintf(&list[n], "BOP_STATUS=%d", worst) < 0)
		list[n] = NULL;
	return list;
}

static void start_program(struct conduct *c, int actor, char *name, const char *box, char **argv, const char *user,
			  const char *directory, char *const *more, uint32_t ready_port, bool system, uint64_t now)
{
	struct environment environment = {
		.search_path = c->x->search_path,
		.run_directory = c->directory,
		.directory = directory,
		.user = user ? user : "root",
		.box = box,
		.boxes = c->boxes,
		.n_boxes = c->n_boxes,
		.more = more,
	};
	struct message_order start = {
		.kind = ORDER_START,
		.start = {
			.name = name,
			.box = (char *)box,
			.user = (char *)(user ? user : ""),
			.directory = (char *)directory,
			.argv = argv,
			.ready_port = ready_port,
			.untraced = !system,
			.quiet = !system,
		},
	};

	if (environment_make(&environment, &start.start.environment) < 0) {
		fail(c, now, "out of memory");
		return;
	}
	order(c, &start, actor, now);
	environment_free(start.start.environment);
}

static void start_actor(struct conduct *c, size_t i, uint64_t now)
{
	const struct experiment_process *spec = c->actors[i].spec;
	char **statuses;

	c->actors[i].ordered = true;
	if (spec) {
		start_program(c, (int)i, spec->name, spec->box, spec->run, spec->user, c->actors[i].directory, spec->env,
			      spec->ready_port, true, now);
		return;
	}
	statuses = statuses_make(c);
	if (statuses)
		start_program(c, (int)i, NAME_CHECK, c->x->check_box, c->x->check_run, NULL, c->actors[i].directory,
			      statuses, 0, false, now);
	else
		fail(c, now, "out of memory");
	environment_free(statuses);
}

static void start_helper(struct conduct *c, uint64_t now)
{
	const struct experiment_process *spec = c->actors[c->current].spec;

	c->helper.running = true;
	snprintf(c->helper.name, sizeof(c->helper.name), NAME_READY ":%s:%u", spec->name, ++c->helper.attempt);
	start_program(c, ACTOR_HELPER, c->helper.name, spec->box, spec->ready_run, spec->user,
		      c->actors[c->current].directory, spec->env, 0, false, now);
}

static void start_next(struct conduct *c, uint64_t now)
{
	enter(c, STARTING, now);
	c->deadline_ns = now + c->x->ready_timeout_ns;
	c->helper = (struct helper){ .retry_at = 0 };
	start_actor(c, c->current, now);
}

static void workload_begin(struct conduct *c, uint64_t now)
{
	enter(c, WORKLOAD, now);
	c->deadline_ns = now + c->x->timeout_ns;
	order_mark(c, "workload", now);
	for (size_t i = 0; i < c->x->n_workloads && c->state == WORKLOAD; i++)
		start_actor(c, c->x->n_processes + i, now);
}

static void starting_advance(struct conduct *c, uint64_t now)
{
	struct actor *actor = &c->actors[c->current];
	const struct store_process *process = &c->processes[c->current];
	char how[64];

	if (!process->started)
		return;
	if (!actor->spec->ready_port && !actor->spec->ready_run)
		actor->ready = true;
	if (!actor->ready && process->exited) {
		c->result.blame = process->name;
		status_text((int)process->status, how, sizeof(how));
		fail(c, now, "%s ended before it was ready: %s", process->name, how);
		return;
	}
	if (!actor->ready) {
		if (actor->spec->ready_run && !c->helper.running && now >= c->helper.retry_at)
			start_helper(c, now);
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

	for (size_t i = 0; i < c->x->n_workloads; i++) {
		const struct store_process *process = &c->processes[c->x->n_processes + i];

		if (!process->status)
			continue;
		c->result.blame = process->name;
		status_text((int)process->status, how, sizeof(how));
		snprintf(reason, sizeof(reason), "%s: %s", process->name, how);
		stop(c, OUTCOME_VIOLATED, reason, now);
		return;
	}
	stop(c, OUTCOME_GOOD, "", now);
}

static void judge_check(struct conduct *c, uint64_t now)
{
	static const enum outcome outcomes[] = { OUTCOME_GOOD, OUTCOME_VIOLATED, OUTCOME_VACUOUS };
	const struct store_process *check = &c->processes[c->n_actors - 1];
	char how[64], line[256];
	int status = (int)check->status;

	last_line(check->output ? check->output : "", check->output_size, line, sizeof(line));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		stop(c, OUTCOME_GOOD, "", now);
	} else if (WIFEXITED(status) && WEXITSTATUS(status) <= 2) {
		stop(c, outcomes[WEXITSTATUS(status)], line, now);
	} else {
		status_text(status, how, sizeof(how));
		fail(c, now, "the check ended with %s (0 means good, 1 violated, 2 vacuous)%s%s", how, *line ? ": " : "",
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
	enter(c, CHECK, now);
	order_mark(c, "check", now);
	start_actor(c, c->n_actors - 1, now);
}

static void stop_signal(struct conduct *c, size_t i, uint64_t now)
{
	struct message_order signal = {
		.kind = ORDER_SIGNAL,
		.signal = { .name = c->processes[i].name, .signal = c->actors[i].spec->stop_signal },
	};

	order(c, &signal, (int)i, now);
}

static void stop(struct conduct *c, enum outcome outcome, const char *reason, uint64_t now)
{
	if (c->state >= STOPPING || c->result.outcome)
		return;
	c->result.outcome = outcome;
	snprintf(c->result.reason, sizeof(c->result.reason), "%s", reason);
	if (c->state <= BEGINNING) /* goes on when the agent has answered */
		return;
	enter(c, STOPPING, now);
	c->deadline_ns = now + c->x->grace_ns;
	order_mark(c, "outcome", now);
	order_mark(c, "teardown", now);
	for (size_t i = 0; i < c->x->n_processes + c->x->n_workloads && c->state == STOPPING; i++)
		if (c->processes[i].started && !c->processes[i].exited)
			stop_signal(c, i, now);
}

static void finish(struct conduct *c, uint64_t now)
{
	enter(c, FINISHING, now);
	c->deadline_ns = UINT64_MAX;
	order(c, &(struct message_order){ .kind = ORDER_FINISH }, ACTOR_NONE, now);
}

static void stopping_advance(struct conduct *c, uint64_t now)
{
	bool waiting = false;

	for (size_t i = 0; i < c->n_pending; i++)
		waiting |= c->pending[i].kind == ORDER_START && c->pending[i].actor >= 0;
	for (size_t i = 0; i < c->x->n_processes + c->x->n_workloads; i++)
		waiting |= c->processes[i].started && !c->processes[i].exited;
	if (!waiting || now >= c->deadline_ns)
		finish(c, now);
}

/* Goes on as far as what is known allows. */
static void advance(struct conduct *c, uint64_t now)
{
	enum state before;

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
	if (!c->processes[c->current].started)
		fail(c, now, "%s was not started after %.3g s", spec->name, seconds);
	else if (spec->ready_port)
		fail(c, now, "%s was not ready after %.3g s: it does not listen on port %u", spec->name, seconds,
		     spec->ready_port);
	else
		fail(c, now, "%s was not ready after %.3g s: its ready program %s%s%s", spec->name, seconds,
		     c->helper.running && !*c->helper.said ? "did not end" : "did not exit with 0",
		     *c->helper.said ? ", and said: " : "", c->helper.said);
}

void conduct_on_time(struct conduct *c, uint64_t now)
{
	char reason[sizeof(c->result.reason)];

	if (c->state == DONE || c->state == IDLE)
		return;
	if (c->n_pending && now >= c->heard_ns + CONDUCT_SILENCE_NS) {
		conduct_agent_lost(c, OUTCOME_ERROR, "the agent does not answer any more");
		return;
	}
	advance(c, now);
	if (now < c->deadline_ns)
		return;
	if (c->state == STARTING) {
		not_ready(c, now);
	} else if (c->state == WORKLOAD || c->state == CHECK) {
		timeout_reason(c, reason, sizeof(reason));
		stop(c, OUTCOME_TIMEOUT, reason, now);
	}
	advance(c, now);
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
		enter(c, STARTING, now);
		fail(c, now, "out of memory");
	} else if (c->result.outcome) {
		finish(c, now);
	} else if (c->x->n_processes) {
		start_next(c, now);
	} else {
		workload_begin(c, now);
	}
}

static void on_refused(struct conduct *c, const struct pending *pending, const struct message_reply *reply,
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
	case ORDER_START:
		if (pending->actor == ACTOR_HELPER)
			fail(c, now, "cannot start the ready program of %s: %s", c->processes[c->current].name, why);
		else
			fail(c, now, "cannot start %s: %s", c->processes[pending->actor].name, why);
		break;
	case ORDER_MARK:
		fail(c, now, "the agent: %s", why);
		break;
	case ORDER_FINISH:
		conduct_agent_lost(c, OUTCOME_ERROR, why);
		break;
	case ORDER_SIGNAL: /* it has ended meanwhile */
	case ORDER_QUIT:
	case ORDER_NONE:
		break;
	}
}

static void on_reply(struct conduct *c, const struct message_reply *reply, uint64_t now)
{
	struct pending pending = { 0 };
	size_t i;

	for (i = 0; i < c->n_pending && c->pending[i].id != reply->id; i++)
		;
	if (i == c->n_pending)
		return;
	pending = c->pending[i];
	memmove(&c->pending[i], &c->pending[i + 1], (--c->n_pending - i) * sizeof(pending));
	if (reply->code || *reply->error) {
		on_refused(c, &pending, reply, now);
	} else if (pending.kind == ORDER_BEGIN) {
		on_begun(c, reply, now);
	} else if (pending.kind == ORDER_START && pending.actor >= 0) {
		c->processes[pending.actor].started = true;
		if (c->state == STOPPING && c->actors[pending.actor].spec && !c->processes[pending.actor].exited)
			stop_signal(c, (size_t)pending.actor, now);
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

static void on_exited(struct conduct *c, const struct message *message, uint64_t now)
{
	int i = actor_by_name(c, message->exited.name);
	struct store_process *process;

	if (c->helper.running && !strcmp(message->exited.name, c->helper.name)) {
		c->helper.running = false;
		c->helper.retry_at = now + CONDUCT_READY_RETRY_NS;
		last_line(message->exited.output ? message->exited.output : "", message->exited.size, c->helper.said,
			  sizeof(c->helper.said));
		if (!message->exited.status && c->state == STARTING)
			c->actors[c->current].ready = true;
		return;
	}
	if (i < 0)
		return;
	process = &c->processes[i];
	process->exited = true;
	process->status = message->exited.status;
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
	advance(c, now);
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
		},
	};

	enter(c, BEGINNING, now);
	c->heard_ns = now;
	order(c, &begin, ACTOR_NONE, now);
}

void conduct_interrupt(struct conduct *c, uint64_t now)
{
	stop(c, OUTCOME_INTERRUPTED, "", now);
	advance(c, now);
}

void conduct_fail(struct conduct *c, const char *reason, uint64_t now)
{
	if (c->state >= STOPPING && c->state < DONE) { /* worse than what was known */
		c->result.outcome = OUTCOME_ERROR;
		snprintf(c->result.reason, sizeof(c->result.reason), "%s", reason);
	}
	stop(c, OUTCOME_ERROR, reason, now);
	advance(c, now);
}

void conduct_agent_lost(struct conduct *c, enum outcome outcome, const char *reason)
{
	if (c->state == DONE)
		return;
	c->state = DONE;
	c->n_pending = 0;
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

/* The arguments, separated by blanks. */
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
	process->command = command_make(spec ? spec->run : c->x->check_run);
	if (spec && spec->directory)
		c->actors[i].directory = strdup(spec->directory);
	else if (asprintf(&c->actors[i].directory, "%s/%s", c->directory, spec ? name : NAME_CHECK + 1) < 0)
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
