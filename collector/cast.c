/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See cast.h. On failure nothing is allocated. */
#include "collector/cast.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct trace_box *box_of(const struct cast_agent *agent, const char *name)
{
	for (size_t i = 0; i < agent->n_boxes; i++)
		if (!strcmp(agent->boxes[i].name, name))
			return &agent->boxes[i];
	return NULL;
}

static bool is_called(const struct cast_agent *agent, const char *name)
{
	return !strcmp(agent->host, name) || (*agent->key && !strcmp(agent->key, name));
}

static const char *called(const struct cast_agent *agent)
{
	return *agent->key ? agent->key : agent->host;
}

/*
 * The agents that have the box; the caller wants one. named: what the experiment says, or NULL. An agent that serves
 * boxes by name makes no others.
 */
static size_t candidates(const struct cast_agent *agents, size_t n, const char *box, const char *named, bool by_name,
			 size_t *ret_last)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		if (named && !is_called(&agents[i], named))
			continue;
		if (by_name ? !box_of(&agents[i], box) : agents[i].n_boxes > 0)
			continue;
		*ret_last = i;
		found++;
	}
	return found;
}

static int choose(const struct cast_agent *agents, size_t n, const char *box, const char *named, size_t *ret_agent,
		  struct error *e)
{
	bool known = !named;
	size_t found;

	for (size_t i = 0; i < n && !known; i++)
		known = is_called(&agents[i], named);
	if (!known)
		return error_set(e, -ENOENT, "box '%s' is to be on agent '%s', which is not connected (`bop boxes` lists them)",
				 box, named);
	found = candidates(agents, n, box, named, true, ret_agent);
	if (!found)
		found = candidates(agents, n, box, named, false, ret_agent);
	if (!found)
		return named ? error_set(e, -ENOENT, "agent '%s' serves no box '%s' (`bop boxes` lists its boxes)", named, box) :
			       error_set(e, -ENOENT, "no connected agent serves a box '%s' (`bop boxes` lists them)", box);
	if (found > 1)
		return error_set(e, -ENOTUNIQ, "%zu agents could serve box '%s': say which, as {name: %s, agent: %s}", found,
				 box, box, called(&agents[*ret_agent]));
	if (agents[*ret_agent].ending)
		return error_set(e, -EBUSY, "agent '%s', which serves box '%s', has not ended run %llu yet: if it hangs, start it again",
				 called(&agents[*ret_agent]), box, (unsigned long long)agents[*ret_agent].ending);
	if (agents[*ret_agent].busy)
		return error_set(e, -EBUSY, "agent '%s', which serves box '%s', is in another run", called(&agents[*ret_agent]),
				 box);
	return 0;
}

/* The place of an agent in the run; it gets one if it has none. */
static size_t place_of(struct cast *cast, size_t agent)
{
	for (size_t i = 0; i < cast->n_agents; i++)
		if (cast->agents[i] == agent)
			return i;
	cast->agents[cast->n_agents] = agent;
	return cast->n_agents++;
}

static int init(const struct experiment *x, struct cast *cast, struct error *e)
{
	*cast = (struct cast){ .n_boxes = 0 };
	while (x->boxes[cast->n_boxes])
		cast->n_boxes++;
	cast->boxes = calloc(cast->n_boxes + 1, sizeof(*cast->boxes));
	cast->agents = calloc(cast->n_boxes + 1, sizeof(*cast->agents));
	if (!cast->boxes || !cast->agents) {
		cast_fini(cast);
		return error_set(e, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < cast->n_boxes; i++)
		cast->boxes[i].name = x->boxes[i];
	return 0;
}

static int addresses_set(struct cast_box *box, const struct trace_box *served)
{
	box->address = strdup(served ? served->address : "");
	box->address6 = strdup(served ? served->address6 : "");
	return box->address && box->address6 ? 0 : -ENOMEM;
}

/* Every box must have a way to every other. */
static int network_check(const struct cast *cast, const struct cast_agent *agents, struct error *e)
{
	for (size_t i = 1; i < cast->n_boxes; i++) {
		const struct cast_box *a = &cast->boxes[0], *b = &cast->boxes[i];
		const struct cast_box *made = *a->address ? b : a;

		if ((*a->address && *b->address) || (!*a->address && !*b->address && a->agent == b->agent))
			continue;
		return error_set(e, -ENETUNREACH, "boxes '%s' and '%s' have no network in common: '%s' is made by agent '%s' for "
				 "the run (give it one that is there, with tfj --box %s=NETNS)", a->name, b->name, made->name,
				 called(&agents[cast->agents[made->agent]]), made->name);
	}
	return 0;
}

int cast_make(const struct experiment *x, const struct cast_agent *agents, size_t n, struct cast *ret_cast,
	      struct error *e)
{
	struct cast cast;
	size_t agent;
	int err = init(x, &cast, e);

	if (err)
		return err;
	for (size_t i = 0; i < cast.n_boxes && !err; i++) {
		err = choose(agents, n, cast.boxes[i].name, x->agents ? x->agents[i] : NULL, &agent, e);
		if (err)
			break;
		cast.boxes[i].agent = place_of(&cast, agent);
		err = addresses_set(&cast.boxes[i], box_of(&agents[agent], cast.boxes[i].name));
		if (err)
			error_set(e, err, "out of memory");
	}
	if (!err)
		err = network_check(&cast, agents, e);
	if (err)
		cast_fini(&cast);
	else
		*ret_cast = cast;
	return err;
}

int cast_single(const struct experiment *x, struct cast *ret_cast, struct error *e)
{
	int err = init(x, ret_cast, e);

	for (size_t i = 0; !err && i < ret_cast->n_boxes; i++)
		err = addresses_set(&ret_cast->boxes[i], NULL);
	if (err) {
		cast_fini(ret_cast);
		return error_set(e, err, "out of memory");
	}
	ret_cast->n_agents = 1;
	return 0;
}

void cast_fini(struct cast *cast)
{
	for (size_t i = 0; cast->boxes && i < cast->n_boxes; i++) {
		free(cast->boxes[i].address);
		free(cast->boxes[i].address6);
	}
	free(cast->boxes);
	free(cast->agents);
	*cast = (struct cast){ .n_boxes = 0 };
}

size_t cast_agent_of(const struct cast *cast, const char *box)
{
	for (size_t i = 0; i < cast->n_boxes; i++)
		if (!strcmp(cast->boxes[i].name, box))
			return cast->boxes[i].agent;
	return SIZE_MAX;
}

const char *cast_box_of(const struct cast *cast, size_t agent)
{
	for (size_t i = 0; i < cast->n_boxes; i++)
		if (cast->boxes[i].agent == agent)
			return cast->boxes[i].name;
	return "?"; /* none is in a run for nothing */
}
