/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One loop over the collector's socket, the tracer, the programs' pipes and our signals. One run at a time (run.c).
 * What goes wrong with an order is told to the collector; what goes wrong with the agent itself ends it.
 */
#include "tfj/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/clock.h"
#include "tfj/box.h"
#include "tfj/cgroup.h"
#include "tfj/clean.h"
#include "tfj/link.h"
#include "tfj/run.h"
#include "tfj/tracer.h"

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
#define PID_NAMESPACE_INIT 0xeffffffcu /* inode of the first one: PROC_PID_INIT_INO, linux/proc_ns.h */
#define READY_MAX 64
#define REPLAY_TURN 8		/* pieces of what was deferred, between two looks at the collector */
#define REPLAY_KEPT (4u << 20) /* bytes of batches that may wait however full the spool is, or it would never be emptied */
#define GRAVE_NS CLOCK_SECOND_NS
#define LINGER_MS 1000

struct agent {
	struct message_hello hello;
	char host[65], kernel[65], boot_id[40];
	struct tracer *tracer;
	struct link *link;
	struct spool_room room;
	unsigned strangers; /* collectors other than the one that ordered the run */
	struct run *run; /* NULL: none */
	struct run_place place;
	char cgroup_root[256];
	struct claim cgroup_mount;
	int epoll, signals;
	bool attached, resting, quit, stop, embedded;
	struct boxes *grave; /* of the run before, not closed yet */
	uint64_t idle_ns, progress_ns, tick_ns, heard_ns, quit_ns;
	struct { /* the run has ended, but its last batch has not left */
		bool pending;
		bool replaying; /* what was deferred is not all batches yet */
		uint64_t order;
		int err;
		struct error e;
	} finish;
};

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

static void on_record(const struct rec_head *record, size_t size, void *arg)
{
	struct agent *agent = arg;

	if (agent->run)
		run_record(agent->run, record, size);
}

static void on_started(uint64_t order, int err, const char *error, pid_t pid, void *arg)
{
	struct message_reply more = { .pid = pid };

	send_reply(arg, order, err, error, &more);
}

static void on_exited(const char *name, uint32_t status, const char *output, size_t size, void *arg)
{
	struct agent *agent = arg;
	struct message message = { .kind = MESSAGE_EXITED };

	message.exited.name = (char *)name;
	message.exited.status = status;
	message.exited.output = (char *)output;
	message.exited.size = size;
	link_send(agent->link, &message);
}

static void on_ready(const char *name, void *arg)
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
static void grave_set(struct agent *agent, struct boxes *boxes)
{
	boxes_close(agent->grave);
	agent->grave = boxes;
}

/* Lets go of the run, ended or not. */
static void run_end(struct agent *agent)
{
	grave_set(agent, run_close(agent->run));
	agent->run = NULL;
	agent->finish.pending = agent->finish.replaying = false;
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
	grave_set(agent, NULL);
	if (err)
		run_end(agent);
}

static void order_quit(struct agent *agent, const struct message_order *order)
{
	agent->quit = true;
	agent->quit_ns = clock_monotonic_ns();
	if (agent->run)
		run_end(agent);
	send_reply(agent, order->id, 0, NULL, NULL);
}

static void order_finish(struct agent *agent, const struct message_order *order)
{
	agent->finish.e = (struct error){ "" };
	agent->finish.err = run_stop(agent->run, &agent->finish.e);
	agent->finish.order = order->id;
	agent->finish.pending = agent->finish.replaying = true;
}

static bool replay_possible(const struct agent *agent)
{
	return agent->finish.replaying && (!spool_full(&agent->room) || link_kept(agent->link) < REPLAY_KEPT);
}

/* True when the last batch was made. */
static bool replay_check(struct agent *agent)
{
	struct error e = { "" };
	bool more = true;
	int err;

	for (int i = 0; i < REPLAY_TURN && more && replay_possible(agent); i++)
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

/* The reply to Finish follows the last batch, for which the window may have to open first. */
static void finish_check(struct agent *agent)
{
	if (!agent->finish.pending || (agent->finish.replaying && !replay_check(agent)) || !link_welcome(agent->link) || link_unsent(agent->link))
		return;
	send_reply(agent, agent->finish.order, agent->finish.err, agent->finish.e.text, NULL);
	run_end(agent);
}

static void on_order(struct agent *agent, const struct message_order *order)
{
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
	case ORDER_SIGNAL:
		err = run_signal(agent->run, order->signal.name, order->signal.signal, &e);
		break;
	case ORDER_MARK:
		run_mark(agent->run, order->mark);
		break;
	case ORDER_FINISH:
		order_finish(agent, order);
		return;
	case ORDER_BEGIN:
	case ORDER_QUIT:
	case ORDER_NONE:
		err = error_set(&e, -EINVAL, "not an order");
		break;
	}
	send_reply(agent, order->id, err, e.text, NULL);
}

/* ---- the loop ---- */

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
		if (message.kind == MESSAGE_ORDER)
			on_order(agent, &message.order);
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
		grave_set(agent, NULL);
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
	uint64_t now = clock_monotonic_ns();

	if (replay_possible(agent))
		return 0;
	if (!agent->run || agent->finish.pending)
		return IDLE_MS;
	return agent->tick_ns > now ? (long)((agent->tick_ns - now + 999999) / 1000000) : 0;
}

