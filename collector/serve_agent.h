/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `bop serve --agent`: an agent (tfj) that the server starts for itself and that ends with it, whatever ends the server. */
#ifndef COLLECTOR_SERVE_AGENT_H
#define COLLECTOR_SERVE_AGENT_H

#include <limits.h>

#include "collector/agentproc.h"

struct serve_agent {
	struct agentproc process; /* pid 0: there is none */
	char path[PATH_MAX];
};

#define SERVE_AGENT_NONE { .process = AGENTPROC_NONE }

/* url: the server's socket for agents. boxes: NAME or NAME=NETNS, as `tfj --box` takes them, n of them. -ENOENT: no tfj. */
int serve_agent_open(struct serve_agent *agent, const char *url, const char *const boxes[], size_t n, struct error *e);

/* Whether it has ended although nobody asked it to; e says how. Does not wait. */
bool serve_agent_ended(struct serve_agent *agent, struct error *e);

/* Ends it in order, by force if it does not end in 10 s; nothing of it is left. One that is not open is fine. */
void serve_agent_close(struct serve_agent *agent);

#endif
