/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A run, conducted against an agent that lives in this process on a clock that only the test moves. The agent keeps a
 * transcript of the orders; a script says how each program behaves.
 */
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

static void fixture_init(struct fixture *f, const struct behaviour *script)
{
	struct conduct_door door = { .order = on_order, .warn = on_warn, .answered = on_answered, .arg = &f->agent };
	struct error e;

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
	ck_assert_int_eq(conduct_new(&f->x, 7, "/run/dir", &door, &f->conduct, &e), 0);
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

/* Everything in order: each process ready before the next, workloads together, check, marks, stop signals, finish. */
START_TEST(good)
{
	const struct behaviour script[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check " DOWN);
}
END_TEST

static struct experiment_attach attach = { .pid = 12, .place = "e.yaml:4:5", .text = "(attached by pid 12)" };

/* With the first process attached. */
static void fixture_attach(struct fixture *f, const struct behaviour *script)
{
	struct conduct_door door = { .order = on_order, .warn = on_warn, .arg = &f->agent };

	fixture_init(f, script);
	conduct_free(f->conduct);
	f->processes[0] = (struct experiment_process){ .name = "s1", .box = "a", .attach = &attach };
	ck_assert_int_eq(conduct_new(&f->x, 7, "/run/dir", &door, &f->conduct, NULL), 0);
}

/* What is attached is ready when it is; it is neither stopped nor waited for. Its end during the run decides nothing. */
START_TEST(attached)
{
	const struct behaviour lives[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	const struct behaviour refused[] = { { .name = "s1", .refused = "there is no process 12" }, { 0 } };
	struct fixture f;

	fixture_attach(&f, lives);
	ends(&f, OUTCOME_GOOD, "", "begin attach:s1 start:s2 start::ready:s2:1 mark:workload start:w-1 start:w-2 mark:check start::check "
				   "mark:outcome mark:teardown signal:s2:2 finish ");
	fixture_attach(&f, lives);
	play(&f, f.now + 15 * MS);
	later(&f.agent, 2 * MS, (struct message){ .kind = MESSAGE_EXITED, .exited = { .name = (char *)"s1", .output = (char *)"" } });
	ends(&f, OUTCOME_GOOD, "", "begin attach:s1 start:s2 start::ready:s2:1 mark:workload start:w-1 start:w-2 "
				   "warning:s1 ended by itself: exit status 0 (bop show --output) mark:check start::check "
				   "mark:outcome mark:teardown signal:s2:2 finish ");
	fixture_attach(&f, refused);
	ends(&f, OUTCOME_ERROR, "e.yaml:4:5: cannot attach s1: there is no process 12", "begin attach:s1 mark:outcome mark:teardown finish ");
}
END_TEST

/* The check's exit status is the outcome, its last line the reason; any other status, or a signal, is an error. */
START_TEST(verdicts)
{
	const struct {
		uint32_t status;
		enum outcome outcome;
		const char *reason;
	} cases[] = {
		{ EXITED(1), OUTCOME_VIOLATED, "last words" }, { EXITED(2), OUTCOME_VACUOUS, "last words" },
		{ EXITED(3), OUTCOME_ERROR, "exit status 3" }, { SIGKILL, OUTCOME_ERROR, "signal 9 (SIGKILL)" },
		{ EXITED(127), OUTCOME_ERROR, "exit status 127" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct behaviour script[] = {
			SERVERS, CLIENTS,
			{ .name = ":check", .exit = MS, .status = cases[i].status, .output = "first\nlast words\n\n" }, { 0 }
		};
		struct fixture f;

		fixture_init(&f, script);
		ends(&f, cases[i].outcome, cases[i].reason, UP "mark:check start::check " DOWN);
	}
}
END_TEST

/* Without a check the workloads decide: all 0 is good, anything else violated, and says who. */
START_TEST(no_check)
{
	const struct behaviour fine[] = { SERVERS, CLIENTS, { 0 } };
	const struct behaviour bad[] = { SERVERS, { .name = "w-1", .exit = MS },
					 { .name = "w-2", .exit = MS, .status = SIGSEGV }, { 0 } };
	struct fixture f;

	fixture_init(&f, fine);
	f.x.check_run = NULL;
	conduct_free(f.conduct);
	conduct_new(&f.x, 7, "/run/dir", &(struct conduct_door){ on_order, &f.agent }, &f.conduct, NULL);
	ends(&f, OUTCOME_GOOD, "", UP DOWN);
	fixture_init(&f, bad);
	f.x.check_run = NULL;
	conduct_free(f.conduct);
	conduct_new(&f.x, 7, "/run/dir", &(struct conduct_door){ on_order, &f.agent }, &f.conduct, NULL);
	ends(&f, OUTCOME_VIOLATED, "w-2: signal 11 (SIGSEGV)", UP DOWN);
}
END_TEST

/* The check finds addresses and statuses in its environment, of which `env` of others is no part. */
START_TEST(environment)
{
	static const char *const wanted[] = {
		"PATH=/bin\n", "LANG=C.UTF-8\n", "BOP_RUN_DIR=/run/dir\n", "HOME=/run/dir/check\n", "PWD=/run/dir/check\n",
		"USER=root\n", "BOP_BOX=a\n", "BOP_ADDR_A=10.0.0.1\n", "BOP_ADDR_B_1=10.0.0.2\n", "BOP_STATUS_W_1=3\n",
		"BOP_STATUS_W_2=139\n", "BOP_STATUS=139\n",
	};
	const struct behaviour script[] = { SERVERS, { .name = "w-1", .exit = MS, .status = EXITED(3) },
					    { .name = "w-2", .exit = MS, .status = SIGSEGV },
					    { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;
	size_t lines = 0;

	fixture_init(&f, script);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check " DOWN);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		ck_assert_msg(strstr(f.agent.environment, wanted[i]) != NULL, "%s is not in %s", wanted[i],
			      f.agent.environment);
	for (const char *c = f.agent.environment; *c; c++)
		lines += *c == '\n';
	ck_assert_uint_eq(lines, sizeof(wanted) / sizeof(*wanted));
}
END_TEST

/* Of two workloads whose names give one variable, the larger status is in it. */
START_TEST(environment_shared)
{
	const struct behaviour script[] = { SERVERS, { .name = "w-1", .exit = MS, .status = EXITED(3) },
					    { .name = "w_1", .exit = MS }, { .name = ":check", .exit = MS }, { 0 } };
	struct conduct_door door = { .order = on_order };
	struct fixture f;

	fixture_init(&f, script);
	conduct_free(f.conduct);
	f.workloads[1].name = "w_1";
	door.arg = &f.agent;
	ck_assert_int_eq(conduct_new(&f.x, 7, "/run/dir", &door, &f.conduct, NULL), 0);
	play(&f, NEVER);
	ck_assert_msg(strstr(f.agent.environment, "BOP_STATUS_W_1=3\n") != NULL, "%s", f.agent.environment);
	conduct_free(f.conduct);
}
END_TEST

/* A process that ends before it is ready is an error that names its status; those already started are stopped. */
START_TEST(dies_before_ready)
{
	const struct behaviour script[] = { { .name = "s1", .ready = MS, .exit = NEVER, .stop = MS },
					    { .name = "s2", .exit = MS, .status = EXITED(7) },
					    { .name = ":ready", .exit = MS, .status = EXITED(1) }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	play(&f, NEVER);
	ck_assert_str_eq(conduct_result(f.conduct)->blame, "s2");
	ends(&f, OUTCOME_ERROR, "s2 ended before it was ready: exit status 7",
	     "begin start:s1 start:s2 start::ready:s2:1 mark:outcome mark:teardown signal:s1:15 finish ");
}
END_TEST

/* One that puts itself into the background cannot be supervised; it is told what to do. */
START_TEST(becomes_daemon)
{
	const struct behaviour script[] = { { .name = "s1", .ready = 5 * MS, .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_ERROR, "must stay in the foreground", "begin start:s1 mark:outcome mark:teardown finish ");
}
END_TEST

/* One that ends badly later, while nobody asks it to, is no verdict but a warning; one that ends with 0 is nothing odd. */
START_TEST(dies_later)
{
	static const struct {
		uint32_t status;
		const char *warning;
	} cases[] = {
		{ EXITED(3), "warning:s1 ended by itself: exit status 3 (bop show --output) " },
		{ SIGKILL, "warning:s1 ended by itself: signal 9 (SIGKILL) (bop show --output) " },
		{ 0, "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct behaviour script[] = {
			{ .name = "s1", .ready = 5 * MS, .exit = 15 * MS, .status = cases[i].status },
			{ .name = "s2", .exit = NEVER, .stop = MS, .status = EXITED(1) },
			{ .name = ":ready", .exit = MS }, CLIENTS, { .name = ":check", .exit = MS }, { 0 }
		};
		struct fixture f;
		char transcript[512];

		fixture_init(&f, script);
		snprintf(transcript, sizeof(transcript), UP "%smark:check start::check mark:outcome mark:teardown signal:s2:2 finish ",
			 cases[i].warning);
		ends(&f, OUTCOME_GOOD, "", transcript);
	}
}
END_TEST

static struct plan plan_of(const char *text)
{
	struct plan plan = { .n = 0 };
	struct error e = { "" };

	ck_assert_msg(!plan_add_text(&plan, "plan", text, strlen(text), &e) && !plan_number(&plan, 1, &e), "%s", e.text);
	return plan;
}

/* Faults are armed when the boxes are there and before anything starts. One that is refused ends the run, and says why. */
START_TEST(faults_first)
{
	const struct behaviour script[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct plan plan = plan_of("isolate a\ncut w-1>a:1#1/1\n");
	struct fixture f;

	fixture_init(&f, script);
	conduct_faults(f.conduct, &plan);
	ends(&f, OUTCOME_GOOD, "", "begin arm:2 start:s1 start:s2 start::ready:s2:1 mark:workload start:w-1 start:w-2 mark:check "
				   "start::check " DOWN);
	fixture_init(&f, script);
	f.agent.no_faults = "fault 2 (cut w-1>a:1#1/1): not here";
	conduct_faults(f.conduct, &plan);
	ends(&f, OUTCOME_ERROR, "fault 2 (cut w-1>a:1#1/1): not here", "begin arm:2 finish ");
	fixture_init(&f, script);
	conduct_faults(f.conduct, &plan);
	play(&f, f.now + MS + 1);
	conduct_interrupt(f.conduct, f.now);
	ends(&f, OUTCOME_INTERRUPTED, "", "begin arm:2 finish ");
	plan_fini(&plan);
}
END_TEST

/* A process that a fault ends stops nobody: not the next one that starts, and no warning speaks of it. */
START_TEST(fault_ends_process)
{
	const struct behaviour early[] = { { .name = "s1", .ready = NEVER, .exit = MS, .status = SIGKILL, .fault = 1 },
					   { .name = "s2", .exit = NEVER, .stop = MS }, { .name = ":ready", .exit = MS }, CLIENTS,
					   { .name = ":check", .exit = MS }, { 0 } };
	const struct behaviour late[] = { { .name = "s1", .ready = MS, .exit = 25 * MS, .status = SIGKILL, .fault = 1 },
					  { .name = "s2", .exit = NEVER, .stop = MS }, { .name = ":ready", .exit = MS }, CLIENTS,
					  { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, early);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check mark:outcome mark:teardown signal:s2:2 finish ");
	fixture_init(&f, late);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check mark:outcome mark:teardown signal:s2:2 finish ");
}
END_TEST

/* One that is started again has not ended: it is waited for, and told to stop at the end. */
START_TEST(fault_restarts_process)
{
	const struct behaviour script[] = { { .name = "s1", .ready = 30 * MS, .exit = MS, .status = SIGKILL, .fault = 1, .restarts = true,
					      .stop = MS },
					    { .name = "s2", .exit = NEVER, .stop = MS }, { .name = ":ready", .exit = MS }, CLIENTS,
					    { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check " DOWN);
}
END_TEST

/* Without a check, workloads that a fault ended say nothing; if there are no others, nothing was tested. */
START_TEST(fault_ends_workload)
{
	const struct behaviour one[] = { SERVERS, { .name = "w-1", .exit = MS, .status = SIGKILL, .fault = 1 },
					 { .name = "w-2", .exit = MS }, { 0 } };
	const struct behaviour both[] = { SERVERS, { .name = "w-", .exit = MS, .status = SIGKILL, .fault = 1 }, { 0 } };
	struct fixture f;

	fixture_init(&f, one);
	f.x.check_run = NULL;
	conduct_free(f.conduct);
	conduct_new(&f.x, 7, "/run/dir", &(struct conduct_door){ on_order, &f.agent }, &f.conduct, NULL);
	ends(&f, OUTCOME_GOOD, "", UP DOWN);
	fixture_init(&f, both);
	f.x.check_run = NULL;
	conduct_free(f.conduct);
	conduct_new(&f.x, 7, "/run/dir", &(struct conduct_door){ on_order, &f.agent }, &f.conduct, NULL);
	ends(&f, OUTCOME_VACUOUS, "every workload was ended by a fault", UP DOWN);
}
END_TEST

/* While it goes on, faults can be added and lifted; who asked is told, a refusal changes nothing. Before and after: not. */
START_TEST(faults_later)
{
	const struct behaviour script[] = { SERVERS, { .name = "w-1", .exit = 100 * MS }, { .name = "w-2", .exit = 100 * MS },
					    { .name = ":check", .exit = MS }, { 0 } };
	struct plan plan = plan_of("isolate a\n");
	struct error e = { "" };
	struct fixture f;

	fixture_init(&f, script);
	ck_assert_int_eq(conduct_inject(f.conduct, &plan, 5, f.now, &e), -EBUSY);
	play(&f, f.now + 50 * MS);
	ck_assert_int_eq(conduct_inject(f.conduct, &plan, 5, f.now, &e), 0);
	ck_assert_int_eq(conduct_lift(f.conduct, 3, 6, f.now, &e), 0);
	play(&f, f.now + 5 * MS);
	f.agent.no_faults = "no";
	ck_assert_int_eq(conduct_inject(f.conduct, &plan, 7, f.now, &e), 0);
	play(&f, f.now + 5 * MS);
	ck_assert_str_eq(f.agent.answers, "5:0: 6:0: 7:-95:no ");
	ck_assert_int_eq(conduct_inject(f.conduct, &plan, 8, f.now, &e), 0);
	conduct_agent_lost(f.conduct, OUTCOME_ERROR, "gone");
	ck_assert_str_eq(f.agent.answers, "5:0: 6:0: 7:-95:no 8:-32:gone ");
	ck_assert_int_eq(conduct_inject(f.conduct, &plan, 9, f.now, &e), -EBUSY);
	ends(&f, OUTCOME_ERROR, "gone", UP "arm:1 lift:3 arm:1 arm:1 ");
	plan_fini(&plan);
}
END_TEST

/* A process that never listens is waited for as long as ready_timeout says, and named with its port. */
START_TEST(never_listens)
{
	const struct behaviour script[] = { { .name = "s1", .ready = NEVER, .exit = NEVER, .stop = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_ERROR, "s1 was not ready after 2 s: it does not listen on port 7000",
	     "begin start:s1 mark:outcome mark:teardown signal:s1:15 finish ");
	ck_assert_uint_ge(f.now, 1002 * SECOND);
	ck_assert_uint_lt(f.now, 1003 * SECOND);
}
END_TEST

/* A ready program is run again 50 ms after each failure until it exits with 0. */
START_TEST(ready_program)
{
	const struct behaviour script[] = {
		{ .name = "s1", .ready = MS, .exit = NEVER, .stop = MS }, { .name = "s2", .exit = NEVER, .stop = MS },
		{ .name = ":ready", .exit = MS, .failures = 3 }, CLIENTS, { .name = ":check", .exit = MS }, { 0 }
	};
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_GOOD, "",
	     "begin start:s1 start:s2 start::ready:s2:1 start::ready:s2:2 start::ready:s2:3 start::ready:s2:4 "
	     "mark:workload start:w-1 start:w-2 mark:check start::check " DOWN);
	ck_assert_uint_ge(f.now, 1000 * SECOND + 150 * MS);
	ck_assert_uint_lt(f.now, 1000 * SECOND + 300 * MS);
}
END_TEST

/* A ready program that only ever fails makes the process not ready, and what it said last is told. */
START_TEST(ready_program_fails)
{
	const struct behaviour script[] = {
		{ .name = "s1", .ready = MS, .exit = NEVER, .stop = MS }, { .name = "s2", .exit = NEVER, .stop = MS },
		{ .name = ":ready", .exit = 300 * MS, .status = EXITED(1), .output = "no answer\n" }, { 0 }
	};
	struct fixture f;

	fixture_init(&f, script);
	play(&f, NEVER);
	ck_assert_ptr_nonnull(strstr(conduct_result(f.conduct)->reason, "s2 was not ready after 2 s"));
	ck_assert_ptr_nonnull(strstr(conduct_result(f.conduct)->reason, "no answer"));
	conduct_free(f.conduct);
}
END_TEST

/* A workload or a check that does not end in time makes a timeout that says who; the check is not run after one. */
START_TEST(timeouts)
{
	const struct behaviour hangs[] = { SERVERS, { .name = "w-1", .exit = MS },
					   { .name = "w-2", .exit = NEVER, .stop = MS }, { 0 } };
	const struct behaviour check_hangs[] = { SERVERS, CLIENTS, { .name = ":check", .exit = NEVER }, { 0 } };
	struct fixture f;

	fixture_init(&f, hangs);
	ends(&f, OUTCOME_TIMEOUT, "after 10 s these had not ended: w-2",
	     UP "mark:outcome mark:teardown signal:s1:15 signal:s2:2 signal:w-2:15 finish ");
	ck_assert_uint_lt(f.now, 1011 * SECOND);
	fixture_init(&f, check_hangs);
	ends(&f, OUTCOME_TIMEOUT, "after 10 s the check had not ended", UP "mark:check start::check " DOWN);
}
END_TEST

/* Who ignores its stop signal is not waited for longer than the grace. */
START_TEST(grace)
{
	const struct behaviour script[] = { { .name = "s1", .ready = MS, .exit = NEVER, .stop = NEVER },
					    { .name = "s2", .exit = NEVER, .stop = MS }, { .name = ":ready", .exit = MS },
					    CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check " DOWN);
	ck_assert_uint_ge(f.now, 1001 * SECOND);
	ck_assert_uint_lt(f.now, 1002 * SECOND);
}
END_TEST

/* The user may stop it at any moment: whatever it was doing, all is stopped in order and the outcome is interrupted. */
START_TEST(interrupted)
{
	const struct behaviour script[] = { SERVERS, { .name = "w-1", .exit = SECOND, .stop = MS },
					    { .name = "w-2", .exit = SECOND, .stop = MS },
					    { .name = ":check", .exit = SECOND }, { 0 } };
	struct fixture f;

	for (uint64_t at = 0; at < 2000 * MS; at += 7 * MS / 2) {
		const struct conduct_result *result;
		const char *tail;

		fixture_init(&f, script);
		play(&f, f.now + at);
		conduct_interrupt(f.conduct, f.now);
		conduct_interrupt(f.conduct, f.now);
		play(&f, NEVER);
		result = conduct_result(f.conduct);
		ck_assert_int_eq(result->outcome, OUTCOME_INTERRUPTED);
		ck_assert(!result->agent_lost);
		tail = strstr(f.agent.transcript, "finish ");
		ck_assert_msg(tail && !tail[strlen("finish ")], "%s", f.agent.transcript);
		if (strstr(f.agent.transcript, "start:s1"))
			ck_assert_msg(strstr(f.agent.transcript, "signal:s1:15") != NULL, "%s", f.agent.transcript);
		conduct_free(f.conduct);
	}
}
END_TEST

/* Boxes that cannot be made, and programs that cannot be started, end the run with the agent's words. */
START_TEST(refused)
{
	const struct behaviour script[] = { SERVERS, { .name = "w-1", .exit = NEVER, .stop = MS },
					    { .name = "w-2", .refused = "no such file" }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	f.agent.no_boxes = "no address is free";
	ends(&f, OUTCOME_ERROR, "no address is free", "begin ");
	fixture_init(&f, script);
	ends(&f, OUTCOME_ERROR, "cannot start w-2: no such file",
	     UP "mark:outcome mark:teardown signal:s1:15 signal:s2:2 signal:w-1:15 finish ");
}
END_TEST

/* An agent that owes an answer and says nothing for 30 s is taken for lost, as is one that cannot be reached. */
START_TEST(agent_hangs)
{
	const struct behaviour script[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	f.agent.deaf = true;
	play(&f, NEVER);
	ck_assert(conduct_result(f.conduct)->agent_lost);
	ck_assert_uint_eq(f.now, 1000 * SECOND + CONDUCT_SILENCE_NS);
	conduct_free(f.conduct);
	fixture_init(&f, script);
	play(&f, f.now + 10 * MS);
	f.agent.broken = true;
	play(&f, NEVER);
	ck_assert(conduct_result(f.conduct)->agent_lost);
	ck_assert_ptr_nonnull(strstr(conduct_result(f.conduct)->reason, "no way to the agent"));
	conduct_free(f.conduct);
}
END_TEST

/* When the agent dies the run is done at once, as an error with that reason, whatever had been decided before. */
START_TEST(agent_dies)
{
	const struct behaviour script[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	for (uint64_t at = 0; at < 60 * MS; at += MS) {
		fixture_init(&f, script);
		play(&f, f.now + at);
		if (!conduct_done(f.conduct)) {
			conduct_agent_lost(f.conduct, OUTCOME_ERROR, "the agent died");
			ck_assert(conduct_done(f.conduct));
			ck_assert_int_eq(conduct_result(f.conduct)->outcome, OUTCOME_ERROR);
			ck_assert_str_eq(conduct_result(f.conduct)->reason, "the agent died");
		}
		conduct_free(f.conduct);
	}
}
END_TEST

/* A store that cannot be written ends the run in order, as an error, at whatever moment it shows, even at the very end. */
START_TEST(store_fails)
{
	const struct behaviour script[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	for (uint64_t at = 3 * MS; at < 80 * MS; at += MS) {
		fixture_init(&f, script);
		play(&f, f.now + at);
		conduct_fail(f.conduct, "the disk is full", f.now);
		play(&f, NEVER);
		ck_assert_int_eq(conduct_result(f.conduct)->outcome, OUTCOME_ERROR);
		ck_assert_str_eq(conduct_result(f.conduct)->reason, "the disk is full");
		ck_assert_ptr_nonnull(strstr(f.agent.transcript, "signal:s1:15"));
		ck_assert_ptr_nonnull(strstr(f.agent.transcript, "finish "));
		conduct_free(f.conduct);
	}
}
END_TEST

/* What became of each program is known afterwards: who started, who ended, how, and what the check wrote. */
START_TEST(statuses)
{
	const struct behaviour script[] = { { .name = "s1", .ready = MS, .exit = NEVER, .stop = NEVER },
					    { .name = "s2", .exit = NEVER, .stop = MS }, { .name = ":ready", .exit = MS },
					    CLIENTS, { .name = ":check", .exit = MS, .output = "ok\n" }, { 0 } };
	const struct store_process *p;
	struct fixture f;
	size_t n;

	fixture_init(&f, script);
	play(&f, NEVER);
	p = conduct_processes(f.conduct, &n);
	ck_assert_uint_eq(n, 5);
	ck_assert(p[0].role == STORE_PROCESS && p[0].started && !p[0].exited);
	ck_assert(p[1].exited && p[1].status == SIGINT);
	ck_assert(p[2].role == STORE_WORKLOAD && p[2].exited && p[2].status == 0);
	ck_assert(p[4].role == STORE_CHECK && p[4].exited && p[4].output_size == 3);
	ck_assert_str_eq(p[0].command, "/bin/true x?y");
	conduct_free(f.conduct);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conduct");
	TCase *tc = tcase_create("conduct");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, good);
	tcase_add_test(tc, attached);
	tcase_add_test(tc, verdicts);
	tcase_add_test(tc, no_check);
	tcase_add_test(tc, environment);
	tcase_add_test(tc, environment_shared);
	tcase_add_test(tc, dies_before_ready);
	tcase_add_test(tc, becomes_daemon);
	tcase_add_test(tc, faults_first);
	tcase_add_test(tc, fault_ends_process);
	tcase_add_test(tc, fault_restarts_process);
	tcase_add_test(tc, fault_ends_workload);
	tcase_add_test(tc, faults_later);
	tcase_add_test(tc, dies_later);
	tcase_add_test(tc, never_listens);
	tcase_add_test(tc, ready_program);
	tcase_add_test(tc, ready_program_fails);
	tcase_add_test(tc, timeouts);
	tcase_add_test(tc, grace);
	tcase_add_test(tc, interrupted);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, agent_hangs);
	tcase_add_test(tc, agent_dies);
	tcase_add_test(tc, store_fails);
	tcase_add_test(tc, statuses);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
