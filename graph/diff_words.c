/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What differs, as a person would say it: whose doing first, then the names of what is meant. Fails only without memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "graph/diff_inside.h"

#define NAME_SIZE 320u

static const char *process_of(const struct diff_side *side, uint32_t process)
{
	return text_or(process ? side->g->trace->processes[process].name : NULL, "somebody");
}

static const char *label_of(const struct diff_side *side, uint32_t connection)
{
	return side->g->connections[connection].label;
}

/* Who is at an end: the process; if it is not known, what the label says: ?>s1:7000#?(...), client>s1:7000#1. */
static const char *party(const struct diff_side *side, uint32_t connection, unsigned direction, char buf[NAME_SIZE])
{
	uint32_t process = diff_party(side, connection, direction);
	const char *label = label_of(side, connection), *middle = strpbrk(label, "><~");
	size_t size = diff_name_size(label);

	if (process)
		snprintf(buf, NAME_SIZE, "%s", process_of(side, process));
	else if (!middle)
		snprintf(buf, NAME_SIZE, "%s", label);
	else if (direction)
		snprintf(buf, NAME_SIZE, "%.*s", (int)(size - (middle + 1 - label)), middle + 1);
	else
		snprintf(buf, NAME_SIZE, "%.*s", (int)(middle - label), label);
	return buf;
}

/* client>s1:7000#1/2, or /2-3 of several. */
static void messages_print(FILE *out, const struct diff_side *side, const struct diff_change *change, uint32_t connection,
			   unsigned direction)
{
	char label[NAME_SIZE];
	bool datagram;

	for (uint32_t i = side->first[connection]; i < side->first[connection + 1]; i++) {
		const struct graph_message *m = &side->g->messages[side->word[i]];

		if (m->direction != direction || m->number != change->first[direction])
			continue;
		graph_message_label(side->g, side->word[i], label, sizeof(label));
		datagram = *label && label[strlen(label) - 1] == '<'; /* of one that came back, the arrow is behind the number */
		if (datagram)
			label[strlen(label) - 1] = '\0';
		fputs(label, out);
		if (change->n[direction] > 1)
			fprintf(out, "-%" PRIu32, change->first[direction] + change->n[direction] - 1);
		fputs(datagram ? "<" : "", out);
		return;
	}
}

static void both_print(FILE *out, const struct diff_side *side, const struct diff_change *change, uint32_t connection)
{
	bool several = change->n[0] + change->n[1] > 1;

	if (change->n[0])
		messages_print(out, side, change, connection, 0);
	if (change->n[0] && change->n[1])
		fputs(" and ", out);
	if (change->n[1])
		messages_print(out, side, change, connection, 1);
	fputs(several ? " are " : " is ", out);
}

static void times_print(FILE *out, uint32_t n)
{
	if (n == 1)
		fputs("once", out);
	else if (n == 2)
		fputs("twice", out);
	else
		fprintf(out, "%" PRIu32 " times", n);
}

static void say_messages(FILE *out, const struct diffing *d, const struct diff_change *change)
{
	bool added = change->kind == DIFF_MESSAGES_ADDED;
	const struct diff_side *side = &d->sides[added];
	uint32_t c = change->connection[added];
	unsigned direction = !change->n[0];
	char a[NAME_SIZE], b[NAME_SIZE];

	party(side, c, direction, a);
	party(side, c, !direction, b);
	if (change->n[0] && change->n[1]) {
		fprintf(out, "%s asked %s ", a, b);
		times_print(out, change->turns ? change->turns : 1);
		fputs(added ? " more: " : " less: ", out);
	} else if (change->answers && !added) {
		fprintf(out, "%s's reply never came: ", a);
	} else {
		fprintf(out, "%s sent %s %" PRIu32 " message%s %s: ", a, b, change->n[direction],
			change->n[direction] == 1 ? "" : "s", added ? "more" : "less");
	}
	both_print(out, side, change, c);
	fputs(added ? "new" : "not there", out);
}

