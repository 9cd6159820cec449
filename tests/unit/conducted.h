/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A run, conducted against an agent that lives in this process on a clock that only the test moves. The agent keeps a
 * transcript of the orders; a script says how each program behaves. Included by one Check program each.
 */
#ifndef TESTS_UNIT_CONDUCTED_H
#define TESTS_UNIT_CONDUCTED_H

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/conduct.h"

#define SECOND 1000000000ull
#define MS 1000000ull
#define EXITED(code) ((code) << 8)
#define NEVER UINT64_MAX

/* How a program behaves; times are after its start (ready, exit) or after its stop signal (stop). */
struct behaviour {
	const char *name;
	uint64_t ready, exit, stop;
	uint32_t status;
	const char *output;
	const char *refused; /* the agent cannot start it */
	unsigned failures;   /* ready programs: how many attempts fail before one does not */
	uint32_t fault;	     /* that ends it */
	bool restarts;	     /* it is started again, and then goes on */
};

struct notice {
	uint64_t at;
	struct message message;
};

struct agent {
	const struct behaviour *script;
	char transcript[4096];
	char environment[4096]; /* of the check */
	struct notice notices[64];
	size_t n_notices;
	uint64_t now;
	bool deaf;	       /* answers nothing any more */
	bool broken;	       /* orders cannot be sent */
	const char *no_boxes;  /* why Begin is refused */
	unsigned attempts;     /* of ready programs */
	const char *no_faults; /* why Arm is refused */
	char answers[256];     /* to whoever injected and lifted */
};

static void note(struct agent *agent, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct agent *agent, const char *format, ...)
{
	size_t n = strlen(agent->transcript);
	va_list ap;

	va_start(ap, format);
	vsnprintf(agent->transcript + n, sizeof(agent->transcript) - n, format, ap);
	va_end(ap);
}

static void later(struct agent *agent, uint64_t after, struct message message)
{
	if (after == NEVER || agent->deaf)
		return;
	ck_assert_uint_lt(agent->n_notices, 64);
	agent->notices[agent->n_notices++] = (struct notice){ agent->now + after, message };
}

static const struct behaviour *behaviour_of(const struct agent *agent, const char *name)
{
	static const struct behaviour idle = { .exit = NEVER, .ready = NEVER };
	const struct behaviour *b = agent->script;

	while (b->name && strncmp(b->name, name, strlen(b->name)))
		b++;
	return b->name ? b : &idle;
}

static void exit_later(struct agent *agent, const struct behaviour *b, const char *name, uint64_t after,
		       uint32_t status)
{
	later(agent, after, (struct message){ .kind = MESSAGE_EXITED,
					      .exited = { .name = (char *)name,
							  .status = status,
							  .output = (char *)b->output,
							  .size = b->output ? strlen(b->output) : 0,
							  .fault = b->fault,
							  .restarts = b->restarts } });
}

static void on_start(struct agent *agent, const struct message_start *start)
{
	const struct behaviour *b = behaviour_of(agent, start->name);
	static char names[16][64];
	static unsigned n;
	char *name = names[n++ % 16];
	uint32_t status = b->status;

	snprintf(name, sizeof(names[0]), "%s", start->name);
	if (start->name[0] == ':') {
		ck_assert(start->untraced && start->quiet);
		if (b->failures)
			status = agent->attempts++ < b->failures ? EXITED(1) : 0;
	}
	if (!strcmp(start->name, ":check"))
		for (char **e = start->environment; *e; e++) {
			strcat(agent->environment, *e);
			strcat(agent->environment, "\n");
		}
	if (start->ready_port)
		later(agent, b->ready, (struct message){ .kind = MESSAGE_READY, .ready.name = name });
	exit_later(agent, b, name, b->exit, status);
}

static int on_order(void *arg, const struct message_order *order, struct error *e)
{
	static struct trace_box boxes[] = { { "a", "10.0.0.1", "" }, { "b-1", "10.0.0.2", "" } };
	struct agent *agent = arg;
	struct message_reply reply = { .id = order->id, .error = "" };

	if (agent->broken)
		return error_set(e, -EHOSTUNREACH, "no way to the agent");
	switch (order->kind) {
	case ORDER_BEGIN:
		note(agent, "begin ");
		reply.boxes = boxes;
		reply.n_boxes = 2;
		if (agent->no_boxes) {
			reply.error = (char *)agent->no_boxes;
			reply.code = -EIO;
		}
		break;
	case ORDER_START:
		note(agent, "start:%s ", order->start.name);
		reply.error = (char *)behaviour_of(agent, order->start.name)->refused;
		reply.code = reply.error ? -ENOENT : 0;
		reply.error = reply.error ? reply.error : "";
		break;
	case ORDER_ATTACH:
		note(agent, "attach:%s ", order->attach.name);
		reply.error = (char *)behaviour_of(agent, order->attach.name)->refused;
		reply.code = reply.error ? -ESRCH : 0;
		reply.error = reply.error ? reply.error : "";
		break;
	case ORDER_SIGNAL:
		note(agent, "signal:%s:%d ", order->signal.name, order->signal.signal);
		exit_later(agent, behaviour_of(agent, order->signal.name),
			   behaviour_of(agent, order->signal.name)->name,
			   behaviour_of(agent, order->signal.name)->stop, (uint32_t)order->signal.signal);
		break;
	case ORDER_MARK:
		note(agent, "mark:%s ", order->mark);
		break;
	case ORDER_FINISH:
		note(agent, "finish ");
		break;
	case ORDER_ARM:
		note(agent, "arm:%zu%s ", order->arm.n, order->arm.armed_ns > 10 * SECOND ? "" : "?");
		reply.error = agent->no_faults ? (char *)agent->no_faults : "";
		reply.code = agent->no_faults ? -EOPNOTSUPP : 0;
		break;
	case ORDER_LIFT:
		note(agent, "lift:%u ", order->lift);
		break;
	case ORDER_QUIT:
	case ORDER_NONE:
		ck_abort_msg("unexpected order");
	}
	later(agent, MS, (struct message){ .kind = MESSAGE_REPLY, .reply = reply });
	if (order->kind == ORDER_START && !reply.code) {
		agent->now += MS; /* after its reply */
		on_start(agent, &order->start);
		agent->now -= MS;
	}
	return 0;
}

