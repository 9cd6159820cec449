/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See unable.h. */
#include "tfj/unable.h"

#include <stdio.h>

#include "tfj/inject.h"
#include "tfj/tracer.h"
#include "tfj/tracer_kernel.h"

static int try(struct tracer *tracer, const struct guardian *guardian, enum fault_kind kind, struct error *e)
{
	if (inject_in_kernel(kind) && !tracer_fault_able(tracer))
		return error_set(e, -1, "this agent was started with --no-faults");
	if (kind == FAULT_PAUSE && !guardian)
		return error_set(e, -1, "the process that would end a pause if this agent died could not be made");
	return inject_able(tracer, kind, e);
}

void unable_find(struct tracer *tracer, const struct guardian *guardian, struct unable *ret)
{
	struct error e;

	ret->n = 0;
	for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KIND_COUNT; kind++) {
		if (try(tracer, guardian, kind, &e) == 0)
			continue;
		snprintf(ret->why[ret->n], sizeof(ret->why[ret->n]), "%s", e.text);
		ret->rows[ret->n] = (struct message_unable){ (char *)fault_kind_name(kind), ret->why[ret->n] };
		ret->n++;
	}
}
