/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of a session, for session.c (the agent and the user) and session_run.c (one run). Nobody else includes this. */
#ifndef COLLECTOR_SESSION_INSIDE_H
#define COLLECTOR_SESSION_INSIDE_H

#include <limits.h>

#include "collector/agentproc.h"
#include "collector/interrupt.h"
#include "collector/server.h"
#include "collector/session.h"
#include "lib/claim.h"

#define SESSION_QUIT_NS 10000000000ull /* how long an agent may take to end */

enum { ITEM_SERVER, ITEM_SIGNAL = ITEM_SERVER + SERVER_ITEMS, ITEM_AGENT, ITEMS };

struct session {
	struct claim claim;
	void *context;
	struct server *server;
	struct server_agent *connected; /* the agent, once it has said hello */
	struct agentproc agent;
	char agent_path[PATH_MAX];
	struct interrupt interrupt;
	bool agent_lost;
};

/* Waits for any of the three until `until`, reads signals, sees who came; the caller looks at the rest. */
void session_wait(struct session *session, uint64_t until, zmq_pollitem_t items[ITEMS]);
void session_agent_kill(struct session *session);

#endif
