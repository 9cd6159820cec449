/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rows. A node's row is below those of all its causes and below all that stands in its lanes already, so
 * every arrow points down. Fails only without memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/layout.h"

struct rank {
	uint32_t level, node;
};

static int rank_compare(const void *a, const void *b)
{
	const struct rank *p = a, *q = b;

	if (p->level != q->level)
		return p->level < q->level ? -1 : 1;
	return p->node < q->node ? -1 : p->node > q->node;
}

/* Longest way from a source, along lanes and links. Nodes are sorted causes first. */
static void measure_levels(const struct picture *p, uint32_t *last)
{
	size_t link = 0;

	for (size_t i = 0; i < p->n_lanes; i++)
		last[i] = 0;
	for (size_t n = 0; n < p->n_nodes; n++) {
		struct node *node = &p->nodes[n];

		for (size_t k = node->lane_first; k <= node->lane_last; k++)
			if (node->level < last[k])
				node->level = last[k];
		for (size_t k = node->lane_first; k <= node->lane_last; k++)
			last[k] = node->level + 1;
		for (; link < p->n_links && p->links[link].from == n; link++)
			if (p->nodes[p->links[link].to].level < node->level + 1)
				p->nodes[p->links[link].to].level = node->level + 1;
	}
}

static uint32_t node_height(const struct layout *l, uint32_t n)
{
	const struct node *node = &l->p->nodes[n];

	return node->block ? 2 + 2 * l->places[n].lines : node->barrier ? 3 : 1;
}

/* What is free: by lane, rows for a node, and for a label to the right or left; by gap, which slots have a label. */
struct room {
	struct lane_room {
		uint32_t node, label[2];
	} *lanes;
	bool *slots;
	size_t n_slots; /* of one gap */
};

