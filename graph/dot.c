/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A picture for Graphviz: a cluster for each process, the same nodes and labels as in the other formats. cgraph writes
 * it, so quoting is Graphviz's own. The only includer of cgraph. Fails without memory or with the stream.
 */
#include <errno.h>
#include <graphviz/cgraph.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"
#include "graph/scene.h"

struct dot {
	const struct picture *p;
	Agraph_t *graph;
	Agraph_t **clusters; /* by lane */
	Agnode_t **nodes;
	FILE *out;
};

/*
 * Numbers for names: those that cgraph makes follow from addresses, and with them the order in which it writes
 * clusters. Names here end in a number; the graph itself is 0.
 */
struct names {
	IDTYPE anonymous; /* the last one: odd */
	char text[4][32]; /* what was printed last; cgraph keeps none of them */
	unsigned next;
};

static void *names_open(Agraph_t *graph, Agdisc_t *disc)
{
	return calloc(1, sizeof(struct names));
}

static long names_map(void *state, int type, char *name, IDTYPE *ret_id, int create)
{
	struct names *names = state;
	const char *digits = name ? name + strcspn(name, "0123456789") : NULL;

	if (!name && !create)
		return 0;
	*ret_id = !name ? (names->anonymous += 2) + 1 : *digits ? 2 * (strtoull(digits, NULL, 10) + 1) : 0;
	return 1;
}

static char *names_print(void *state, int type, IDTYPE id)
{
	struct names *names = state;
	char *text = names->text[names->next++ % 4];

	if (id % 2)
		return NULL;
	snprintf(text, sizeof(names->text[0]), !id ? "run" : type == AGNODE ? "n%llu" : "cluster_%llu",
		 (unsigned long long)(id / 2 - 1));
	return text;
}

static long names_take(void *state, int type, IDTYPE id)
{
	return 0;
}

static void names_give(void *state, int type, IDTYPE id)
{
}

static void names_register(void *state, int type, void *object)
{
}

static void set(void *object, const char *name, const char *value)
{
	agsafeset(object, (char *)name, (char *)value, "");
}

/* agwrite() through our own stream, which may be in memory. */
static int on_text(void *channel, const char *text)
{
	return fputs(text, channel);
}

static int on_flush(void *channel)
{
	return fflush(channel);
}

/* Text as it is: to Graphviz, \n, \N and others mean something. */
static void set_text(void *object, const char *name, const char *text)
{
	char *doubled = malloc(2 * strlen(text) + 1), *to = doubled;

	for (; doubled && *text; text++) {
		if (*text == '\\')
			*to++ = '\\';
		*to++ = *text;
	}
	if (doubled)
		*to = '\0';
	set(object, name, doubled ? doubled : "?");
	free(doubled);
}

static void make_clusters(struct dot *d)
{
	char name[32];

	for (size_t i = 0; i < d->p->n_lanes; i++) {
		char *process = lane_name(d->p, &d->p->lanes[i]), *clean = process ? text_clean(process, false) : NULL;

		snprintf(name, sizeof(name), "cluster_%zu", i);
		d->clusters[i] = agsubg(d->graph, name, 1);
		set_text(d->clusters[i], "label", clean ? clean : "?");
		set(d->clusters[i], "color", "#cdd3db");
		free(clean);
		free(process);
	}
}

/* Of two runs: what is not in both has the colour of its side. */
static void set_side(void *object, const struct picture *p, enum overlay_side side, const char *name)
{
	char colour[16];

	if (!p->overlay || side == OVERLAY_BOTH || side == OVERLAY_SIDE_COUNT)
		return;
	snprintf(colour, sizeof(colour), "#%06x", ink_colour(side_ink(p, side, INK_MUTED)));
	set(object, name, colour);
	set(object, "class", overlay_side_name(side));
	if (side == OVERLAY_REMOVED || side == OVERLAY_GHOST)
		set(object, "style", agobjkind(object) == AGNODE ? "rounded,filled,dotted" : "dotted");
}

