/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a plan names, against the experiment and an earlier run of it: are there such processes, boxes and labels, can
 * that process be at that moment, does one line make sense beside the others. See plan.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "collector/labels.h"
#include "collector/plan.h"
#include "lib/nearest.h"

enum { LIST_MAX = 200 }; /* bytes of names that a complaint lists */

/* What is looked at. */
struct checking {
	const struct plan *plan;
	const struct experiment *x;
	const struct labels *labels;
	bool live;
	size_t at; /* which fault */
	struct error *e;
};

static int wrong(const struct checking *c, int column, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int wrong(const struct checking *c, int column, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	error_setv(c->e, -EINVAL, format, ap);
	va_end(ap);
	return error_prefix(c->e, -EINVAL, "%s:%d", c->plan->origins[c->at], column > 0 ? column : 1);
}

/* The process of the experiment that a label begins with: s1.1.2, s1'2. */
static const struct experiment_process *process_of(const struct experiment *x, const char *label)
{
	return experiment_find(x, label, strcspn(label, ".'"));
}

const char *plan_box_of(const struct experiment *x, const char *process)
{
	const struct experiment_process *spec = process_of(x, process);

	return spec ? spec->box : NULL;
}

static bool is_address(const char *name)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static void list_add(char list[LIST_MAX], const char *name)
{
	size_t n = strlen(list);

	snprintf(list + n, LIST_MAX - n, "%s%s", n ? ", " : "", name);
}

/* "; did you mean 's1'?", or what there is. */
static void suggest(const struct nearest *nearest, const char *what, const char *list, char *buf, size_t size)
{
	if (nearest->best)
		snprintf(buf, size, "; did you mean '%s'?", nearest->best);
	else
		snprintf(buf, size, ": %s %s", what, list);
}

/* Whether another fault can be the reason that a label comes about which no run without faults has shown. */
static bool may_be_new(const struct checking *c)
{
	return c->plan->n > 1 || c->live;
}

static int racy_refuse(const struct checking *c, const char *label, int column)
{
	return wrong(
		c, column,
		"%s is racy: in run %llu nothing orders what competes for its number, the next run may give it to another "
		"(--racy takes it all the same)",
		label, (unsigned long long)labels_run(c->labels));
}

/* A child, against an earlier run. What a restart brings about that cannot have shown. */
static int child_check(const struct checking *c, const char *label, int column)
{
	enum labels_answer answer = labels_process(c->labels, label);

	if (answer == LABELS_RACY)
		return racy_refuse(c, label, column);
	if (answer == LABELS_KNOWN || !strchr(label, '.') || strchr(label, '\'') || may_be_new(c))
		return 0;
	return wrong(c, column, "run %llu, the last without faults, had no process %s (--racy takes it all the same)",
		     (unsigned long long)labels_run(c->labels), label);
}

static int process_check(const struct checking *c, const char *label, int column)
{
	const struct experiment *x = c->x;
	struct nearest nearest;
	char list[LIST_MAX] = "", text[LIST_MAX + 64];

	if (process_of(x, label))
		return c->labels && !c->plan->racy ? child_check(c, label, column) : 0;
	if (!strcmp(label, "check"))
		return wrong(c, column, "the check belongs to the harness: faults act on the system's processes only");
	nearest_begin(&nearest, label, strcspn(label, ".'"));
	for (size_t i = 0; i < x->n_processes + x->n_workloads; i++) {
		const char *name = i < x->n_processes ? x->processes[i].name : x->workloads[i - x->n_processes].name;

		nearest_offer(&nearest, name);
		list_add(list, name);
	}
	suggest(&nearest, "it has", list, text, sizeof(text));
	return wrong(c, column, "the experiment has no process '%s'%s", label, text);
}

static int box_check(const struct checking *c, const char *name, int column)
{
	struct nearest nearest;
	char list[LIST_MAX] = "", text[LIST_MAX + 64];

	if (words_contain(c->x->boxes, name))
		return 0;
	nearest_begin(&nearest, name, strlen(name));
	for (size_t i = 0; i < c->x->n_boxes; i++) {
		nearest_offer(&nearest, c->x->boxes[i]);
		list_add(list, c->x->boxes[i]);
	}
	suggest(&nearest, "it has", list, text, sizeof(text));
	return wrong(c, column, "the experiment has no box '%s'%s", name, text);
}

/*
 * Against the labels of an earlier run. What only another fault brings about (a reconnect) no run without faults has
 * shown.
 */
static int label_check(const struct checking *c, const struct fault_moment *moment, const char *label)
{
	enum labels_answer answer = labels_connection(c->labels, label);
	struct nearest nearest;
	char text[300] = "";

	if (answer == LABELS_KNOWN && (moment->kind == MOMENT_SEND || moment->kind == MOMENT_RECV))
		answer = labels_message(c->labels, label, moment->reply, moment->message) == LABELS_RACY ? LABELS_RACY :
													   LABELS_KNOWN;
	if (answer == LABELS_KNOWN)
		return 0;
	if (answer == LABELS_RACY)
		return racy_refuse(c, label, moment->connection.column);
	if (may_be_new(c))
		return 0;
	nearest_begin(&nearest, label, strlen(label));
	labels_offer(c->labels, &nearest);
	if (nearest.best)
		snprintf(text, sizeof(text), "; did you mean %.200s?", nearest.best);
	return wrong(c, moment->connection.column,
		     "%s did not come about in run %llu, the last without faults%s (--racy takes it all the same)",
		     label, (unsigned long long)labels_run(c->labels), text);
}

static int connection_check(const struct checking *c, const struct fault_moment *moment)
{
	const struct fault_connection *connection = &moment->connection;
	int err = process_check(c, connection->process, connection->column);
	char *label;

	if (!err && !is_address(connection->box))
		err = box_check(c, connection->box, connection->box_column);
	if (err || c->plan->racy || !c->labels)
		return err;
	label = fault_connection_print(connection);
	err = label ? label_check(c, moment, label) : error_set(c->e, -ENOMEM, "out of memory");
	free(label);
	return err;
}

static int moment_check(const struct checking *c, const struct fault_moment *moment)
{
	switch (moment->kind) {
	case MOMENT_SEND:
	case MOMENT_RECV:
	case MOMENT_CONNECT:
	case MOMENT_ACCEPT:
		return connection_check(c, moment);
	case MOMENT_EXIT:
	case MOMENT_START:
		return process_check(c, moment->process, moment->process_column);
	case MOMENT_NONE:
	case MOMENT_KIND_COUNT:
		break;
	}
	return 0;
}

/* A process is stopped in its own system call, or not exactly there. */
static int own_check(const struct checking *c, const struct fault *fault)
{
	const struct fault_moment *at = &fault->at;
	const char *box = plan_box_of(c->x, fault->process);

	if (at->kind == MOMENT_NONE)
		return 0;
	if (at->kind == MOMENT_EXIT)
		return wrong(c, at->column,
			     "%s at an exit is too late for a process: at start, send, recv, connect or accept",
			     fault_kind_name(fault->kind));
	if (at->kind == MOMENT_START)
		return !strcmp(at->process, fault->process) ?
			       0 :
			       wrong(c, at->column, "the moment must be %s's own: start %s", fault->process,
				     fault->process);
	if (fault_moment_is_connectors(at) && strcmp(at->connection.process, fault->process))
		return wrong(
			c, at->column,
			"that moment is %s's; it must be %s's own: to send or connect as who connects, to receive as who is "
			"connected to (recv %s>...)",
			at->connection.process, fault->process, at->connection.process);
	if (!fault_moment_is_connectors(at) && !is_address(at->connection.box) && box &&
	    strcmp(at->connection.box, box))
		return wrong(c, at->column, "that moment is in box %s; it must be %s's own, in box %s",
			     at->connection.box, fault->process, box);
	return 0;
}

static int groups_check(const struct checking *c, char *const *names, const int *columns)
{
	int err = 0;

	for (size_t i = 0; names && names[i] && !err; i++)
		err = box_check(c, names[i], columns[i]);
	return err;
}

/* Whether the plan ends that process, so that it can be started again. */
static bool is_ended(const struct checking *c, const char *process)
{
	const char *box = plan_box_of(c->x, process);

	for (size_t i = 0; i < c->plan->n; i++) {
		const struct fault *fault = &c->plan->faults[i];

		if (fault->kind == FAULT_CRASH && !strcmp(fault->process, process))
			return true;
		if (fault->kind == FAULT_CRASH_BOX && box && !strcmp(fault->from[0], box))
			return true;
	}
	return false;
}

/* What the run did not start is watched, and else left alone. */
static int attached_check(const struct checking *c, const struct fault *fault)
{
	const struct experiment_process *spec = fault->process ? process_of(c->x, fault->process) : NULL;

	if (spec && spec->attach)
		return wrong(c, fault->process_column,
			     "%s is attached, and is left alone: a fault can act on its messages, not on itself",
			     spec->name);
	for (size_t i = 0; fault->kind == FAULT_CRASH_BOX && i < c->x->n_processes; i++)
		if (c->x->processes[i].attach && !strcmp(c->x->processes[i].box, fault->from[0]))
			return wrong(c, fault->from_columns[0], "in box %s is %s, which is attached, and is left alone",
				     fault->from[0], c->x->processes[i].name);
	return 0;
}

static int process_fault_check(const struct checking *c, const struct fault *fault)
{
	int err = fault->process ? process_check(c, fault->process, fault->process_column) : 0;

	if (!err)
		err = attached_check(c, fault);
	if (err)
		return err;
	if (fault->kind == FAULT_CRASH || fault->kind == FAULT_PAUSE)
		return own_check(c, fault);
	if (fault->kind == FAULT_RESTART && !c->live && !is_ended(c, fault->process))
		return wrong(c, fault->process_column,
			     "nothing in the plan ends %s: add 'crash %s at ...' or 'crash box %s at ...'",
			     fault->process, fault->process, plan_box_of(c->x, fault->process));
	return 0;
}

static int fault_check(const struct checking *c)
{
	const struct fault *fault = &c->plan->faults[c->at];
	int err = process_fault_check(c, fault);

	if (!err)
		err = groups_check(c, fault->from, fault->from_columns);
	if (!err)
		err = groups_check(c, fault->to, fault->to_columns);
	return err ? err : moment_check(c, &fault->at);
}

struct seen {
	UT_hash_handle hh;
	size_t at;
};

/* The same line twice is a mistake: the second could only be refused when it is armed. */
static int twice_check(struct checking *c)
{
	struct seen *rows = calloc(c->plan->n + 1, sizeof(*rows)), *all = NULL, *known;
	int err = rows ? 0 : error_set(c->e, -ENOMEM, "out of memory");

	for (c->at = 0; c->at < c->plan->n && !err; c->at++) {
		const char *text = c->plan->faults[c->at].text;

		HASH_FIND_STR(all, text, known);
		if (known) {
			err = wrong(c, 1, "the same fault is there already, at %s", c->plan->origins[known->at]);
			break;
		}
		rows[c->at].at = c->at;
		HASH_ADD_KEYPTR(hh, all, text, strlen(text), &rows[c->at]);
	}
	HASH_CLEAR(hh, all);
	free(rows);
	return err;
}

int plan_check(const struct plan *plan, const struct experiment *x, const struct labels *labels, bool live,
	       struct error *e)
{
	struct checking c = { plan, x, labels, live, 0, e };
	int err = 0;

	for (; c.at < plan->n && !err; c.at++)
		err = fault_check(&c);
	return err ? err : twice_check(&c);
}
