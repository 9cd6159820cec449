/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See timeline.h. Fails only without memory. */
#include "graph/timeline.h"

#include <errno.h>
#include <stdlib.h>

#include "graph/sort.h"
#include "lib/large.h"

/* Calls that can take long, and that return to their thread. */
static bool is_call(const struct event *event)
{
	return event->kind == EVENT_SEND || event->kind == EVENT_RECV || event->kind == EVENT_CONNECT ||
	       event->kind == EVENT_ACCEPT || event->kind == EVENT_WAIT;
}

bool timeline_is_at_return(const struct event *event)
{
	return event->kind == EVENT_RECV || event->kind == EVENT_ACCEPT || event->kind == EVENT_WAIT;
}

static const struct event *event_of(const struct graph *g, uint32_t v)
{
	return &g->trace->events[g->vertices[v].event];
}

static uint64_t time_min(uint64_t time)
{
	return time < INT64_MAX ? time : INT64_MAX;
}

static uint64_t time_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t timeline_moment(const struct timeline *t, const struct graph *g, uint32_t v)
{
	return timeline_is_at_return(event_of(g, v)) ? t->rows[v].end_ns : t->rows[v].begin_ns;
}

/* Of a thread: what it did in calls of its own. */
static bool is_of_thread(const struct graph *g, uint32_t v)
{
	const struct event *event = event_of(g, v);

	return g->vertices[v].process && event->order && !event_is_fault(event->kind) && event->kind != EVENT_START &&
	       event->kind != EVENT_LOST && event->kind != EVENT_MARK && event->kind != EVENT_RESET &&
	       (event->kind != EVENT_EXIT || (event->flags & EVENT_F_THREAD));
}

static struct timeline_track track_of(const struct graph *g, uint32_t v)
{
	uint32_t process = g->vertices[v].process <= g->trace->n_processes ? g->vertices[v].process : 0;
	const struct event *event = event_of(g, v);
	uint32_t box = process ? g->trace->processes[process].box : event->box;

	return (struct timeline_track){
		.process = process,
		.box = box <= g->trace->n_boxes ? box : 0,
		.is_thread = process && is_of_thread(g, v),
		.thread = process && is_of_thread(g, v) ? event->thread : 0,
	};
}

static bool track_is(const struct timeline_track *a, const struct timeline_track *b)
{
	return a->process == b->process && a->box == b->box && a->thread == b->thread && a->is_thread == b->is_thread;
}

/* By process, then thread: two stable sorts. */
static int tracks_make(const struct graph *g, struct timeline *t, bool all)
{
	struct pair *pairs = large_malloc(g->n_vertices + 1, sizeof(*pairs)), *spare = NULL;
	size_t n = 0, n_spare = 0;
	int err = pairs ? 0 : -ENOMEM;

	for (uint32_t v = 0; v < g->n_vertices && !err; v++) {
		struct timeline_track track = track_of(g, v);

		t->rows[v].track = TIMELINE_NONE;
		if (all || !g->vertices[v].teardown)
			pairs[n++] = (struct pair){ .key = track.is_thread ? 1 + (uint64_t)track.thread : 0, .value = v };
	}
	if (!err)
		err = pairs_sort(pairs, n, &spare, &n_spare);
	for (size_t i = 0; i < n && !err; i++) {
		struct timeline_track track = track_of(g, pairs[i].value);

		pairs[i].key = (uint64_t)track.process << 32 | (track.process ? 0 : track.box);
	}
	if (!err)
		err = pairs_sort(pairs, n, &spare, &n_spare);
	for (size_t i = 0; i < n && !err; i++) {
		struct timeline_track track = track_of(g, pairs[i].value);

		if (!t->n_tracks || !track_is(&t->tracks[t->n_tracks - 1], &track))
			t->tracks[t->n_tracks++] = track;
		t->rows[pairs[i].value].track = (uint32_t)t->n_tracks - 1;
	}
	free(pairs);
	free(spare);
	return err;
}

