/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A line of a plan to a struct fault. Pure. Knows what a line looks like and nothing of what it names: whether that is
 * there is for others to say. Every complaint has a column and says what would have been right. The words themselves:
 * fault_label.c.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/nearest.h"
#include "proto/fault_inside.h"

enum { BOXES_MAX = 256 }; /* of one group */

int fault_wrong(struct parse *p, int column, const char *format, ...)
{
	va_list ap;

	p->column = column;
	va_start(ap, format);
	error_setv(p->e, -EINVAL, format, ap);
	va_end(ap);
	return -EINVAL;
}

static const char *usage_of(enum fault_kind kind)
{
	static const char *const usages[FAULT_KIND_COUNT] = {
#define X(NAME, word, usage, text) [FAULT_##NAME] = usage,
		FAULT_KINDS(X)
#undef X
	};

	return usages[kind];
}

static bool is(const struct word *word, const char *text)
{
	return word->n == strlen(text) && !memcmp(word->at, text, word->n);
}

/* The next word; at the end of the line an empty one. Commas and bars are words of their own. */
static struct word peek(const struct parse *p)
{
	struct word word = { p->at, 0, 0 };

	while (word.at < p->end && (*word.at == ' ' || *word.at == '\t'))
		word.at++;
	word.column = (int)(word.at - p->start) + 1;
	if (word.at < p->end && strchr(",|", *word.at))
		word.n = 1;
	else
		while (word.at + word.n < p->end && !strchr(" \t,|", word.at[word.n]))
			word.n++;
	return word;
}

static struct word take(struct parse *p)
{
	struct word word = peek(p);

	p->at = word.at + word.n;
	return word;
}

static bool accept(struct parse *p, const char *text)
{
	struct word word = peek(p);

	if (!is(&word, text))
		return false;
	take(p);
	return true;
}

/* A name and the like: something that is there and no sign. */
static int need(struct parse *p, const char *what, struct word *ret_word)
{
	*ret_word = take(p);
	if (!ret_word->n)
		return fault_wrong(p, ret_word->column, "the line ends where %s should be: %s", what,
				   usage_of(p->fault->kind));
	if (strchr(",|", *ret_word->at))
		return fault_wrong(p, ret_word->column, "'%c' where %s should be: %s", *ret_word->at, what,
				   usage_of(p->fault->kind));
	return 0;
}

/*
 * Words that a shell may have shortened: it takes > and < as the beginning of a file's name, and | as that of another
 * command.
 */
static int need_label(struct parse *p, const char *what, struct word *ret_word)
{
	*ret_word = take(p);
	if (ret_word->n && !strchr(",|", *ret_word->at))
		return 0;
	return fault_wrong(p, ret_word->column,
			   "%s is missing: %s (in a shell, quote the whole line: it takes > and < away)", what,
			   usage_of(p->fault->kind));
}

static int message_take(struct parse *p, struct fault_moment *moment)
{
	struct word word;
	int err = need_label(p, "the message", &word);

	return err ? err : fault_message_parse(p, &word, moment);
}

static int connection_take(struct parse *p, struct fault_moment *moment)
{
	struct word word;
	int err = need_label(p, "the connection", &word);

	return err ? err : fault_connection_parse(p, &word, moment);
}

static int process_take(struct parse *p, char **ret_name, int *ret_column)
{
	struct word word;
	int err = need(p, "a process", &word);

	*ret_column = word.column;
	return err ? err : fault_process_parse(p, &word, ret_name);
}

static int moment_take(struct parse *p, struct fault_moment *moment)
{
	struct word word;
	struct nearest nearest;
	int err = need(p, "a moment", &word);

	if (err)
		return err;
	moment->column = word.column;
	nearest_begin(&nearest, word.at, word.n);
	for (enum fault_moment_kind kind = MOMENT_SEND; kind < MOMENT_KIND_COUNT; kind++) {
		nearest_offer(&nearest, fault_moment_word(kind));
		if (is(&word, fault_moment_word(kind)))
			moment->kind = kind;
	}
	switch (moment->kind) {
	case MOMENT_SEND:
	case MOMENT_RECV:
		return message_take(p, moment);
	case MOMENT_CONNECT:
	case MOMENT_ACCEPT:
		return connection_take(p, moment);
	case MOMENT_EXIT:
	case MOMENT_START:
		return process_take(p, &moment->process, &moment->process_column);
	case MOMENT_NONE:
	case MOMENT_KIND_COUNT:
		break;
	}
	if (nearest.best)
		return fault_wrong(p, word.column, "'%.*s' is no moment; did you mean '%s'?", WORD(word), nearest.best);
	return fault_wrong(p, word.column,
			   "'%.*s' is no moment: send MESSAGE, recv MESSAGE, connect CONNECTION, accept CONNECTION, "
			   "exit PROCESS or start PROCESS",
			   WORD(word));
}

