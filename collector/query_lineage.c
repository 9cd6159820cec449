/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages of a run, what a moment can depend on, and what the goals stood on (docs/lineage.md). See query.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/query_inside.h"

enum { LABEL_SIZE = 2048, CHECK_OUTPUT_MAX = 64 * 1024 /* that is kept of what a check wrote */ };

static const char *process_name(const struct trace *trace, uint32_t process)
{
	return process && process <= trace->n_processes ? trace->processes[process].name : NULL;
}

static const char *box_of(const struct trace *trace, uint32_t process)
{
	uint32_t box = process && process <= trace->n_processes ? trace->processes[process].box : 0;

	return box && box <= trace->n_boxes ? trace->boxes[box].name : NULL;
}

/* A plan can name it: of TCP, from its connection's first byte on. */
static bool is_named(const struct graph *g, const struct graph_message *m)
{
	const struct graph_connection *c = &g->connections[m->connection];

	return c->transport == TRANSPORT_TCP && m->number && c->label && !strchr(c->label, '?');
}

static int receives_add(const struct query_run *q, uint32_t m, Bop__Api__Message *row)
{
	size_t n;
	const uint32_t *receives = lineage_receives(q->lineage, m, &n);

	if (n > QUERY_RECEIVES_MAX)
		n = QUERY_RECEIVES_MAX;
	if (!n)
		return 0;
	row->recv_vertices = malloc(n * sizeof(*row->recv_vertices));
	if (!row->recv_vertices)
		return -ENOMEM;
	memcpy(row->recv_vertices, receives, n * sizeof(*receives));
	row->n_recv_vertices = n;
	return 0;
}

static int texts_fill(const struct query_run *q, uint32_t m, Bop__Api__Message *row)
{
	const struct graph *g = q->graph;
	const struct graph_connection *c = &g->connections[g->messages[m].connection];
	uint32_t from = lineage_sender(q->lineage, m), to = lineage_receiver(q->lineage, m);
	char label[LABEL_SIZE];

	graph_message_label(g, m, label, sizeof(label));
	return query_text(&row->label, label) || query_text(&row->connection, c->label) ||
			       query_text(&row->from, process_name(g->trace, from)) ||
			       query_text(&row->to, process_name(g->trace, to)) ||
			       query_text(&row->from_box, box_of(g->trace, from)) ||
			       query_text(&row->to_box, box_of(g->trace, to)) ||
			       query_text(&row->transport, transport_name(c->transport)) ? -ENOMEM : 0;
}

static Bop__Api__Message *message_row(const struct query_run *q, uint32_t m)
{
	const struct graph_message *from = &q->graph->messages[m];
	Bop__Api__Message *row = QUERY_MAKE(message);

	if (!row)
		return NULL;
	row->direction = from->direction;
	row->number = from->number;
	row->bytes = from->size;
	row->received = from->received;
	row->time = q->times[m].sent;
	row->received_time = q->times[m].received;
	row->send_vertex = from->send;
	row->delivered = from->delivered;
	row->racy = from->racy;
	row->teardown = q->graph->vertices[from->send].teardown;
	row->inferred = from->inferred;
	row->named = is_named(q->graph, from);
	row->lost_by = from->lost_by;
	if (!texts_fill(q, m, row) && !receives_add(q, m, row))
		return row;
	bop__api__message__free_unpacked(row, NULL);
	return NULL;
}

/* A page of rows: whoever fills it offers them all. */
struct page {
	uint64_t after; /* rows that are still to be left out */
	size_t limit;
	bool more;
};

static struct page page_begin(uint64_t after, uint32_t limit, size_t max)
{
	return (struct page){ .after = after, .limit = limit && limit < max ? limit : max };
}

/* Whether this row is one of the page, which has n so far. */
static bool page_takes(struct page *page, size_t n)
{
	if (page->after) {
		page->after--;
		return false;
	}
	page->more |= n == page->limit;
	return n < page->limit;
}

int query_get_messages(struct store *store, const Bop__Api__GetMessages *ask, Bop__Api__Messages *answer,
		       struct error *e)
{
	struct page page = page_begin(ask->after, ask->limit, QUERY_MESSAGES_MAX);
	struct query_run q = { .run = NULL };
	int err = query_lineage_open(store, ask->run, ask->order, &q, e);