static int make_node(struct dot *d, uint32_t n)
{
	const struct node *node = &d->p->nodes[n];
	bool one = node->lane_first == node->lane_last && !node->barrier, failure;
	char *caption = caption_node(d->p, n, false, &failure),
	     *clean = caption ? text_clean(caption, node->block) : NULL;
	char *tip = tip_node(d->p, n), *clean_tip = tip ? text_clean(tip, true) : NULL;
	const struct event *event = node_event(d->p, n);
	char name[32];

	free(caption);
	free(tip);
	if (!clean || !clean_tip) {
		free(clean);
		free(clean_tip);
		return -ENOMEM;
	}
	snprintf(name, sizeof(name), "n%u", n);
	d->nodes[n] = agnode(one ? d->clusters[node->lane_first] : d->graph, name, 1);
	set_text(d->nodes[n], "label", *clean || !event ? clean : event_kind_name(event->kind));
	set_text(d->nodes[n], "tooltip", clean_tip);
	set_side(d->nodes[n], d->p, node->side, "color");
	if (failure)
		set(d->nodes[n], "color", "#c2261b");
	if (failure)
		set(d->nodes[n], "fontcolor", "#c2261b");
	if (node->block)
		set(d->nodes[n], "fillcolor", "#eef2f8");
	else if (event && event_is_fault(event->kind))
		set(d->nodes[n], "color", "#86198f");
	free(clean);
	free(clean_tip);
	return 0;
}

/* Along the lanes: what keeps a process's events below each other. */
static void join_lanes(struct dot *d)
{
	const struct picture *p = d->p;

	for (size_t k = 0; k < p->n_lanes; k++) {
		uint32_t last = NO_NODE;

		for (size_t i = 0; i < p->n_items; i++) {
			uint32_t n = p->items[i].node;

			if ((p->items[i].lane != k && p->items[i].lane != ALL_LANES) || n == last)
				continue;
			if (last != NO_NODE && last < n) {
				Agedge_t *edge = agedge(d->graph, d->nodes[last], d->nodes[n], NULL, 1);

				set(edge, "color", "#b6bcc6");
				set(edge, "arrowhead", "none");
				set(edge, "weight", "8");
			}
			last = n;
		}
	}
}

static void join_links(struct dot *d)
{
	for (size_t i = 0; i < d->p->n_links; i++) {
		const struct link *link = &d->p->links[i];
		Agedge_t *edge;

		if (!link->drawn)
			continue;
		edge = agedge(d->graph, d->nodes[link->from], d->nodes[link->to], NULL, 1);
		set(edge, "tooltip", graph_rule_name(link->rule));
		if (link->rule == RULE_CONNECT || link->rule == RULE_FAULT || link->inferred)
			set(edge, "style", "dashed");
		if (graph_rule_carries(link->rule))
			set(edge, "color",
			    link->message != NO_MESSAGE && d->p->g->messages[link->message].direction ? "#0b7a6b"
												      : "#1d4ed8");
		if (link->rule == RULE_FAULT)
			set(edge, "color", "#86198f");
		if (link->rule == RULE_CLOSE)
			set(edge, "color", "#6b7280");
		if (d->p->overlay && link->side == OVERLAY_BOTH && graph_rule_carries(link->rule))
			set(edge, "color", "#6b7280"); /* colours tell sides apart */
		set_side(edge, d->p, link->side, "color");
	}
}

int picture_write_dot(const struct picture *picture, FILE *out)
{
	struct dot d = { .p = picture, .out = out };
	Agiodisc_t io = { .putstr = on_text, .flush = on_flush };
	Agiddisc_t id = { names_open, names_map, names_take, names_give, names_print, free, names_register };
	Agdisc_t disc = { .id = &id, .io = &io };
	int err = -ENOMEM;

	d.clusters = calloc(picture->n_lanes + 1, sizeof(*d.clusters));
	d.nodes = calloc(picture->n_nodes + 1, sizeof(*d.nodes));
	d.graph = agopen("run", Agstrictdirected, &disc);
	if (!d.clusters || !d.nodes || !d.graph)
		goto out;
	agattr(d.graph, AGNODE, "shape", "box");
	agattr(d.graph, AGNODE, "style", "rounded,filled");
	agattr(d.graph, AGNODE, "fillcolor", "#ffffff");
	agattr(d.graph, AGNODE, "fontname", SCENE_FONT);
	agattr(d.graph, AGNODE, "fontsize", "10");
	agattr(d.graph, AGRAPH, "fontname", SCENE_FONT);
	agattr(d.graph, AGRAPH, "newrank", "true"); /* causes above effects, also across clusters */
	if (picture->options->title) {
		char *title = text_clean(picture->options->title, false);

		agattr(d.graph, AGRAPH, "label", "");
		set_text(d.graph, "label", title ? title : "");
		free(title);
	}
	make_clusters(&d);
	err = 0;
	for (uint32_t i = 0; i < picture->n_nodes && !err; i++)
		err = make_node(&d, i);
	if (err)
		goto out;
	join_lanes(&d);
	join_links(&d);
	if (agwrite(d.graph, out) == EOF || fflush(out))
		err = -EIO;
out:
	if (d.graph)
		agclose(d.graph);
	free(d.clusters);
	free(d.nodes);
	return err;
}
