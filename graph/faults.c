/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Faults: which there were, and the edges that say what they did to processes and to the ends of connections. What is
 * known of a fault is its events and its receipt; its line says what kind it is. Knows nothing of bytes (losses.c).
 *
 *   armed -> fired -> lifted or expired
 *   the exit of a process -> the restart that it brought about -> the first event of the process that was started
 *   fired -> the call at which it fired, if that came after it; the exit of what it killed; the reset, or the end of
 *            file, that it made
 *
 * No edge leads to an ARMED, and none leads back from an end: only what a fault hit could be before it in a damaged
 * trace, and edges.c takes such an edge away. Fails only without memory.
 */
#include "graph/build.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define CALL_STEPS 64 /* events of a thread between a fault and the call that it fired in */

int build_fault_note(struct build *b, uint32_t v)
{
	if (build_grow((void **)&b->fault_vertices, &b->cap_fault_vertices, b->n_fault_vertices,
		       sizeof(*b->fault_vertices)) < 0)
		return -ENOMEM;
	b->fault_vertices[b->n_fault_vertices++] = v;
	return 0;
}

static const char *text_of(const struct build *b, const struct event *event)
{
	return event->text && event->text <= b->trace->n_texts ? text_or(b->trace->texts[event->text], "") : "";
}

static int id_compare(const void *a, const void *b)
{
	const struct graph_fault *p = a, *q = b;

	return p->id < q->id ? -1 : p->id > q->id;
}

/* One for each id that an event or a receipt names, sorted. */
static int find_ids(struct build *b)
{
	const struct trace *trace = b->trace;
	size_t most = b->n_fault_vertices + trace->n_receipts, n = 0, kept = 0;
	struct graph_fault *faults;

	if (!most)
		return 0;
	faults = calloc(most, sizeof(*faults));
	if (!faults)
		return -ENOMEM;
	for (size_t i = 0; i < b->n_fault_vertices; i++)
		faults[n++].id = (uint32_t)build_event(b, b->fault_vertices[i])->value;
	for (size_t i = 0; i < trace->n_receipts; i++)
		faults[n++].id = trace->receipts[i].id;
	qsort(faults, n, sizeof(*faults), id_compare);
	for (size_t i = 0; i < n; i++)
		if (!kept || faults[kept - 1].id != faults[i].id)
			faults[kept++] = faults[i];
	for (size_t i = 0; i < kept; i++)
		faults[i].armed = faults[i].fired = faults[i].ended = faults[i].call = NO_VERTEX;
	b->g->faults = faults;
	b->g->n_faults = kept;
	b->lines = calloc(kept, sizeof(*b->lines));
	return b->lines ? 0 : -ENOMEM;
}

struct graph_fault *graph_fault_find(const struct graph *g, uint32_t id)
{
	struct graph_fault wanted = { .id = id };

	return g->n_faults ? bsearch(&wanted, g->faults, g->n_faults, sizeof(wanted), id_compare) : NULL;
}

/* Of several agents that had the same fault, the first one's word. Vertices are in canonical order. */
static void keep_earlier(const struct build *b, uint32_t *at, uint32_t v)
{
	if (*at == NO_VERTEX || build_event(b, v)->enter_ns < build_event(b, *at)->enter_ns)
		*at = v;
}

static void keep_later(const struct build *b, uint32_t *at, uint32_t v)
{
	if (*at == NO_VERTEX || build_event(b, v)->enter_ns > build_event(b, *at)->enter_ns)
		*at = v;
}

static void note_events(struct build *b)
{
	for (size_t i = 0; i < b->n_fault_vertices; i++) {
		uint32_t v = b->fault_vertices[i];
		const struct event *event = build_event(b, v);
		struct graph_fault *fault = graph_fault_find(b->g, (uint32_t)event->value);

		if (!fault->text || !*fault->text)
			fault->text = text_of(b, event);
		if (event->kind == EVENT_ARMED)
			keep_earlier(b, &fault->armed, v);
		else if (event->kind == EVENT_FIRED)
			keep_earlier(b, &fault->fired, v);
		else
			keep_later(b, &fault->ended, v);
	}
	for (size_t i = 0; i < b->trace->n_receipts; i++) { /* the last of an id counts */
		const struct fault_receipt *receipt = &b->trace->receipts[i];
		struct graph_fault *fault = graph_fault_find(b->g, receipt->id);

		fault->receipt = receipt;
		if (!fault->text || !*fault->text)
			fault->text = receipt->line;
	}
}