static void on_warn(void *arg, const char *text)
{
	note(arg, "warning:%s ", text);
}

static void on_answered(void *arg, uint64_t token, int err, const char *text)
{
	struct agent *agent = arg;
	size_t n = strlen(agent->answers);

	snprintf(agent->answers + n, sizeof(agent->answers) - n, "%llu:%d:%s ", (unsigned long long)token, err, text);
}

static char *argv_true[] = { "/bin/true", "x\ny", NULL };
static char *no_env[] = { NULL };
static char *some_env[] = { "LANG=de", "MINE=1", NULL };
static char *box_names[] = { "a", "b-1", NULL };

struct fixture {
	struct experiment x;
	struct experiment_process processes[2], workloads[2];
	struct agent agent;
	struct conduct *conduct;
	uint64_t now;
};

/* When the experiment has been changed: before the run begins. */
static void conduct_anew(struct fixture *f)
{
	struct conduct_door door = { .order = on_order, .warn = on_warn, .answered = on_answered, .arg = &f->agent };
	struct error e = { "" };

	conduct_free(f->conduct);
	ck_assert_msg(conduct_new(&f->x, 7, "/run/dir", &door, &f->conduct, &e) == 0, "%s", e.text);
}

static void fixture_init(struct fixture *f, const struct behaviour *script)
{
	memset(f, 0, sizeof(*f));
	f->processes[0] = (struct experiment_process){ .name = "s1", .box = "a", .run = argv_true, .env = some_env,
						       .stop_signal = SIGTERM, .ready_port = 7000 };
	f->processes[1] = (struct experiment_process){ .name = "s2", .box = "b-1", .run = argv_true, .env = no_env,
						       .stop_signal = SIGINT, .ready_run = argv_true };
	f->workloads[0] = (struct experiment_process){ .name = "w-1", .box = "a", .run = argv_true, .env = no_env,
						       .stop_signal = SIGTERM };
	f->workloads[1] = (struct experiment_process){ .name = "w-2", .box = "a", .run = argv_true, .env = no_env,
						       .stop_signal = SIGTERM };
	f->x = (struct experiment){
		.name = "x", .path = "/x/e.yaml", .text = "", .boxes = box_names, .search_path = "/bin",
		.processes = f->processes, .n_processes = 2, .workloads = f->workloads, .n_workloads = 2,
		.check_box = "a", .check_run = argv_true,
		.timeout_ns = 10 * SECOND, .ready_timeout_ns = 2 * SECOND, .grace_ns = SECOND,
	};
	f->agent.script = script;
	f->now = f->agent.now = 1000 * SECOND;
	conduct_anew(f);
}

/* Delivers what the agent says and moves the clock, until the run is done or `until`. */
static void play(struct fixture *f, uint64_t until)
{
	struct agent *agent = &f->agent;
	struct notice notice;
	uint64_t next;
	size_t at;

	if (!strlen(agent->transcript))
		conduct_begin(f->conduct, f->now);
	for (int steps = 0; !conduct_done(f->conduct); steps++) {
		ck_assert_int_lt(steps, 10000);
		next = conduct_deadline(f->conduct);
		at = agent->n_notices;
		for (size_t i = 0; i < agent->n_notices; i++)
			if (agent->notices[i].at <= next && (at == agent->n_notices || agent->notices[i].at < agent->notices[at].at))
				at = i;
		if (at < agent->n_notices)
			next = agent->notices[at].at;
		if (next >= until) {
			f->now = agent->now = until;
			return;
		}
		ck_assert_msg(next != NEVER, "it would wait for ever: %s", agent->transcript);
		f->now = agent->now = next > f->now ? next : f->now;
		if (at == agent->n_notices) {
			conduct_on_time(f->conduct, f->now);
			continue;
		}
		notice = agent->notices[at];
		memmove(&agent->notices[at], &agent->notices[at + 1], (--agent->n_notices - at) * sizeof(notice));
		conduct_on_message(f->conduct, &notice.message, f->now);
		conduct_on_time(f->conduct, f->now);
	}
}

static void ends(struct fixture *f, enum outcome outcome, const char *reason, const char *transcript)
{
	const struct conduct_result *result;

	play(f, NEVER);
	result = conduct_result(f->conduct);
	ck_assert_msg(result->outcome == outcome, "%s: %s", outcome_name(result->outcome), result->reason);
	ck_assert_msg(strstr(result->reason, reason) != NULL, "reason is: %s", result->reason);
	ck_assert_str_eq(f->agent.transcript, transcript);
	conduct_free(f->conduct);
}

/* Servers that listen after 5 ms and end on their signal, workloads that end by themselves, a check that passes. */
#define SERVERS                                                                                    \
	{ .name = "s1", .ready = 5 * MS, .exit = NEVER, .stop = MS }, { .name = "s2", .exit = NEVER, .stop = MS }, \
	{ .name = ":ready", .exit = MS }
#define CLIENTS { .name = "w-1", .exit = 20 * MS }, { .name = "w-2", .exit = 30 * MS }

#define UP "begin start:s1 start:s2 start::ready:s2:1 mark:workload start:w-1 start:w-2 "
#define DOWN "mark:outcome mark:teardown signal:s1:15 signal:s2:2 finish "

#endif
