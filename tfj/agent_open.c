/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How an agent starts: what is wrong with its keys or its rights shows first; then it cleans up after dead ones, gives up
 * the rights that it does not use, and only then makes threads. Whatever fails ends it.
 */
#include "tfj/agent_inside.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/key.h"
#include "tfj/clean.h"
#include "tfj/rights.h"
#include "tfj/spawn.h"

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
	unable_find(agent->tracer, agent->guardian, &agent->unable);
	hello->unable = agent->unable.rows;
	hello->n_unable = agent->unable.n;
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

struct opening {
	struct agent *agent;
	const char *url;
	const struct link_keys *keys;
	struct error *e;
	int err;
};

static void on_link_open(void *arg)
{
	struct opening *opening = arg;
	struct agent *agent = opening->agent;

	opening->err = link_open(opening->url, opening->keys, &agent->hello, &agent->room, &agent->link, opening->e);
}

/* We take what the programs that we watch leave: a wake-up of ours is no reason to stop one of them. */
static void give_way(void)
{
	const struct sched_param none = { 0 };

	if (sched_getscheduler(0) == SCHED_OTHER)
		sched_setscheduler(0, SPAWN_BATCH, &none); /* as well if it cannot be had */
}

static int all_open(struct agent *agent, const struct agent_options *options, const struct link_keys *keys, struct error *e)
{
	struct error ignored;
	struct opening opening;
	pid_t parent = getppid();
	int err;

	agent->embedded = options->parent_death;
	setsid(); /* the terminal's Ctrl-C is for whoever started us */
	if (options->parent_death) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			return error_set(e, -EOWNERDEAD, "whoever started this agent has ended");
	}
	if (guardian_open(&agent->guardian, e) < 0)
		fprintf(stderr, "tfj: %s: pauses will be refused\n", e->text);
	err = served_open(options->boxes, options->n_boxes, &agent->served, e);
	if (err < 0)
		return err;
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* daemons that lose their parent come to us */
	err = cgroup_find_root(agent->cgroup_root, sizeof(agent->cgroup_root), &agent->cgroup_mount, e);
	if (err < 0)
		return err;
	clean(agent->cgroup_root, NULL, &ignored); /* what cannot be removed now is tried again by the next start */
	for (size_t i = 0; i < agent->served.n; i++)
		if (agent->served.box[i].guest)
			clean_netns(agent->served.box[i].name, agent->served.box[i].netns, stderr);
	served_rest(&agent->served);
	err = rights_keep(e);
	if (err < 0)
		return err;
	err = tracer_open(options->backend, 0, !options->no_faults, agent_on_record, agent, &agent->tracer, e);
	if (err < 0)
		return err;
	give_way();
	agent->signals = signals_open();
	agent->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (agent->signals < 0 || agent->epoll < 0)
		return error_set(e, -errno, "cannot wait for events: %s", strerror(errno));
	hello_fill(agent);
	agent->hello.boxes = served_rows(&agent->served);
	agent->hello.n_boxes = agent->served.n;
	if (!agent->hello.boxes)
		return error_set(e, -ENOMEM, "out of memory");
	agent->room = (struct spool_room){ .memory = options->memory, .disk = options->spool };
	opening = (struct opening){ agent, options->collector, options->key ? keys : NULL, e, 0 };
	err = rights_without(on_link_open, &opening); /* its threads read what comes from the network */
	err = err < 0 ? error_set(e, err, "cannot make a thread: %s", strerror(-err)) : opening.err;
	if (err < 0)
		return err;
	agent->place = (struct run_place){
		.tracer = agent->tracer,
		.link = agent->link,
		.room = &agent->room,
		.cgroup_root = agent->cgroup_root,
		.served = &agent->served,
		.faults = &agent->faults,
		.guardian = agent->guardian,
		.no_syn_option = options->no_syn_option,
		.epoll = agent->epoll,
		.on_started = agent_on_started,
		.on_exited = agent_on_exited,
		.on_ready = agent_on_ready,
		.on_receipts = agent_on_receipts,
		.arg = agent,
	};
	return 0;
}

int agent_open(struct agent *agent, const struct agent_options *options, struct error *e)
{
	struct link_keys keys;
	int err = keys_read(options, &keys, e);

	if (!err)
		err = rights_check(e);
	if (!err)
		err = all_open(agent, options, &keys, e);
	explicit_bzero(&keys, sizeof(keys)); /* ZeroMQ has them now */
	return err;
}
