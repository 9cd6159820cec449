/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See private_server.h. What the server writes is kept aside; its last line is what is said if it does not start. It
 * removes its directory at its end; one that was killed leaves it to us, and both to the next sweep.
 */
#include "collector/private_server.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector/agentproc.h"
#include "collector/client.h"
#include "collector/serve.h"
#include "lib/claim.h"
#include "lib/clock.h"

#define READY_NS (60 * CLOCK_SECOND_NS) /* as long as an agent may take (session.c) */
#define QUIT_NS (40 * CLOCK_SECOND_NS)	/* runs that end, and the agent */
enum { LOOK_MS = 20 };

struct private_server {
	struct agentproc process;
	struct claim claim; /* the directory, if it is ours */
	char directory[PATH_MAX], url[SERVE_API_URL_MAX];
};

static int start(struct private_server *server, const char *store, struct error *e)
{
	const char *arguments[] = { "bop", "serve", "--agent", "--parent-death", "--dir", server->directory, NULL };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return error_set(e, -errno, "cannot find the program bop: %s", strerror(errno));
	self[n] = '\0';
	if (setenv("BOP_STORE", store, 1) < 0) /* not as an argument, which everybody can read: there may be a password in it */
		return error_set(e, -errno, "out of memory");
	return agentproc_start(&server->process, self, (char *const *)arguments, e);
}

/* Whether it is the one that runs in the directory: another one may have been there before. */
static bool is_there(const struct private_server *server)
{
	char path[PATH_MAX + 8];
	FILE *lock;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/lock", server->directory);
	lock = fopen(path, "re");
	if (!lock)
		return false;
	if (fscanf(lock, "%d", &pid) != 1)
		pid = 0;
	fclose(lock);
	return pid == server->process.pid;
}

/* Whether the server answers, and has its agent. */
static bool is_ready(const struct private_server *server)
{
	struct api_request request = { .id = 1, .kind = API_LIST_BOXES };
	struct api_answer answer = { .kind = API_ANSWER_NONE };
	struct client *client = NULL;
	bool ready = false;

	if (client_open(server->url, &client, NULL) == 0 && client_ask(client, &request, &answer, NULL) == 0)
		ready = answer.kind == API_BOXES && answer.boxes.n_agents;
	api_answer_fini(&answer);
	client_close(client);
	return ready;
}

static int ended_early(struct private_server *server, struct error *e)
{
	char line[400], how[64], *text = line;

	agentproc_last_line(&server->process, line, sizeof(line));
	if (!strncmp(text, "bop: ", 5))
		text += 5;
	status_text(server->process.status, how, sizeof(how));
	if (WIFEXITED(server->process.status) && *text)
		return error_set(e, -ECHILD, "%s", text);
	return error_set(e, -ECHILD, "the server ended while it started (%s)%s%s", how, *text ? ": " : "", text);
}

static int wait_ready(struct private_server *server, struct error *e)
{
	uint64_t deadline = clock_monotonic_ns() + READY_NS;
	struct pollfd ended = { .fd = server->process.pidfd, .events = POLLIN };

	while (!is_there(server) || !is_ready(server)) {
		if (agentproc_wait(&server->process, 0))
			return ended_early(server, e);
		if (clock_monotonic_ns() >= deadline)
			return error_set(e, -ETIMEDOUT, "a server was started at %s, but its agent does not come", server->url);
		poll(&ended, 1, LOOK_MS);
	}
	return 0;
}

static int remove_stale(struct claim *claim, void *arg)
{
	return claim_remove_tree(claim->path);
}

static int directory_make(struct private_server *server, struct error *e)
{
	char base[PATH_MAX];

	if (!realpath(claim_base(), base))
		return error_set(e, -errno, "%s: %s (BOP_TMPDIR names where such a server has its directory)", claim_base(),
				 strerror(errno));
	claim_sweep(base, "bop", remove_stale, NULL, NULL);
	return claim_open(&server->claim, base, "bop", NULL, 0700, e);
}

int private_server_open(const char *store, const char *directory, struct private_server **ret_server, struct error *e)
{
	struct private_server *server = calloc(1, sizeof(*server));
	int err = 0;

	if (!server)
		return error_set(e, -ENOMEM, "out of memory");
	server->process = (struct agentproc)AGENTPROC_NONE;
	server->claim = (struct claim)CLAIM_NONE;
	if (geteuid() != 0)
		err = error_set(e, -EPERM, "an agent needs root: it makes network namespaces and loads BPF programs (try sudo)");
	if (!err && !directory)
		err = directory_make(server, e);
	directory = directory ? directory : server->claim.path;
	snprintf(server->directory, sizeof(server->directory), "%s", directory);
	if (!err && (size_t)snprintf(server->url, sizeof(server->url), "ipc://%s/api", directory) >= sizeof(server->url))
		err = error_set(e, -ENAMETOOLONG, "%s: this path is too long", directory);
	if (!err)
		err = start(server, store, e);
	if (!err)
		err = wait_ready(server, e);
	if (err)
		private_server_close(server);
	else
		*ret_server = server;
	return err;
}

void private_server_close(struct private_server *server)
{
	if (!server)
		return;
	if (server->process.pid && !server->process.ended) {
		kill(server->process.pid, SIGTERM);
		agentproc_wait(&server->process, QUIT_NS);
	}
	agentproc_close(&server->process, true);
	if (server->claim.fd >= 0)
		claim_remove_tree(server->claim.path);
	claim_close(&server->claim);
	free(server);
}

const char *private_server_url(const struct private_server *server)
{
	return server->url;
}
