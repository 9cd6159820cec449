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
	/*
	 * who accepts tells the moment; who connects knows which connection it is: if that is another kernel, it
	 * refuses
	 */
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

int plan_check_cast(const struct plan *plan, const struct experiment *x, const struct cast *cast, struct error *e)
{
	for (size_t i = 0; cast->n_agents > 1 && i < plan->n; i++) {
		const struct fault *fault = &plan->faults[i];
		size_t seer = fault->at.kind == MOMENT_NONE || !fault->from ? SIZE_MAX : seer_of(x, cast, &fault->at);

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
