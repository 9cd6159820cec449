/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults in the graph and the picture of small hand-written traces: which edges they make, which losses they explain, what is drawn. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"
#include "graph/scene.h"
#include "tests/unit/story.h"

/* An event of fault `id`; who 0: the harness. */
static size_t fault_event(struct story *s, uint32_t who, enum event_kind kind, uint32_t id, const char *line)
{
	size_t i = event(s, who, kind, 0, id);
	uint32_t text = (uint32_t)s->trace.n_texts + 1;

	*trace_text_at(&s->trace, text) = strdup(line);
	at(s, i)->text = text;
	at(s, i)->box = 0;
	return i;
}

/* On an end, at a message. */
static size_t fired(struct story *s, uint32_t who, uint32_t id, const char *line, uint32_t end, uint64_t pos, uint32_t message)
{
	size_t i = fault_event(s, who, EVENT_FIRED, id, line);

	at(s, i)->end = end;
	at(s, i)->pos = pos;
	at(s, i)->message = message;
	return i;
}

static struct fault_receipt *receipt(struct story *s, uint32_t id, enum fault_state state)
{
	struct fault_receipt *row = trace_receipt_add(&s->trace);

	*row = (struct fault_receipt){ .id = id, .state = state };
	return row;
}

/* The end of file's kernel side: how much came, how much of it was not read; what was sent and not acknowledged. */
static void finish(struct story *s, uint32_t end, uint64_t sent, uint64_t unacked, uint64_t received, uint64_t unread)
{
	struct trace_end *row = trace_end_at(&s->trace, end);

	row->finished = true;
	row->sent = sent;
	row->unacked = unacked;
	row->received = received;
	row->unread = unread;
}

static uint32_t lost_by(const struct graph *g, const char *label)
{
	return g->messages[message_of(g, label)].lost_by;
}

static void assert_fault_edge(const struct graph *g, size_t from, size_t to, bool inferred)
{
	const struct graph_edge *found = edge(g, from, to, RULE_FAULT);

	ck_assert_ptr_nonnull(found);
	ck_assert_int_eq(found->inferred, inferred);
}

#define CUT "cut client>s1:7000#2/2"

