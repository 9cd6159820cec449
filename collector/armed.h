/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The faults of a run that goes on, and what its agents said of each: what `bop faults` shows. Pure. What is kept with
 * the run comes by another way, in batches.
 */
#ifndef COLLECTOR_ARMED_H
#define COLLECTOR_ARMED_H

#include "collector/plan.h"
#include "proto/fault.h"

struct armed_fault {
	bool dry, live; /* live: not of the plan */
	char *line;
	enum fault_state state;		/* NONE: the agents have not answered yet */
	struct fault_receipt *receipts; /* by agent; state NONE: it said nothing of this one */
};

struct armed {
	struct armed_fault *faults; /* n of them, by id: from 1, without a gap */
	size_t n, n_agents;
};

void armed_fini(struct armed *armed);

/* Adds the faults of a plan that is numbered from armed_next() on. -E2BIG, -ENOMEM: nothing was added. */
int armed_add(struct armed *armed, const struct plan *plan, bool live, struct error *e);
/* Takes those from id on away again. */
void armed_remove(struct armed *armed, uint32_t from);
/* The next id; 1 at first. */
uint32_t armed_next(const struct armed *armed);
/* NULL: there is none. */
struct armed_fault *armed_find(const struct armed *armed, uint32_t id);
/* Those from id on: armed, or refused for that reason. */
void armed_answered(struct armed *armed, uint32_t from, size_t n, int err, const char *why);
/* What an agent said. Of a fault that is not there: ignored. rows are emptied of what is taken. */
void armed_take(struct armed *armed, size_t agent, struct fault_receipt *rows, size_t n);

/* What all agents together say of it; the caller frees with fault_receipt_fini(). -ENOMEM. */
int armed_receipt(const struct armed *armed, const struct armed_fault *fault, struct fault_receipt *ret_receipt);

#endif
