/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A run as a Perfetto trace (docs/exports.md): a track for the run, each box, process, thread and fault; calls are
 * slices, all else is an instant; every edge between two tracks is an arrow. See query_perfetto.h. Fails only without
 * memory.
 */
#include "collector/query_perfetto.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/large.h"

enum { PID_MAX = 1 << 22 /* of Linux; ours are above */ };

static const char *name_or(const char *name, const char *other)
{
	return name && *name ? name : other;
}

static const char *box_name(const struct graph *g, uint32_t box)
{
	return name_or(box && box <= g->trace->n_boxes ? g->trace->boxes[box].name : NULL, "?");
}

static const char *process_name(const struct graph *g, uint32_t process)
{
	return name_or(process && process <= g->trace->n_processes ? g->trace->processes[process].name : NULL, "?");
}

/* Its own, unless another process of the run (of another machine, or an earlier one) has the same. */
static int pids_make(struct perfetto_writer *w)
{
	const struct trace *trace = w->g->trace;
	struct pair *pairs = large_calloc(trace->n_processes + 1, sizeof(*pairs)), *spare = NULL;
	size_t n_spare = 0;
	int err;

	w->pids = large_calloc(trace->n_processes + 1, sizeof(*w->pids));
	err = pairs && w->pids ? 0 : -ENOMEM;
	for (uint32_t p = 1; p <= trace->n_processes && !err; p++)
		pairs[p - 1] = (struct pair){ .key = (uint32_t)trace->processes[p].pid, .value = p };
	if (!err)
		err = pairs_sort(pairs, trace->n_processes, &spare, &n_spare);
	for (size_t i = 0; i < trace->n_processes && !err; i++) {
		bool taken = i && pairs[i - 1].key == pairs[i].key;

		w->pids[pairs[i].value] = pairs[i].key && pairs[i].key < PID_MAX && !taken ?
						  (int32_t)pairs[i].key :
						  PID_MAX + (int32_t)pairs[i].value;
	}
	free(pairs);
	free(spare);
	return err;
}

static int edges_make(struct perfetto_writer *w)
{
	const struct graph *g = w->g;

	w->first_out = large_calloc(g->n_vertices + 2, sizeof(*w->first_out));
	w->first_in = large_calloc(g->n_vertices + 2, sizeof(*w->first_in));
	w->edges_in = large_calloc(g->n_edges + 1, sizeof(*w->edges_in));
	if (!w->first_out || !w->first_in || !w->edges_in)
		return -ENOMEM;
	for (size_t i = 0; i < g->n_edges; i++) {
		w->first_out[g->edges[i].from + 1]++;
		w->first_in[g->edges[i].to + 1]++;
	}
	for (size_t v = 0; v < g->n_vertices; v++) {
		w->first_out[v + 1] += w->first_out[v];
		w->first_in[v + 1] += w->first_in[v];
	}
	for (size_t i = 0; i < g->n_edges; i++)
		w->edges_in[w->first_in[g->edges[i].to]++] = (uint32_t)i;
	for (size_t v = g->n_vertices; v-- > 0;) /* each stands at the next one's begin now */
		w->first_in[v + 1] = w->first_in[v];
	w->first_in[0] = 0;
	return 0;
}

static void part_add(struct perfetto_writer *w, uint64_t time, uint32_t value, enum part part)
{
	w->parts[w->n_parts++] = (struct pair){ .key = time, .value = value, .more = part };
}

/* In an order that is right for each track; sorting by time keeps it. */
static int parts_make(struct perfetto_writer *w)
{
	struct pair *spare = NULL;
	size_t n_spare = 0;
	int err;

	w->parts = large_malloc(3 * w->t->n_rows + w->g->n_holes + 2 * w->g->n_faults + 3, sizeof(*w->parts));
	if (!w->parts)
		return -ENOMEM;
	part_add(w, w->t->first_ns, 0, PART_RUN_BEGIN);
	for (uint32_t i = 0; i < w->g->n_holes; i++)
		part_add(w, w->t->first_ns, i, PART_HOLE);
	for (size_t i = 0; i < w->t->n_rows; i++) {
		uint32_t v = w->t->order[i];
		const struct timeline_row *row = &w->t->rows[v];
		bool is_slice = row->end_ns > row->begin_ns;

		if (row->track == TIMELINE_NONE)
			continue;
		if (is_slice)
			part_add(w, row->begin_ns, v, PART_BEGIN);
		if (!is_slice || timeline_is_at_return(&w->g->trace->events[w->g->vertices[v].event]))
			part_add(w, row->end_ns, v, PART_MOMENT);
		if (is_slice)
			part_add(w, row->end_ns, v, PART_END);
	}
	for (uint32_t i = 0; i < w->g->n_faults; i++) {
		const struct graph_fault *fault = &w->g->faults[i];
		uint32_t ended = fault->ended;

		if (fault->fired == UINT32_MAX || w->t->rows[fault->fired].track == TIMELINE_NONE)
			continue;
		if (ended != UINT32_MAX && w->t->rows[ended].track == TIMELINE_NONE)
			ended = UINT32_MAX; /* when the run was stopped */
		part_add(w, w->t->rows[fault->fired].begin_ns, i, PART_FAULT_BEGIN);
		part_add(w, ended == UINT32_MAX ? w->t->last_ns :
			    w->t->rows[ended].begin_ns > w->t->rows[fault->fired].begin_ns ?
						  w->t->rows[ended].begin_ns :
						  w->t->rows[fault->fired].begin_ns,
			 i, PART_FAULT_END);
	}
	part_add(w, w->t->last_ns, 0, PART_RUN_END);
	err = pairs_sort(w->parts, w->n_parts, &spare, &n_spare);
	free(spare);
	return err;
}

