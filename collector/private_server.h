/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A server with an agent of its own (`bop serve --agent`) as a child process, for a command that wants to use the API
 * without one that runs already. It ends with the command, whatever ends that. Needs root, as agents do.
 */
#ifndef COLLECTOR_PRIVATE_SERVER_H
#define COLLECTOR_PRIVATE_SERVER_H

#include "lib/error.h"

struct private_server;

/*
 * Waits until the agent is there: 1-2 s. store: URL of its store. directory: of its sockets, absolute; NULL: one that nobody else
 * knows, and that goes with it. -ECHILD: it ended, e has its last words; -ETIMEDOUT.
 */
int private_server_open(const char *store, const char *directory, struct private_server **ret_server, struct error *e);
/* Runs that go on end in order first. NULL is fine. */
void private_server_close(struct private_server *server);

/* For client_open(). */
const char *private_server_url(const struct private_server *server);

#endif
