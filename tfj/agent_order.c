/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the collector orders, and what it is told of that. What goes wrong with an order is its reply. Must not know
 * sockets or signals: the link and the loop are somebody else's.
 */
#include "tfj/agent_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/clock.h"

#define PID_NAMESPACE_INIT 0xeffffffcu /* inode of the first one: PROC_PID_INIT_INO, linux/proc_ns.h */
#define REPLAY_TURN 8		/* pieces of what was deferred, between two looks at the collector */
#define REPLAY_KEPT (1u << 20) /* bytes of batches that may wait however full the spool is, or it would never be emptied */

static void send_reply(struct agent *agent, uint64_t id, int err, const char *text, struct message_reply *more)
{
	struct message message = { .kind = MESSAGE_REPLY };

	if (more)
		message.reply = *more;
	message.reply.id = id;
	message.reply.code = err;
	message.reply.error = err ? (char *)text : NULL;
	link_send(agent->link, &message);
}

/* ---- what a run tells ---- */

void agent_on_record(const struct rec_head *record, size_t size, void *arg)
{
	struct agent *agent = arg;

	if (agent->run)
		run_record(agent->run, record, size);
}

void agent_on_started(uint64_t order, int err, const char *error, pid_t pid, void *arg)
{
	struct message_reply more = { .pid = pid };

	send_reply(arg, order, err, error, &more);
}

void agent_on_exited(const char *name, uint32_t status, const char *output, size_t size, uint32_t fault, bool restarts, void *arg)
{
	struct agent *agent = arg;
	struct message message = { .kind = MESSAGE_EXITED };

	message.exited.name = (char *)name;
	message.exited.status = status;
	message.exited.output = (char *)output;
	message.exited.size = size;
	message.exited.fault = fault;
	message.exited.restarts = restarts;
	link_send(agent->link, &message);
}

void agent_on_receipts(const struct fault_receipt *rows, size_t n, void *arg)
{
	struct agent *agent = arg;
	struct message message = { .kind = MESSAGE_RECEIPTS };

	message.receipts.rows = (struct fault_receipt *)rows;
	message.receipts.n = n;
	link_send(agent->link, &message);
}

void agent_on_ready(const char *name, void *arg)
{
	struct agent *agent = arg;
	struct message message = { .kind = MESSAGE_READY };

	message.ready.name = (char *)name;
	link_send(agent->link, &message);
}

/* ---- orders ---- */

static int attach(struct agent *agent, struct error *e)
{
	int err;

	if (agent->attached)
		return 0;
	err = tracer_attach(agent->tracer, e);
	agent->attached = !err;
	agent->resting = false;
	return err;
}

/* The kernel side tells processes by their numbers in the first PID namespace. */
static int pid_namespace_check(struct error *e)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != PID_NAMESPACE_INIT)
		return error_set(e, -ENOTSUP,
				 "tfj runs in a PID namespace of its own (a container?) and cannot tell processes apart "
				 "there: run it in the host's (docker run --pid=host)");
	return 0;
}

/*
 * Removing the namespaces of a run keeps the kernel busy for 0.1 s in which making new ones takes that long, too. So it
 * is done when the next run has its own, or when there is nothing else to do.
 */
void agent_grave(struct agent *agent, struct boxes *boxes)
{
	boxes_close(agent->grave);
	agent->grave = boxes;
}

void agent_run_end(struct agent *agent)
{
	agent_grave(agent, run_close(agent->run));
	agent->run = NULL;
	agent->finish.pending = agent->finish.replaying = agent->finish.abandoned = false;
	if (agent->attached)
		tracer_detach(agent->tracer);
	agent->attached = false;
	agent->idle_ns = clock_monotonic_ns();
}

static void order_begin(struct agent *agent, const struct message_order *order)
{
	struct message_reply more = { 0 };
	struct error e = { "" };
	int err;

	if (agent->run || agent->quit) {
		send_reply(agent, order->id, -EBUSY, agent->quit ? "the agent is ending" : "a run is going on already",
			   NULL);
		return;
	}
	agent->place.box_base += BOX_MAX;
	err = pid_namespace_check(&e);
	if (!err)
		err = attach(agent, &e);
	if (!err)
		err = run_open(&agent->place, order, &agent->run, &e);
	if (!err)
		err = run_boxes(agent->run, &more.boxes, &more.n_boxes);
	send_reply(agent, order->id, err, e.text, &more);
	free(more.boxes);
	agent_grave(agent, NULL);
	if (err)
		agent_run_end(agent);
}