/* Whether the same was asked for on another connection, too. */
static bool is_again(const struct diff_side *side, uint32_t connection)
{
	const char *label = label_of(side, connection);
	size_t size = diff_name_size(label);

	for (size_t i = 0; i < side->n_sorted; i++) {
		const char *other = label_of(side, side->sorted[i]);

		if (side->sorted[i] != connection && diff_name_size(other) == size && !memcmp(other, label, size))
			return true;
	}
	return false;
}

static void say_lone(FILE *out, const struct diffing *d, const struct diff_change *change)
{
	bool added = change->kind == DIFF_CONNECTION_ADDED;
	const struct diff_side *side = &d->sides[added];
	uint32_t c = change->connection[added], n = change->n[0] + change->n[1];
	bool again = is_again(side, c);
	const char *result = diff_result(side, c);
	char a[NAME_SIZE], b[NAME_SIZE];

	party(side, c, 0, a);
	party(side, c, 1, b);
	if (added)
		fprintf(out, "%s tried %s%s: connection %s is new", a, b, again ? " again" : "", label_of(side, c));
	else
		fprintf(out, "%s did not try %s%s: connection %s is not there", a, b, again ? " again" : "", label_of(side, c));
	if (*result)
		fprintf(out, " (%s)", result);
	else if (change->n[0] && !change->n[1])
		fprintf(out, " (%" PRIu32 " message%s, no reply)", n, n == 1 ? "" : "s");
	else
		fprintf(out, " (%" PRIu32 " message%s)", n, n == 1 ? "" : "s");
}

static void say_instead(FILE *out, const struct diffing *d, const struct diff_change *change)
{
	char a[NAME_SIZE], b[NAME_SIZE], other[NAME_SIZE];

	party(&d->sides[1], change->connection[1], 0, a);
	party(&d->sides[1], change->connection[1], 1, b);
	party(&d->sides[0], change->connection[0], 1, other);
	fprintf(out, "%s tried %s instead of %s: connection %s is in the place of %s", a, b, other,
		label_of(&d->sides[1], change->connection[1]), label_of(&d->sides[0], change->connection[0]));
}

static void say_result(FILE *out, const struct diffing *d, const struct diff_change *change)
{
	const char *now = diff_result(&d->sides[1], change->connection[1]);
	const char *before = diff_result(&d->sides[0], change->connection[0]);

	fprintf(out, "connection %s was %s; before, it was %s", label_of(&d->sides[1], change->connection[1]),
		*now ? now : "made", *before ? before : "made");
}

static void say_received(FILE *out, const struct diffing *d, const struct diff_change *change)
{
	const struct diff_side *side = &d->sides[1];
	unsigned direction = !change->n[0];
	char name[NAME_SIZE];

	if (change->kind == DIFF_UNRECEIVED && direction)
		fprintf(out, "%s's reply never came: ", party(side, change->connection[1], 1, name));
	messages_print(out, side, change, change->connection[1], direction);
	fputs(change->kind == DIFF_UNRECEIVED ? " was sent, and not received" : " was received; before, it was not", out);
}

static void status_print(FILE *out, const struct diff_side *side, uint32_t v)
{
	int status = v == DIFF_NONE ? 0 : (int)side->g->trace->events[side->g->vertices[v].event].value;

	if (v == DIFF_NONE)
		fputs("did not end", out);
	else if (WIFSIGNALED(status))
		fprintf(out, "was killed by signal %d", WTERMSIG(status));
	else
		fprintf(out, "exited with status %d", WEXITSTATUS(status));
}

static void say_exit(FILE *out, const struct diffing *d, const struct diff_change *change)
{
	fprintf(out, "%s ", process_of(&d->sides[1], change->process[1]));
	status_print(out, &d->sides[1], change->vertex[1]);
	fputs("; before, it ", out);
	status_print(out, &d->sides[0], change->vertex[0]);
}

