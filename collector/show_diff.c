/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See show_diff.h. */
#include "collector/show_diff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "collector/json.h"

#define SENTENCES_MAX 50u
#define LABEL_SIZE 320u

static bool equal(const struct shown_diff *shown, enum print_level level)
{
	return !print_compare(&shown->prints[0][level], &shown->prints[1][level]);
}

const char *show_diff_verdict(const struct shown_diff *shown)
{
	if (equal(shown, PRINT_LEVEL_EXACT))
		return "the same messages in the same causal order";
	if (equal(shown, PRINT_LEVEL_FOLDED))
		return "the same but for how often exchanges were repeated";
	if (equal(shown, PRINT_LEVEL_SHAPE))
		return "the same sorts of exchanges, in another order or number";
	return "other exchanges";
}

/* Why it is compared with this one. */
static void show_near(const struct near *near, FILE *out)
{
	if (near->same)
		fprintf(out, "  nearest   its experiment has done nothing else\n");
	else if (!near->class_id)
		fprintf(out, "  nearest   nothing that is like it was found; run %" PRIu64 " is the last whole one without faults\n", near->run);
	else if (near->later)
		fprintf(out, "  nearest   nothing like it was found before; of what came later this has most in common with it, some %.0f %%\n",
			100 * near->similarity);
	else
		fprintf(out, "  nearest   of what was found before it this has most in common with it, some %.0f %%\n", 100 * near->similarity);
}

void show_diff(const struct shown_diff *shown, bool all, FILE *out)
{
	const struct diff *diff = shown->diff;
	size_t n = all || diff->n_changes < SENTENCES_MAX ? diff->n_changes : SENTENCES_MAX;
	char cause[DIFF_CAUSE_MAX];

	fprintf(out, "run %" PRIu64 ", compared with run %" PRIu64 ": %s\n", shown->runs[1], shown->runs[0], show_diff_verdict(shown));
	fprintf(out, "  in both   %zu messages on %zu connections\n", diff->same_messages, diff->same_connections);
	for (int side = 1; side >= 0; side--)
		if (shown->events_of[side] != shown->runs[side])
			fprintf(out, "  events    run %" PRIu64 " did the same as run %" PRIu64 ", whose events are compared\n",
				shown->runs[side], shown->events_of[side]);
	if (shown->near)
		show_near(shown->near, out);
	for (int side = 0; side < 2; side++)
		if (shown->lost[side])
			fprintf(out, "  LOST      run %" PRIu64 " lost events: what is missing in it may not have been recorded\n",
				shown->runs[side]);
	if (diff->approximate)
		fprintf(out, "  so much differs that some of it was only paired by number\n");
	for (size_t i = 0; i < n; i++) {
		diff_cause_text(&diff->changes[i], cause);
		fprintf(out, "  %c %s%s%s%s\n", diff->changes[i].cause ? '.' : '*', diff->changes[i].text,
			*cause ? " (" : "", cause, *cause ? ")" : "");
	}
	if (n < diff->n_changes)
		fprintf(out, "  and %zu more: --all\n", diff->n_changes - n);
	if (!diff->n_changes && !equal(shown, PRINT_LEVEL_EXACT))
		fprintf(out, "  nothing that has a name differs: other threads did it, or connections ended in another order\n");
}

static const char *process_name_of(const struct graph *g, uint32_t process)
{
	return process ? g->trace->processes[process].name : NULL;
}

/* [of the run before, of the run after]. */
static json_t *both(json_t *before, json_t *after)
{
	return json_pack("[o,o]", before, after);
}

static json_t *processes_of(const struct shown_diff *shown, const struct diff_change *change)
{
	return both(json_text(process_name_of(shown->graphs[0], change->process[0])),
		    json_text(process_name_of(shown->graphs[1], change->process[1])));
}

static json_t *connection_of(const struct graph *g, uint32_t connection)
{
	return json_text(connection ? g->connections[connection].label : NULL);
}

static json_t *vertex_of(uint32_t vertex)
{
	return json_number(vertex == DIFF_NONE ? UINT64_MAX : vertex);
}

