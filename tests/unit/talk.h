/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Traces told in a few words, for tests of prints and diffs. What processes do, in the order of its happening:
 *
 *   a+b     a connects to b, which accepts; what they say from now on goes over this connection
 *   a-b     a connects to b and is refused
 *   a>b     a sends a message, b receives it
 *   a>b?    a sends a message that is not received, or not yet
 *   b<a     b receives the next message of a
 *   a>b!    a sends a message that is lost to a fault, which fires then
 *   a>b*    the same, to one that isolates b, which no call set off; a>b%: and that comes when the message is on its way
 *   a/2     thread 2 of a does it (a+b/2: thread 2 of b accepts)
 *   a.      a ends; a.3: with status 3
 *   3(...)  three times
 *
 * A process is on a box of its name and serves port 7000; it is there from when it is first named. Gives up by Check's assertions.
 */
#ifndef TESTS_UNIT_TALK_H
#define TESTS_UNIT_TALK_H

#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

#define TALKERS 16
#define TALK_PORT 7000

struct talk {
	struct trace trace;
	uint64_t now, order[TALKERS];
	uint32_t line[TALKERS][TALKERS]; /* the end at the first of them, 0 none */
	uint32_t dials[TALKERS][TALKERS];
	uint64_t sent[1024], got[1024]; /* by end */
	uint32_t numbers[1024];
	uint32_t faults;
};

struct talker {
	uint32_t process, thread;
};

static inline struct event *talk_event(struct talk *t, struct talker who, enum event_kind kind, uint32_t end)
{
	struct event *event = trace_event_add(&t->trace);

	*event = (struct event){ .kind = kind, .process = who.process, .thread = who.thread, .box = who.process, .end = end };
	event->enter_ns = ++t->now * 1000;
	event->return_ns = event->enter_ns + 100;
	event->order = who.process ? ++t->order[who.process] : 0;
	event->seq = t->now;
	return event;
}

/* a or a/2 at *text, which moves on. */
static inline struct talker talk_who(struct talk *t, const char **text)
{
	struct talker who = { 0 };
	size_t n = 0;
	char *name;

	while (isalnum((*text)[n]))
		n++;
	name = strndup(*text, n);
	*text += n;
	for (uint32_t i = 1; i <= t->trace.n_processes; i++)
		if (!strcmp(t->trace.processes[i].name, name))
			who.process = i;
	if (!who.process) {
		who.process = t->trace.n_processes + 1;
		ck_assert_uint_lt(who.process, TALKERS);
		trace_box_at(&t->trace, who.process)->name = strdup(name);
		trace_process_at(&t->trace, who.process)->name = strdup(name);
		t->trace.processes[who.process].box = who.process;
		talk_event(t, who, EVENT_START, 0);
	}
	free(name);
	if (**text == '/')
		who.thread = strtoul(*text + 1, (char **)text, 10);
	return who;
}

static inline void talk_endpoint(struct endpoint *e, uint32_t host, uint16_t port)
{
	memcpy(e->ip, (uint8_t[16]){ [10] = 0xff, 0xff, 10, 0, 0, host }, 16);
	e->port = port;
}

static inline struct trace_end *talk_end(struct talk *t, uint32_t index, enum end_role role, struct talker a, struct talker b)
{
	struct trace_end *end = trace_end_at(&t->trace, index);

	ck_assert_uint_lt(index, 1024);
	end->role = role;
	end->box = a.process;
	talk_endpoint(&end->local, a.process, role == END_CONNECTOR ? 40000 + index : TALK_PORT);
	talk_endpoint(&end->remote, b.process, role == END_CONNECTOR ? TALK_PORT : 40000 + index - 1);
	return end;
}

static inline void talk_connect(struct talk *t, struct talker a, struct talker b, bool refused)
{
	uint32_t index = (uint32_t)t->trace.n_ends + 1;
	struct trace_end *end = talk_end(t, index, END_CONNECTOR, a, b);

	end->process = a.process;
	end->ordinal = ++t->dials[a.process][b.process];
	ck_assert_int_gt(asprintf(&end->target, "%s:%d", t->trace.processes[b.process].name, TALK_PORT), 0);
	end->error = refused ? -ECONNREFUSED : 0;
	talk_event(t, a, EVENT_CONNECT, index)->value = end->error;
	if (refused)
		return;
	end->keyed = true;
	end->first_local = 1000 + index;
	end->first_remote = 2000 + index;
	end = talk_end(t, index + 1, END_ACCEPTOR, b, a);
	end->keyed = true;
	end->first_local = 2000 + index;
	end->first_remote = 1000 + index;
	talk_event(t, b, EVENT_ACCEPT, index + 1);
	t->line[a.process][b.process] = index;
	t->line[b.process][a.process] = index + 1;
}

