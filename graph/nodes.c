/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Nodes and links of a picture from the components of its items. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "graph/picture.h"

static bool is_failure(const struct picture *p, const struct item *item)
{
	const struct event *event;

	if (item->vertex == NO_VERTEX)
		return false;
	event = item_event(p, item);
	switch ((enum event_kind)event->kind) {
	case EVENT_CONNECT:
		return event->value < 0 && event->value != -EINPROGRESS;
	case EVENT_ACCEPT:
	case EVENT_SEND:
	case EVENT_RECV:
		return event->value < 0;
	case EVENT_EXIT:
		return event->value != 0 && !(event->flags & EVENT_F_THREAD);
	case EVENT_RESET:
	case EVENT_LOST:
		return true;
	case EVENT_NONE:
	case EVENT_START:
	case EVENT_EXEC:
	case EVENT_SPAWN:
	case EVENT_WAIT:
	case EVENT_LISTEN:
	case EVENT_CLOSE:
	case EVENT_MARK:
	case EVENT_ARMED:
	case EVENT_FIRED:
	case EVENT_LIFTED:
	case EVENT_EXPIRED:
	case EVENT_KIND_COUNT:
		return false;
	}
	return false;
}

/* What concerns everybody stands across all lanes, and where there is none, where the first would be. */
static uint32_t lane_last(const struct picture *p)
{
	return p->n_lanes ? (uint32_t)p->n_lanes - 1 : 0;
}

static void node_add(struct picture *p, struct node *node, uint32_t i, bool folded, uint32_t merged)
{
	const struct item *item = &p->items[i];
	const struct event *event = item->vertex == NO_VERTEX ? NULL : item_event(p, item);

	if (!node->n_items++) {
		node->item = i;
		node->lane_first = item->lane == ALL_LANES ? 0 : item->lane;
		node->lane_last = item->lane == ALL_LANES ? lane_last(p) : item->lane;
		node->barrier = item->lane == ALL_LANES;
		node->side = item_side(p, item);
	} else {
		/* not what its first item said: it needs words of its own */
		node->block |= merged != node->item;
		node->side = node->side == item_side(p, item) ? node->side : OVERLAY_SIDE_COUNT;
	}
	node->sides[item_side(p, item)]++;
	node->block |= folded;
	if (item->lane == ALL_LANES) {
		node->lane_first = 0;
		node->lane_last = lane_last(p);
	} else if (item->lane < node->lane_first) {
		node->lane_first = item->lane;
	} else if (item->lane > node->lane_last) {
		node->lane_last = item->lane;
	}
	node->n_holes += item->vertex == NO_VERTEX;
	node->n_failures += is_failure(p, item);
	if (event && (event->kind == EVENT_SEND || event->kind == EVENT_RECV) && event->value > 0)
		node->bytes = range_end(node->bytes, event->value);
}

/* What a block stands for: its messages by their sends, all connections that anything in it belongs to. */
static int sum_blocks(struct picture *p)
{
	const struct graph *g = p->g;
	uint32_t *seen = calloc(g->n_connections + 1, sizeof(*seen)); /* by connection: last node + 1 */
	uint32_t *next = malloc((p->n_items + 1) * sizeof(*next)), *first = malloc((p->n_nodes + 1) * sizeof(*first));
	int err = seen && next && first ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->n_nodes && !err; i++) {
		first[i] = UINT32_MAX;
		if (p->nodes[i].block)
			p->nodes[i].bytes = 0;
	}
	for (size_t i = p->n_items; i-- > 0 && !err;) {
		next[i] = first[p->items[i].node];
		first[p->items[i].node] = i;
	}
	for (size_t n = 0; n < p->n_nodes && !err; n++) {
		struct node *node = &p->nodes[n];

		for (uint32_t i = first[n]; node->block && i != UINT32_MAX; i = next[i]) {
			const struct graph_vertex *v;
			const struct event *event;

			if (p->items[i].vertex == NO_VERTEX)
				continue;
			v = &g->vertices[p->items[i].vertex];
			event = item_event(p, &p->items[i]);
			if (v->connection && seen[v->connection] != n + 1) {
				seen[v->connection] = n + 1;
				node->n_connections++;
			}
			if (event->kind == EVENT_SEND && event->value > 0) {
				node->n_messages += v->n_messages && !(event->flags & EVENT_F_CONTINUED);
				node->bytes = range_end(node->bytes, event->value);
			}
		}
	}
	free(seen);
	free(next);
	free(first);
	return err;
}

