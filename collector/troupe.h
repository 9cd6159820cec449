/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Several agents that play one: between a conduct, which knows of one agent, and the agents of a run. An order goes to
 * the agent that has the box, or to all; replies to an order for all become one, when the last has come. Pure, as a
 * conduct is.
 *
 * When some agents can begin a run and others cannot, those that can are told to finish before the refusal is passed on:
 * nothing of the run is left anywhere.
 */
#ifndef COLLECTOR_TROUPE_H
#define COLLECTOR_TROUPE_H

#include "collector/cast.h"
#include "proto/wire.h"

struct troupe;

struct troupe_door {
	/* A failure means that no agent can be reached any more. The order is borrowed. */
	int (*order)(void *arg, size_t agent, const struct message_order *order, struct error *e);
	void *arg;
};

/* cast, of that experiment, and it are borrowed. NULL: no memory. */
struct troupe *troupe_new(const struct cast *cast, const struct experiment *experiment, const struct troupe_door *door);
void troupe_free(struct troupe *troupe);

/* What the conduct orders. */
int troupe_order(struct troupe *troupe, const struct message_order *order, struct error *e);

/*
 * A message of an agent, as the conduct is to see it: the message itself, or a reply of all (valid until the next call),
 * or NULL: there is more to come.
 */
const struct message *troupe_message(struct troupe *troupe, size_t agent, const struct message *message);

/* It was asked for something and has not answered. */
bool troupe_waits(const struct troupe *troupe, size_t agent);

#endif
