/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plans for several agents. A moment is seen by one kernel, and only that one can act on it in time: what the fault is
 * to do must be possible there. See plan.h.
 */
#include <errno.h>
#include <string.h>

#include "collector/cast.h"
#include "collector/plan.h"

static bool is_in(const struct experiment *x, const char *process, const char *box)
{
	const char *its = process ? plan_box_of(x, process) : NULL;

	return its && !strcmp(its, box);
}

bool plan_concerns(const struct experiment *x, const struct fault *fault, const char *box)
{
	const struct fault_moment *at = &fault->at;

	if (at->kind == MOMENT_NONE)
		return words_contain(fault->from, box) || words_contain(fault->to, box) || is_in(x, fault->process, box);
	if (is_in(x, at->process, box) || is_in(x, at->connection.process, box))
		return true;
	/* who accepts tells the moment; who connects, which connection it is: with its SYN, if that is another kernel */
	return !fault_moment_is_connectors(at) && at->connection.box && !strcmp(at->connection.box, box);
}

/* The agent whose kernel sees the moment; SIZE_MAX: none of them does. */
static size_t seer_of(const struct experiment *x, const struct cast *cast, const struct fault_moment *at)
{
	const char *process = at->process		     ? at->process :
			      fault_moment_is_connectors(at) ? at->connection.process :
							       NULL;
	const char *box = process ? plan_box_of(x, process) : at->connection.box;

	return box ? cast_agent_of(cast, box) : SIZE_MAX;
}

static bool all_on(const struct cast *cast, char *const *boxes, size_t agent)
{
	for (size_t i = 0; boxes && boxes[i]; i++)
		if (cast_agent_of(cast, boxes[i]) != agent)
			return false;
	return boxes;
}

static bool has_own(const struct experiment *x, const char *box)
{
	for (size_t i = 0; i < x->n_processes; i++)
		if (!x->processes[i].attach && !strcmp(x->processes[i].box, box))
			return true;
	return false;
}

/* Is the moment one of who accepts on another agent, and one of the two not started by the run? Then the SYN says nothing. */
static bool is_untold(const struct experiment *x, const struct cast *cast, const struct fault_moment *at)
{
	const struct experiment_process *spec = at->connection.process ? experiment_find(x, at->connection.process, strcspn(at->connection.process, ".'")) : NULL;
	size_t accepts = at->connection.box ? cast_agent_of(cast, at->connection.box) : SIZE_MAX;

	if (!spec || accepts == SIZE_MAX || fault_moment_is_connectors(at) || accepts == cast_agent_of(cast, spec->box))
		return false;
	return spec->attach || !has_own(x, at->connection.box);
}

int plan_check_cast(const struct plan *plan, const struct experiment *x, const struct cast *cast, struct error *e)
{
	for (size_t i = 0; cast->n_agents > 1 && i < plan->n; i++) {
		const struct fault *fault = &plan->faults[i];
		size_t seer = fault->at.kind == MOMENT_NONE || !fault->from ? SIZE_MAX : seer_of(x, cast, &fault->at);

		if (is_untold(x, cast, &fault->at))
			return error_set(e, -EINVAL,
					 "%s:%d: the connection is between two agents, and one of its ends is attached: which one it is tells "
					 "the SYN of a process that the run started to another such: only moments of who connects can be told",
					 plan->origins[i], fault->at.column);
		if (seer == SIZE_MAX || all_on(cast, fault->from, seer) || all_on(cast, fault->to, seer))
			continue;
		return error_set(
			e, -EINVAL,
			"%s:%d: that moment is seen by the agent of box %s, which cannot act in time on boxes of other "
			"agents: all of a group must be its own",
			plan->origins[i], fault->at.column, cast_box_of(cast, seer));
	}
	return 0;
}