/* A dry one has fired, but nothing came of it. */
static bool acts(const struct graph_fault *fault)
{
	if (fault->receipt && fault->receipt->state == FAULT_STATE_WOULD_FIRE)
		return false;
	return fault->fired != NO_VERTEX || (fault->receipt && fault->receipt->fired_ns);
}

static int read_lines(struct build *b)
{
	for (size_t i = 0; i < b->g->n_faults; i++) {
		struct graph_fault *fault = &b->g->faults[i];
		struct error e;
		int column, err;

		fault->text = text_or(fault->text, "");
		fault->acts = acts(fault);
		err = fault_parse(fault->text, strlen(fault->text), &b->lines[i], &column, &e);
		if (err == -ENOMEM)
			return err;
		if (err) /* of another version: what it did is not known */
			memset(&b->lines[i], 0, sizeof(b->lines[i]));
		fault->kind = b->lines[i].kind;
		fault->flags = b->lines[i].flags;
	}
	return 0;
}

/* Ends whose stream breaks off where the fault fired: the fault tells the peer, not the kernel of this end. */
static void note_ends(struct build *b)
{
	for (size_t i = 0; i < b->g->n_faults; i++) {
		struct graph_fault *fault = &b->g->faults[i];
		const struct event *event;
		uint32_t end;

		if (fault->fired == NO_VERTEX)
			continue;
		event = build_event(b, fault->fired);
		end = build_end(b, event);
		if (!end)
			continue;
		fault->end = end;
		fault->pos = event->pos;
		fault->connection = b->ends[end].connection;
		if (!fault->acts || b->lines[i].at.kind != MOMENT_SEND)
			continue;
		if (fault->kind == FAULT_RESET || (fault->kind == FAULT_CRASH && !(fault->flags & FAULT_F_SILENT)))
			b->ends[end].broken = i + 1;
	}
}

static int link_chain(struct build *b)
{
	int err = 0;

	for (size_t i = 0; i < b->n_fault_vertices && !err; i++) {
		uint32_t v = b->fault_vertices[i];
		const struct event *event = build_event(b, v);
		const struct graph_fault *fault = graph_fault_find(b->g, (uint32_t)event->value);

		if (event->kind == EVENT_FIRED && fault->armed != NO_VERTEX)
			err = build_edge_add(b, fault->armed, v, RULE_FAULT, 0);
		else if (event->kind == EVENT_LIFTED || event->kind == EVENT_EXPIRED)
			err = fault->fired != NO_VERTEX ? build_edge_add(b, fault->fired, v, RULE_FAULT, 0) :
			      fault->armed != NO_VERTEX ? build_edge_add(b, fault->armed, v, RULE_FAULT, 0) : 0;
	}
	return err;
}

/* The call of that thread which is about the same end; NO_VERTEX if that was before. */
static uint32_t call_of(const struct build *b, uint32_t fired, enum event_kind kind)
{
	const struct event *event = build_event(b, fired), *next;
	uint32_t rank = b->rank[b->g->vertices[fired].process];

	if (event_floats(event) || rank >= b->trace->n_processes)
		return NO_VERTEX;
	for (uint32_t v = fired + 1; v < b->floating[rank] && v - fired < CALL_STEPS; v++) {
		next = build_event(b, v);
		if (next->thread == event->thread && next->kind == kind && next->end == event->end)
			return v;
	}
	return NO_VERTEX;
}