/* Of the message that is sent next on this end; end 0: of whatever goes to b. */
static inline void talk_cut(struct talk *t, struct talker a, struct talker b, uint32_t end)
{
	const char *from = t->trace.processes[a.process].name, *to = t->trace.processes[b.process].name;
	struct event *event;
	char *line;

	if (end)
		ck_assert_int_gt(asprintf(&line, "cut %s>%s:%d#1/%u", from, to, TALK_PORT, t->numbers[end] + 1), 0);
	else
		ck_assert_int_gt(asprintf(&line, "isolate %s", to), 0);
	*trace_text_at(&t->trace, t->trace.n_texts + 1) = line;
	t->faults++;
	for (int i = 0; i < 2; i++) {
		bool call = i && end;

		event = talk_event(t, call ? a : (struct talker){ 0 }, i ? EVENT_FIRED : EVENT_ARMED, call ? end : 0);
		event->value = t->faults;
		event->message = call ? t->numbers[end] + 1 : 0;
		event->pos = call ? t->sent[end] : 0;
		event->text = t->trace.n_texts;
	}
}

static inline void talk_receive(struct talk *t, struct talker b, struct talker a)
{
	uint32_t end = t->line[b.process][a.process];
	struct event *event = talk_event(t, b, EVENT_RECV, end);

	event->pos = t->got[end];
	event->value = 10;
	t->got[end] += 10;
}

/* All messages have 10 bytes. */
static inline void talk_send(struct talk *t, struct talker a, struct talker b, char more)
{
	uint32_t end = t->line[a.process][b.process];
	struct event *event;

	ck_assert_msg(end, "they are not connected");
	if (more == '!' || more == '*')
		talk_cut(t, a, b, more == '!' ? end : 0);
	event = talk_event(t, a, EVENT_SEND, end);
	event->pos = t->sent[end];
	event->value = 10;
	event->message = ++t->numbers[end];
	t->sent[end] += 10;
	if (more == '%')
		talk_cut(t, a, b, 0);
	if (more && strchr("?!*%", more))
		return;
	talk_receive(t, b, a);
}

static inline const char *talk_say(struct talk *t, const char *text);

static inline const char *talk_times(struct talk *t, const char *text)
{
	unsigned long n = strtoul(text, (char **)&text, 10);
	const char *behind = text;

	ck_assert_int_eq(*text, '(');
	for (unsigned long i = 0; i < n; i++)
		behind = talk_say(t, text + 1);
	ck_assert_int_eq(*behind, ')');
	return behind + 1;
}

/* Says what it can; returns what is behind it: the end, or a closing bracket. */
static inline const char *talk_say(struct talk *t, const char *text)
{
	struct talker a, b;
	char what;

	while (*text && *text != ')') {
		if (*text == ' ') {
			text++;
			continue;
		}
		if (isdigit(*text)) {
			text = talk_times(t, text);
			continue;
		}
		a = talk_who(t, &text);
		what = *text++;
		if (what == '.') {
			talk_event(t, a, EVENT_EXIT, 0)->value = isdigit(*text) ? strtol(text, (char **)&text, 10) << 8 : 0;
			continue;
		}
		b = talk_who(t, &text);
		ck_assert_msg(strchr("+-><", what) != NULL, "what is '%c'?", what);
		if (what == '>')
			talk_send(t, a, b, *text);
		else if (what == '<')
			talk_receive(t, a, b);
		else
			talk_connect(t, a, b, what == '-');
		text += *text && strchr("?!*%", *text);
	}
	return text;
}

/* Whoever is named in `first` (a b c), in that order; then what they do. */
static inline void talk_init(struct talk *t, const char *first, const char *text)
{
	memset(t, 0, sizeof(*t));
	trace_init(&t->trace);
	while (*first) {
		talk_who(t, &first);
		first += *first == ' ';
	}
	ck_assert_int_eq(*talk_say(t, text), 0);
}

static inline struct graph *talk_graph(const struct talk *t)
{
	struct graph *g = NULL;
	struct error e = { "" };

	ck_assert_msg(graph_build(&t->trace, GRAPH_ORDER_THREAD, &g, &e) == 0, "%s", e.text);
	return g;
}

static inline void talk_fini(struct talk *t)
{
	trace_fini(&t->trace);
}

#endif
