/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which processes have a lane, and which share one. A child that talks to nobody (a shell's `date`) has none: its parent's
 * spawn and wait say all there is. Where lanes are many, children that ran one after the other share one, which says
 * nothing that is not so; where that is not enough, all children of one parent, and at last whoever does least.
 * Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>

#include "graph/picture.h"

/* Above so many lanes somebody shares one. */
#define TURNS_ABOVE 8
#define CHILDREN_ABOVE 14
#define LANES_MAX 24
#define TURNS_TRIED 32 /* lanes of one parent that a child can join */
#define DEPTH_MAX 64   /* generations that are told apart */
#define NO_GROUP UINT32_MAX

struct use {
	uint32_t process;
	uint32_t rank;	/* by name */
	uint32_t depth; /* how many ancestors it has */
	uint32_t elder; /* its parent's rank */
	size_t events;
	bool drawn, talks;
	uint32_t spawn, wait; /* vertices of its parent, NO_VERTEX: not seen */
	uint32_t group;	      /* NO_GROUP: it has no lane */
};

/* Processes with one lane. */
struct group {
	uint32_t first, last; /* of the processes in it */
	uint32_t n;
	uint32_t parent;   /* the group of the first one's parent, NO_GROUP: none */
	uint32_t brother;  /* the group before this one with the same parent, NO_GROUP: none */
	uint32_t youngest; /* the last group whose parent this is, NO_GROUP: none */
	uint32_t rank;
	size_t events;
	bool in_turn;
};

/* Who shares a lane: nobody, children that take turns, all children of one parent. */
enum sharing { SHARE_NONE, SHARE_TURNS, SHARE_CHILDREN };

static uint32_t parent_of(const struct trace *trace, uint32_t process)
{
	uint32_t parent = trace->processes[process].parent;

	return parent <= trace->n_processes ? parent : 0;
}

static bool is_drawn(const struct picture *p, uint32_t vertex)
{
	return p->options->teardown || !p->g->vertices[vertex].teardown;
}

/* Vertices are numbered by process name: the order in which processes first come is that of their names. */
static void survey(const struct picture *p, struct use *uses)
{
	const struct graph *g = p->g;
	const struct trace *trace = g->trace;
	uint32_t rank = 0;

	for (uint32_t i = 0; i <= trace->n_processes; i++)
		uses[i] = (struct use){ .process = i, .rank = UINT32_MAX, .spawn = NO_VERTEX, .wait = NO_VERTEX };
	for (uint32_t v = 0; v < g->n_vertices; v++) {
		const struct event *event = &trace->events[g->vertices[v].event];
		struct use *use = &uses[g->vertices[v].process];

		if (use->rank == UINT32_MAX)
			use->rank = rank++;
		use->events++;
		use->drawn |= is_drawn(p, v);
		use->talks |= event->end || event->kind == EVENT_LISTEN;
		if (!event->order || !event->peer || event->peer > trace->n_processes ||
		    g->vertices[v].process != trace->processes[event->peer].parent)
			continue;
		if (event->kind == EVENT_SPAWN)
			uses[event->peer].spawn = v;
		if (event->kind == EVENT_WAIT)
			uses[event->peer].wait = v;
	}
	uses[0].drawn = false;
	for (uint32_t i = 1; i <= trace->n_processes; i++) {
		uint32_t parent = trace->processes[i].parent;

		if (!parent || parent > trace->n_processes)
			uses[i].talks = true;
	}
	/* ancestors of those that talk, so that the way to them shows */
	for (uint32_t i = 1; i <= trace->n_processes; i++) {
		uint32_t parent = trace->processes[i].parent;

		while (uses[i].talks && parent && parent <= trace->n_processes && !uses[parent].talks) {
			uses[parent].talks = true;
			parent = trace->processes[parent].parent;
		}
	}
}

/*
 * Of brothers: one had ended before the other began, as their parent knows; vertices of a process are numbered in its
 * order. Of cousins, whose parents take turns: both began and ended while their parents lived.
 */
static bool take_turns(const struct trace *trace, const struct use *before, const struct use *behind)
{
	if (before->wait == NO_VERTEX || behind->spawn == NO_VERTEX)
		return false;
	if (parent_of(trace, before->process) == parent_of(trace, behind->process))
		return before->wait < behind->spawn;
	return before->spawn != NO_VERTEX && behind->wait != NO_VERTEX;
}

static void group_take(struct group *group, uint32_t index, uint32_t process, struct use *use)
{
	group->last = process;
	group->n++;
	group->events += use->events;
	use->group = index;
}

static uint32_t group_find(const struct group *groups, const struct trace *trace, const struct use *uses,
			   uint32_t parent, uint32_t process, enum sharing sharing)
{
	uint32_t k = parent == NO_GROUP || sharing == SHARE_NONE ? NO_GROUP : groups[parent].youngest;
	unsigned tried = 0;

	if (sharing == SHARE_CHILDREN)
		return k;
	/* a parent that does not take turns itself: its lane says nothing about order */
	while (k != NO_GROUP && (!groups[parent].in_turn || !take_turns(trace, &uses[groups[k].last], &uses[process])))
		k = ++tried < TURNS_TRIED ? groups[k].brother : NO_GROUP;
	return k;
}

/* Parents before their children, children of one parent in the order of their births. */
static int elder_first(const void *a, const void *b)
{
	const struct use *p = *(const struct use *const *)a, *q = *(const struct use *const *)b;

	if (p->depth != q->depth)
		return p->depth < q->depth ? -1 : 1;
	if (p->elder != q->elder)
		return p->elder < q->elder ? -1 : 1;
	if (p->spawn != q->spawn)
		return p->spawn < q->spawn ? -1 : 1;
	return p->rank < q->rank ? -1 : p->rank > q->rank;
}

/* Those that have a lane, in an order that no numbering of the table changes. Returns how many. */
static size_t sort_uses(const struct trace *trace, struct use *uses, struct use **sorted)
{
	size_t n = 0;

	for (uint32_t i = 1; i <= trace->n_processes; i++) {
		uses[i].elder = uses[parent_of(trace, i)].rank;
		for (uint32_t k = parent_of(trace, i); k && uses[i].depth < DEPTH_MAX; k = parent_of(trace, k))
			uses[i].depth++;
		if (uses[i].drawn && uses[i].talks)
			sorted[n++] = &uses[i];
	}
	qsort(sorted, n, sizeof(*sorted), elder_first);
	return n;
}

/* Returns how many groups there are. */
static size_t make_groups(const struct trace *trace, struct use *uses, struct use *const *sorted, size_t n_sorted,
			  struct group *groups, enum sharing sharing)
{
	size_t n = 0;

	for (uint32_t i = 0; i <= trace->n_processes; i++)
		uses[i].group = NO_GROUP;
	for (size_t u = 0; u < n_sorted; u++) {
		uint32_t i = sorted[u]->process, k;
		uint32_t parent = parent_of(trace, i) ? uses[parent_of(trace, i)].group : NO_GROUP;

		k = group_find(groups, trace, uses, parent, i, sharing);
		if (k == NO_GROUP) {
			k = n++;
			groups[k] = (struct group){ .first = i, .parent = parent, .brother = NO_GROUP, .youngest = NO_GROUP,
						    .rank = uses[i].rank, .in_turn = true };
			if (parent != NO_GROUP) {
				groups[k].brother = groups[parent].youngest;
				groups[parent].youngest = k;
			}
		} else {
			groups[k].in_turn &= groups[parent].in_turn && take_turns(trace, &uses[groups[k].last], &uses[i]);
		}
		group_take(&groups[k], k, i, &uses[i]);
	}
	return n;
}

/* What the experiment started comes first, then who does most. */
static int busier(const void *a, const void *b)
{
	const struct group *p = *(const struct group *const *)a, *q = *(const struct group *const *)b;

	if ((p->parent == NO_GROUP) != (q->parent == NO_GROUP))
		return p->parent == NO_GROUP ? -1 : 1;
	if (p->events != q->events)
		return p->events > q->events ? -1 : 1;
	return p->rank < q->rank ? -1 : p->rank > q->rank;
}

static int named_before(const void *a, const void *b)
{
	const struct group *p = *(const struct group *const *)a, *q = *(const struct group *const *)b;

	return p->rank < q->rank ? -1 : p->rank > q->rank;
}

/* A lane for each group; the last groups share one, if they are too many. */
static void make_lanes(struct picture *p, const struct use *uses, const struct group *groups, const struct group **sorted,
		       uint32_t *lane_of_group, size_t n)
{
	size_t alone = n > LANES_MAX ? LANES_MAX - 1 : n;

	for (size_t i = 0; i < n; i++)
		sorted[i] = &groups[i];
	qsort(sorted, n, sizeof(*sorted), busier);
	qsort(sorted, alone, sizeof(*sorted), named_before);
	for (size_t i = 0; i < n; i++) {
		struct lane *lane = &p->lanes[i < alone ? i : alone];
		const struct group *group = sorted[i];

		lane_of_group[group - groups] = lane - p->lanes;
		lane->n_processes += group->n;
		lane->process = i < alone && group->n == 1 ? group->first : 0;
		lane->parent = i < alone && group->n > 1 ? parent_of(p->g->trace, group->first) : 0;
		lane->in_turn = i < alone && group->in_turn;
	}
	for (size_t i = 0; i <= p->g->trace->n_processes; i++)
		p->lane_of[i] = uses[i].group == NO_GROUP ? NO_LANE : lane_of_group[uses[i].group];
	p->n_lanes = n > LANES_MAX ? LANES_MAX : n;
}

int picture_share(struct picture *p)
{
	const struct trace *trace = p->g->trace;
	size_t n_processes = trace->n_processes, n_born, n;
	struct use *uses = malloc((n_processes + 1) * sizeof(*uses));
	struct use **born = malloc((n_processes + 1) * sizeof(*born));
	struct group *groups = malloc((n_processes + 1) * sizeof(*groups));
	const struct group **sorted = malloc((n_processes + 1) * sizeof(*sorted));
	uint32_t *lane_of_group = malloc((n_processes + 1) * sizeof(*lane_of_group));
	int err = -ENOMEM;

	p->lanes = calloc(LANES_MAX + 1, sizeof(*p->lanes));
	p->lane_of = malloc((n_processes + 1) * sizeof(*p->lane_of));
	if (!uses || !born || !groups || !sorted || !lane_of_group || !p->lanes || !p->lane_of)
		goto out;
	survey(p, uses);
	n_born = sort_uses(trace, uses, born);
	n = make_groups(trace, uses, born, n_born, groups, SHARE_NONE);
	if (n > TURNS_ABOVE)
		n = make_groups(trace, uses, born, n_born, groups, SHARE_TURNS);
	if (n > CHILDREN_ABOVE)
		n = make_groups(trace, uses, born, n_born, groups, SHARE_CHILDREN);
	make_lanes(p, uses, groups, sorted, lane_of_group, n);
	err = 0;
out:
	free(uses);
	free(born);
	free(groups);
	free(sorted);
	free(lane_of_group);
	return err;
}