static bool was_killed(const struct build *b, uint32_t exit)
{
	int status = (int)build_event(b, exit)->value;

	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* The clock only says what was not the fault's: who had ended before. */
static int link_exit(struct build *b, const struct graph_fault *fault, uint32_t exit)
{
	if (exit == NO_VERTEX || !was_killed(b, exit) ||
	    build_event(b, exit)->return_ns < build_event(b, fault->fired)->enter_ns)
		return 0;
	return build_edge_add(b, fault->fired, exit, RULE_FAULT, 0);
}

static int link_exits(struct build *b, const struct graph_fault *fault, const struct fault *line, const uint32_t *exits)
{
	const struct trace *trace = b->trace;
	int err = 0;

	for (size_t i = 1; i <= trace->n_processes && !err; i++) {
		bool hit = fault->kind == FAULT_CRASH ?
				   build_is_called(trace, i, line->process) :
				   !strcmp(build_box_name(trace, trace->processes[i].box), line->from[0]);

		if (hit)
			err = link_exit(b, fault, exits[i]);
	}
	return err;
}

static int link_call(struct build *b, struct graph_fault *fault, const struct fault *line)
{
	static const enum event_kind kinds[MOMENT_KIND_COUNT] = {
		[MOMENT_SEND] = EVENT_SEND, [MOMENT_RECV] = EVENT_RECV, [MOMENT_CONNECT] = EVENT_CONNECT,
		[MOMENT_ACCEPT] = EVENT_ACCEPT,
	};

	if (fault->end && line->at.kind < MOMENT_KIND_COUNT && kinds[line->at.kind])
		fault->call = call_of(b, fault->fired, kinds[line->at.kind]);
	return fault->call == NO_VERTEX ? 0 : build_edge_add(b, fault->fired, fault->call, RULE_FAULT, 0);
}

/* The incarnation before s1'2 is s1, that before s1'3 is s1'2. */
static uint32_t life_before(const struct trace *trace, uint32_t process)
{
	const char *name = text_or(trace->processes[process].name, ""), *other;
	unsigned long life, before;
	size_t n = graph_label_life(name, &life);

	for (size_t i = 1; i <= trace->n_processes && life > 1; i++) {
		other = text_or(trace->processes[i].name, "");
		if (graph_label_life(other, &before) == n && before == life - 1 && !memcmp(other, name, n))
			return i;
	}
	return 0;
}

static int link_restart(struct build *b, const struct graph_fault *fault, const uint32_t *exits)
{
	uint32_t process = build_peer(b, build_event(b, fault->fired)), rank = b->rank[process];
	uint32_t before = process ? life_before(b->trace, process) : 0;
	int err = 0;

	if (process && b->lane[rank] < b->floating[rank])
		err = build_edge_add(b, fault->fired, b->lane[rank], RULE_FAULT, 0);
	if (!err && before && exits[before] != NO_VERTEX)
		err = build_edge_add(b, exits[before], fault->fired, RULE_FAULT, 0);
	return err;
}

static int link_effects(struct build *b, const uint32_t *exits)
{
	int err = 0;

	for (size_t i = 0; i < b->g->n_faults && !err; i++) {
		struct graph_fault *fault = &b->g->faults[i];

		if (fault->fired == NO_VERTEX || !fault->acts)
			continue;
		err = link_call(b, fault, &b->lines[i]);
		if (!err && (fault->kind == FAULT_CRASH || fault->kind == FAULT_CRASH_BOX))
			err = link_exits(b, fault, &b->lines[i], exits);
		if (!err && fault->kind == FAULT_RESTART)
			err = link_restart(b, fault, exits);
	}
	return err;
}

uint32_t build_broken(const struct build *b, uint32_t end, uint64_t *ret_pos)
{
	const struct graph_fault *fault;

	if (!b->ends[end].broken)
		return NO_VERTEX;
	fault = &b->g->faults[b->ends[end].broken - 1];
	*ret_pos = fault->pos;
	return fault->fired;
}

int build_faults(struct build *b, const uint32_t *exits)
{
	int err = find_ids(b);

	if (err < 0 || !b->g->n_faults)
		return err;
	note_events(b);
	err = read_lines(b);
	if (err < 0)
		return err;
	note_ends(b);
	err = link_chain(b);
	return err < 0 ? err : link_effects(b, exits);
}