/* after: what its track came to, or when its process began; cause: its causes are before that. */
static void row_set(struct timeline_row *row, const struct event *event, uint64_t after, uint64_t cause)
{
	uint64_t enter = time_min(event->enter_ns), end = time_min(event->return_ns);
	uint64_t own = time_min(event_time(event)), moment;

	if (!is_call(event)) {
		row->begin_ns = row->end_ns = moment = time_max(own, time_max(after, cause));
	} else if (timeline_is_at_return(event)) {
		row->end_ns = moment = time_max(time_max(own, enter), time_max(after, cause));
		row->begin_ns = time_max(enter, after);
	} else {
		row->begin_ns = moment = time_max(own, time_max(after, cause));
		row->end_ns = time_max(end, row->begin_ns);
	}
	row->moved_ns = moment - own;
}

static void times_set(const struct graph *g, struct timeline *t, uint64_t *causes, uint64_t *tracks, uint64_t *starts,
		      const uint32_t *first)
{
	t->first_ns = UINT64_MAX;
	for (size_t i = 0; i < g->n_vertices; i++) {
		uint32_t v = t->order[i];
		struct timeline_row *row = &t->rows[v];
		uint64_t *start = &starts[g->vertices[v].process <= g->trace->n_processes ? g->vertices[v].process : 0];
		uint64_t after = row->track == TIMELINE_NONE ? 0 : tracks[row->track];

		row_set(row, event_of(g, v), time_max(after, *start), causes[v]);
		for (uint32_t k = first[v]; k < first[v + 1]; k++) {
			const struct graph_edge *edge = &g->edges[k];
			bool same_clock = edge->rule == RULE_THREAD || edge->rule == RULE_PROCESS;

			causes[edge->to] = time_max(causes[edge->to], time_min(timeline_moment(t, g, v) + !same_clock));
		}
		if (event_of(g, v)->kind == EVENT_START && start != starts)
			*start = row->begin_ns;
		if (row->track == TIMELINE_NONE)
			continue;
		tracks[row->track] = row->end_ns;
		if (row->begin_ns < t->first_ns)
			t->first_ns = row->begin_ns;
		t->last_ns = time_max(t->last_ns, row->end_ns);
	}
	if (t->first_ns == UINT64_MAX)
		t->first_ns = 0;
}

static int times_make(const struct graph *g, struct timeline *t)
{
	uint64_t *causes = large_calloc(g->n_vertices + 1, sizeof(*causes));
	uint64_t *tracks = large_calloc(t->n_tracks + 1, sizeof(*tracks));
	uint64_t *starts = large_calloc(g->trace->n_processes + 1, sizeof(*starts));
	uint32_t *first = large_calloc(g->n_vertices + 2, sizeof(*first)); /* by vertex: its edges stand together */
	int err = causes && tracks && starts && first ? graph_topological(g, &t->order) : -ENOMEM;

	if (!err) {
		for (size_t i = 0; i < g->n_edges; i++)
			first[g->edges[i].from + 1]++;
		for (size_t v = 0; v < g->n_vertices; v++)
			first[v + 1] += first[v];
		times_set(g, t, causes, tracks, starts, first);
	}
	free(causes);
	free(tracks);
	free(starts);
	free(first);
	return err;
}

int timeline_new(const struct graph *g, bool all, struct timeline **ret_timeline)
{
	struct timeline *t = calloc(1, sizeof(*t));
	int err = t ? 0 : -ENOMEM;

	if (!err) {
		t->n_rows = g->n_vertices;
		t->rows = large_calloc(g->n_vertices + 1, sizeof(*t->rows));
		t->tracks = large_calloc(g->n_vertices + 1, sizeof(*t->tracks));
		err = t->rows && t->tracks ? tracks_make(g, t, all) : -ENOMEM;
	}
	if (!err)
		err = times_make(g, t);
	if (err)
		timeline_free(t);
	else
		*ret_timeline = t;
	return err;
}

void timeline_free(struct timeline *t)
{
	if (!t)
		return;
	free(t->rows);
	free(t->order);
	free(t->tracks);
	free(t);
}