static int link_compare(const void *a, const void *b)
{
	const struct link *p = a, *q = b;

#define BY(field)                                                                                  \
	if (p->field != q->field)                                                                  \
		return p->field < q->field ? -1 : 1
	BY(from);
	BY(to);
	BY(rule);
	BY(from_lane);
	BY(to_lane);
	BY(message);
	BY(edge);
#undef BY
	return 0;
}

/* Several edges between the same two nodes are one link. */
static void unite_links(struct picture *p)
{
	size_t n = 0;

	if (p->n_links)
		qsort(p->links, p->n_links, sizeof(*p->links), link_compare);
	for (size_t i = 0; i < p->n_links; i++) {
		struct link *link = &p->links[i], *last = n ? &p->links[n - 1] : NULL;
		bool block = p->nodes[link->from].block || p->nodes[link->to].block;

		if (last && last->from == link->from && last->to == link->to && last->rule == link->rule &&
		    last->from_lane == link->from_lane && last->to_lane == link->to_lane &&
		    (block || last->message == link->message)) {
			if (last->message != link->message)
				last->message = NO_MESSAGE;
			last->bytes = range_end(last->bytes, link->bytes);
			last->count++;
			last->inferred |= link->inferred;
			last->side = last->side == link->side ? link->side : OVERLAY_BOTH;
		} else {
			p->links[n++] = *link;
		}
	}
	p->n_links = n;
}

/* The message that an edge carries: of a send there is one. */
static uint32_t edge_message(const struct graph *g, const struct graph_edge *edge)
{
	const struct graph_vertex *v = &g->vertices[edge->from];

	return graph_rule_carries(edge->rule) && v->n_messages ? g->vertex_messages[v->first_message] : NO_MESSAGE;
}

static int make_links(struct picture *p)
{
	const struct graph *g = p->g;
	size_t n = 0;

	for (size_t pass = 0; pass < 2; pass++) {
		if (pass) {
			p->links = malloc((n + 1) * sizeof(*p->links));
			if (!p->links)
				return -ENOMEM;
		}
		n = 0;
		for (size_t i = 0; i < g->n_edges; i++) {
			const struct graph_edge *edge = &g->edges[i];
			uint32_t from = p->place[edge->from], to = p->place[edge->to];

			if (edge->rule == RULE_THREAD || edge->rule == RULE_PROCESS || from == NO_NODE ||
			    to == NO_NODE || p->items[from].node == p->items[to].node)
				continue;
			if (pass)
				p->links[n] = (struct link){
					.from = p->items[from].node, .to = p->items[to].node,
					.from_lane = p->items[from].lane, .to_lane = p->items[to].lane,
					.rule = edge->rule, .message = edge_message(g, edge), .count = 1,
					.bytes = edge->bytes, .edge = i, .inferred = edge->inferred,
					.side = p->overlay ? p->overlay->edges[i] : OVERLAY_BOTH,
				};
			n++;
		}
	}
	p->n_links = n;
	unite_links(p);
	return 0;
}

int picture_nodes(struct picture *p, const uint32_t *component, size_t n, const bool *folded, const uint32_t *merged)
{
	int err;

	p->nodes = calloc(n + 1, sizeof(*p->nodes));
	if (!p->nodes)
		return -ENOMEM;
	p->n_nodes = n;
	for (uint32_t i = 0; i < p->n_items; i++) {
		p->items[i].node = component[i];
		node_add(p, &p->nodes[component[i]], i, folded[i], merged[i]);
	}
	err = sum_blocks(p);
	return err < 0 ? err : make_links(p);
}
