/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One loop over the collector's socket, the tracer, the programs' pipes and our signals. One run at a time (run.c).
 * What goes wrong with an order is told to the collector; what goes wrong with the agent itself ends it.
 */
#include "tfj/agent_inside.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/clock.h"

#define TICK_NS (20 * CLOCK_SECOND_NS / 1000)
#define TICK_DEFERRED_NS (5 * TICK_NS)	   /* the ring tells when it fills */
#define TICK_READY_NS (2 * CLOCK_SECOND_NS / 1000) /* while somebody waits for a listener */
#define IDLE_MS 200
#define REST_NS (2 * CLOCK_SECOND_NS)
#define PROGRESS_NS (CLOCK_SECOND_NS / 2)
/* Without a collector: one that started us does not come back at all, another may be on the far side of a bad link. */
#define GONE_EMBEDDED_NS (10 * CLOCK_SECOND_NS)
#define GONE_NS (600 * CLOCK_SECOND_NS)
#define QUIT_NS (5 * CLOCK_SECOND_NS)  /* for the last acknowledgements */
#define READY_MAX 64
#define GRAVE_NS CLOCK_SECOND_NS
#define LINGER_MS 1000

enum { ITEM_SOCKET, ITEM_MONITOR, ITEM_SIGNALS, ITEM_PIPES, ITEM_TRACER };

static int hear(struct agent *agent, struct error *e)
{
	struct message message;
	int err;

	for (;;) {
		err = link_receive(agent->link, &message, NULL);
		if (err < 0)
			continue; /* not understood, and gone */
		if (!err)
			return 0;
		if (agent_must_wait(agent, &message)) {
			agent->waiting = message;
			continue;
		}
		if (message.kind == MESSAGE_ORDER)
			agent_on_order(agent, &message.order);
		else if (message.kind == MESSAGE_REFUSED)
			err = error_set(e, -ECONNREFUSED, "the collector refused this agent: %s", message.text);
		message_fini(&message);
		if (err < 0)
			return err;
	}
}

static void reap(struct agent *agent)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (agent->run)
			run_on_exit(agent->run, pid, status);
}

