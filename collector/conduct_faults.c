/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The faults of a conduct: armed after the boxes are there and before anything starts; more of them, or fewer, while it
 * goes on.
 */
#include <errno.h>
#include <stdio.h>

#include "collector/conduct_inside.h"

/* When the run is over at the latest: what has not fired then never does. */
static uint64_t armed_ns(const struct conduct *c)
{
	return c->x->ready_timeout_ns * (c->x->n_processes + 1) + c->x->timeout_ns + c->x->grace_ns +
	       CONDUCT_SILENCE_NS;
}

static void order_arm(struct conduct *c, const struct plan *plan, uint64_t token, uint64_t now)
{
	struct message_order arm = {
		.kind = ORDER_ARM,
		.arm = { .faults = plan->faults, .n = plan->n, .armed_ns = armed_ns(c) },
	};

	conduct_order_for(c, &arm, token, now);
}

bool conduct_order_plan(struct conduct *c, uint64_t now)
{
	if (!c->plan || !c->plan->n || c->result.outcome)
		return false;
	order_arm(c, c->plan, 0, now);
	return true;
}

void conduct_faults(struct conduct *c, const struct plan *plan)
{
	c->plan = plan;
}

static int may_change(const struct conduct *c, struct error *e)
{
	if (c->state >= STOPPING || c->result.outcome)
		return error_set(e, -EBUSY, "run %llu is ending", (unsigned long long)c->run);
	if (c->state <= BEGINNING)
		return error_set(e, -EBUSY, "run %llu has no boxes yet; try again", (unsigned long long)c->run);
	return 0;
}

int conduct_inject(struct conduct *c, const struct plan *plan, uint64_t token, uint64_t now, struct error *e)
{
	int err = may_change(c, e);

	if (!err)
		order_arm(c, plan, token, now);
	return err;
}

int conduct_lift(struct conduct *c, uint32_t id, uint64_t token, uint64_t now, struct error *e)
{
	int err = may_change(c, e);

	if (!err)
		conduct_order_for(c, &(struct message_order){ .kind = ORDER_LIFT, .lift = id }, token, now);
	return err;
}

void conduct_answer(struct conduct *c, const struct conduct_pending *pending, int err, const char *text)
{
	if (c->door.answered)
		c->door.answered(c->door.arg, pending->token, err, text);
}

void conduct_on_armed(struct conduct *c, const char *refused, uint64_t now)
{
	if (refused && !c->result.outcome) {
		c->result.outcome = OUTCOME_ERROR;
		snprintf(c->result.reason, sizeof(c->result.reason), "%s", refused);
	}
	conduct_begun(c, now);
}

bool conduct_ended_by_fault(struct conduct *c, const struct message *message, size_t actor)
{
	struct conduct_actor *a = &c->actors[actor];

	a->fault = message->exited.fault;
	if (!a->fault || !a->spec)
		return false;
	if (message->exited.restarts && c->state < STOPPING)
		return true; /* it is not over */
	a->ready = true;     /* nobody waits for it any more */
	return false;
}