static bool among(char *const *names, const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

/* How many boxes the rest of the line can have, as far as they are wanted. */
static size_t boxes_most(const struct parse *p)
{
	size_t n = 1;

	for (const char *at = p->at; at < p->end && n < BOXES_MAX; at++)
		n += *at == ',';
	return n;
}

/* a,b,c */
static int group_take(struct parse *p, char ***ret_names, int **ret_columns)
{
	size_t n = 0, most = boxes_most(p);
	char **names = *ret_names = calloc(most + 1, sizeof(*names));
	int *columns = *ret_columns = calloc(most + 1, sizeof(*columns));
	struct word word;
	int err;

	if (!names || !columns)
		return -ENOMEM;
	do {
		err = need(p, "a box", &word);
		if (!err && n == BOXES_MAX)
			err = fault_wrong(p, word.column, "more than %d boxes in one group", BOXES_MAX);
		if (!err)
			err = fault_box_parse(p, &word, &names[n]);
		if (err)
			return err;
		columns[n] = word.column;
		if (among(names, names[n], n))
			return fault_wrong(p, word.column, "box '%s' is named twice in one group", names[n]);
		n++;
	} while (accept(p, ","));
	return 0;
}

/* a,b | c. second: the other group must be there; else it may. */
static int groups_take(struct parse *p, bool second)
{
	struct fault *f = p->fault;
	int err = group_take(p, &f->from, &f->from_columns);
	struct word word;

	if (err)
		return err;
	if (!accept(p, "|")) {
		word = peek(p);
		return !second ? 0 :
				 fault_wrong(p, word.column,
					     "the second group is missing: %s (in a shell, quote the whole line: "
					     "it takes | away)",
					     usage_of(f->kind));
	}
	err = group_take(p, &f->to, &f->to_columns);
	for (size_t i = 0, n = 0; !err && f->to[i]; i++) {
		while (f->from[n])
			n++;
		if (among(f->from, f->to[i], n))
			return fault_wrong(p, f->to_columns[i],
					   "box '%s' is in both groups: a box cannot be parted from itself", f->to[i]);
	}
	return err;
}

static int fail_take(struct parse *p)
{
	struct fault *f = p->fault;
	struct word call, name;
	char text[32];
	int err = need(p, "a system call", &call);

	for (size_t i = 0; !err && i < call.n; i++)
		if (!islower((unsigned char)call.at[i]) && !isdigit((unsigned char)call.at[i]) && call.at[i] != '_')
			return fault_wrong(p, call.column, "'%.*s' is no system call: write, fsync, openat, ...",
					   WORD(call));
	if (!err && !(f->call = strndup(call.at, call.n)))
		return -ENOMEM;
	if (!err)
		err = need(p, "an error", &name);
	if (err)
		return err;
	if (name.n >= sizeof(text))
		return fault_wrong(p, name.column, "'%.*s' is no error: EIO, ENOSPC, ...", WORD(name));
	memcpy(text, name.at, name.n);
	text[name.n] = '\0';
	f->error = fault_errno_number(text);
	if (f->error < 0)
		return fault_wrong(p, name.column, "'%s' is no error: EIO, ENOSPC, ...", text);
	return process_take(p, &f->process, &f->process_column);
}

static int percent_groups_take(struct parse *p)
{
	struct word word;
	int err = need(p, "how many packets", &word);

	if (!err)
		err = fault_percent_parse(p, &word, &p->fault->ppm);
	return err ? err : groups_take(p, false);
}

static int rate_groups_take(struct parse *p)
{
	struct word word;
	int err = need(p, "how much", &word);

	if (!err)
		err = fault_rate_parse(p, &word, &p->fault->rate);
	return err ? err : groups_take(p, false);
}

static int subject_take(struct parse *p)
{
	struct fault *f = p->fault;

	switch (f->kind) {
	case FAULT_CUT:
	case FAULT_DROP:
	case FAULT_HOLD:
	case FAULT_RESET:
		f->at.kind = MOMENT_SEND;
		return message_take(p, &f->at);
	case FAULT_REFUSE:
		f->at.kind = MOMENT_CONNECT;
		return connection_take(p, &f->at);
	case FAULT_PARTITION:
		return groups_take(p, true);
	case FAULT_ISOLATE:
		return group_take(p, &f->from, &f->from_columns);
	case FAULT_CRASH:
	case FAULT_RESTART:
	case FAULT_PAUSE:
		return process_take(p, &f->process, &f->process_column);
	case FAULT_CRASH_BOX: {
		int err = group_take(p, &f->from, &f->from_columns);

		return err || !f->from[1] ? err :
					    fault_wrong(p, f->from_columns[1], "one box a line: %s", usage_of(f->kind));
	}
	case FAULT_LOSS:
	case FAULT_CORRUPT:
	case FAULT_DUPLICATE:
	case FAULT_REORDER:
		return percent_groups_take(p);
	case FAULT_RATE:
		return rate_groups_take(p);
	case FAULT_FAIL:
		return fail_take(p);
	case FAULT_NONE:
	case FAULT_KIND_COUNT:
		break;
	}
	return -EINVAL;
}

static int time_take(struct parse *p, bool may_be_zero, uint64_t *ret_ns)
{
	struct word word;
	int err = need(p, "a time", &word);

	return err ? err : fault_duration_parse(p, &word, may_be_zero, ret_ns);
}

static int number_take(struct parse *p, uint64_t max, uint64_t *ret_value)
{
	struct word word;
	int err = need(p, "a number", &word);

	return err ? err : fault_number_parse(p, &word, max, ret_value);
}

static int option_take(struct parse *p, enum fault_option option)
{
	struct fault *f = p->fault;
	uint64_t value = 0;
	int err = 0;

	switch (option) {
	case FAULT_OPTION_ONEWAY:
		f->flags |= FAULT_F_ONEWAY;
		return 0;
	case FAULT_OPTION_TIMEOUT:
		f->flags |= FAULT_F_TIMEOUT;
		return 0;
	case FAULT_OPTION_SILENT:
		f->flags |= FAULT_F_SILENT;
		return 0;
	case FAULT_OPTION_AT:
	case FAULT_OPTION_FROM:
		return moment_take(p, &f->at);
	case FAULT_OPTION_FOR:
		return time_take(p, false, &f->duration_ns);
	case FAULT_OPTION_AFTER:
		return time_take(p, true, &f->duration_ns);
	case FAULT_OPTION_LEASE:
		return time_take(p, false, &f->lease_ns);
	case FAULT_OPTION_TIMES:
		err = number_take(p, UINT32_MAX, &value);
		f->times = (uint32_t)value;
		return err;
	case FAULT_OPTION_SEED:
		f->seed_given = true;
		return number_take(p, UINT64_MAX, &f->seed);
	case FAULT_OPTION_COUNT:
		break;
	}
	return -EINVAL;
}

static const char *const option_words[] = {
#define X(NAME, word, follows) word,
	FAULT_OPTION_WORDS(X)
#undef X
};

static int stray(struct parse *p, const struct word *word, uint32_t may)
{
	struct nearest nearest;

	if (*word->at == '#')
		return fault_wrong(p, word->column, "a comment stands on a line of its own, that begins with #");
	nearest_begin(&nearest, word->at, word->n);
	for (unsigned i = 0; i < FAULT_OPTION_COUNT; i++)
		if (may & 1u << i)
			nearest_offer(&nearest, option_words[i]);
	if (nearest.best)
		return fault_wrong(p, word->column, "'%.*s' does not belong here; did you mean '%s'? %s", WORD(*word),
				   nearest.best, usage_of(p->fault->kind));
	return fault_wrong(p, word->column, "'%.*s' does not belong here: %s", WORD(*word), usage_of(p->fault->kind));
}

static int options_take(struct parse *p)
{
	uint32_t may = fault_options(p->fault->kind);
	unsigned i;
	int err;

	for (struct word word = take(p); word.n; word = take(p)) {
		for (i = 0; i < FAULT_OPTION_COUNT && !(may & 1u << i && is(&word, option_words[i])); i++)
			;
		if (i == FAULT_OPTION_COUNT)
			return stray(p, &word, may);
		if (p->seen & 1u << i)
			return fault_wrong(p, word.column, "'%s' is there twice", option_words[i]);
		p->seen |= 1u << i;
		err = option_take(p, (enum fault_option)i);
		if (err)
			return err;
	}
	return 0;
}

/* What a line cannot do without. */
static int complete(struct parse *p)
{
	struct fault *f = p->fault;
	int end = (int)(p->end - p->start) + 1;

	if ((f->kind == FAULT_HOLD || f->kind == FAULT_PAUSE) && !(p->seen & FAULT_OPTION(FOR)))
		return fault_wrong(p, end, "for how long? %s", usage_of(f->kind));
	if (f->kind == FAULT_RESTART && !(p->seen & FAULT_OPTION(AFTER)))
		return fault_wrong(p, end, "after how long? %s", usage_of(f->kind));
	if (f->kind == FAULT_DROP && !f->times)
		f->times = 1;
	return 0;
}

static int kind_take(struct parse *p)
{
	struct word word = take(p), next = peek(p);
	struct nearest nearest;

	nearest_begin(&nearest, word.at, word.n);
	for (enum fault_kind kind = FAULT_CUT; kind < FAULT_KIND_COUNT; kind++) {
		if (kind == FAULT_CRASH_BOX)
			continue;
		if (is(&word, fault_kind_name(kind)))
			p->fault->kind = kind;
		nearest_offer(&nearest, fault_kind_name(kind));
	}
	if (p->fault->kind == FAULT_CRASH && is(&next, "box")) {
		struct parse ahead = *p;

		take(&ahead);
		next = peek(&ahead);
		if (next.n && !is(&next, "at") && !is(&next, "silent")) { /* else a process that is called so */
			p->fault->kind = FAULT_CRASH_BOX;
			*p = ahead;
		}
	}
	if (p->fault->kind)
		return 0;
	if (nearest.best)
		return fault_wrong(p, word.column, "'%.*s' is no fault; did you mean '%s'?", WORD(word), nearest.best);
	return fault_wrong(
		p, word.column,
		"'%.*s' is no fault: cut, drop, hold, reset, refuse, partition, isolate, crash, restart, pause, "
		"loss, corrupt, duplicate, reorder, rate or fail",
		WORD(word));
}

static int bytes_check(struct parse *p)
{
	if (p->end - p->start > (ptrdiff_t)FAULT_LINE_MAX)
		return fault_wrong(p, (int)FAULT_LINE_MAX + 1, "the line is longer than %u bytes", FAULT_LINE_MAX);
	for (const char *at = p->start; at < p->end; at++) {
		if (*at == '\n')
			return fault_wrong(p, (int)(at - p->start) + 1, "a line break: each fault is given by itself");
		if ((*at < 0x20 && *at != '\t') || *at == 0x7f || (unsigned char)*at >= 0x80)
			return fault_wrong(p, (int)(at - p->start) + 1, "byte 0x%02x: a plan is plain text (ASCII)",
					   (unsigned char)*at);
	}
	return 0;
}

int fault_parse(const char *line, size_t size, struct fault *ret_fault, int *ret_column, struct error *e)
{
	struct fault fault = { .kind = FAULT_NONE };
	struct parse p = { line, line, line + size, &fault, 1, 0, e };
	int err = bytes_check(&p);

	if (!err)
		err = kind_take(&p);
	if (!err)
		err = subject_take(&p);
	if (!err)
		err = options_take(&p);
	if (!err)
		err = complete(&p);
	if (!err && !(fault.text = fault_print(&fault)))
		err = -ENOMEM;
	if (err == -ENOMEM)
		error_set(e, err, "out of memory");
	if (err) {
		fault_fini(&fault);
		if (ret_column)
			*ret_column = p.column;
		return err;
	}
	*ret_fault = fault;
	return 0;
}