/* Labels of the messages that the change is about. */
static json_t *messages_of(const struct shown_diff *shown, const struct diff_change *change)
{
	unsigned side = change->kind != DIFF_MESSAGES_REMOVED && change->kind != DIFF_CONNECTION_REMOVED;
	const struct graph *g = shown->graphs[side];
	json_t *array = json_array();
	char label[LABEL_SIZE];

	if (change->kind == DIFF_REORDERED || !change->connection[side])
		return array;
	for (uint32_t i = 0; i < g->n_messages; i++) {
		const struct graph_message *m = &g->messages[i];

		if (m->connection != change->connection[side] || m->number < change->first[m->direction] ||
		    m->number - change->first[m->direction] >= change->n[m->direction])
			continue;
		graph_message_label(g, i, label, sizeof(label));
		json_array_append_new(array, json_text(label));
	}
	return array;
}

static json_t *cause_of(const struct shown_diff *shown, const struct diff_change *change)
{
	const struct graph_fault *fault = graph_fault_find(shown->graphs[change->cause_run], change->fault);

	switch (change->cause) {
	case DIFF_UNEXPLAINED:
		break;
	case DIFF_BY_LOSS:
		return json_pack("{s:o,s:b}", "run", json_number(shown->runs[change->cause_run]), "lost", 1);
	case DIFF_BY_FAULT:
		return json_pack("{s:o,s:i,s:o,s:b}", "run", json_number(shown->runs[change->cause_run]), "fault",
				 (int)change->fault, "line", json_text(fault ? fault->text : NULL), "taken", change->lost_to_it);
	}
	return json_null();
}

static json_t *change_object(const struct shown_diff *shown, const struct diff_change *change)
{
	json_t *object = json_object();

	json_object_set_new(object, "kind", json_text(diff_kind_name(change->kind)));
	json_object_set_new(object, "text", json_text(change->text));
	json_object_set_new(object, "process", processes_of(shown, change));
	json_object_set_new(object, "connection", both(connection_of(shown->graphs[0], change->connection[0]),
						       connection_of(shown->graphs[1], change->connection[1])));
	json_object_set_new(object, "vertex", both(vertex_of(change->vertex[0]), vertex_of(change->vertex[1])));
	json_object_set_new(object, "messages", messages_of(shown, change));
	json_object_set_new(object, "explained_by", cause_of(shown, change));
	return object;
}

static json_t *near_object(const struct near *near)
{
	if (!near)
		return json_null();
	return json_pack("{s:o,s:o,s:b,s:b}", "class", near->class_id ? json_number(near->class_id) : json_null(), "similarity",
			 near->class_id ? json_real(near->similarity) : json_null(), "later", near->later, "same", near->same);
}

void show_diff_members(struct json_writer *w, const struct shown_diff *shown)
{
	const struct diff *diff = shown->diff;
	json_t *levels = json_object();

	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
		json_object_set_new(levels, print_level_name(level), json_boolean(equal(shown, level)));
	json_member(w, "runs", both(json_number(shown->runs[0]), json_number(shown->runs[1])));
	json_member(w, "events_of", both(json_number(shown->events_of[0]), json_number(shown->events_of[1])));
	json_member(w, "nearest", near_object(shown->near));
	json_member(w, "experiment", both(json_text(shown->experiments[0]), json_text(shown->experiments[1])));
	json_member(w, "lost", both(json_number(shown->lost[0]), json_number(shown->lost[1])));
	json_member(w, "equal", levels);
	json_member(w, "messages_in_both", json_number(diff->same_messages));
	json_member(w, "connections_in_both", json_number(diff->same_connections));
	json_member(w, "approximate", json_boolean(diff->approximate));
	json_array_begin(w, "changes");
	for (size_t i = 0; i < diff->n_changes; i++)
		json_element(w, change_object(shown, &diff->changes[i]));
	json_array_end(w);
}

int show_diff_json(const struct shown_diff *shown, FILE *out, struct error *e)
{
	struct json_writer w;

	json_begin(&w, out);
	show_diff_members(&w, shown);
	json_end(&w);
	return w.failed ? error_set(e, -ENOMEM, "out of memory") : 0;
}