/* Nobody is left who would end the run. What was recorded is kept for a collector that comes back. */
static void run_abandon(struct agent *agent, const char *why)
{
	struct error e = { "" };

	if (!agent->run)
		return;
	fprintf(stderr, "tfj: %s: the run is over; what was recorded is kept for it\n", why);
	if (!agent->finish.pending && run_stop(agent->run, &e) < 0)
		fprintf(stderr, "tfj: %s\n", e.text);
	if ((!agent->finish.pending || agent->finish.replaying) && run_finish(agent->run, &e) < 0)
		fprintf(stderr, "tfj: %s\n", e.text);
	run_end(agent);
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
		run_abandon(agent, "another collector has taken the place of the one that ordered the run");
	agent->strangers = link_strangers(agent->link);
	if (now - agent->heard_ns < (agent->embedded ? GONE_EMBEDDED_NS : GONE_NS))
		return 0;
	if (agent->embedded)
		return error_set(e, -ETIMEDOUT, "the collector does not answer: giving up");
	run_abandon(agent, "the collector is gone");
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
		complain(agent);
		link_on_monitor(agent->link);
		trouble = link_trouble(agent->link);
		if (trouble)
			fprintf(stderr, "tfj: %s\n", trouble);
		err = hear(agent, e);
		finish_check(agent);
		if (!err)
			err = collector_check(agent, e);
	}
	return err;
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a spool that may not grow is a full one */
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void hello_fill(struct agent *agent)
{
	struct message_hello *hello = &agent->hello;
	struct utsname names;
	FILE *f;

	hello->protocol = WIRE_PROTOCOL;
	hello->version = BOP_VERSION;
	if (!uname(&names)) {
		snprintf(agent->host, sizeof(agent->host), "%s", names.nodename);
		snprintf(agent->kernel, sizeof(agent->kernel), "%s", names.release);
	}
	f = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (f) {
		if (fscanf(f, "%39s", agent->boot_id) != 1)
			agent->boot_id[0] = '\0';
		fclose(f);
	}
	if (getrandom(hello->session, sizeof(hello->session), 0) != sizeof(hello->session))
		memcpy(hello->session, &(uint64_t){ clock_monotonic_ns() }, sizeof(uint64_t));
	hello->host = agent->host;
	hello->kernel = agent->kernel;
	hello->boot_id = agent->boot_id;
	hello->backend = (char *)tracer_backend(agent->tracer);
}

/* What is wrong with keys shows before anything is loaded. */
static int keys_read(const struct agent_options *options, struct link_keys *ret_keys, struct error *e)
{
	int err = 0;

	if (options->key)
		err = key_read_secret(options->key, ret_keys->secret, ret_keys->public, e);
	if (!err && options->server_key)
		err = key_read_public(options->server_key, ret_keys->server, e);
	return err;
}

static int open_all(struct agent *agent, const struct agent_options *options, const struct link_keys *keys, struct error *e)
{
	struct error ignored;
	pid_t parent = getppid();
	int err;

	agent->embedded = options->parent_death;
	setsid(); /* the terminal's Ctrl-C is for whoever started us */
	if (options->parent_death) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			return error_set(e, -EOWNERDEAD, "whoever started this agent has ended");
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* daemons that lose their parent come to us */
	err = cgroup_find_root(agent->cgroup_root, sizeof(agent->cgroup_root), &agent->cgroup_mount, e);
	if (err < 0)
		return err;
	clean(agent->cgroup_root, NULL, &ignored); /* what cannot be removed now is tried again by the next start */
	err = tracer_open(0, on_record, agent, &agent->tracer, e);
	if (err < 0)
		return err;
	agent->signals = signals_open();
	agent->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (agent->signals < 0 || agent->epoll < 0)
		return error_set(e, -errno, "cannot wait for events: %s", strerror(errno));
	hello_fill(agent);
	agent->room = (struct spool_room){ .memory = options->memory, .disk = options->spool };
	err = link_open(options->collector, options->key ? keys : NULL, &agent->hello, &agent->room, &agent->link, e);
	if (err < 0)
		return err;
	agent->place = (struct run_place){
		.tracer = agent->tracer,
		.link = agent->link,
		.room = &agent->room,
		.cgroup_root = agent->cgroup_root,
		.epoll = agent->epoll,
		.on_started = on_started,
		.on_exited = on_exited,
		.on_ready = on_ready,
		.arg = agent,
	};
	return 0;
}

int agent_run(const struct agent_options *options, struct error *e)
{
	struct agent agent = { .epoll = -1, .signals = -1, .cgroup_mount = CLAIM_NONE };
	struct link_keys keys;
	int err = keys_read(options, &keys, e);

	if (!err)
		err = open_all(&agent, options, &keys, e);
	explicit_bzero(&keys, sizeof(keys)); /* ZeroMQ has them now */
	if (!err)
		err = loop(&agent, e);
	if (agent.run)
		run_end(&agent);
	grave_set(&agent, NULL);
	link_close(agent.link, agent.quit && !err ? LINGER_MS : 0); /* else nobody listens any more */
	tracer_close(agent.tracer);
	if (agent.epoll >= 0)
		close(agent.epoll);
	if (agent.signals >= 0)
		close(agent.signals);
	cgroup_leave_root(&agent.cgroup_mount);
	return err;
}
