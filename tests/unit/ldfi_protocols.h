/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The protocols of the LDFI paper (its figures 12 and 13) for the simulator, with the paper's bounds. */
#ifndef TESTS_UNIT_LDFI_PROTOCOLS_H
#define TESTS_UNIT_LDFI_PROTOCOLS_H

#include "tests/unit/ldfi_sim.h"

/*
 * ---- Reliable broadcast: a has something for all; if a correct one of the others has it in the end, all correct
 * ones do.
 */

enum { PAYLOAD, ACK };

static void deliver(struct sim *sim, int node)
{
	if (!sim->nodes[node].logged)
		sim->nodes[node].since = sim->step;
	sim->nodes[node].logged = true;
	if (node)
		sim_goal(sim, node, "delivers");
}

static void log_receive(struct sim *sim, int node, const struct sim_message *m)
{
	if (m->kind == ACK) {
		sim->nodes[node].acked[m->from] = true;
		return;
	}
	deliver(sim, node);
	if (!strcmp(sim->protocol->name, "ack-deliv"))
		sim_send(sim, node, m->from, ACK, 0);
}

static void originate(struct sim *sim, int node)
{
	if (!node && sim->step == 1)
		deliver(sim, node);
}

static void simple_act(struct sim *sim, int node)
{
	originate(sim, node);
	if (!node && sim->step == 1)
		sim_broadcast(sim, node, PAYLOAD, 0);
}

static void retry_act(struct sim *sim, int node)
{
	originate(sim, node);
	if (!node)
		sim_broadcast(sim, node, PAYLOAD, 0);
}

static void redun_act(struct sim *sim, int node)
{
	originate(sim, node);
	if (sim->nodes[node].logged)
		sim_broadcast(sim, node, PAYLOAD, 0);
}

static void ack_act(struct sim *sim, int node)
{
	originate(sim, node);
	for (int to = 0; to < sim->n && sim->nodes[node].logged; to++)
		if (to != node && !sim->nodes[node].acked[to])
			sim_send(sim, node, to, PAYLOAD, 0);
}

static void classic_act(struct sim *sim, int node)
{
	originate(sim, node);
	if (sim->nodes[node].logged && sim->nodes[node].since == sim->step)
		sim_broadcast(sim, node, PAYLOAD, 0);
}

static enum trial_verdict log_check(struct sim *sim)
{
	bool some = false, all = true;

	for (int i = 0; i < sim->n; i++) {
		if (sim->nodes[i].crashed)
			continue;
		some |= i && sim->nodes[i].logged;
		all &= sim->nodes[i].logged;
	}
	return !some ? TRIAL_VACUOUS : all ? TRIAL_GOOD : TRIAL_VIOLATED;
}

/* ---- Commit: the last one coordinates. Who has voted decides in the end, and all decide the same. */

enum { PREPARE, VOTE, PRECOMMIT, PREACK, DECIDE, ASK };
enum { UNDECIDED, COMMIT, ABORT };
enum { BEGIN, VOTED, PREPARED };

static void decide(struct sim *sim, int node, int decision)
{
	if (sim->nodes[node].decision)
		return;
	sim->nodes[node].decision = decision;
	sim_goal(sim, node, decision == COMMIT ? "commits" : "aborts");
}

static bool coordinates(const struct sim *sim, int node)
{
	return node == sim->n - 1;
}

static bool with(const struct sim *sim, const char *name)
{
	return !strcmp(sim->protocol->name, name);
}

static void announce(struct sim *sim, int node, int decision)
{
	if (sim->nodes[node].decision)
		return;
	decide(sim, node, decision);
	sim_broadcast(sim, node, DECIDE, decision);
}

