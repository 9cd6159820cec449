/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What stands on the tracks of a Perfetto trace. See query_perfetto.h, docs/exports.md. Fails only without memory. */
#include "collector/query_perfetto.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/grow.h"

enum { LABEL_SIZE = 2048, CONTENT_SHOWN = 256 };

uint64_t perfetto_uuid(enum track_kind kind, uint32_t index)
{
	return (uint64_t)kind << 40 | index;
}

/* The track of a row; threads by their place among all tracks. */
static uint64_t track_uuid(const struct timeline *t, uint32_t i)
{
	const struct timeline_track *track = &t->tracks[i];

	if (track->is_thread)
		return perfetto_uuid(TRACK_THREAD, i);
	return track->process ? perfetto_uuid(TRACK_PROCESS, track->process) :
	       track->box     ? perfetto_uuid(TRACK_BOX, track->box) :
				perfetto_uuid(TRACK_RUN, 0);
}

static bool is_arrow(const struct perfetto_writer *w, const struct graph_edge *edge)
{
	return edge->rule != RULE_THREAD && edge->rule != RULE_PROCESS && w->t->rows[edge->from].track != TIMELINE_NONE &&
	       w->t->rows[edge->to].track != TIMELINE_NONE;
}

/* Those that begin, and behind them those that end at a vertex; an arrow is called by its edge. */
static int arrows_find(struct perfetto_writer *w, uint32_t v, size_t *ret_n, size_t *ret_n_ends)
{
	size_t n = 0, most = w->first_out[v + 1] - w->first_out[v] + w->first_in[v + 1] - w->first_in[v];

	if (grow(&w->arrows, &w->cap_arrows, most + 1, sizeof(*w->arrows)))
		return -ENOMEM;
	for (uint32_t k = w->first_out[v]; k < w->first_out[v + 1]; k++)
		if (is_arrow(w, &w->g->edges[k]))
			w->arrows[n++] = (uint64_t)k + 1;
	*ret_n = n;
	for (uint32_t k = w->first_in[v]; k < w->first_in[v + 1]; k++)
		if (is_arrow(w, &w->g->edges[w->edges_in[k]]))
			w->arrows[n++] = (uint64_t)w->edges_in[k] + 1;
	*ret_n_ends = n - *ret_n;
	return 0;
}

struct args {
	struct perfetto_arg rows[PERFETTO_ARGS_MAX];
	size_t n;
};

static void arg_text(struct args *args, const char *name, const char *text)
{
	if (text && *text && args->n < PERFETTO_ARGS_MAX)
		args->rows[args->n++] = (struct perfetto_arg){ .name = name, .type = PERFETTO_TEXT, .text = text };
}

static void arg_uint(struct args *args, const char *name, uint64_t number)
{
	if (number != STORE_UNKNOWN && args->n < PERFETTO_ARGS_MAX)
		args->rows[args->n++] = (struct perfetto_arg){ .name = name, .type = PERFETTO_UINT, .number = number };
}

static void arg_int(struct args *args, const char *name, int64_t integer)
{
	if (args->n < PERFETTO_ARGS_MAX)
		args->rows[args->n++] = (struct perfetto_arg){ .name = name, .type = PERFETTO_INT, .integer = integer };
}

static void arg_true(struct args *args, const char *name, bool is)
{
	if (is && args->n < PERFETTO_ARGS_MAX)
		args->rows[args->n++] = (struct perfetto_arg){ .name = name, .type = PERFETTO_BOOL, .number = 1 };
}

static void args_message(struct args *args, const struct perfetto_writer *w, uint32_t m)
{
	const struct graph_message *message = &w->g->messages[m];
	const struct graph_fault *fault = message->lost_by ? graph_fault_find(w->g, message->lost_by) : NULL;

	arg_uint(args, "message", message->number);
	arg_uint(args, "size", message->size);
	arg_uint(args, "received", message->received);
	arg_true(args, "undelivered", !message->delivered);
	arg_true(args, "inferred", message->inferred);
	arg_text(args, "lost_by", fault ? fault->text : NULL);
}