/* The Begin that came while the run before was not over. */
static void waiting_obey(struct agent *agent)
{
	if (agent->waiting.kind == MESSAGE_ORDER)
		order_begin(agent, &agent->waiting.order);
	message_fini(&agent->waiting);
}

static void order_quit(struct agent *agent, const struct message_order *order)
{
	agent->quit = true;
	agent->quit_ns = clock_monotonic_ns();
	if (agent->run)
		agent_run_end(agent);
	waiting_obey(agent);
	send_reply(agent, order->id, 0, NULL, NULL);
}

/* The first step of the end; what follows is agent_finish()'s. */
static void finish_begin(struct agent *agent, uint64_t order)
{
	agent->finish.e = (struct error){ "" };
	agent->finish.err = run_stop(agent->run, &agent->finish.e);
	agent->finish.order = order;
	agent->finish.pending = agent->finish.replaying = true;
}

bool agent_can_replay(const struct agent *agent)
{
	return agent->finish.replaying && (!spool_full(&agent->room) || link_kept(agent->link) < REPLAY_KEPT);
}

/* True when the last batch was made. */
static bool replay_check(struct agent *agent)
{
	struct error e = { "" };
	bool more = true;
	int err;

	for (int i = 0; i < REPLAY_TURN && more && agent_can_replay(agent); i++)
		more = run_replay(agent->run);
	if (more)
		return false;
	agent->finish.replaying = false;
	err = run_finish(agent->run, &e);
	if (!agent->finish.err) {
		agent->finish.err = err;
		agent->finish.e = e;
	}
	return true;
}

void agent_finish(struct agent *agent)
{
	if (!agent->finish.pending || (agent->finish.replaying && !replay_check(agent)))
		return;
	if (agent->finish.abandoned) {
		if (agent->finish.err)
			fprintf(stderr, "tfj: %s\n", agent->finish.e.text);
	} else {
		if (!link_welcome(agent->link) || link_unsent(agent->link))
			return;
		send_reply(agent, agent->finish.order, agent->finish.err, agent->finish.e.text, NULL);
	}
	agent_run_end(agent);
	waiting_obey(agent);
}

void agent_on_order(struct agent *agent, const struct message_order *order)
{
	struct message_reply more = { 0 };
	struct error e = { "" };
	int err = 0;

	if (order->kind == ORDER_BEGIN) {
		order_begin(agent, order);
		return;
	}
	if (order->kind == ORDER_QUIT) {
		order_quit(agent, order);
		return;
	}
	if (!agent->run || agent->finish.pending) {
		send_reply(agent, order->id, -EINVAL, agent->run ? "the run is ending" : "no run has begun", NULL);
		return;
	}
	switch (order->kind) {
	case ORDER_START:
		err = run_start(agent->run, order->id, &order->start, &e);
		agent->tick_ns = 0; /* somebody may be ready soon */
		if (!err)
			return; /* the reply comes when its program runs */
		break;
	case ORDER_ATTACH:
		err = run_attach(agent->run, &order->attach, &more.pid, &e);
		break;
	case ORDER_SIGNAL:
		err = run_signal(agent->run, order->signal.name, order->signal.signal, &e);
		break;
	case ORDER_MARK:
		run_mark(agent->run, order->mark);
		break;
	case ORDER_FINISH:
		finish_begin(agent, order->id);
		return;
	case ORDER_ARM:
		err = run_arm(agent->run, order, &e);
		break;
	case ORDER_LIFT:
		err = run_lift(agent->run, order->lift, &e);
		break;
	case ORDER_BEGIN:
	case ORDER_QUIT:
	case ORDER_NONE:
		err = error_set(&e, -EINVAL, "not an order");
		break;
	}
	send_reply(agent, order->id, err, e.text, &more);
}

bool agent_must_wait(const struct agent *agent, const struct message *message)
{
	return message->kind == MESSAGE_ORDER && message->order.kind == ORDER_BEGIN && agent->finish.abandoned &&
	       agent->waiting.kind != MESSAGE_ORDER;
}

void agent_abandon(struct agent *agent, const char *why)
{
	if (!agent->run || agent->finish.abandoned)
		return;
	fprintf(stderr, "tfj: %s: the run is over; what was recorded is kept for it\n", why);
	if (!agent->finish.pending)
		finish_begin(agent, 0);
	agent->finish.abandoned = true;
	agent_finish(agent);
}