	for (uint32_t m = 0; !err && m < q.graph->n_messages && !page.more; m++)
		if (page_takes(&page, answer->n_rows))
			err = query_row_add(&answer->rows, &answer->n_rows, message_row(&q, m));
	answer->more = page.more;
	query_run_fini(&q);
	return err;
}

static int processes_add(const struct query_run *q, const bool *past, Bop__Api__Past *answer)
{
	const struct trace *trace = q->graph->trace;
	bool *seen = calloc(trace->n_processes + 1, sizeof(*seen));
	int err = seen ? 0 : -ENOMEM;

	for (size_t v = 0; v < q->graph->n_vertices && !err; v++)
		seen[past[v] ? q->graph->vertices[v].process : 0] = true;
	for (uint32_t p = 1; p <= trace->n_processes && answer->n_processes < QUERY_LIST_MAX && !err; p++)
		if (seen[p] && trace->processes[p].name)
			err = query_text_add(&answer->processes, &answer->n_processes, trace->processes[p].name,
					     strlen(trace->processes[p].name));
	free(seen);
	return err;
}

int query_get_past(struct store *store, const Bop__Api__GetPast *ask, Bop__Api__Past *answer, struct error *e)
{
	struct page page = page_begin(ask->after, ask->limit, QUERY_MESSAGES_MAX);
	struct query_run q = { .run = NULL };
	uint32_t vertex = LINEAGE_NONE;
	bool *past = NULL;
	int err = query_lineage_open(store, ask->run, ask->order, &q, e);

	if (!err && *ask->moment)
		err = lineage_moment(q.lineage, ask->moment, &vertex, e);
	if (!err)
		err = lineage_past(q.lineage, vertex, &past);
	for (uint32_t m = 0; !err && m < q.graph->n_messages && !page.more; m++)
		if (lineage_received(q.lineage, past, m) && page_takes(&page, answer->n_messages))
			err = query_row_add(&answer->messages, &answer->n_messages, message_row(&q, m));
	if (!err)
		err = processes_add(&q, past, answer);
	answer->more = page.more;
	free(past);
	query_run_fini(&q);
	return err;
}

/* Nothing can be concluded from a run of which something is missing. */
static int whole_check(const struct query_run *q, struct error *e)
{
	const struct store_run *row = q->run->row;
	unsigned long long id = row->id;

	if (row->running)
		return error_set(e, -ENODATA, "run %llu goes on: what its outcome stands on is known when it has ended",
				 id);
	if (row->incomplete || q->run->trace.lost == STORE_UNKNOWN)
		return error_set(e, -ENODATA,
				 "run %llu is incomplete: its record ends before it did, so no support of it is sure",
				 id);
	if (q->run->trace.lost || row->lost)
		return error_set(e, -ENODATA, "run %llu lost %llu events, so no support of it is sure", id,
				 (unsigned long long)(q->run->trace.lost ? q->run->trace.lost : row->lost));
	if (q->graph->n_holes)
		return error_set(e, -ENODATA,
				 "run %llu has bytes that no event shows (%zu holes), so no support of it is sure", id,
				 q->graph->n_holes);
	return 0;
}

static int goals_find(const struct query_run *q, struct lineage_goals *goals, struct error *e)
{
	const char **workloads = calloc(q->run->n_processes + 1, sizeof(*workloads));
	const struct store_process *check = NULL;
	size_t n = 0;
	int err = workloads ? 0 : -ENOMEM;

	for (size_t i = 0; i < q->run->n_processes && !err; i++) {
		if (q->run->processes[i].role == STORE_WORKLOAD)
			workloads[n++] = q->run->processes[i].name;
		if (q->run->processes[i].role == STORE_CHECK)
			check = &q->run->processes[i];
	}
	if (!err && check && check->output)
		err = lineage_goals_read(q->lineage, check->output, check->output_size, goals, e);
	if (!err && goals->n && check->output_size >= CHECK_OUTPUT_MAX)
		err = error_set(
			e, -EINVAL,
			"the check of run %llu wrote more than the %d bytes that are kept: some of its goals may be "
			"missing",
			(unsigned long long)q->run->row->id, CHECK_OUTPUT_MAX);
	if (!err && !goals->n)
		err = lineage_goals_default(q->lineage, workloads, n, goals);
	free(workloads);
	return err;
}

