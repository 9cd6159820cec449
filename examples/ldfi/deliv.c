/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reliable broadcast as in figures 12 and 13 of the LDFI paper: the first node has a message, all are to have it. The
 * variants differ in who sends it on, and how often.
 */
#include "ldfi.h"

enum how_often { ONCE, EACH_TICK, UNTIL_ACKNOWLEDGED };

/* relays: whoever has the message sends it to all others, not only the first node */
#define VARIANTS(X)                               \
	X("simple", false, ONCE)                  \
	X("retry", false, EACH_TICK)              \
	X("redun", true, EACH_TICK)               \
	X("ack", true, UNTIL_ACKNOWLEDGED)        \
	X("classic", true, ONCE)

struct variant {
	const char *name;
	bool relays;
	enum how_often how_often;
};

#define ROW(...) { __VA_ARGS__ },
static const struct variant variants[] = { VARIANTS(ROW) };
#define N_VARIANTS (sizeof(variants) / sizeof(variants[0]))

struct state {
	bool has;
	bool sent[NODES_MAX], acknowledged[NODES_MAX]; /* to, by whom */
	bool owed[NODES_MAX];			       /* an acknowledgement, to whom */
};

static bool to_send(const struct variant *variant, const struct node *node, const struct state *state, unsigned to)
{
	if (!state->has || (node->self && !variant->relays))
		return false;
	switch (variant->how_often) {
	case ONCE:
		return !state->sent[to];
	case EACH_TICK:
		return true;
	case UNTIL_ACKNOWLEDGED:
		return !state->acknowledged[to];
	}
	return false;
}

static void tick_send(const struct variant *variant, struct node *node, struct state *state)
{
	for (unsigned to = 0; to < node->n; to++) {
		bool message = to != node->self && to_send(variant, node, state, to);

		if (message || state->owed[to])
			node_send(node, to, !message ? "ack" : state->owed[to] ? "message ack" : "message");
		state->sent[to] |= message;
		state->owed[to] = false;
	}
}

static void tick_receive(const struct variant *variant, struct node *node, struct state *state)
{
	struct message message;

	while (node_receive(node, &message)) {
		if (strstr(message.body, "ack"))
			state->acknowledged[message.from] = true;
		if (!strstr(message.body, "message"))
			continue;
		state->owed[message.from] = variant->how_often == UNTIL_ACKNOWLEDGED;
		if (!state->has)
			node_log(node, "delivered %s", message.name);
		state->has = true;
	}
}

int main(int argc, char **argv)
{
	const struct variant *variant = variants;
	struct node node;
	struct state state = { 0 };

	while (argc > 1 && variant < variants + N_VARIANTS && strcmp(variant->name, argv[1]))
		variant++;
	if (argc < 4 || variant == variants + N_VARIANTS) {
		fprintf(stderr, "usage: deliv simple|retry|redun|ack|classic SELF NODE...\n");
		return 2;
	}
	node_init(&node, argv[2], argv + 3);
	state.has = !node.self;
	while (tick_begin(&node)) {
		tick_send(variant, &node, &state);
		tick_sent(&node);
		tick_receive(variant, &node, &state);
		tick_end(&node);
	}
	node_end(&node);
}