static uint32_t max(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Gap g is to the left of lane g. */
static bool *label_slots(const struct room *room, const struct node *node, const struct place *place)
{
	return room->slots + (node->lane_first + !place->left) * room->n_slots + node->row;
}

static void place_row(struct layout *l, struct room *room, uint32_t n, uint32_t lowest)
{
	struct node *node = &l->p->nodes[n];
	const struct place *place = &l->places[n];
	bool labelled = *place->caption != '\0', big;

	node->row = lowest;
	node->height = node_height(l, n);
	big = node->height > 1;
	for (size_t k = node->lane_first; k <= node->lane_last; k++) {
		const struct lane_room *lane = &room->lanes[k];

		node->row = max(node->row, lane->node);
		for (int side = 0; side < 2; side++)
			if (big || (labelled && place->left == side))
				node->row = max(node->row, lane->label[side]);
	}
	if (labelled && !big) {
		while (label_slots(room, node, place)[0] || label_slots(room, node, place)[1])
			node->row++;
		label_slots(room, node, place)[0] = label_slots(room, node, place)[1] = true;
	}
	for (size_t k = node->lane_first; k <= node->lane_last; k++) {
		room->lanes[k].node = node->row + node->height;
		/* a label keeps off the label before it, and off the arrow that arrives there */
		for (int side = 0; side < 2; side++)
			if (big)
				room->lanes[k].label[side] = room->lanes[k].node;
			else if ((labelled && place->left == side) || place->from[side])
				room->lanes[k].label[side] = node->row + 2;
	}
	l->n_rows = max(l->n_rows, node->row + node->height);
}

/* No row is further down than if all nodes stood below each other. */
static int room_init(const struct layout *l, struct room *room)
{
	size_t n_lanes = l->p->n_lanes;

	room->n_slots = 4;
	for (uint32_t n = 0; n < l->p->n_nodes; n++)
		room->n_slots += node_height(l, n) + 2;
	room->lanes = calloc(n_lanes + 1, sizeof(*room->lanes));
	room->slots = calloc((n_lanes + 1) * room->n_slots, sizeof(*room->slots));
	return room->lanes && room->slots ? 0 : -ENOMEM;
}

static int place_rows(struct layout *l)
{
	const struct picture *p = l->p;
	struct rank *ranks = malloc((p->n_nodes + 1) * sizeof(*ranks));
	struct room room = { 0 };
	uint32_t *lowest = calloc(max(p->n_nodes, p->n_lanes) + 1, sizeof(*lowest));
	uint32_t *first = calloc(p->n_nodes + 2, sizeof(*first));
	int err = ranks && lowest && first ? room_init(l, &room) : -ENOMEM;

	if (err)
		goto out;
	measure_levels(p, lowest);
	memset(lowest, 0, (p->n_nodes + 1) * sizeof(*lowest));
	for (size_t i = 0; i < p->n_links; i++)
		first[p->links[i].from + 1]++;
	for (size_t i = 0; i < p->n_nodes; i++) {
		first[i + 1] += first[i];
		ranks[i] = (struct rank){ p->nodes[i].level, i };
	}
	qsort(ranks, p->n_nodes, sizeof(*ranks), rank_compare);
	for (size_t i = 0; i < p->n_nodes; i++) {
		uint32_t n = ranks[i].node;

		place_row(l, &room, n, lowest[n]);
		for (uint32_t k = first[n]; k < first[n + 1]; k++)
			lowest[p->links[k].to] = max(lowest[p->links[k].to], p->nodes[n].row + p->nodes[n].height);
	}
out:
	free(ranks);
	free(room.lanes);
	free(room.slots);
	free(lowest);
	free(first);
	return err;
}

/* Lane of the process at the other end of an event's connection. */
static uint32_t peer_lane(const struct picture *p, const struct event *event, uint32_t connection)
{
	const struct graph_connection *c = &p->g->connections[connection];
	bool connector = p->g->trace->ends[event->end].role == END_CONNECTOR;
	uint32_t process = connector ? c->acceptor_process : graph_connection_process(p->g->trace, c);

	return process && process <= p->g->trace->n_processes ? p->lane_of[process] : NO_LANE;
}

/* A label stands on the side to which its arrow goes, above it; else away from the arrow that comes. */
static void choose_side(struct layout *l, uint32_t n, uint32_t out_lane, uint32_t in_lane)
{
	const struct picture *p = l->p;
	const struct node *node = &p->nodes[n];
	struct place *place = &l->places[n];
	const struct event *event = node_event(p, n);
	const struct graph_vertex *v;

	place->lost_to = NO_LANE;
	if (node->block || !event)
		return;
	place->teardown = p->g->vertices[p->items[node->item].vertex].teardown;
	if (place->out) {
		place->left = out_lane < node->lane_first;
		return;
	}
	if (place->in)
		place->left = in_lane > node->lane_first;
	v = &p->g->vertices[p->items[node->item].vertex];
	if (event->kind == EVENT_SEND && v->n_messages) {
		const struct graph_message *m = &p->g->messages[p->g->vertex_messages[v->first_message]];
		uint32_t lane = peer_lane(p, event, v->connection);

		if (m->delivered)
			return;
		place->left = lane != NO_LANE && lane < node->lane_first;
		place->unread = place->left ? -1 : 1;
		if (m->lost_by && lane != node->lane_first)
			place->lost_to = lane;
	}
}

static void note_arrows(struct layout *l, uint32_t *out_lane, uint32_t *in_lane)
{
	const struct picture *p = l->p;

	for (size_t i = 0; i < p->n_links; i++) {
		const struct link *link = &p->links[i];
		struct place *from = &l->places[link->from], *to = &l->places[link->to];

		if (!link->drawn)
			continue;
		if (!from->out)
			out_lane[link->from] = link->to_lane;
		/* that a message was received in the other run does not make it one that was */
		from->out |= link->side != OVERLAY_REMOVED || p->nodes[link->from].side == OVERLAY_REMOVED;
		if (!to->in)
			in_lane[link->to] = link->from_lane;
		to->from[link->from_lane < link->to_lane] = true;
		/* what comes out of a block has no label there */
		to->in |= !p->nodes[link->from].block && link->rule != RULE_FAULT;
	}
}

static int caption(struct layout *l, uint32_t n)
{
	struct place *place = &l->places[n];
	char *text = caption_node(l->p, n, place->in, &place->failure), *next;

	if (!text)
		return -ENOMEM;
	place->caption = text_clean(text, l->p->nodes[n].block);
	free(text);
	if (!place->caption)
		return -ENOMEM;
	for (char *at = place->caption; *at; at = next) {
		size_t length = strcspn(at, "\n");
		char end = at[length];
		double width;

		at[length] = '\0';
		width = text_width(at, FONT);
		at[length] = end;
		next = at + length + (end != '\0');
		place->lines++;
		if (place->width < width)
			place->width = width;
	}
	return 0;
}

static int place_captions(struct layout *l)
{
	size_t n = l->p->n_nodes;
	uint32_t *lanes = malloc((2 * n + 1) * sizeof(*lanes));
	int err = 0;

	if (!lanes)
		return -ENOMEM;
	note_arrows(l, lanes, lanes + n);
	for (uint32_t i = 0; i < n && !err; i++) {
		err = caption(l, i);
		choose_side(l, i, lanes[i], lanes[n + i]);
	}
	free(lanes);
	return err;
}

int layout_place(const struct picture *p, struct layout *ret_layout)
{
	struct layout l = { .p = p };
	int err = -ENOMEM;

	l.places = calloc(p->n_nodes + 1, sizeof(*l.places));
	l.x = calloc(p->n_lanes + 1, sizeof(*l.x));
	l.heads = calloc(3 * p->n_lanes + 1, sizeof(*l.heads));
	if (!l.places || !l.x || !l.heads)
		goto out;
	if ((err = layout_heads(&l)) < 0 || (err = place_captions(&l)) < 0 || (err = place_rows(&l)) < 0 ||
	    (err = layout_columns(&l)) < 0)
		goto out;
	*ret_layout = l;
	return 0;
out:
	layout_fini(&l);
	return err;
}

void layout_fini(struct layout *layout)
{
	for (size_t i = 0; layout->places && i < layout->p->n_nodes; i++)
		free(layout->places[i].caption);
	for (size_t i = 0; layout->heads && i < 3 * layout->p->n_lanes; i++)
		free(layout->heads[i]);
	free(layout->places);
	free(layout->x);
	free(layout->heads);
}