static int processes_write(struct perfetto_writer *w)
{
	const struct trace *trace = w->g->trace;
	char name[PERFETTO_NAME_SIZE];
	int err = 0;

	for (uint32_t p = 1; p <= trace->n_processes && !err; p++) {
		uint32_t box = trace->processes[p].box <= trace->n_boxes ? trace->processes[p].box : 0;
		const char *own = process_name(w->g, p);

		if (!box || !strcmp(own, box_name(w->g, box)))
			snprintf(name, sizeof(name), "%s", own);
		else
			snprintf(name, sizeof(name), "%s (box %s)", own, box_name(w->g, box));
		err = perfetto_track(&(struct perfetto_track){ .uuid = perfetto_uuid(TRACK_PROCESS, p),
							       .parent = box ? perfetto_uuid(TRACK_BOX, box) : perfetto_uuid(TRACK_RUN, 0),
							       .name = name,
							       .pid = w->pids[p],
							       .command = trace->processes[p].command },
				     w->out);
	}
	return err;
}

/* The first thread's number is the process's; the kernel's numbers of the others are not known. */
static int threads_write(struct perfetto_writer *w)
{
	char name[PERFETTO_NAME_SIZE];
	int err = 0;

	for (uint32_t i = 0; i < w->t->n_tracks && !err; i++) {
		const struct timeline_track *track = &w->t->tracks[i];

		if (!track->is_thread)
			continue;
		if (track->thread)
			snprintf(name, sizeof(name), "%s:%" PRIu32, process_name(w->g, track->process), track->thread);
		else
			snprintf(name, sizeof(name), "%s", process_name(w->g, track->process));
		err = perfetto_track(&(struct perfetto_track){ .uuid = perfetto_uuid(TRACK_THREAD, i),
							       .parent = perfetto_uuid(TRACK_PROCESS, track->process),
							       .name = name,
							       .pid = w->pids[track->process],
							       .tid = track->thread ? INT32_MAX - (int32_t)i :
										      w->pids[track->process] },
				     w->out);
	}
	return err;
}

static int tracks_write(struct perfetto_writer *w)
{
	char name[PERFETTO_NAME_SIZE];
	int err;

	perfetto_run_name(w, name, sizeof(name));
	err = perfetto_track(&(struct perfetto_track){ .uuid = perfetto_uuid(TRACK_RUN, 0), .name = name }, w->out);
	for (uint32_t b = 1; b <= w->g->trace->n_boxes && !err; b++) {
		snprintf(name, sizeof(name), "box %s", box_name(w->g, b));
		err = perfetto_track(
			&(struct perfetto_track){ .uuid = perfetto_uuid(TRACK_BOX, b), .parent = perfetto_uuid(TRACK_RUN, 0), .name = name },
			w->out);
	}
	if (!err)
		err = processes_write(w);
	if (!err)
		err = threads_write(w);
	for (uint32_t i = 0; i < w->g->n_faults && !err; i++) {
		snprintf(name, sizeof(name), "fault %" PRIu32 ": %s", w->g->faults[i].id, w->g->faults[i].text);
		err = perfetto_track(
			&(struct perfetto_track){ .uuid = perfetto_uuid(TRACK_FAULT, i), .parent = perfetto_uuid(TRACK_RUN, 0), .name = name },
			w->out);
	}
	return err;
}

int query_export_perfetto(const struct query_run *q, bool all, FILE *out, struct error *e)
{
	struct perfetto_writer w = { .q = q, .g = q->graph, .out = out };
	uint64_t start;
	int err = timeline_new(q->graph, all, &w.t);

	if (!err)
		err = edges_make(&w);
	if (!err)
		err = pids_make(&w);
	if (!err)
		err = parts_make(&w);
	if (!err) {
		start = w.t->first_ns;
		err = perfetto_clocks(start, q->run->row->started_ns + (uint64_t)run_time(q->run, start), out);
	}
	if (!err)
		err = tracks_write(&w);
	for (size_t i = 0; i < w.n_parts && !err && !ferror(out); i++)
		err = perfetto_part_write(&w, &w.parts[i]);
	timeline_free(w.t);
	free(w.first_out);
	free(w.first_in);
	free(w.edges_in);
	free(w.pids);
	free(w.parts);
	free(w.arrows);
	return err ? error_set(e, err, "out of memory") : 0;
}
