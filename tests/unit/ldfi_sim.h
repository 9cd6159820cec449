/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A simulated system for tests of ldfi/: processes that act in steps, messages that arrive in the next step, faults
 * by label, and the supports that a run of it leaves, with the logical times of docs/lineage.md. Included by one file
 * of a program.
 */
#ifndef TESTS_UNIT_LDFI_SIM_H
#define TESTS_UNIT_LDFI_SIM_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ldfi/trial.h"

enum { SIM_NODES = 5, SIM_MESSAGES = 600, SIM_WORDS = SIM_MESSAGES / 64 + 1, SIM_GOALS = 8 };

struct sim_message {
	char label[32];
	int from, to, kind, value, step;
	uint64_t time;
	bool lost, received;
	uint64_t past[SIM_WORDS]; /* of its sender, as it was sent */
};

struct sim_node {
	bool crashed, logged, acked[SIM_NODES];
	int state, decision, votes, acks, since; /* for protocols */
	uint64_t clock, last[SIM_NODES];
	int sent[SIM_NODES];
	uint64_t past[SIM_WORDS];
};

struct sim_goal {
	char name[32];
	int node;
	uint64_t past[SIM_WORDS];
};

struct sim;

struct sim_protocol {
	const char *name;
	const char *nodes; /* a letter each */
	int end;	   /* steps: Molly's EOT */
	uint64_t until;	   /* EFF */
	uint32_t crashes;
	void (*receive)(struct sim *sim, int node, const struct sim_message *message);
	void (*act)(struct sim *sim, int node); /* once a step, after what came in it */
	enum trial_verdict (*check)(struct sim *sim);
	const void *data;
};

struct sim {
	const struct sim_protocol *protocol;
	int n, step;
	struct sim_node nodes[SIM_NODES];
	struct sim_message messages[SIM_MESSAGES];
	size_t n_messages;
	struct sim_goal goals[SIM_GOALS];
	size_t n_goals;
	const char *const *plan;
	size_t n_plan;
	/* what trial points to */
	struct trial trial;
	struct trial_message rows[SIM_MESSAGES];
	struct trial_goal trial_goals[SIM_GOALS];
	struct trial_message supports[SIM_GOALS][SIM_MESSAGES];
	struct trial_crash crashes[SIM_GOALS][SIM_MESSAGES];
	char names[SIM_NODES][2];
};

static bool sim_planned(const struct sim *sim, const char *format, int node, const char *label)
{
	char line[80];

	snprintf(line, sizeof(line), format, sim->protocol->nodes[node], label);
	for (size_t i = 0; i < sim->n_plan; i++)
		if (!strcmp(sim->plan[i], line))
			return true;
	return false;
}

static void sim_send(struct sim *sim, int from, int to, int kind, int value)
{
	struct sim_node *node = &sim->nodes[from];
	struct sim_message *m = &sim->messages[sim->n_messages];
	char line[40];

	if (node->crashed)
		return;
	assert(sim->n_messages < SIM_MESSAGES);
	*m = (struct sim_message){ .from = from, .to = to, .kind = kind, .value = value, .step = sim->step };
	snprintf(m->label, sizeof(m->label), "%c>%c:7000#%d/1", sim->protocol->nodes[from], sim->protocol->nodes[to],
		 ++node->sent[to]);
	if (sim_planned(sim, "crash %c at send %s", from, m->label)) {
		node->crashed = true;
		return;
	}
	m->time = node->clock > node->last[to] ? node->clock : node->last[to] + 1;
	node->clock = node->last[to] = m->time;
	memcpy(m->past, node->past, sizeof(m->past));
	snprintf(line, sizeof(line), "cut %s", m->label);
	for (size_t i = 0; i < sim->n_plan; i++)
		m->lost |= !strcmp(sim->plan[i], line);
	sim->n_messages++;
}

static void sim_broadcast(struct sim *sim, int from, int kind, int value)
{
	for (int to = 0; to < sim->n; to++)
		if (to != from)
			sim_send(sim, from, to, kind, value);
}

/* What the node knows now brought the goal about; only the first of a node counts. */
static void sim_goal(struct sim *sim, int node, const char *what)
{
	struct sim_goal *goal = &sim->goals[sim->n_goals];

	for (size_t i = 0; i < sim->n_goals; i++)
		if (sim->goals[i].node == node)
			return;
	assert(sim->n_goals < SIM_GOALS);
	snprintf(goal->name, sizeof(goal->name), "%c %s", sim->protocol->nodes[node], what);
	goal->node = node;
	memcpy(goal->past, sim->nodes[node].past, sizeof(goal->past));
	sim->n_goals++;
}

static void sim_receive(struct sim *sim, int node)
{
	for (size_t i = 0; i < sim->n_messages; i++) {
		struct sim_message *m = &sim->messages[i];
		struct sim_node *receiver = &sim->nodes[m->to];

		if (m->to != node || m->lost || m->received || m->step >= sim->step || receiver->crashed)
			continue;
		m->received = true;
		for (size_t w = 0; w < SIM_WORDS; w++)
			receiver->past[w] |= m->past[w];
		receiver->past[i / 64] |= 1ull << i % 64;
		if (receiver->clock <= m->time)
			receiver->clock = m->time + 1;
		sim->protocol->receive(sim, node, m);
	}
}

static void sim_trial(struct sim *sim)
{
	struct trial *t = &sim->trial;

	for (int i = 0; i < sim->n; i++)
		snprintf(sim->names[i], sizeof(sim->names[i]), "%c", sim->protocol->nodes[i]);
	for (size_t i = 0; i < sim->n_messages; i++) {
		const struct sim_message *m = &sim->messages[i];

		sim->rows[i] =
			(struct trial_message){ m->label, sim->names[m->from], sim->names[m->to], m->time, false };
	}
	t->messages = sim->rows;
	t->n_messages = sim->n_messages;
	t->goals = sim->trial_goals;
	for (size_t g = 0; g < sim->n_goals; g++) {
		struct trial_goal *goal = &sim->trial_goals[t->n_goals];

		if (sim->nodes[sim->goals[g].node].crashed)
			continue;
		t->n_goals++;
		*goal = (struct trial_goal){ .name = sim->goals[g].name,
					     .process = sim->names[sim->goals[g].node],
					     .messages = sim->supports[g],
					     .crashes = sim->crashes[g] };
		for (size_t i = 0; i < sim->n_messages; i++) {
			if (!(sim->goals[g].past[i / 64] >> i % 64 & 1))
				continue;
			sim->crashes[g][goal->n_messages] =
				(struct trial_crash){ sim->rows[i].from, sim->rows[i].label, sim->rows[i].time };
			sim->supports[g][goal->n_messages++] = sim->rows[i];
			goal->n_crashes++;
		}
	}
	t->verdict = sim->protocol->check(sim);
}

/* Runs it with a plan; the trial is in the sim. */
static void sim_run(struct sim *sim, const struct sim_protocol *protocol, const char *const *plan, size_t n_plan)
{
	memset(sim, 0, sizeof(*sim));
	sim->protocol = protocol;
	sim->n = (int)strlen(protocol->nodes);
	sim->plan = plan;
	sim->n_plan = n_plan;
	for (int i = 0; i < sim->n; i++)
		sim->nodes[i].clock = 1;
	for (sim->step = 1; sim->step <= protocol->end; sim->step++)
		for (int i = 0; i < sim->n; i++) {
			sim_receive(sim, i);
			if (!sim->nodes[i].crashed)
				protocol->act(sim, i);
		}
	sim_trial(sim);
}

#endif
