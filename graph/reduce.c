/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which links are drawn: not those that follow from the lanes and other links (transitive reduction), except that the
 * first receive of each message and each connection's accept keep theirs, because a label without its arrow would be
 * a riddle. A node knows how far into each lane its past reaches. Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"

struct reduce {
	struct picture *p;
	uint32_t *past;	 /* by node and lane: last node of the lane in its past, + 1 */
	uint32_t *first; /* by node: its incoming links in `links`; n + 1 */
	uint32_t *in;
	uint32_t *before; /* by node and lane: the lane's node before it, + 1; 0 if it is not in the lane */
};

static void merge_past(struct reduce *r, uint32_t node, uint32_t cause)
{
	size_t n_lanes = r->p->n_lanes;

	for (size_t i = 0; i < n_lanes; i++)
		if (r->past[node * n_lanes + i] < r->past[cause * n_lanes + i])
			r->past[node * n_lanes + i] = r->past[cause * n_lanes + i];
}

/* The node that stands before each in each of its lanes. Nodes are sorted causes first, so along lanes too. */
static void chain(struct reduce *r)
{
	struct picture *p = r->p;
	size_t n_lanes = p->n_lanes;

	/* a block is in the lanes of its items; a mark is in none: it orders nothing */
	for (size_t i = 0; i < p->n_items; i++) {
		const struct item *item = &p->items[i];

		for (size_t k = 0; k < n_lanes; k++)
			if (item->lane == k)
				r->before[item->node * n_lanes + k] = UINT32_MAX;
	}
	for (size_t k = 0; k < n_lanes; k++) {
		uint32_t last = 0;

		for (size_t i = 0; i < p->n_nodes; i++) {
			uint32_t *before = &r->before[i * n_lanes + k];

			if (!*before)
				continue;
			*before = last;
			last = i + 1;
		}
	}
}

static bool is_implied(const struct reduce *r, uint32_t node, const struct link *link)
{
	const struct picture *p = r->p;
	size_t n_lanes = p->n_lanes;
	uint32_t lane = link->from_lane == ALL_LANES ? 0 : link->from_lane;

	for (size_t k = 0; k < n_lanes; k++) {
		uint32_t before = r->before[node * n_lanes + k];

		if (before && r->past[(before - 1) * n_lanes + lane] > link->from)
			return true;
	}
	for (uint32_t i = r->first[node]; i < r->first[node + 1]; i++) {
		const struct link *other = &p->links[r->in[i]];

		if (other->from != link->from && r->past[other->from * n_lanes + lane] > link->from)
			return true;
	}
	return false;
}

static void visit(struct reduce *r, uint32_t node, bool *message_drawn)
{
	struct picture *p = r->p;
	size_t n_lanes = p->n_lanes;

	for (size_t k = 0; k < n_lanes; k++)
		if (r->before[node * n_lanes + k])
			merge_past(r, node, r->before[node * n_lanes + k] - 1);
	for (uint32_t i = r->first[node]; i < r->first[node + 1]; i++)
		if (p->links[r->in[i]].side != OVERLAY_REMOVED) /* what only run 0 has explains no order of run 1 */
			merge_past(r, node, p->links[r->in[i]].from);
	for (uint32_t i = r->first[node]; i < r->first[node + 1]; i++) {
		struct link *link = &p->links[r->in[i]];
		bool first = link->message != NO_MESSAGE && !message_drawn[link->message];

		link->drawn = link->rule == RULE_CONNECT || first || !is_implied(r, node, link);
		if (link->from_lane == link->to_lane && !graph_rule_carries(link->rule))
			link->drawn = false; /* the lane says it */
		if (link->message != NO_MESSAGE)
			message_drawn[link->message] = true;
	}
}

/* A node is in its own past, in each lane that it is in; known only when its predecessors' are. */
static void run(struct reduce *r, bool *message_drawn, const bool *in_lane)
{
	size_t n_lanes = r->p->n_lanes;

	for (uint32_t node = 0; node < r->p->n_nodes; node++) {
		visit(r, node, message_drawn);
		for (size_t k = 0; k < n_lanes; k++)
			if (in_lane[node * n_lanes + k])
				r->past[node * n_lanes + k] = node + 1;
	}
}

int picture_reduce(struct picture *p)
{
	struct reduce r = { .p = p };
	size_t n = (p->n_nodes + 1) * (p->n_lanes + 1);
	bool *message_drawn = calloc(p->g->n_messages + 1, sizeof(*message_drawn)), *in_lane = calloc(n, sizeof(*in_lane));
	int err = -ENOMEM;

	r.past = calloc(n, sizeof(*r.past));
	r.before = calloc(n, sizeof(*r.before));
	r.first = calloc(p->n_nodes + 3, sizeof(*r.first));
	r.in = malloc((p->n_links + 1) * sizeof(*r.in));
	if (!message_drawn || !in_lane || !r.past || !r.before || !r.first || !r.in)
		goto out;
	for (size_t i = 0; i < p->n_links; i++)
		r.first[p->links[i].to + 2]++;
	for (size_t i = 0; i < p->n_nodes + 1; i++)
		r.first[i + 1] += r.first[i];
	for (size_t i = 0; i < p->n_links; i++)
		r.in[r.first[p->links[i].to + 1]++] = i;
	for (size_t i = 0; i < p->n_items; i++)
		for (size_t k = 0; k < p->n_lanes; k++)
			if (p->items[i].lane == k)
				in_lane[p->items[i].node * p->n_lanes + k] = true;
	chain(&r);
	run(&r, message_drawn, in_lane);
	err = 0;
out:
	free(message_drawn);
	free(in_lane);
	free(r.past);
	free(r.before);
	free(r.first);
	free(r.in);
	return err;
}
