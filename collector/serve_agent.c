/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See serve_agent.h. */
#include "collector/serve_agent.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "collector/serve_inside.h"
#include "lib/clock.h"

#define QUIT_NS (10 * CLOCK_SECOND_NS)

int serve_agent_open(struct serve_agent *agent, const char *url, const char *const boxes[], size_t n, struct error *e)
{
	const char **arguments = calloc(2 * n + 5, sizeof(*arguments));
	size_t used = 0;
	int err;

	if (!arguments)
		return error_set(e, -ENOMEM, "out of memory");
	err = agentproc_find(agent->path, e);
	arguments[used++] = "tfj";
	arguments[used++] = "--collector";
	arguments[used++] = url;
	arguments[used++] = "--parent-death";
	for (size_t i = 0; i < n; i++) {
		arguments[used++] = "--box";
		arguments[used++] = boxes[i];
	}
	if (!err)
		err = agentproc_start(&agent->process, agent->path, (char *const *)arguments, e);
	free(arguments);
	return err;
}

bool serve_agent_ended(struct serve_agent *agent, struct error *e)
{
	char line[400], how[64];

	if (!agent->process.pid || !agentproc_wait(&agent->process, 0))
		return false;
	agentproc_last_line(&agent->process, line, sizeof(line));
	status_text(agent->process.status, how, sizeof(how));
	if (WIFEXITED(agent->process.status) && *line)
		error_set(e, -ECHILD, "%s", line);
	else
		error_set(e, -ECHILD, "the agent %s ended (%s)%s%s", agent->path, how, *line ? ": " : "", line);
	return true;
}

void serve_agent_close(struct serve_agent *agent)
{
	bool ended = !agent->process.pid || agent->process.ended;
	struct error e;

	if (!ended) {
		kill(agent->process.pid, SIGTERM);
		ended = agentproc_wait(&agent->process, QUIT_NS);
	}
	if (!ended)
		serve_log("the agent did not end and is killed");
	agentproc_close(&agent->process, true);
	if (!ended && agentproc_clean(agent->path, &e) < 0)
		serve_log("warning: %s", e.text);
}
