/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is drawn of a graph, before anything has coordinates. Private to graph/. Made in these steps:
 *
 *   share.c    which processes get a lane, and which share one
 *   lanes.c    in which order the lanes stand
 *   extend.c   all events that are drawn, in one line: causes first, else by time, so that marks fall where they belong
 *   fold.c     from events to nodes: one event, a few that belong together, or a block that stands for many
 *   reduce.c   which links say something that the others do not
 *   layout.c   nodes and links to shapes with coordinates (scene.h)
 */
#ifndef GRAPH_PICTURE_H
#define GRAPH_PICTURE_H

#include <stdio.h>

#include "graph/build.h"
#include "graph/overlay.h"
#include "graph/render.h"
#include "graph/scene.h"

#define NO_LANE UINT32_MAX
#define ALL_LANES (UINT32_MAX - 1)
#define NO_NODE UINT32_MAX
#define NO_MESSAGE UINT32_MAX

struct lane {
	uint32_t process;     /* 0: several */
	uint32_t n_processes; /* in it */
	uint32_t parent;      /* process: its children share the lane, and those of others that share the parent's */
	bool in_turn;	      /* they ran one after the other */
	bool threads;	      /* several of its threads do something: labels say which */
};

/* An item is an event or a hole. Items stand in a line in which every cause is before its effect. */
struct item {
	uint32_t vertex; /* NO_VERTEX: a hole */
	uint32_t hole;
	uint32_t lane; /* ALL_LANES: a mark or a loss that concerns everybody */
	uint32_t node;
};

struct node {
	uint32_t item;		 /* its first */
	uint32_t n_items;
	uint32_t lane_first, lane_last;
	bool block;	  /* stands for things of several kinds; else all items say the same thing */
	bool barrier;	  /* across all lanes */
	uint32_t n_connections, n_messages, n_holes, n_failures; /* block: what is in it */
	uint64_t bytes;	  /* block: of messages sent in it. else: of all its items */
	enum overlay_side side; /* of all its items; of a block whose items differ: SIDE_COUNT */
	uint32_t sides[OVERLAY_SIDE_COUNT]; /* block: how many items of each */
	uint32_t level;	  /* longest way from a source */
	uint32_t row, height;
};

struct link {
	uint32_t from, to; /* nodes */
	uint32_t from_lane, to_lane;
	enum graph_rule rule;
	uint32_t message; /* NO_MESSAGE: none, or several */
	uint32_t count;	  /* edges that it stands for */
	uint64_t bytes;
	uint32_t edge;	  /* the first of them */
	bool drawn;
	bool inferred; /* one of its edges is */
	enum overlay_side side; /* of all its edges; else BOTH */
};

struct picture {
	const struct graph *g;
	const struct overlay *overlay; /* NULL: one run, of which all is BOTH */
	const struct render_options *options;
	struct lane *lanes;
	uint32_t *lane_of; /* by process: NO_LANE if it has none */
	struct item *items;
	uint32_t *place; /* by vertex: its item, NO_NODE if it is not drawn */
	struct node *nodes; /* causes before effects */
	struct link *links; /* sorted by from */
	size_t n_lanes, n_items, n_nodes, n_links;
	size_t n_omitted;  /* events of the teardown */
	uint32_t *killed_by; /* by process: id of the fault that crashed it, 0 none */
	int64_t *exit_status; /* by process: wait status, -1 unknown */
	uint64_t start_ns; /* the earliest stamp: times in tooltips count from it */
	bool folded;
};

/* All return 0 or negative errno. */
int picture_build(const struct graph *g, const struct render_options *options, size_t max_nodes,
		  struct picture **ret_picture, struct error *e);
void picture_free(struct picture *picture);

int picture_share(struct picture *p);
int picture_lanes(struct picture *p);
int picture_extend(struct picture *p);
int picture_fold(struct picture *p, size_t max_nodes);

/*
 * group[i] is the item that stands for item i's group. ret_component[i]: number of the strongly connected component,
 * causes before effects.
 */