/* content: of its message, to be freed. */
static void args_vertex(struct args *args, const struct perfetto_writer *w, uint32_t v, const char *label, char **ret_content)
{
	const struct graph_vertex *vertex = &w->g->vertices[v];
	const struct event *event = &w->g->trace->events[vertex->event];
	uint32_t m = vertex->n_messages ? w->g->vertex_messages[vertex->first_message] : 0;

	*ret_content = NULL;
	arg_text(args, "label", label);
	if (vertex->connection) {
		arg_text(args, "connection", w->g->connections[vertex->connection].label);
		arg_text(args, "transport", transport_name(w->g->connections[vertex->connection].transport));
	}
	if (event->kind == EVENT_SEND && vertex->n_messages) {
		args_message(args, w, m);
		*ret_content = graph_message_content(w->g, m) ? graph_content_text(w->g, m, CONTENT_SHOWN) : NULL;
		arg_text(args, "content", *ret_content);
	} else if (vertex->n_messages > 1) {
		arg_uint(args, "messages", vertex->n_messages);
	}
	if (event->value < 0 && event->value > -4096 && event->kind != EVENT_EXIT)
		arg_text(args, "error", strerrorname_np((int)-event->value));
	else if (event->kind == EVENT_SEND || event->kind == EVENT_RECV)
		arg_int(args, "bytes", event->value);
	else if (event->kind == EVENT_EXIT || event->kind == EVENT_LOST || event_is_fault(event->kind))
		arg_int(args, event->kind == EVENT_EXIT ? "status" : event->kind == EVENT_LOST ? "events" : "fault", event->value);
	if (event->text && event->text <= w->g->trace->n_texts && !event_is_fault(event->kind))
		arg_text(args, "text", w->g->trace->texts[event->text]);
	arg_uint(args, "depth", vertex->depth);
	arg_true(args, "racy", vertex->racy);
	arg_true(args, "teardown", vertex->teardown);
	if (w->t->rows[v].moved_ns)
		arg_uint(args, "moved_ns", w->t->rows[v].moved_ns);
}

/* What is filtered by in the viewer. */
static const char *category(const struct event *event)
{
	switch ((enum event_kind)event->kind) {
	case EVENT_SEND:
	case EVENT_RECV:
		return "message";
	case EVENT_LISTEN:
	case EVENT_CONNECT:
	case EVENT_ACCEPT:
	case EVENT_CLOSE:
	case EVENT_RESET:
		return "connection";
	case EVENT_ARMED:
	case EVENT_FIRED:
	case EVENT_LIFTED:
	case EVENT_EXPIRED:
		return "fault";
	case EVENT_LOST:
		return "lost";
	case EVENT_MARK:
		return "phase";
	case EVENT_NONE:
	case EVENT_START:
	case EVENT_EXEC:
	case EVENT_SPAWN:
	case EVENT_WAIT:
	case EVENT_EXIT:
	case EVENT_KIND_COUNT:
		break;
	}
	return "process";
}

static int vertex_write(struct perfetto_writer *w, uint32_t v, enum part part)
{
	const struct event *event = &w->g->trace->events[w->g->vertices[v].event];
	const struct timeline_row *row = &w->t->rows[v];
	bool is_slice = row->end_ns > row->begin_ns;
	bool has_arrows = part == (is_slice && !timeline_is_at_return(event) ? PART_BEGIN : PART_MOMENT);
	char label[LABEL_SIZE], name[PERFETTO_NAME_SIZE], *content = NULL;
	struct perfetto_event out = { .track = track_uuid(w->t, row->track), .category = category(event), .name = name };
	struct args args = { .n = 0 };
	int err = 0;

	out.time_ns = part == PART_BEGIN ? row->begin_ns : row->end_ns;
	out.type = part == PART_BEGIN ? PERFETTO_BEGIN : part == PART_END ? PERFETTO_END : PERFETTO_INSTANT;
	graph_vertex_label(w->g, v, label, sizeof(label));
	snprintf(name, sizeof(name), "%s %s", event_kind_name(event->kind), label);
	if (has_arrows) {
		err = arrows_find(w, v, &out.n_flows, &out.n_ends);
		out.flows = w->arrows;
		out.ends = w->arrows + out.n_flows;
	}
	if (part == PART_END) {
		out.category = out.name = NULL;
	} else if (part == PART_MOMENT && is_slice) { /* inside the slice, at its end: for the arrows */
		if (!out.n_flows && !out.n_ends)
			return err;
	} else {
		args_vertex(&args, w, v, label, &content);
	}
	out.args = args.rows;
	out.n_args = args.n;
	if (!err)
		err = perfetto_event(&out, w->out);
	free(content);
	return err;
}