static void say_process(FILE *out, const struct diffing *d, const struct diff_change *change)
{
	bool added = change->kind == DIFF_PROCESS_ADDED;
	const struct diff_side *side = &d->sides[added];
	uint32_t process = change->process[added], parent = side->g->trace->processes[process].parent;

	fputs(process_of(side, process), out);
	if (parent)
		fprintf(out, ", a child of %s,", process_of(side, parent));
	fputs(added ? " is new" : " is not there", out);
}

static void say_fault(FILE *out, const struct diffing *d, const struct diff_change *change)
{
	const struct graph_fault *fault = graph_fault_find(d->sides[change->cause_run].g, change->fault);

	fprintf(out, change->cause_run ? "fault %" PRIu32 " fired: %s" : "fault %" PRIu32 " of the other run did not fire: %s",
		change->fault, fault ? fault->text : "?");
}

static void moment_print(FILE *out, const struct graph *g, uint32_t v)
{
	char label[NAME_SIZE];

	graph_vertex_label(g, v, label, sizeof(label));
	fprintf(out, "%s %s", event_kind_name(g->trace->events[g->vertices[v].event].kind), label);
}

static void say_order(FILE *out, const struct diffing *d, const struct diff_change *change)
{
	const struct graph *g = d->sides[1].g;

	fprintf(out, "%s: ", process_of(&d->sides[1], change->process[1]));
	moment_print(out, g, change->vertex[1]);
	if (change->n[0] > 1)
		fprintf(out, " and what follows, %" PRIu32 " moments,", change->n[0]);
	fprintf(out, " came %s ", change->later ? "after" : "before");
	moment_print(out, g, change->beside);
	fprintf(out, ", not %s it", change->later ? "before" : "after");
}

static void say(FILE *out, const struct diffing *d, const struct diff_change *change)
{
	switch (change->kind) {
	case DIFF_FAULT:
		say_fault(out, d, change);
		break;
	case DIFF_PROCESS_ADDED:
	case DIFF_PROCESS_REMOVED:
		say_process(out, d, change);
		break;
	case DIFF_EXIT:
		say_exit(out, d, change);
		break;
	case DIFF_CONNECTION_ADDED:
	case DIFF_CONNECTION_REMOVED:
		say_lone(out, d, change);
		break;
	case DIFF_CONNECTION_INSTEAD:
		say_instead(out, d, change);
		break;
	case DIFF_RESULT:
		say_result(out, d, change);
		break;
	case DIFF_MESSAGES_ADDED:
	case DIFF_MESSAGES_REMOVED:
		say_messages(out, d, change);
		break;
	case DIFF_UNRECEIVED:
	case DIFF_RECEIVED:
		say_received(out, d, change);
		break;
	case DIFF_REORDERED:
		say_order(out, d, change);
		break;
	case DIFF_KIND_COUNT:
		break;
	}
}

int diff_words(struct diffing *d)
{
	for (size_t i = 0; i < d->diff->n_changes; i++) {
		struct diff_change *change = &d->diff->changes[i];
		size_t size;
		FILE *out = open_memstream(&change->text, &size);

		if (!out)
			return -ENOMEM;
		say(out, d, change);
		if (fclose(out) != 0 || !change->text)
			return -ENOMEM;
	}
	return 0;
}

void diff_cause_text(const struct diff_change *change, char buf[DIFF_CAUSE_MAX])
{
	const char *run = change->cause_run ? "" : " of the other run";

	*buf = '\0';
	if (change->cause == DIFF_BY_LOSS)
		snprintf(buf, DIFF_CAUSE_MAX, "events%s were lost here", run);
	else if (change->cause == DIFF_BY_FAULT)
		snprintf(buf, DIFF_CAUSE_MAX, "%s fault %" PRIu32 "%s", change->lost_to_it ? "lost to" : "after", change->fault,
			 run);
}

bool diff_names_fault(const char *text, uint32_t fault)
{
	char name[32];
	size_t n = (size_t)snprintf(name, sizeof(name), " fault %" PRIu32, fault);

	for (text = strstr(text, name); text; text = strstr(text + 1, name))
		if (text[n] < '0' || text[n] > '9')
			return true;
	return false;
}