static void read_signals(struct agent *agent)
{
	struct signalfd_siginfo info;

	while (read(agent->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(agent);
		else
			agent->stop = true;
	}
}

static void watch_pipes(struct agent *agent)
{
	struct epoll_event events[READY_MAX];
	int n = epoll_wait(agent->epoll, events, READY_MAX, 0);

	for (int i = 0; i < n && agent->run; i++)
		run_on_ready(agent->run, events[i].data.ptr);
}

static void rest(struct agent *agent, uint64_t now)
{
	if (now - agent->idle_ns > GRAVE_NS)
		agent_grave(agent, NULL);
	if (agent->resting || now - agent->idle_ns < REST_NS)
		return;
	tracer_rest(agent->tracer);
	agent->resting = true;
}

/*
 * What is done at regular times, not whenever something comes: small batches would cost more than their events.
 * filled: the ring passed a mark, which does not wait.
 */
static void tick(struct agent *agent, bool filled)
{
	struct message message = { .kind = MESSAGE_PROGRESS };
	uint64_t now = clock_monotonic_ns();
	bool due = now >= agent->tick_ns;

	if (!agent->run) {
		if (filled)
			tracer_drain(agent->tracer); /* nobody's any more */
		rest(agent, now);
		return;
	}
	if (agent->finish.pending)
		return;
	/* above the limit nothing is taken from the ring: the kernel side counts what then finds no room */
	if ((due || filled) && !spool_full(&agent->room))
		run_drain(agent->run);
	if (!due)
		return;
	agent->tick_ns = now + (run_waits(agent->run)	   ? TICK_READY_NS :
				run_deferred(agent->run) ? TICK_DEFERRED_NS :
							   TICK_NS);
	run_send(agent->run);
	if (now - agent->progress_ns > PROGRESS_NS) {
		agent->progress_ns = now;
		message.progress = run_events(agent->run);
		link_send(agent->link, &message);
	}
}

/* Until the next tick. */
static long wait_ms(const struct agent *agent)
{
	uint64_t now = clock_monotonic_ns(), at;

	if (agent_can_replay(agent))
		return 0;
	if (!agent->run || agent->finish.pending)
		return IDLE_MS;
	at = run_inject_next(agent->run);
	at = at < agent->tick_ns ? at : agent->tick_ns;
	return at > now ? (long)((at - now + 999999) / 1000000) : 0;
}

static int collector_check(struct agent *agent, struct error *e)
{
	uint64_t now = clock_monotonic_ns();

	if (link_broken(agent->link))
		return error_set(e, link_broken(agent->link), "the spool cannot be read: %s: what was kept for the "
				 "collector is lost", strerror(-link_broken(agent->link)));
	if (link_welcome(agent->link))
		agent->heard_ns = now;
	if (link_strangers(agent->link) != agent->strangers)
		agent_abandon(agent, "another collector has taken the place of the one that ordered the run");
	agent->strangers = link_strangers(agent->link);
	if (now - agent->heard_ns < (agent->embedded ? GONE_EMBEDDED_NS : GONE_NS))
		return 0;
	if (agent->embedded)
		return error_set(e, -ETIMEDOUT, "the collector does not answer: giving up");
	agent_abandon(agent, "the collector is gone");
	return 0;
}

/* What a person should know: here, and with the run. */
static void complain(struct agent *agent)
{
	struct message message = { .kind = MESSAGE_WARNING };
	struct error e;

	if (!spool_complaint(&agent->room, &e))
		return;
	fprintf(stderr, "tfj: %s\n", e.text);
	message.text = e.text;
	link_send(agent->link, &message);
}

static bool is_over(const struct agent *agent)
{
	return agent->stop || (agent->quit && (!link_unacked(agent->link) ||
					       clock_monotonic_ns() - agent->quit_ns > QUIT_NS));
}

static int loop(struct agent *agent, struct error *e)
{
	zmq_pollitem_t items[] = {
		[ITEM_SOCKET] = { .socket = link_socket(agent->link), .events = ZMQ_POLLIN },
		[ITEM_MONITOR] = { .socket = link_monitor(agent->link), .events = ZMQ_POLLIN },
		[ITEM_SIGNALS] = { .fd = agent->signals, .events = ZMQ_POLLIN },
		[ITEM_PIPES] = { .fd = agent->epoll, .events = ZMQ_POLLIN },
		[ITEM_TRACER] = { .fd = tracer_fd(agent->tracer), .events = ZMQ_POLLIN },
	};
	const char *trouble;
	int err = 0, n;

	agent->heard_ns = clock_monotonic_ns();
	while (!err && !is_over(agent)) {
		/* a ring that is not drained stays readable */
		n = spool_full(&agent->room) || agent->finish.pending ? ITEM_TRACER : ITEM_TRACER + 1;
		items[ITEM_TRACER].revents = 0;
		zmq_poll(items, n, wait_ms(agent));
		read_signals(agent);
		watch_pipes(agent);
		tick(agent, items[ITEM_TRACER].revents);
		if (agent->run && !agent->finish.pending)
			run_inject(agent->run);
		complain(agent);
		link_on_monitor(agent->link);
		trouble = link_trouble(agent->link);
		if (trouble)
			fprintf(stderr, "tfj: %s\n", trouble);
		err = hear(agent, e);
		agent_finish(agent);
		if (!err)
			err = collector_check(agent, e);
	}
	return err;
}

int agent_run(const struct agent_options *options, struct error *e)
{
	struct agent agent = { .epoll = -1, .signals = -1, .cgroup_mount = CLAIM_NONE };
	int err = agent_open(&agent, options, e);

	if (!err)
		err = loop(&agent, e);
	if (agent.run)
		agent_run_end(&agent);
	message_fini(&agent.waiting);
	agent_grave(&agent, NULL);
	link_close(agent.link, agent.quit && !err ? LINGER_MS : 0); /* else nobody listens any more */
	faults_close(agent.faults);
	tracer_close(agent.tracer);
	guardian_close(agent.guardian);
	served_close(&agent.served);
	free(agent.hello.boxes);
	if (agent.epoll >= 0)
		close(agent.epoll);
	if (agent.signals >= 0)
		close(agent.signals);
	cgroup_leave_root(&agent.cgroup_mount);
	return err;
}
