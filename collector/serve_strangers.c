/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What there is to say, in the log and to who asks, of peers that were not let in, and of the lists of those who are. */
#include <stdio.h>
#include <string.h>

#include "collector/serve_inside.h"
#include "lib/clock.h"

#define TOLD_NS (10 * CLOCK_SECOND_NS) /* between two lines about strangers */

struct refusals serve_refusals(const struct serve *serve)
{
	struct refusals all = *server_refusals(serve->server);

	for (size_t i = 0; i < REFUSAL_COUNT && serve->remote; i++)
		all.n[i] += serve_remote_refusals(serve->remote)->n[i];
	return all;
}

/* How many strangers came since the last line, at most every 10 s, with the last one whose key was unknown. */
void strangers_tell(struct serve *serve, uint64_t now)
{
	const struct refusals refusals = serve_refusals(serve);
	static const char *const names[] = {
#define X(NAME, name, text) #name,
		REFUSALS(X)
#undef X
	};
	const char *agent, *controller;
	char text[300] = "";
	uint64_t n;

	if (now - serve->told_ns < TOLD_NS || !memcmp(&refusals, &serve->told, sizeof(serve->told)))
		return;
	for (size_t i = 0; i < REFUSAL_COUNT; i++) {
		n = refusals.n[i] - serve->told.n[i];
		if (n)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%llu %s", *text ? ", " : "",
				 (unsigned long long)n, names[i]);
	}
	agent = server_stranger(serve->server);
	controller = serve->remote ? serve_remote_stranger(serve->remote) : NULL;
	serve_log("refused: %s%s%s%s", text, agent ? "; unknown: " : "", agent ? agent : "",
		  agent ? " (bop keys allow NAME KEY lets it in)" : "");
	if (controller)
		serve_log("refused controller: %s (bop keys --controller allow NAME KEY lets it in)", controller);
	serve->told = refusals;
	serve->told_ns = now;
}

void lists_tell(struct serve *serve)
{
	const char *agents = server_list_trouble(serve->server);
	const char *controllers = serve->remote ? serve_remote_list_trouble(serve->remote) : NULL;

	if (agents)
		serve_log("the list of keys stays as it was: %s", agents);
	if (controllers)
		serve_log("the list of controllers stays as it was: %s", controllers);
}