static void commit_receive(struct sim *sim, int node, const struct sim_message *m)
{
	struct sim_node *self = &sim->nodes[node];

	switch (m->kind) {
	case PREPARE:
		self->state = VOTED;
		sim_send(sim, node, m->from, VOTE, 0);
		break;
	case VOTE:
		if (++self->votes == sim->n - 1 && with(sim, "3pc") && !self->decision)
			sim_broadcast(sim, node, PRECOMMIT, 0);
		else if (self->votes == sim->n - 1)
			announce(sim, node, COMMIT);
		break;
	case PRECOMMIT:
		if (self->decision)
			break;
		self->state = PREPARED;
		sim_send(sim, node, m->from, PREACK, 0);
		break;
	case PREACK:
		if (++self->acks == sim->n - 1)
			announce(sim, node, COMMIT);
		break;
	case DECIDE:
		decide(sim, node, m->value);
		break;
	case ASK:
		if (self->decision)
			sim_send(sim, node, m->from, DECIDE, self->decision);
		break;
	}
}

static void commit_act(struct sim *sim, int node)
{
	struct sim_node *self = &sim->nodes[node];

	if (coordinates(sim, node)) {
		if (sim->step == 1)
			sim_broadcast(sim, node, PREPARE, 0);
		if (sim->step == 4 && self->votes < sim->n - 1)
			announce(sim, node, ABORT);
		if (sim->step == 6 && with(sim, "3pc") && self->acks < sim->n - 1)
			announce(sim, node, ABORT);
		return;
	}
	if (sim->step >= 5 && with(sim, "2pc-ctp") && self->state == VOTED && !self->decision)
		for (int to = 0; to < sim->n - 1; to++)
			if (to != node)
				sim_send(sim, node, to, ASK, 0);
	if (sim->step == 6 && with(sim, "3pc") && self->state == VOTED)
		decide(sim, node, ABORT);
	if (sim->step == 8 && with(sim, "3pc") && self->state == PREPARED)
		decide(sim, node, COMMIT);
}

static enum trial_verdict commit_check(struct sim *sim)
{
	int decision = UNDECIDED, voted = 0;

	for (int i = 0; i < sim->n; i++)
		voted += !sim->nodes[i].crashed && sim->nodes[i].state != BEGIN;
	if (!voted)
		return TRIAL_VACUOUS;
	for (int i = 0; i < sim->n; i++) {
		const struct sim_node *node = &sim->nodes[i];

		if (node->crashed || (!node->decision && node->state == BEGIN))
			continue;
		if (!node->decision || (decision && node->decision != decision))
			return TRIAL_VIOLATED;
		decision = node->decision;
	}
	return TRIAL_GOOD;
}

/* X(name, nodes, EOT, EFF, crashes, act, kind of protocol, runs in the paper (0: it is correct)) */
#define PROTOCOLS(X)                                                                                                   \
	X("simple-deliv", "abc", 4, 2, 0, simple_act, log, 2)                                                          \
	X("retry-deliv", "abc", 4, 2, 1, retry_act, log, 3)                                                            \
	X("redun-deliv", "abc", 8, 6, 1, redun_act, log, 0)                                                            \
	X("ack-deliv", "abc", 8, 6, 1, ack_act, log, 0)                                                                \
	X("classic-deliv", "abc", 5, 3, 0, classic_act, log, 5)                                                        \
	X("2pc", "abdC", 5, 0, 1, commit_act, commit, 2)                                                               \
	X("2pc-ctp", "abdC", 8, 0, 1, commit_act, commit, 3)                                                           \
	X("3pc", "abdC", 9, 7, 1, commit_act, commit, 55)

static const struct sim_protocol protocols[] = {
#define X(name, nodes, end, until, crashes, act, kind, runs)                                                           \
	{ name, nodes, end, until, crashes, kind##_receive, act, kind##_check, NULL },
	PROTOCOLS(X)
#undef X
};

static const unsigned paper_runs[] = {
#define X(name, nodes, end, until, crashes, act, kind, runs) runs,
	PROTOCOLS(X)
#undef X
};

enum { N_PROTOCOLS = sizeof(protocols) / sizeof(protocols[0]) };

#endif
