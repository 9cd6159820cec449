/* SPDX-License-Identifier: GPL-3.0-or-later */
/* GetCapabilities: which faults work on the agents that are connected, and what the server refuses to exceed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "collector/query_inside.h"
#include "collector/rendering.h"
#include "collector/serve_inside.h"

/* X(name, value, what it bounds) */
#define LIMITS(X)                                                                                                    \
	X("request_bytes", API_MAX_REQUEST, "bytes of a request")                                                    \
	X("answer_bytes", API_MAX_ANSWER, "bytes of an answer")                                                      \
	X("requests_waiting", QUERIES_CLIENT_MAX, "requests about runs of one connection that wait; more are BUSY")  \
	X("answers_waiting", OUTBOX_ANSWERS_MAX,                                                                     \
	  "answers that wait for one connection to read them; then its requests are dropped")                        \
	X("answers_waiting_bytes", OUTBOX_BYTES_MAX, "the same, in bytes")                                           \
	X("plan_faults", FAULT_PLAN_MAX, "faults of a plan, and of a run")                                           \
	X("fault_line_bytes", FAULT_LINE_MAX, "bytes of a line of a plan")                                           \
	X("subscriptions", SERVE_SUBSCRIBERS_MAX, "subscriptions of all connections")                                \
	X("waiting", SERVE_WAITERS_MAX, "requests that wait for the end of one run")                                 \
	X("repeat_times", SERVE_REPEAT_MAX, "runs of one Repeat")                                                    \
	X("agents", SERVER_AGENTS_MAX, "agents that are connected")                                                  \
	X("render_bytes", RENDERING_BYTES_MAX, "bytes of a whole that Render gives pages of")

static const char *unable(const struct server_agent *agent, enum fault_kind kind)
{
	for (size_t i = 0; i < agent->hello->n_unable; i++)
		if (!strcmp(agent->hello->unable[i].kind, fault_kind_name(kind)))
			return agent->hello->unable[i].why;
	return NULL;
}

/* Why no agent that is connected, or not all of them, can have the fault; "": all can. */
static void why_not(struct serve *serve, enum fault_kind kind, char *buf, size_t size)
{
	struct server_agent *agent;
	size_t n = 0;

	*buf = '\0';
	DL_FOREACH(server_agents(serve->server), agent)
	{
		const char *why = unable(agent, kind);

		if (!agent->connected || agent->cut)
			continue;
		n++;
		if (why && !*buf)
			snprintf(buf, size, "agent %s: %s", *agent->key ? agent->key : agent->hello->host, why);
	}
	if (!n)
		snprintf(buf, size, "no agent is connected");
}

static int fault_add(struct serve *serve, Bop__Api__Capabilities *answer, enum fault_kind kind, const char *syntax,
		     const char *text)
{
	Bop__Api__FaultKind *row = QUERY_MAKE(fault_kind);
	int err = query_row_add(&answer->faults, &answer->n_faults, row);
	char why[512];

	if (err)
		return err;
	why_not(serve, kind, why, sizeof(why));
	row->here = !*why;
	return query_text(&row->name, fault_kind_name(kind)) || query_text(&row->syntax, syntax) ||
			       query_text(&row->text, text) || query_text(&row->why_not, why) ? -ENOMEM : 0;
}

static int limit_add(Bop__Api__Capabilities *answer, const char *name, uint64_t value, const char *text)
{
	Bop__Api__Limit *row = QUERY_MAKE(limit);
	int err = query_row_add(&answer->limits, &answer->n_limits, row);

	if (err)
		return err;
	row->value = value;
	return query_text(&row->name, name) || query_text(&row->text, text) ? -ENOMEM : 0;
}

static int fill(struct serve *serve, Bop__Api__Capabilities *answer)
{
	struct server_agent *agent;
	int err = query_text(&answer->version, BOP_VERSION);

	answer->api_version = API_VERSION;
	DL_FOREACH(server_agents(serve->server), agent)
		answer->agents += agent->connected && !agent->cut;
#define X(NAME, word, usage, text)                                                                                   \
	if (!err)                                                                                                    \
		err = fault_add(serve, answer, FAULT_##NAME, usage, text);
	FAULT_KINDS(X)
#undef X
#define X(name, value, text)                                                                                         \
	if (!err)                                                                                                    \
		err = limit_add(answer, name, value, text);
	LIMITS(X)
#undef X
#define X(NAME, value, name, text)                                                                                   \
	if (!err)                                                                                                    \
		err = limit_add(answer, name, value, text);
	QUERY_LIMITS(X)
#undef X
	return err;
}

void capabilities_tell(struct serve *serve, const struct door_id *to, uint64_t request)
{
	struct api_answer answer = { .id = request,
				     .kind = API_CAPABILITIES,
				     .capabilities = QUERY_MAKE(capabilities) };

	if (!answer.capabilities || fill(serve, answer.capabilities))
		api_refuse(serve, to, request, -ENOMEM, "no memory for the answer");
	else
		api_answer(serve, to, &answer);
	api_answer_fini(&answer);
}
