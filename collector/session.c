/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See session.h. Starts the agent, greets it, hears the user (SIGINT, SIGTERM, SIGHUP), and takes all down again.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/session_inside.h"
#include "collector/yaml.h"
#include "lib/clock.h"

#define HELLO_NS (60 * CLOCK_SECOND_NS) /* the kernel checks its programs first: slow where it is emulated and busy */

static int remove_stale(struct claim *claim, void *arg)
{
	return claim_remove_tree(claim->path);
}

void session_wait(struct session *session, uint64_t until, zmq_pollitem_t items[ITEMS])
{
	uint64_t now = clock_monotonic_ns(), at = server_deadline(session->server, now), wait_ms;

	until = at < until ? at : until;
	wait_ms = until > now ? (until - now + 999999) / 1000000 : 0;

	for (int i = server_items(session->server, items + ITEM_SERVER); i < SERVER_ITEMS; i++)
		items[ITEM_SERVER + i] = (zmq_pollitem_t){ .fd = -1 };
	items[ITEM_SIGNAL] = (zmq_pollitem_t){ .fd = session->interrupt.fd, .events = ZMQ_POLLIN };
	items[ITEM_AGENT] = (zmq_pollitem_t){ .fd = session->agent.pidfd, .events = ZMQ_POLLIN };
	zmq_poll(items, ITEMS, (long)(wait_ms < 60000 ? wait_ms : 60000));
	if (items[ITEM_SIGNAL].revents)
		interrupt_read(&session->interrupt);
	server_work(session->server, clock_monotonic_ns());
}

/* Why the agent ended before it said hello. */
static int agent_start_failed(struct session *session, struct error *e)
{
	char line[400], how[64];

	agentproc_last_line(&session->agent, line, sizeof(line));
	if (WIFEXITED(session->agent.status) && *line)
		return error_set(e, -ECHILD, "%s", line);
	status_text(session->agent.status, how, sizeof(how));
	return error_set(e, -ECHILD, "the agent %s ended while it started (%s)%s%s", session->agent_path, how,
			 *line ? ": " : "", line);
}

static int agent_greet(struct session *session, struct error *e)
{
	uint64_t deadline = clock_monotonic_ns() + HELLO_NS;
	const struct message *message;
	struct server_agent *agent;
	zmq_pollitem_t items[ITEMS];
	int err;

	while (!session->connected) {
		session_wait(session, deadline, items);
		if (session->interrupt.n)
			return error_set(e, -EINTR, "interrupted");
		err = server_receive(session->server, &agent, &message, e);
		if (err < 0)
			return err;
		session->connected = server_agents(session->server);
		if (session->connected) {
			session->connected->owner = session; /* kept when it goes */
			break;
		}
		if (agentproc_wait(&session->agent, 0))
			return agent_start_failed(session, e);
		if (clock_monotonic_ns() >= deadline)
			return error_set(e, -ETIMEDOUT, "the agent %s was started but does not answer",
					 session->agent_path);
	}
	return 0;
}

/* tfj --collector ADDRESS --parent-death [--no-faults] [--box NAME=NETNS]... */
static char **arguments_make(const char *address, const struct experiment *x, bool faults)
{
	const char *const first[] = { "tfj", "--collector", address, "--parent-death", "--no-faults" };
	size_t n_first = sizeof(first) / sizeof(*first) - faults;
	size_t n_boxes = x && x->netns && x->netns[0] ? x->n_boxes : 0, n = 0;
	char **arguments = calloc(n_first + 2 * n_boxes + 1, sizeof(*arguments));
	bool full = arguments;

	for (; full && n < n_first; n++)
		full = (arguments[n] = strdup(first[n]));
	for (size_t i = 0; full && i < n_boxes; i++) {
		full = (arguments[n++] = strdup("--box"));
		if (full && asprintf(&arguments[n++], "%s=%s", x->boxes[i], x->netns[i]) < 0) {
			arguments[n - 1] = NULL;
			full = false;
		}
	}
	if (full)
		return arguments;
	yaml_strings_free(arguments);
	return NULL;
}

