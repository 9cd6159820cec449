/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One run of a session: one thread, one loop over the agent's socket, its end, the user's signals and the time.
 *
 * The first signal ends the run in order, the second kills the agent at once; either way the run is sealed. The
 * agent's death ends it as an error. What a dead agent left is removed by `tfj clean`.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/progress.h"
#include "collector/session_inside.h"
#include "lib/clock.h"

#define DEAD_DRAIN_NS (CLOCK_SECOND_NS / 5)
#define BURST 256

/* What session_run() has in hand. */
struct active {
	struct session *session;
	struct course *course;
	struct progress progress;
	bool unreachable;
};

/* An order that cannot be sent is found out about in the loop: by then it may be clear that the agent died, and how. */
static void on_send(void *arg, size_t agent, const struct message *message)
{
	struct active *active = arg;
	int err = server_send(active->session->server, active->session->connected, message, NULL);

	if (err < 0 && err != -EAGAIN && message->kind == MESSAGE_ORDER)
		active->unreachable = true;
}

static void on_warn(void *arg, const char *text)
{
	struct active *active = arg;

	progress_clear(&active->progress);
	fprintf(stderr, "bop: warning: %s\n", text);
}

/* Takes what the agent sent, up to a bound. Returns how many messages there were. */
static unsigned drain(struct active *active)
{
	const struct message *message;
	struct server_agent *agent;
	unsigned n = 0;
	struct error e;
	int err = 1;

	while (n < BURST && !course_full(active->course)) {
		err = server_receive(active->session->server, &agent, &message, &e);
		if (err <= 0)
			break;
		n++;
		course_message(active->course, 0, message, clock_monotonic_ns());
	}
	active->progress.events = course_events(active->course);
	course_time(active->course, clock_monotonic_ns());
	if (err < 0)
		course_agent_lost(active->course, 0, OUTCOME_ERROR, e.text);
	return n;
}

static void on_agent_end(struct active *active)
{
	uint64_t until = clock_monotonic_ns() + DEAD_DRAIN_NS;
	zmq_pollitem_t items[SERVER_ITEMS];
	int n_items = server_items(active->session->server, items);
	char how[64], reason[128];

	agentproc_wait(&active->session->agent, SESSION_QUIT_NS);
	/* what it sent before is still on its way through the socket */
	while (clock_monotonic_ns() < until && (drain(active) || zmq_poll(items, n_items, 20) > 0))
		;
	course_commit(active->course);
	status_text(active->session->agent.status, how, sizeof(how));
	snprintf(reason, sizeof(reason), "the agent died: %s", how);
	active->session->agent_lost = true;
	course_agent_lost(active->course, 0, OUTCOME_ERROR, reason);
}

static void on_signals(struct active *active, unsigned before)
{
	struct session *session = active->session;

	if (session->interrupt.n == before)
		return;
	progress_clear(&active->progress);
	if (session->interrupt.n >= 2) {
		session_agent_kill(session);
		drain(active);
		course_commit(active->course);
		course_agent_lost(active->course, 0, OUTCOME_INTERRUPTED, "stopped at once");
		return;
	}
	fprintf(stderr, "bop: stopping; interrupt again to stop at once\n");
	course_interrupt(active->course, clock_monotonic_ns());
}

static void loop(struct active *active)
{
	zmq_pollitem_t items[ITEMS];
	uint64_t now = clock_monotonic_ns(), until;
	unsigned signals;

	course_begin(active->course, now);
	while (!course_done(active->course)) {
		now = clock_monotonic_ns();
		progress_show(&active->progress, course_phase(active->course), now);
		until = course_deadline(active->course);
		if (active->progress.terminal && until > now + PROGRESS_TICK_NS)
			until = now + PROGRESS_TICK_NS;
		signals = active->session->interrupt.n;
		session_wait(active->session, until, items);
		on_signals(active, signals);
		drain(active);
		if (course_done(active->course))
			break;
		if (items[ITEM_AGENT].revents || (active->unreachable && agentproc_wait(&active->session->agent, CLOCK_SECOND_NS)))
			on_agent_end(active);
		else if (active->unreachable)
			course_agent_lost(active->course, 0, OUTCOME_ERROR, "the agent cannot be reached any more");
	}
	course_commit(active->course);
	/* Without acknowledgements the agent would not quit: it keeps what nobody took. */
	if (course_broken(active->course) && !active->session->agent_lost)
		session_agent_kill(active->session);
	progress_clear(&active->progress);
}

int session_run(struct session *session, struct store *store, const struct experiment *experiment, const struct plan *plan,
		unsigned keep, struct course_result *ret, struct error *e)
{
	struct active active = { .session = session };
	struct course_door door = { .send = on_send, .warn = on_warn, .arg = &active };
	const struct message_hello *hello = session->connected->hello;
	struct error cleaning;
	struct cast cast;
	uint64_t cpu;
	int err;

	*ret = (struct course_result){ .outcome = OUTCOME_ERROR };
	err = cast_single(experiment, &cast, e);
	if (err < 0)
		return err;
	err = course_open(store, experiment, &cast, &hello, plan, keep, &door, &active.course, e);
	if (!err) {
		progress_init(&active.progress, course_id(active.course), clock_monotonic_ns());
		cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
		loop(&active);
		cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		course_seal(active.course, cpu, ret);
		if (session->agent_lost && agentproc_clean(session->agent_path, &cleaning) < 0)
			fprintf(stderr, "bop: warning: %s\n", cleaning.text);
	}
	course_close(active.course);
	cast_fini(&cast);
	return err;
}