/* The process is the workload, a child of it, or it again: client, client.1, client'2. */
static bool is_workload(const struct run *run, const char *process)
{
	for (size_t i = 0; i < run->n_processes; i++) {
		const char *name = run->processes[i].name;
		size_t n = strlen(name);

		if (run->processes[i].role == STORE_WORKLOAD && !strncmp(process, name, n) &&
		    (!process[n] || process[n] == '.' || process[n] == '\''))
			return true;
	}
	return false;
}

static int crash_add(Bop__Api__Goal *goal, const Bop__Api__Message *message)
{
	Bop__Api__Crash *row = QUERY_MAKE(crash);
	char moment[LABEL_SIZE + 8];
	int err = query_row_add(&goal->crashes, &goal->n_crashes, row);

	if (err)
		return err;
	snprintf(moment, sizeof(moment), "send %s", message->label);
	row->time = message->time;
	return query_text(&row->process, message->from) || query_text(&row->moment, moment) ? -ENOMEM : 0;
}

static int support_add(const struct query_run *q, const struct lineage_goal *from, bool workloads, Bop__Api__Goal *goal,
		       struct error *e)
{
	bool *past = NULL;
	int err = query_text(&goal->name, from->name) || query_text(&goal->moment, from->moment) ? -ENOMEM : 0;

	if (!err)
		err = lineage_past(q->lineage, from->vertex, &past);
	for (uint32_t m = 0; m < q->graph->n_messages && !err; m++) {
		Bop__Api__Message *row;

		if (!lineage_supports(q->lineage, past, m))
			continue;
		if (goal->n_messages == QUERY_SUPPORT_MAX) {
			err = error_set(e, -E2BIG, "goal '%s' stands on more than %d messages: name smaller goals",
					from->name, QUERY_SUPPORT_MAX);
			break;
		}
		row = message_row(q, m);
		err = query_row_add(&goal->messages, &goal->n_messages, row);
		if (!err && row->named && (workloads || !is_workload(q->run, row->from)))
			err = crash_add(goal, row);
	}
	free(past);
	return err;
}

static int goals_add(const struct query_run *q, const Bop__Api__GetSupports *ask, const struct lineage_goals *goals,
		     Bop__Api__Supports *answer, struct error *e)
{
	struct page page = page_begin(ask->after, ask->limit, QUERY_GOALS_MAX);
	bool known = !*ask->goal;
	size_t n_messages = 0;
	int err = 0;

	for (size_t i = 0; i < goals->n && !page.more && !err; i++) {
		Bop__Api__Goal *goal;

		if (*ask->goal && strcmp(goals->rows[i].name, ask->goal))
			continue;
		known = true;
		if (n_messages > QUERY_MESSAGES_MAX) /* enough for a page */
			page.limit = answer->n_goals;
		if (!page_takes(&page, answer->n_goals))
			continue;
		goal = QUERY_MAKE(goal);
		err = query_row_add(&answer->goals, &answer->n_goals, goal);
		if (!err)
			err = support_add(q, &goals->rows[i], ask->workloads, goal, e);
		if (!err)
			n_messages += goal->n_messages;
	}
	answer->more = page.more;
	return err || known ? err
			    : error_set(e, -ENOENT, "run %llu has no goal '%s'", (unsigned long long)q->run->row->id,
					ask->goal);
}

int query_get_supports(struct store *store, const Bop__Api__GetSupports *ask, Bop__Api__Supports *answer,
		       struct error *e)
{
	struct lineage_goals goals = { .n = 0 };
	struct query_run q = { .run = NULL };
	int err = query_lineage_open(store, ask->run, "", &q, e);

	if (!err)
		err = whole_check(&q, e);
	if (!err)
		err = goals_find(&q, &goals, e);
	if (!err)
		err = goals_add(&q, ask, &goals, answer, e);
	lineage_goals_fini(&goals);
	query_run_fini(&q);
	return err;
}