int session_open(const struct experiment *x, bool faults, struct session **ret_session, struct error *e)
{
	struct server_options options = { .single = true };
	char address[SERVER_ADDRESS_MAX], base[PATH_MAX], **arguments = NULL;
	struct session *session;
	int err;

	session = calloc(1, sizeof(*session));
	if (!session)
		return error_set(e, -ENOMEM, "out of memory");
	session->claim = (struct claim)CLAIM_NONE;
	session->agent = (struct agentproc)AGENTPROC_NONE;
	session->interrupt = (struct interrupt)INTERRUPT_NONE;
	err = agentproc_find(session->agent_path, e);
	if (err < 0)
		goto out;
	if (!realpath(claim_base(), base)) {
		err = error_set(e, -errno, "%s: %s (BOP_TMPDIR names where runs have their directories)", claim_base(),
				strerror(errno));
		goto out;
	}
	/* Nothing there can be in the way of a new run: what cannot be removed is tried again the next time. */
	claim_sweep(base, "bop", remove_stale, NULL, NULL);
	claim_sweep(base, "run", remove_stale, NULL, NULL);
	err = claim_open(&session->claim, base, "bop", NULL, 0700, e);
	if (err < 0)
		goto out;
	err = interrupt_open(&session->interrupt, e);
	if (err < 0)
		goto out;
	options.directory = session->claim.path;
	session->context = zmq_ctx_new();
	err = session->context ? server_open(session->context, &options, &session->server, address, e) :
				 error_set(e, -ENOMEM, "out of memory");
	if (err < 0)
		goto out;
	arguments = arguments_make(address, x, faults);
	if (!arguments) {
		err = error_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	err = agentproc_start(&session->agent, session->agent_path, arguments, e);
	if (err < 0)
		goto out;
	err = agent_greet(session, e);
	if (err < 0)
		goto out;
	/* As the agent does: what the system under test leaves is enough. Not before the agent is started, which would inherit it. */
	if (sched_getscheduler(0) == SCHED_OTHER)
		sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &(struct sched_param){ 0 });
	*ret_session = session;
	session = NULL;
out:
	yaml_strings_free(arguments);
	if (session)
		session->agent_lost = true; /* nothing is worth waiting for */
	session_close(session);
	return err;
}

void session_close(struct session *session)
{
	struct message quit = { .kind = MESSAGE_ORDER, .order = { .id = UINT64_MAX, .kind = ORDER_QUIT } };
	bool quiet = session && !session->server;
	int told = -EHOSTUNREACH;
	struct error e;

	if (!session)
		return;
	if (session->server && !session->connected)
		quiet = true; /* what it said became the error */
	if (session->connected && !session->agent_lost) {
		server_work(session->server, clock_monotonic_ns()); /* what waits goes first */
		told = server_send(session->server, session->connected, &quit, NULL);
	}
	if (told == -EAGAIN || (!told && !agentproc_wait(&session->agent, SESSION_QUIT_NS))) {
		fprintf(stderr, "bop: warning: the agent did not end and was killed\n");
		session->agent_lost = true;
		agentproc_close(&session->agent, false);
		if (agentproc_clean(session->agent_path, &e) < 0)
			fprintf(stderr, "bop: warning: %s\n", e.text);
	}
	agentproc_close(&session->agent, quiet);
	server_close(session->server);
	if (session->context)
		zmq_ctx_term(session->context);
	interrupt_close(&session->interrupt);
	if (session->claim.fd >= 0)
		claim_remove_tree(session->claim.path);
	claim_close(&session->claim);
	free(session);
}

bool session_interrupted(const struct session *session)
{
	return session->interrupt.n > 0;
}

bool session_agent_lost(const struct session *session)
{
	return session->agent_lost;
}

void session_agent_kill(struct session *session)
{
	kill(session->agent.pid, SIGKILL);
	agentproc_wait(&session->agent, SESSION_QUIT_NS);
	session->agent_lost = true;
}