int picture_condense(const struct picture *p, const uint32_t *group, uint32_t *ret_component, size_t *ret_n);

/* Makes nodes and links of components. An item is folded, or says the same as item merged[i], else its own. */
int picture_nodes(struct picture *p, const uint32_t *component, size_t n, const bool *folded, const uint32_t *merged);
int picture_reduce(struct picture *p);

/*
 * Texts, see caption.c and tip.c. All malloc'ed; NULL without memory. "" where there is nothing to say. Lines of a
 * block's caption and of a tooltip are separated by newlines.
 */
char *caption_node(const struct picture *p, uint32_t node, bool arrow_arrives, bool *ret_failure);
char *tip_node(const struct picture *p, uint32_t node);
char *tip_link(const struct picture *p, const struct link *link);

/* Of faults, tell.c. A line for above the picture; malloc'ed, NULL without memory. */
char *tell_line(const struct picture *p, const struct graph_fault *fault);
/* "fault 1", "fault 1 of run 3" if it is of the other run. */
#define TELL_NAME 64
const char *tell_name(const struct picture *p, const struct graph_fault *fault, char buf[TELL_NAME]);
/* What stands beside an event of a fault; alone: it has the width of the picture. */
void tell_caption(const struct picture *p, const struct event *event, bool alone, char *buf, size_t size);
void tell_tip(const struct picture *p, FILE *f, const struct event *event);
/* It is the beginning of a pause. */
bool tell_paused(const struct picture *p, const struct item *item);

/*
 * Of two runs, side.c. What stands beside a node, with its sign and what explains it; takes caption. Malloc'ed.
 */
char *side_caption(const struct picture *p, uint32_t node, char *caption);
/* Where in it what explains it begins; its length: nothing does. *ret_ink: the ink of that. */
size_t side_explained(const struct picture *p, uint32_t node, const char *caption, enum ink *ret_ink);
/* What is different, in a block; malloc'ed, "" if nothing is. */
char *side_block(const struct node *node);
void side_tip(const struct picture *p, FILE *f, uint32_t node);
/* "only in run 3"; "" of what is in both. */
#define SIDE_WORDS 64
const char *side_words(const struct picture *p, enum overlay_side side, char buf[SIDE_WORDS]);
/* Of two runs, all that is in both is grey; else `ink`. */
enum ink side_ink(const struct picture *p, enum overlay_side side, enum ink ink);

/* Of a lane: its process; c.* where children of c share it; "12 others". */
char *lane_name(const struct picture *p, const struct lane *lane);

#define BYTES_TEXT 32
const char *bytes_text(uint64_t bytes, char buf[BYTES_TEXT]); /* 120 B, 3.4 MB */
const char *count_text(uint64_t n, char buf[BYTES_TEXT]);     /* 39,960 */
const char *errno_text(int64_t value);			      /* of -errno: ECONNREFUSED */
void exit_text(int64_t status, char *buf, size_t size);	      /* of a wait status: exit 1, killed by SIGKILL */

static inline const struct event *item_event(const struct picture *p, const struct item *item)
{
	return &p->g->trace->events[p->g->vertices[item->vertex].event];
}

static inline enum overlay_side item_side(const struct picture *p, const struct item *item)
{
	if (!p->overlay)
		return OVERLAY_BOTH;
	return item->vertex == NO_VERTEX ? p->overlay->holes[item->hole] : p->overlay->vertices[item->vertex].side;
}

/* Of the only process of a lane. */
static inline enum overlay_side lane_side(const struct picture *p, const struct lane *lane)
{
	return p->overlay && lane->process ? p->overlay->processes[lane->process] : OVERLAY_BOTH;
}

static inline const struct event *node_event(const struct picture *p, uint32_t node)
{
	const struct item *item = &p->items[p->nodes[node].item];

	return item->vertex == NO_VERTEX ? NULL : item_event(p, item);
}

#endif
