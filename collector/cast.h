/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which agent has which box in a run. A box of an experiment goes to the agent that it names (its host, or its name in
 * the list of keys), else to the one agent that serves a box of that name, else to the one agent that makes any box.
 * Boxes that agents make for a run share a network only with others of the same agent; boxes that are there (tfj --box
 * NAME=NETNS) are taken to reach each other. Pure.
 */
#ifndef COLLECTOR_CAST_H
#define COLLECTOR_CAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/experiment.h"
#include "proto/event.h"

/* An agent that could take part. Borrowed. */
struct cast_agent {
	const char *host;
	const char *key;		/* its name in the list of keys; empty: none */
	const struct trace_box *boxes;	/* that it serves; address empty: it makes it */
	size_t n_boxes;			/* 0: it makes any */
	bool busy;			/* takes part in another run */
	uint64_t ending;		/* a run that it was told to end, and has not said it did; 0: none */
};

struct cast_box {
	const char *name;	 /* of the experiment; borrowed */
	size_t agent;		 /* index among those of the run */
	char *address, *address6; /* known before the run begins; empty: the agent makes it */
};

struct cast {
	struct cast_box *boxes; /* in the order of the experiment */
	size_t n_boxes;
	size_t *agents; /* of the run: indices into the agents that were given */
	size_t n_agents;
};

/* -ENOENT: nobody has a box, -EBUSY, -ENOTUNIQ, -ENETUNREACH, -ENOMEM; e names box and agents. */
int cast_make(const struct experiment *experiment, const struct cast_agent *agents, size_t n, struct cast *ret_cast,
	      struct error *e);
/* All boxes of the experiment on one agent, which makes them. */
int cast_single(const struct experiment *experiment, struct cast *ret_cast, struct error *e);
void cast_fini(struct cast *cast);

/* SIZE_MAX: there is no such box. */
size_t cast_agent_of(const struct cast *cast, const char *box);
/* The first box of an agent of the run. */
const char *cast_box_of(const struct cast *cast, size_t agent);

#endif