/* Armed, fired, what it hit: the send of its message and of those behind it, and the other way's that did not come. */
START_TEST(cut)
{
	struct story s;
	struct graph *g;
	size_t armed, fire, s2, s3;

	story_init(&s);
	connection(&s, 1, 2);
	armed = fault_event(&s, 0, EVENT_ARMED, 1, CUT);
	event(&s, 1, EVENT_CONNECT, 1, 0);
	event(&s, 2, EVENT_ACCEPT, 2, 0);
	transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
	transfer(&s, 2, EVENT_RECV, 2, 0, 10, 0);
	transfer(&s, 2, EVENT_SEND, 2, 0, 5, 1);
	transfer(&s, 1, EVENT_RECV, 1, 0, 5, 0);
	transfer(&s, 2, EVENT_SEND, 2, 5, 5, 2);
	fire = fired(&s, 1, 1, CUT, 1, 10, 2);
	s2 = transfer(&s, 1, EVENT_SEND, 1, 10, 20, 2);
	s3 = transfer(&s, 1, EVENT_SEND, 1, 30, 7, 3);
	finish(&s, 1, 37, 27, 5, 0);
	finish(&s, 2, 10, 5, 10, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	assert_fault_edge(g, armed, fire, false);
	assert_fault_edge(g, fire, s2, false);
	assert_fault_edge(g, fire, s3, false);
	ck_assert_uint_eq(count_rule(g, RULE_FAULT), 3);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#2/1"), 0);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#2/2"), 1);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#2/3"), 1);
	ck_assert_uint_eq(lost_by(g, "client<s1:7000#2/1"), 0);
	ck_assert_uint_eq(lost_by(g, "client<s1:7000#2/2"), 1);
	ck_assert_uint_eq(g->n_holes, 0);
	ck_assert_uint_eq(g->n_faults, 1);
	ck_assert_uint_eq(g->faults[0].lost_messages, 3);
	ck_assert_uint_eq(g->faults[0].lost_bytes, 32);
	ck_assert_str_eq(graph_fault_words(&g->faults[0]), "fired");
	assert_label(g, fire, CUT);
	done(&s, g);
}
END_TEST

/* What came and was not read is not lost; nor is, of a cut one way, what the other end sent; a dry one takes nothing. */
START_TEST(not_to_blame)
{
	static const char *const lines[] = { CUT, CUT " oneway", CUT };

	for (unsigned i = 0; i < 3; i++) {
		struct story s;
		struct graph *g;

		story_init(&s);
		connection(&s, 1, 2);
		transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
		transfer(&s, 2, EVENT_SEND, 2, 0, 5, 1);
		fired(&s, 1, 1, lines[i], 1, 10, 2);
		transfer(&s, 1, EVENT_SEND, 1, 10, 20, 2);
		if (i == 0)
			finish(&s, 2, 5, 0, 0, 10);
		if (i == 2)
			receipt(&s, 1, FAULT_STATE_WOULD_FIRE);
		g = build(&s, GRAPH_ORDER_PROCESS);
		ck_assert_uint_eq(lost_by(g, "client>s1:7000#2/1"), 0);
		ck_assert_uint_eq(lost_by(g, "client>s1:7000#2/2"), i < 2);
		ck_assert_uint_eq(lost_by(g, "client<s1:7000#2/1"), 0);
		ck_assert_uint_eq(count_rule(g, RULE_FAULT), i < 2);
		ck_assert_str_eq(graph_fault_words(&g->faults[0]), i == 2 ? "would fire" : "fired");
		done(&s, g);
	}
}
END_TEST

/* Both ends of a connection that a fault reset close it later: without the fault's edges that would be a cycle. */
START_TEST(reset)
{
	static const char line[] = "reset client>s1:7000#1/1";
	struct story s;
	struct graph *g;
	size_t fire, r1, r2, e1, e2;

	story_init(&s);
	connection(&s, 1, 1);
	fire = fired(&s, 1, 1, line, 1, 0, 1);
	transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
	r1 = transfer(&s, 0, EVENT_RESET, 1, 0, 0, 0);
	r2 = transfer(&s, 0, EVENT_RESET, 2, 0, 0, 0);
	e1 = transfer(&s, 1, EVENT_RECV, 1, 0, -ECONNRESET, 0);
	e2 = transfer(&s, 2, EVENT_RECV, 2, 0, -ECONNRESET, 0);
	event(&s, 1, EVENT_CLOSE, 1, 0);
	event(&s, 2, EVENT_CLOSE, 2, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	assert_fault_edge(g, fire, r1, false);
	assert_fault_edge(g, fire, r2, false);
	ck_assert_ptr_nonnull(edge(g, r1, e1, RULE_CLOSE));
	ck_assert_ptr_nonnull(edge(g, r2, e2, RULE_CLOSE));
	ck_assert_uint_eq(count_rule(g, RULE_CLOSE), 2);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#1/1"), 1);
	done(&s, g);
}
END_TEST

/* Killed before its message left: its end, and the end of file that the peer reads there; a child that another signal ended is not hit. */
START_TEST(crash)
{
	static const char line[] = "crash client at send client>s1:7000#1/2";
	struct story s;
	struct graph *g;
	size_t fire, eof, gone, other;

	story_init(&s);
	process(&s, 3, "s2", "c");
	connection(&s, 1, 1);
	transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
	transfer(&s, 2, EVENT_RECV, 2, 0, 10, 0);
	fire = fired(&s, 1, 1, line, 1, 10, 2);
	transfer(&s, 1, EVENT_SEND, 1, 10, 5, 2);
	transfer(&s, 2, EVENT_SEND, 2, 0, 3, 1);
	gone = event(&s, 1, EVENT_EXIT, 0, SIGKILL);
	transfer(&s, 1, EVENT_CLOSE, 1, 15, 5, 0);
	eof = transfer(&s, 2, EVENT_RECV, 2, 10, 0, 0);
	transfer(&s, 2, EVENT_SEND, 2, 3, 3, 2);
	other = event(&s, 3, EVENT_EXIT, 0, SIGKILL);
	g = build(&s, GRAPH_ORDER_PROCESS);
	assert_fault_edge(g, fire, gone, false);
	assert_fault_edge(g, fire, eof, false);
	ck_assert_ptr_null(edge(g, fire, other, RULE_FAULT));
	ck_assert_uint_eq(count_rule(g, RULE_CLOSE), 0);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#1/2"), 1);
	ck_assert_uint_eq(lost_by(g, "client<s1:7000#1/1"), 1);
	ck_assert_uint_eq(lost_by(g, "client<s1:7000#1/2"), 1);
	ck_assert_uint_eq(g->n_holes, 0);
	done(&s, g);
}
END_TEST

/* The power of a box goes: who was killed there from then on, by nothing else. */
START_TEST(crash_box)
{
	static const char line[] = "crash box c at send client>s1:7000#1/1";
	struct story s;
	struct graph *g;
	size_t fire, before, exits[3];

	story_init(&s);
	process(&s, 3, "a", "c");
	process(&s, 4, "b", "c");
	process(&s, 5, "d", "c");
	for (uint32_t i = 3; i <= 5; i++)
		s.trace.processes[i].box = 1;
	before = event(&s, 3, EVENT_EXIT, 0, SIGKILL);
	fire = fault_event(&s, 1, EVENT_FIRED, 1, line);
	exits[0] = event(&s, 1, EVENT_EXIT, 0, SIGKILL);
	exits[1] = event(&s, 4, EVENT_EXIT, 0, SIGKILL);
	exits[2] = event(&s, 5, EVENT_EXIT, 0, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_ptr_null(edge(g, fire, before, RULE_FAULT));
	assert_fault_edge(g, fire, exits[0], false);
	assert_fault_edge(g, fire, exits[1], false);
	ck_assert_ptr_null(edge(g, fire, exits[2], RULE_FAULT));
	done(&s, g);
}
END_TEST

/* Between boxes: what was sent from then on and did not come, until it was lifted. */
START_TEST(partition)
{
	static const char line[] = "partition c | s1 oneway";
	struct story s;
	struct graph *g;
	size_t armed, fire, lifted, s1;

	story_init(&s);
	connection(&s, 1, 1);
	connection(&s, 3, 2);
	armed = fault_event(&s, 0, EVENT_ARMED, 7, line);
	transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
	fire = fault_event(&s, 0, EVENT_FIRED, 7, line);
	s1 = transfer(&s, 1, EVENT_SEND, 1, 10, 10, 2);
	transfer(&s, 2, EVENT_SEND, 2, 0, 10, 1);
	lifted = fault_event(&s, 0, EVENT_LIFTED, 7, line);
	transfer(&s, 1, EVENT_SEND, 3, 0, 10, 1);
	at(&s, lifted)->enter_ns = at(&s, lifted)->return_ns = 100000;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#2/1"), 7);
	graph_free(g);
	at(&s, lifted)->enter_ns = at(&s, lifted)->return_ns = at(&s, s1)->return_ns + 1;
	g = build(&s, GRAPH_ORDER_THREAD);
	assert_fault_edge(g, armed, fire, false);
	assert_fault_edge(g, fire, lifted, false);
	assert_fault_edge(g, fire, s1, true);
	ck_assert_uint_eq(count_rule(g, RULE_FAULT), 3);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#1/1"), 7); /* it was on its way */
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#1/2"), 7);
	ck_assert_uint_eq(lost_by(g, "client<s1:7000#1/1"), 0);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#2/1"), 0);
	done(&s, g);
}
END_TEST

/* Who had closed its end would not have read what was sent then; what a wall keeps before that is lost by it. */
START_TEST(closed_before)
{
	struct story s;
	struct graph *g;

	story_init(&s);
	connection(&s, 1, 1);
	fault_event(&s, 0, EVENT_FIRED, 1, "isolate c");
	transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
	transfer(&s, 2, EVENT_CLOSE, 2, 0, 0, 0);
	transfer(&s, 1, EVENT_SEND, 1, 10, 10, 2);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#1/1"), 1);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#1/2"), 0);
	done(&s, g);
}
END_TEST

/* A held message that came in the end explains nothing; a cut behind it does. */
START_TEST(hold_and_cut)
{
	struct story s;
	struct graph *g;

	story_init(&s);
	connection(&s, 1, 2);
	fired(&s, 1, 1, "hold client>s1:7000#2/1 for 1s", 1, 0, 1);
	transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
	transfer(&s, 2, EVENT_RECV, 2, 0, 10, 0);
	fired(&s, 1, 2, CUT, 1, 10, 2);
	transfer(&s, 1, EVENT_SEND, 1, 10, 10, 2);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#2/2"), 2);
	done(&s, g);
	story_init(&s);
	connection(&s, 1, 2);
	fired(&s, 1, 1, "hold client>s1:7000#2/1 for 1s", 1, 0, 1);
	transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
	transfer(&s, 1, EVENT_SEND, 1, 10, 10, 2);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#2/1"), 1);
	ck_assert_uint_eq(lost_by(g, "client>s1:7000#2/2"), 1);
	done(&s, g);
}
END_TEST

/* What an agent did without a record of the kernel's: it stands at the process that it is about. */
START_TEST(restart)
{
	static const char line[] = "restart s1 after 1s";
	struct story s;
	struct graph *g;
	size_t gone, fire, start;

	story_init(&s);
	process(&s, 3, "s1'2", "s1");
	gone = event(&s, 2, EVENT_EXIT, 0, SIGKILL);
	fire = fault_event(&s, 0, EVENT_FIRED, 1, line);
	at(&s, fire)->peer = 3;
	start = event(&s, 3, EVENT_START, 0, 0);
	g = build(&s, GRAPH_ORDER_PROCESS);
	assert_fault_edge(g, gone, fire, false);
	assert_fault_edge(g, fire, start, false);
	ck_assert_uint_eq(g->vertices[vertex(g, fire)].process, 3);
	ck_assert_uint_eq(g->n_edges, 2);
	done(&s, g);
}
END_TEST

/* An edge of a fault that would make a cycle goes; the run keeps its graph. */
START_TEST(no_cycle)
{
	static const char line[] = "partition c | s1";
	struct story s;
	struct graph *g;
	size_t lost, fire;

	story_init(&s);
	connection(&s, 1, 1);
	connection(&s, 3, 2);
	lost = transfer(&s, 2, EVENT_SEND, 2, 0, 10, 1);
	transfer(&s, 2, EVENT_SEND, 4, 0, 10, 1);
	transfer(&s, 1, EVENT_RECV, 3, 0, 10, 0);
	fire = fault_event(&s, 1, EVENT_FIRED, 1, line);
	at(&s, fire)->enter_ns = 1; /* clocks of two machines */
	g = build(&s, GRAPH_ORDER_PROCESS);
	ck_assert_ptr_null(edge(g, fire, lost, RULE_FAULT));
	ck_assert_uint_eq(lost_by(g, "client<s1:7000#1/1"), 1);
	ck_assert_uint_eq(g->contradicted, 0);
	done(&s, g);
}
END_TEST

/* Receipts alone: a fault that was refused, one whose agent died. Of one id the last one counts. A line of another version. */
START_TEST(receipts)
{
	struct story s;
	struct graph *g;

	story_init(&s);
	receipt(&s, 9, FAULT_STATE_UNKNOWN);
	receipt(&s, 2, FAULT_STATE_ARMED);
	receipt(&s, 2, FAULT_STATE_REFUSED)->line = strdup(CUT);
	fault_event(&s, 0, EVENT_FIRED, 3, "teleport client to mars");
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_faults, 3);
	ck_assert_str_eq(graph_fault_words(&g->faults[0]), "refused");
	ck_assert_str_eq(g->faults[0].text, CUT);
	ck_assert_int_eq(g->faults[0].kind, FAULT_CUT);
	ck_assert_str_eq(graph_fault_words(&g->faults[1]), "fired");
	ck_assert_int_eq(g->faults[1].kind, FAULT_NONE);
	ck_assert_str_eq(graph_fault_words(&g->faults[2]), "unknown: its agent is gone");
	ck_assert_ptr_null(graph_fault_find(g, 4));
	done(&s, g);
}
END_TEST

struct drawn {
	struct graph *g;
	struct picture *p;
	struct scene scene;
};

static struct drawn draw(struct story *s)
{
	static const struct render_options options = { .title = "a run" };
	struct drawn d = { .g = build(s, GRAPH_ORDER_PROCESS) };
	struct error e;

	ck_assert_int_eq(picture_build(d.g, &options, 2000, &d.p, &e), 0);
	ck_assert_int_eq(scene_layout(d.p, &d.scene), 0);
	return d;
}

static void drawn_done(struct story *s, struct drawn *d)
{
	scene_fini(&d->scene);
	picture_free(d->p);
	done(s, d->g);
}

static size_t count_shapes(const struct drawn *d, enum shape_kind kind, enum ink ink)
{
	size_t n = 0;

	for (size_t i = 0; i < d->scene.n_shapes; i++)
		n += d->scene.shapes[i].kind == kind && d->scene.shapes[i].ink == ink;
	return n;
}

static const struct shape *text_shape(const struct drawn *d, const char *text)
{
	for (size_t i = 0; i < d->scene.n_shapes; i++)
		if (d->scene.shapes[i].kind == SHAPE_TEXT && !strcmp(d->scene.shapes[i].text, text))
			return &d->scene.shapes[i];
	ck_abort_msg("nowhere: %s", text);
	return NULL;
}

/* Which faults there were and what became of them above; a bolt where one fired; lost messages end in a cross before they arrive. */
START_TEST(cut_is_drawn)
{
	struct story s;
	struct drawn d;
	const struct shape *sent;

	story_init(&s);
	connection(&s, 1, 2);
	fault_event(&s, 0, EVENT_ARMED, 1, CUT);
	fault_event(&s, 0, EVENT_ARMED, 2, "drop client>s1:7000#2/9");
	event(&s, 1, EVENT_CONNECT, 1, 0);
	event(&s, 2, EVENT_ACCEPT, 2, 0);
	fired(&s, 1, 1, CUT, 1, 10, 2);
	transfer(&s, 1, EVENT_SEND, 1, 10, 20, 2);
	receipt(&s, 1, FAULT_STATE_FIRED)->why = strdup("as asked");
	receipt(&s, 2, FAULT_STATE_NEVER_FIRED);
	d = draw(&s);
	ck_assert_int_eq(text_shape(&d, "fault 1: " CUT ": fired; 1 message lost, 20 B")->ink, INK_FAULT);
	ck_assert_int_eq(text_shape(&d, "fault 2: drop client>s1:7000#2/9: never fired")->ink, INK_MUTED);
	ck_assert_ptr_nonnull(strstr(text_shape(&d, "fault 1: cut")->tip, "as asked"));
	sent = text_shape(&d, "client>s1:7000#2/2 \xc2\xb7 20 B, lost: fault 1");
	ck_assert_ptr_nonnull(strstr(sent->tip, "\nfault 1: " CUT));
	ck_assert_uint_eq(count_shapes(&d, SHAPE_BOLT, INK_FAULT), 2); /* one in the legend */
	ck_assert_uint_eq(count_shapes(&d, SHAPE_CROSS, INK_FAIL), 2);
	ck_assert_uint_eq(count_shapes(&d, SHAPE_ARROW, INK_REQUEST), 0);
	text_shape(&d, "a fault fired");
	text_shape(&d, "lost to a fault");
	drawn_done(&s, &d);
}
END_TEST

/* What a fault hit in another lane has an arrow from it. */
START_TEST(hit_is_drawn)
{
	static const char line[] = "partition s1 | c from recv client>s1:7000#1/1";
	struct story s;
	struct drawn d;

	story_init(&s);
	connection(&s, 1, 1);
	event(&s, 1, EVENT_CONNECT, 1, 0);
	event(&s, 2, EVENT_ACCEPT, 2, 0);
	transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
	fired(&s, 2, 1, line, 2, 0, 1);
	transfer(&s, 2, EVENT_RECV, 2, 0, 10, 0);
	transfer(&s, 1, EVENT_SEND, 1, 10, 10, 2);
	d = draw(&s);
	ck_assert_uint_eq(count_shapes(&d, SHAPE_ARROW, INK_FAULT), 2); /* one in the legend */
	text_shape(&d, "what a fault hit");
	drawn_done(&s, &d);
}
END_TEST

/* A crash ends its lane in a cross, and what was started again has the lane beside it; a pause is hatched; a wall stands across all. */
START_TEST(processes_are_drawn)
{
	static const char crash[] = "crash s1 at recv client>s1:7000#1/1", pause[] = "pause client for 1s", wall[] = "isolate c";
	struct story s;
	struct drawn d;
	size_t strokes;

	story_init(&s);
	process(&s, 3, "observer", "o");
	process(&s, 4, "s1'2", "s1");
	connection(&s, 1, 1);
	connection(&s, 3, 2);
	event(&s, 3, EVENT_START, 0, 0);
	event(&s, 1, EVENT_CONNECT, 1, 0);
	event(&s, 2, EVENT_ACCEPT, 2, 0);
	fault_event(&s, 1, EVENT_FIRED, 2, pause);
	for (unsigned i = 0; i < 3; i++) {
		transfer(&s, 2, EVENT_SEND, 2, 5 * i, 5, i + 1);
		transfer(&s, 1, EVENT_RECV, 1, 5 * i, 5, 0);
	}
	fired(&s, 2, 1, crash, 2, 0, 1);
	event(&s, 2, EVENT_EXIT, 0, SIGKILL);
	event(&s, 4, EVENT_START, 0, 0);
	event(&s, 1, EVENT_CONNECT, 3, 0);
	event(&s, 4, EVENT_ACCEPT, 4, 0);
	fault_event(&s, 0, EVENT_FIRED, 3, wall);
	fault_event(&s, 0, EVENT_LIFTED, 3, wall);
	d = draw(&s);
	ck_assert_int_eq(text_shape(&d, "killed by SIGKILL, fault 1")->ink, INK_FAIL);
	text_shape(&d, "fault 3 fired: isolate c");
	text_shape(&d, "fault 3 lifted: isolate c");
	strokes = count_shapes(&d, SHAPE_LINE, INK_FAULT) - 2; /* those of the wall */
	ck_assert_uint_gt(strokes, 3); /* three are in the legend */
	ck_assert_uint_eq(count_shapes(&d, SHAPE_CROSS, INK_FAIL), 2); /* the crash; in the legend */
	ck_assert_int_eq(abs((int)d.p->lane_of[2] - (int)d.p->lane_of[4]), 1);
	drawn_done(&s, &d);
}
END_TEST

/* A pause that is at no message is hatched from its start on, also where something without an event of its own stands in its lane. */
START_TEST(pause_is_drawn)
{
	struct story s;
	struct drawn d;
	double from, to;
	size_t strokes = 0;

	story_init(&s);
	process(&s, 3, "client.1", "c3");
	connection(&s, 1, 1);
	event(&s, 1, EVENT_CONNECT, 1, 0);
	event(&s, 2, EVENT_ACCEPT, 2, 0);
	fault_event(&s, 1, EVENT_FIRED, 2, "pause client for 1s");
	transfer(&s, 3, EVENT_SEND, 1, 0, 5, 1); /* a child, which goes on; its next send is not known */
	transfer(&s, 2, EVENT_RECV, 2, 0, 5, 0);
	transfer(&s, 2, EVENT_RECV, 2, 5, 5, 0);
	transfer(&s, 1, EVENT_SEND, 1, 10, 5, 3);
	d = draw(&s);
	from = text_shape(&d, "fault 2: pause")->y;
	to = text_shape(&d, "send missing: 5 B of client>s1:7000#1")->y;
	ck_assert_double_gt(to, from);
	for (size_t i = 0; i < d.scene.n_shapes; i++) {
		const struct shape *shape = &d.scene.shapes[i];

		strokes += shape->kind == SHAPE_LINE && shape->ink == INK_FAULT && shape->y > from && shape->y < to;
	}
	ck_assert_uint_gt(strokes, 1);
	drawn_done(&s, &d);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("losses");
	TCase *tc = tcase_create("faults");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, cut);
	tcase_add_test(tc, not_to_blame);
	tcase_add_test(tc, reset);
	tcase_add_test(tc, crash);
	tcase_add_test(tc, crash_box);
	tcase_add_test(tc, partition);
	tcase_add_test(tc, closed_before);
	tcase_add_test(tc, hold_and_cut);
	tcase_add_test(tc, restart);
	tcase_add_test(tc, no_cycle);
	tcase_add_test(tc, receipts);
	tcase_add_test(tc, cut_is_drawn);
	tcase_add_test(tc, hit_is_drawn);
	tcase_add_test(tc, processes_are_drawn);
	tcase_add_test(tc, pause_is_drawn);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
