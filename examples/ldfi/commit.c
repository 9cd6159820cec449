/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Atomic commitment as in figure 12 of the LDFI paper: the first node coordinates, the others are agents, who all vote yes.
 *
 *	tick  1		prepare from the coordinator
 *	      2		vote from the agents
 *	      3		commit if all have voted, else abort; with three phases: precommit, or abort
 *	      4		acknowledgements of a precommit
 *	      5		commit, also if some are missing
 *
 * An agent that has not heard the outcome at the end of its last tick of patience: with two phases it is stuck (2pc), or
 * asks the other agents in each tick from then on (2pc-ctp); with three (3pc) it commits if it was told that all have
 * voted, and aborts if not.
 */
#include "ldfi.h"

/* name, phases, last tick of patience (0: for ever), asks */
#define VARIANTS(X)               \
	X("2pc", 2, 0, false)     \
	X("2pc-ctp", 2, 4, true)  \
	X("3pc", 3, 6, false)

struct variant {
	const char *name;
	unsigned phases, patience;
	bool asks;
};

#define ROW(...) { __VA_ARGS__ },
static const struct variant variants[] = { VARIANTS(ROW) };
#define N_VARIANTS (sizeof(variants) / sizeof(variants[0]))

enum stage { IDLE, PREPARED, PRECOMMITTED, COMMITTED, ABORTED };

struct state {
	enum stage stage;
	char because[NAME_MAX_SIZE]; /* an agent: the message that brought it there */
	bool answers;		/* an agent: to the coordinator in the next tick */
	bool asked[NODES_MAX];	/* an agent: by whom */
	unsigned votes;		/* the coordinator */
};

static bool decided(const struct state *state)
{
	return state->stage >= COMMITTED;
}

static void decide(struct node *node, struct state *state, enum stage stage)
{
	if (decided(state))
		return;
	state->stage = stage;
	node_log(node, "decided %s %s", stage == COMMITTED ? "commit" : "abort", state->because);
}

static void send_all(struct node *node, const char *body)
{
	for (unsigned to = 1; to < node->n; to++)
		node_send(node, to, body);
}

static void coordinator_send(const struct variant *variant, struct node *node, struct state *state)
{
	bool all = state->votes == node->n - 1;

	if (node->tick == 1) {
		send_all(node, "prepare");
	} else if (node->tick == 3 && variant->phases == 3 && all) {
		state->stage = PRECOMMITTED;
		send_all(node, "precommit");
	} else if (node->tick == 3 || (node->tick == 5 && state->stage == PRECOMMITTED)) {
		decide(node, state, all ? COMMITTED : ABORTED);
		send_all(node, all ? "commit" : "abort");
	}
}

static void coordinator_receive(struct node *node, struct state *state)
{
	struct message message;

	while (node_receive(node, &message))
		state->votes += !strcmp(message.body, "vote");
}

static void agent_send(const struct variant *variant, struct node *node, struct state *state)
{
	if (state->answers)
		node_send(node, 0, state->stage == PRECOMMITTED ? "ack" : "vote");
	state->answers = false;
	for (unsigned to = 1; to < node->n; to++) {
		bool asks = variant->asks && node->tick > variant->patience && state->stage == PREPARED && to != node->self;

		if (state->asked[to] && decided(state))
			node_send(node, to, state->stage == COMMITTED ? "commit" : "abort");
		else if (asks)
			node_send(node, to, "ask");
		state->asked[to] = false;
	}
}

/* The message takes the agent to that stage; it may be late, then it does nothing. */
static bool agent_goes(struct state *state, enum stage stage, const struct message *message)
{
	if (decided(state) || stage <= state->stage)
		return false;
	memcpy(state->because, message->name, sizeof(state->because));
	if (stage < COMMITTED)
		state->stage = stage;
	return true;
}

static void agent_receive(const struct variant *variant, struct node *node, struct state *state)
{
	struct message message;

	while (node_receive(node, &message)) {
		if (!strcmp(message.body, "prepare") && agent_goes(state, PREPARED, &message)) {
			node_log(node, "prepared %s", message.name);
			state->answers = true;
		} else if (!strcmp(message.body, "precommit") && agent_goes(state, PRECOMMITTED, &message)) {
			state->answers = true;
		} else if (!strcmp(message.body, "commit") && agent_goes(state, COMMITTED, &message)) {
			decide(node, state, COMMITTED);
		} else if (!strcmp(message.body, "abort") && agent_goes(state, ABORTED, &message)) {
			decide(node, state, ABORTED);
		} else if (!strcmp(message.body, "ask")) {
			/* who has not voted may still say no */
			if (state->stage == IDLE && agent_goes(state, ABORTED, &message))
				decide(node, state, ABORTED);
			state->asked[message.from] = true;
		}
	}
	if (variant->phases == 3 && node->tick == variant->patience && state->stage != IDLE)
		decide(node, state, state->stage == PRECOMMITTED ? COMMITTED : ABORTED);
}

int main(int argc, char **argv)
{
	const struct variant *variant = variants;
	struct node node;
	struct state state = { 0 };

	while (argc > 1 && variant < variants + N_VARIANTS && strcmp(variant->name, argv[1]))
		variant++;
	if (argc < 5 || variant == variants + N_VARIANTS) {
		fprintf(stderr, "usage: commit 2pc|2pc-ctp|3pc SELF COORDINATOR AGENT...\n");
		return 2;
	}
	node_init(&node, argv[2], argv + 3);
	while (tick_begin(&node)) {
		if (node.self)
			agent_send(variant, &node, &state);
		else
			coordinator_send(variant, &node, &state);
		tick_sent(&node);
		if (node.self)
			agent_receive(variant, &node, &state);
		else
			coordinator_receive(&node, &state);
		tick_end(&node);
	}
	node_end(&node);
}