static int fault_write(struct perfetto_writer *w, uint32_t i, uint64_t time, bool begin)
{
	const struct graph_fault *fault = &w->g->faults[i];
	struct args args = { .n = 0 };
	struct perfetto_event out = { .time_ns = time,
				      .track = perfetto_uuid(TRACK_FAULT, i),
				      .type = begin ? PERFETTO_BEGIN : PERFETTO_END,
				      .category = begin ? "fault" : NULL,
				      .name = begin ? fault->text : NULL,
				      .args = args.rows };

	if (begin) {
		arg_uint(&args, "fault", fault->id);
		arg_text(&args, "state", graph_fault_words(fault));
		arg_uint(&args, "lost_messages", fault->lost_messages);
		arg_uint(&args, "lost_bytes", fault->lost_bytes);
		arg_true(&args, "dry", !fault->acts);
	}
	out.n_args = args.n;
	return perfetto_event(&out, w->out);
}

static int hole_write(struct perfetto_writer *w, uint32_t i)
{
	const struct graph_hole *hole = &w->g->holes[i];
	struct args args = { .n = 0 };
	char name[PERFETTO_NAME_SIZE];

	snprintf(name, sizeof(name), "lost: a %s of %s", hole->receive_side ? "receive" : "send",
		 w->g->connections[hole->connection].label);
	arg_uint(&args, "from", hole->from);
	arg_uint(&args, "to", hole->to);
	arg_text(&args, "direction", hole->direction ? "<" : ">");
	return perfetto_event(&(struct perfetto_event){ .time_ns = w->t->first_ns,
							.track = perfetto_uuid(TRACK_RUN, 0),
							.type = PERFETTO_INSTANT,
							.category = "lost",
							.name = name,
							.args = args.rows,
							.n_args = args.n },
			      w->out);
}

void perfetto_run_name(const struct perfetto_writer *w, char *buf, size_t size)
{
	const struct store_run *row = w->q->run->row;

	snprintf(buf, size, "%s, run %" PRIu64 ": %s", row->experiment, row->id,
		 row->running ? "running" : outcome_name(row->outcome) ? outcome_name(row->outcome) : "?");
}

static int run_write(struct perfetto_writer *w, bool begin)
{
	const struct store_run *row = w->q->run->row;
	struct args args = { .n = 0 };
	char name[PERFETTO_NAME_SIZE];

	perfetto_run_name(w, name, sizeof(name));
	if (begin) {
		arg_uint(&args, "run", row->id);
		if (w->q->run->events_of != row->id)
			arg_uint(&args, "events_of", w->q->run->events_of);
		arg_text(&args, "experiment", row->experiment);
		arg_text(&args, "outcome", row->running ? "running" : outcome_name(row->outcome));
		arg_text(&args, "reason", row->reason);
		arg_text(&args, "warnings", row->warnings);
		arg_text(&args, "plan", row->plan);
		arg_true(&args, "dry_run", row->dry_run);
		arg_true(&args, "incomplete", row->incomplete || row->running);
		arg_uint(&args, "seed", row->seed);
		arg_uint(&args, "lost", row->running ? STORE_UNKNOWN : row->lost);
		arg_uint(&args, "holes", w->g->n_holes);
		arg_text(&args, "version", row->version);
	}
	return perfetto_event(&(struct perfetto_event){ .time_ns = begin ? w->t->first_ns : w->t->last_ns,
							.track = perfetto_uuid(TRACK_RUN, 0),
							.type = begin ? PERFETTO_BEGIN : PERFETTO_END,
							.category = begin ? "run" : NULL,
							.name = begin ? name : NULL,
							.args = args.rows,
							.n_args = args.n },
			      w->out);
}

int perfetto_part_write(struct perfetto_writer *w, const struct pair *part)
{
	switch ((enum part)part->more) {
	case PART_RUN_BEGIN:
	case PART_RUN_END:
		return run_write(w, part->more == PART_RUN_BEGIN);
	case PART_HOLE:
		return hole_write(w, part->value);
	case PART_BEGIN:
	case PART_MOMENT:
	case PART_END:
		return vertex_write(w, part->value, (enum part)part->more);
	case PART_FAULT_BEGIN:
	case PART_FAULT_END:
		return fault_write(w, part->value, part->key, part->more == PART_FAULT_BEGIN);
	}
	return 0;
}
