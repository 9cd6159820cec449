/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Properties of pictures, over random runs: they can be read, whatever the run. */
#include <check.h>
#include <errno.h>
#include <graphviz/cgraph.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"
#include "graph/render.h"
#include "graph/scene.h"
#include "tests/unit/random_run.c"
#include "tests/unit/scene_check.h"
#include "tests/unit/talk.h"

static const struct random_options shapes[] = {
	{ .processes = 2, .steps = 60 },
	{ .processes = 3, .steps = 200, .resets = true },
	{ .processes = 5, .steps = 400, .threads = true, .forks = true, .resets = true },
	{ .processes = 16, .steps = 1500, .threads = true, .forks = true },
};
#define N_SHAPES (sizeof(shapes) / sizeof(*shapes))

static struct graph *build(const struct trace *trace, enum graph_order order)
{
	struct graph *g = NULL;
	struct error e = { "" };

	ck_assert_msg(!graph_build(trace, order, &g, &e), "%s", e.text);
	return g;
}

static struct picture *picture(const struct graph *g, const struct render_options *options, size_t max)
{
	struct picture *p = NULL;
	struct error e = { "" };

	ck_assert_msg(!picture_build(g, options, max, &p, &e), "%s", e.text);
	return p;
}

/* Where processes have one order, how threads begin and end is left out. */
static void check_threads(const struct picture *p)
{
	for (size_t i = 0; i < p->n_items; i++) {
		const struct event *event = p->items[i].vertex == NO_VERTEX ? NULL : item_event(p, &p->items[i]);

		if (event && (event->kind == EVENT_SPAWN || event->kind == EVENT_EXIT))
			ck_assert(p->g->order == GRAPH_ORDER_THREAD || !(event->flags & EVENT_F_THREAD));
	}
}

static void check_picture(const struct graph *g, const struct render_options *options, size_t max)
{
	struct picture *p = picture(g, options, max);
	struct scene scene;

	check_threads(p);
	ck_assert_uint_le(p->n_nodes, max);
	for (size_t i = 0; i < p->n_links; i++)
		ck_assert_uint_lt(p->nodes[p->links[i].from].row + p->nodes[p->links[i].from].height,
				  UINT32_MAX);
	ck_assert_int_eq(scene_layout(p, &scene), 0);
	for (size_t i = 0; i < p->n_links; i++) /* also those that are not drawn */
		ck_assert_uint_lt(p->nodes[p->links[i].from].row, p->nodes[p->links[i].to].row);
	check_texts(&scene);
	check_arrows(&scene);
	scene_fini(&scene);
	picture_free(p);
}

/* Random runs, whole and folded to all degrees: arrows point down, texts do not overlap, no more nodes than asked for. */
START_TEST(pictures_can_be_read)
{
	static const size_t limits[] = { 100000, 2000, 300, 60, 9, 1 };

	for (unsigned i = 0; i < 80; i++) {
		struct render_options options = { .title = "random", .subtitle = "a run", .incomplete = i % 3 == 0 };
		struct random_run run;
		struct graph *g;

		random_run_init(&run, i, &shapes[i % N_SHAPES]);
		if (i % 4 > 1)
			random_run_faults(&run, i, 1 + i % 9);
		g = build(&run.trace, i % 2 ? GRAPH_ORDER_THREAD : GRAPH_ORDER_PROCESS);
		for (size_t k = 0; k < sizeof(limits) / sizeof(*limits); k++)
			check_picture(g, &options, limits[k]);
		graph_free(g);
		random_run_fini(&run);
	}
}
END_TEST

/* Damaged runs can be drawn too if they have a graph. */
START_TEST(damaged_runs_can_be_read)
{
	for (unsigned i = 0; i < 400; i++) {
		struct render_options options = { .teardown = i % 2 };
		struct random_run run;
		struct graph *g = NULL;
		uint64_t rng = i;

		random_run_init(&run, i, &shapes[i % (N_SHAPES - 1)]);
		for (unsigned k = 0; k < 1 + i % 9; k++) {
			struct event *event = &run.trace.events[random_below(&rng, run.trace.n_events)];
			uint64_t value = random_below(&rng, 2) ? random_next(&rng) : random_below(&rng, 8);

			switch (random_below(&rng, 7)) {
			case 0: event->pos = value; break;
			case 1: event->value = value; break;
			case 2: event->process = value; break;
			case 3: event->kind = random_below(&rng, EVENT_KIND_COUNT + 1); break;
			case 4: event->end = value; break;
			case 5: event->enter_ns = event->return_ns = value; break;
			case 6: *event = run.trace.events[--run.trace.n_events]; break;
			}
		}
		if (graph_build(&run.trace, i % 2 ? GRAPH_ORDER_THREAD : GRAPH_ORDER_PROCESS, &g, NULL) == 0) {
			check_picture(g, &options, 2000);
			check_picture(g, &options, 40);
		}
		graph_free(g);
		random_run_fini(&run);
	}
}
END_TEST

static void reach(const bool *next, bool *seen, size_t n, uint32_t node)
{
	for (uint32_t i = node + 1; i < n; i++) {
		if (!next[node * n + i] || seen[i])
			continue;
		seen[i] = true;
		reach(next, seen, n, i);
	}
}

/* Is link's end reached from its beginning by the lanes and other links? */
static bool is_implied(const struct picture *p, bool *next, const struct link *link)
{
	size_t n = p->n_nodes;
	bool *seen = calloc(n + 1, sizeof(*seen)), implied;

	next[link->from * n + link->to] = false;
	reach(next, seen, n, link->from);
	next[link->from * n + link->to] = true;
	implied = seen[link->to];
	free(seen);
	return implied;
}

/* A phase begins in the middle of the run. */
static void mark(struct trace *trace, const char *text)
{
	uint64_t now = trace->events[trace->n_events / 2].enter_ns;
	uint32_t index = trace->n_texts + 1;
	struct event *event;

	*trace_text_at(trace, index) = strdup(text);
	event = trace_event_add(trace);
	*event = (struct event){ .kind = EVENT_MARK, .enter_ns = now, .return_ns = now, .text = index };
}

/* Arrows between lanes are drawn if and only if they say more than the lanes and the others; besides, the first of
 * each message and all connects. */
START_TEST(arrows_say_something)
{
	size_t implied = 0;

	for (unsigned i = 0; i < 60; i++) {
		struct render_options options = { 0 };
		struct random_run run;
		struct graph *g;
		struct picture *p;
		bool *next, *drawn;

		random_run_init(&run, i + 50, &shapes[i % 2]);
		mark(&run.trace, "check"); /* orders nothing */
		g = build(&run.trace, GRAPH_ORDER_PROCESS);
		p = picture(g, &options, 2000);
		next = calloc(p->n_nodes * p->n_nodes + 1, sizeof(*next));
		drawn = calloc(g->n_messages + 1, sizeof(*drawn));
		for (size_t k = 0; k < p->n_items; k++)
			for (size_t j = k + 1; j < p->n_items; j++) {
				if (p->items[j].lane != p->items[k].lane)
					continue;
				if (p->items[j].node != p->items[k].node)
					next[p->items[k].node * p->n_nodes + p->items[j].node] = true;
				break;
			}
		for (size_t k = 0; k < p->n_links; k++)
			next[p->links[k].from * p->n_nodes + p->links[k].to] = true;
		for (size_t k = 0; k < p->n_links; k++) {
			const struct link *link = &p->links[k];

			if (link->message != NO_MESSAGE)
				drawn[link->message] |= link->drawn;
			if (link->from_lane == link->to_lane || link->rule == RULE_CONNECT)
				continue;
			if (!link->drawn)
				ck_assert(is_implied(p, next, link));
			else if (link->rule != RULE_MESSAGE)
				ck_assert(!is_implied(p, next, link));
			implied += !link->drawn;
		}
		for (size_t k = 0; k < g->n_messages; k++)
			ck_assert(drawn[k] || !g->messages[k].received);
		free(next);
		free(drawn);
		picture_free(p);
		graph_free(g);
		random_run_fini(&run);
	}
	ck_assert_uint_gt(implied, 10);
}
END_TEST

/* Every message of the graph is in the picture once: as a label, or in a block's sum. */
START_TEST(folding_loses_no_message)
{
	for (unsigned i = 0; i < 40; i++) {
		struct render_options options = { 0 };
		struct random_run run;
		struct graph *g;
		struct picture *p;
		size_t n = 0, whole = 0;
		uint64_t bytes = 0, expected = 0;

		random_run_init(&run, i, &shapes[i % N_SHAPES]);
		g = build(&run.trace, GRAPH_ORDER_PROCESS);
		for (size_t k = 0; k < g->n_messages; k++)
			expected += g->messages[k].size;
		p = picture(g, &options, 30 + i);
		for (uint32_t k = 0; k < p->n_nodes; k++) {
			const struct node *node = &p->nodes[k];
			const struct event *event = node_event(p, k);

			if (node->block) {
				n += node->n_messages;
				bytes += node->bytes;
			} else if (event && event->kind == EVENT_SEND && event->value > 0) {
				n += !(event->flags & EVENT_F_CONTINUED);
				bytes += node->bytes;
			}
		}
		for (size_t k = 0; k < run.trace.n_events; k++)
			whole += run.trace.events[k].kind == EVENT_SEND && run.trace.events[k].value > 0 &&
				 !(run.trace.events[k].flags & EVENT_F_CONTINUED);
		ck_assert_uint_eq(n, whole);
		ck_assert_uint_eq(bytes, expected);
		picture_free(p);
		graph_free(g);
		random_run_fini(&run);
	}
}
END_TEST

/* All that a writer wrote. */
static char *written(const struct graph *g, enum render_format format)
{
	struct render_options options = { .title = "t" };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ck_assert_int_eq(render_graph(g, format, &options, out, NULL), 0);
	fclose(out);
	return text;
}

/* Bytes of a message stand beside it, the first of them, and in its tooltip; no format takes them for signs of its own. */
START_TEST(contents_show)
{
	struct random_run run;
	struct trace_content *content;
	struct graph *g;
	char *text;

	random_run_init(&run, 5, &shapes[0]);
	g = build(&run.trace, GRAPH_ORDER_THREAD);
	for (size_t i = 0; i < g->n_messages; i++) {
		const struct graph_message *m = &g->messages[i];

		content = trace_content_add(&run.trace);
		*content = (struct trace_content){ m->direction ? g->connections[m->connection].acceptor :
								  g->connections[m->connection].connector,
						   m->number, CONTENT_F_CUT | CONTENT_F_REDACTED, 18,
						   (unsigned char *)strdup("<b>&\n\\N \x01[redacted]") };
	}
	graph_free(g);
	g = build(&run.trace, GRAPH_ORDER_THREAD);
	text = written(g, RENDER_SVG);
	ck_assert_ptr_nonnull(strstr(text, " &quot;&lt;b&gt;&amp;\\n\\\\N \\x01[redact&quot;... (redacted)</text>"));
	ck_assert_ptr_nonnull(strstr(text, "\n&quot;&lt;b&gt;&amp;\\n\\\\N \\x01[redacted&quot;... (redacted)</title>"));
	free(text);
	text = written(g, RENDER_DOT);
	ck_assert_ptr_nonnull(strstr(text, "\\\\n\\\\\\\\N \\\\x01[redact"));
	free(text);
	check_picture(g, &(struct render_options){ 0 }, 2000);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST

/* A run that was lost but for a note and proof of it has no lanes, and a picture all the same. */
START_TEST(nobody_is_left)
{
	struct random_run run;
	struct event *event;
	struct graph *g;
	char *text;

	random_run_init(&run, 5, &shapes[0]);
	run.trace.n_events = 0; /* the ends still say how much they sent */
	event = trace_event_add(&run.trace);
	*event = (struct event){ .kind = EVENT_LOST, .value = 1234, .enter_ns = 20, .return_ns = 20 };
	g = build(&run.trace, GRAPH_ORDER_THREAD);
	for (int format = RENDER_SVG; format <= RENDER_DOT; format++) {
		text = written(g, (enum render_format)format);
		ck_assert(format == RENDER_PNG || strstr(text, "1,234 events lost"));
		free(text);
	}
	check_picture(g, &(struct render_options){ 0 }, 2000);
	check_picture(g, &(struct render_options){ 0 }, 1);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST

/* Losses are seen: a hole as a hatched mark with its bytes, lost events as a band across the picture. */
START_TEST(losses_show)
{
	struct render_options options = { .incomplete = true };
	struct random_run run;
	struct graph *g;
	struct picture *p;
	struct scene scene;
	struct event *event;
	size_t sends = 0;

	random_run_init(&run, 5, &shapes[0]);
	for (size_t i = 0; i < run.trace.n_events && !sends; i++) {
		if (run.trace.events[i].kind != EVENT_SEND || run.trace.events[i].value <= 0)
			continue;
		run.trace.events[i] = run.trace.events[--run.trace.n_events];
		sends++;
	}
	ck_assert_uint_eq(sends, 1);
	event = trace_event_add(&run.trace);
	*event = (struct event){ .kind = EVENT_LOST, .value = 1234, .enter_ns = 20, .return_ns = 20 };
	g = build(&run.trace, GRAPH_ORDER_THREAD);
	p = picture(g, &options, 2000);
	ck_assert_int_eq(scene_layout(p, &scene), 0);
	ck_assert_uint_ge(count(&scene, SHAPE_HATCH), 2);
	ck_assert(has_text(&scene, "1,234 events lost"));
	ck_assert(has_text(&scene, "send missing: "));
	ck_assert(has_text(&scene, "INCOMPLETE"));
	check_texts(&scene);
	scene_fini(&scene);
	picture_free(p);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST

/* A connect that nobody answered does not look like one that succeeded. */
START_TEST(unanswered_connects_show)
{
	struct render_options options = { 0 };
	struct random_run run;
	struct graph *g;
	struct picture *p;
	struct scene scene;
	size_t refused = 0;

	random_run_init(&run, 5, &shapes[0]);
	for (size_t i = 0; i < run.trace.n_events; i++) {
		struct event *event = &run.trace.events[i];

		if (event->kind != EVENT_CONNECT || event->value != -ECONNREFUSED)
			continue;
		event->value = -EINPROGRESS;
		run.trace.ends[event->end].error = 0;
		refused++;
	}
	ck_assert_uint_ge(refused, 1);
	g = build(&run.trace, GRAPH_ORDER_THREAD);
	p = picture(g, &options, 2000);
	ck_assert_int_eq(scene_layout(p, &scene), 0);
	ck_assert(has_text(&scene, ": no answer"));
	ck_assert(!has_text(&scene, "ECONNREFUSED"));
	ck_assert_uint_ge(count(&scene, SHAPE_CROSS), refused);
	scene_fini(&scene);
	picture_free(p);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST

/* What happened after the outcome is drawn only when asked for; the picture says how much it left out. */
START_TEST(teardown_is_optional)
{
	struct render_options options = { 0 };
	struct random_run run;
	struct graph *g;
	struct picture *with, *without;
	struct scene scene;
	struct event *mark;

	random_run_init(&run, 2, &shapes[1]);
	*trace_text_at(&run.trace, 1) = strdup("outcome");
	mark = trace_event_add(&run.trace);
	*mark = (struct event){ .kind = EVENT_MARK, .text = 1, .enter_ns = 60, .return_ns = 60 };
	g = build(&run.trace, GRAPH_ORDER_THREAD);
	without = picture(g, &options, 2000);
	ck_assert_uint_gt(without->n_omitted, 0);
	ck_assert_int_eq(scene_layout(without, &scene), 0);
	ck_assert(has_text(&scene, "outcome"));
	ck_assert(has_text(&scene, "events after the outcome"));
	scene_fini(&scene);
	options.teardown = true;
	with = picture(g, &options, 2000);
	ck_assert_uint_eq(with->n_omitted, 0);
	ck_assert_uint_gt(with->n_items, without->n_items);
	picture_free(with);
	picture_free(without);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST

static char *render(const struct graph *g, enum render_format format, const struct render_options *options, size_t *ret_size)
{
	char *bytes = NULL;
	struct error e = { "" };
	FILE *out = open_memstream(&bytes, ret_size);

	ck_assert_msg(!render_graph(g, format, options, out, &e), "%s", e.text);
	fclose(out);
	return bytes;
}

/* Tags nest, nothing unescaped is between them. A small stand-in for an XML parser, strict where SVG is at risk. */
static void check_xml(const char *s)
{
	const char *stack[64];
	size_t depth = 0;

	for (; *s; s++) {
		ck_assert((unsigned char)*s >= 0x20 || *s == '\n');
		ck_assert(*s != '&' || !strncmp(s, "&lt;", 4) || !strncmp(s, "&gt;", 4) || !strncmp(s, "&amp;", 5) ||
			  !strncmp(s, "&quot;", 6));
		if (*s != '<')
			continue;
		if (s[1] == '/') {
			size_t length = strcspn(s + 2, ">");

			ck_assert_uint_gt(depth, 0);
			ck_assert_int_eq(strncmp(stack[--depth], s + 2, length), 0);
			s += length + 2;
		} else {
			const char *name = s + 1, *end = s + strcspn(s, ">");

			ck_assert_int_eq(*end, '>');
			ck_assert_ptr_null(memchr(name, '<', end - name));
			if (end[-1] != '/' && end[-1] != '?') {
				ck_assert_uint_lt(depth, 64);
				stack[depth++] = name;
			}
			s = end;
		}
	}
	ck_assert_uint_eq(depth, 0);
}

/* Names from outside, whatever is in them, leave the formats well formed. */
START_TEST(hostile_names)
{
	static const char *const names[] = {
		"</text><script>alert(1)</script>", "a & b \"c\" 'd'", "line\nbreak\x01\x1b[31m", "\xff\xfe\xc0\x80 broken",
		"\\N \\E { } | <port>", "日本語の名前", "",
	};
	struct render_options options = { .title = "<title> & \"more\" \x02\xff", .subtitle = "]]>" };
	struct random_run run;
	struct graph *g;
	char *bytes, *name;
	size_t size;
	Agraph_t *parsed;

	random_run_init(&run, 4, &shapes[2]);
	for (size_t i = 1; i <= run.trace.n_processes; i++) {
		free(run.trace.processes[i].name);
		run.trace.processes[i].name = strdup(names[i % 7]);
		free(run.trace.processes[i].command);
		run.trace.processes[i].command = strdup(names[(i + 3) % 7]);
	}
	for (size_t i = 1; i <= run.trace.n_ends; i++) {
		if (!run.trace.ends[i].target)
			continue;
		free(run.trace.ends[i].target);
		run.trace.ends[i].target = strdup(names[i % 7]);
	}
	name = malloc(5000);
	memset(name, 'x', 4999);
	name[4999] = '\0';
	free(run.trace.boxes[1].name);
	run.trace.boxes[1].name = name;
	g = build(&run.trace, GRAPH_ORDER_THREAD);
	check_picture(g, &options, 2000);
	bytes = render(g, RENDER_SVG, &options, &size);
	check_xml(bytes);
	ck_assert_ptr_null(strstr(bytes, "<script"));
	free(bytes);
	bytes = render(g, RENDER_DOT, &options, &size);
	parsed = agmemread(bytes);
	ck_assert_ptr_nonnull(parsed);
	ck_assert_int_gt(agnnodes(parsed), 10);
	agclose(parsed);
	free(bytes);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST

static uint32_t png_number(const char *bytes)
{
	const unsigned char *b = (const unsigned char *)bytes;

	return (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

/* A PNG is one, and never larger than what can be painted: a long run is folded until it fits. */
START_TEST(png_fits)
{
	struct render_options options = { .max_vertices = 100000 };
	struct random_options many = { .processes = 16, .steps = 12000, .threads = true };
	struct random_run run;
	struct graph *g;
	char *bytes;
	size_t size;

	random_run_init(&run, 9, &many);
	g = build(&run.trace, GRAPH_ORDER_PROCESS);
	bytes = render(g, RENDER_PNG, &options, &size);
	ck_assert_uint_gt(size, 1000);
	ck_assert_int_eq(memcmp(bytes, "\x89PNG\r\n\x1a\n", 8), 0);
	ck_assert_uint_le(png_number(bytes + 16), SCENE_PNG_MAX);
	ck_assert_uint_le(png_number(bytes + 20), SCENE_PNG_MAX);
	free(bytes);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST

/* A run without events, and a full disk: a picture, and an error. */
START_TEST(edges_of_the_world)
{
	struct render_options options = { 0 };
	struct trace trace;
	struct graph *g;
	struct error e = { "" };
	size_t size;
	char *bytes;
	FILE *full = fopen("/dev/full", "w");

	trace_init(&trace);
	g = build(&trace, GRAPH_ORDER_THREAD);
	for (int format = RENDER_SVG; format <= RENDER_DOT; format++) {
		bytes = render(g, format, &options, &size);
		ck_assert_uint_gt(size, 0);
		free(bytes);
		ck_assert_int_lt(render_graph(g, format, &options, full, &e), 0);
		ck_assert(e.text[0]);
		clearerr(full);
	}
	fclose(full);
	graph_free(g);
}
END_TEST

/* The same run gives the same bytes, however its events arrived. */
START_TEST(same_picture_whatever_the_arrival)
{
	for (unsigned i = 0; i < 20; i++) {
		struct render_options options = { .title = "t" };
		struct random_run run;
		struct graph *g;
		char *before, *after;
		size_t size;

		random_run_init(&run, i, &shapes[i % N_SHAPES]);
		g = build(&run.trace, GRAPH_ORDER_PROCESS);
		before = render(g, RENDER_SVG, &options, &size);
		graph_free(g);
		random_run_shuffle(&run, i + 1);
		g = build(&run.trace, GRAPH_ORDER_PROCESS);
		after = render(g, RENDER_SVG, &options, &size);
		ck_assert_str_eq(before, after);
		free(before);
		free(after);
		graph_free(g);
		random_run_fini(&run);
	}
}
END_TEST

/* The boxes that a fault concerns have a strip behind their lanes, from where it fired to where it ended, or to the end. */
START_TEST(faults_reach)
{
	static const struct {
		const char *line;
		size_t strips;
		bool ends;
	} cases[] = {
		{ "isolate b", 1, false }, { "isolate b", 1, true }, { "partition a | b,c", 3, true }, { "loss 5% a | c", 2, false },
		{ "crash box b", 0, false }, { "pause b for 1s", 0, false }, { "?", 0, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct render_options options = { 0 };
		struct talk talk;
		struct graph *g;
		struct picture *p;
		struct scene scene;
		double bottom = 0;
		size_t n = 0;

		talk_init(&talk, "a b c", "a+b b+c a>b* a+c a>c");
		free(talk.trace.texts[1]);
		talk.trace.texts[1] = strdup(cases[i].line);
		if (cases[i].ends) {
			talk_event(&talk, (struct talker){ 0 }, EVENT_EXPIRED, 0)->value = 1;
			ck_assert_int_eq(*talk_say(&talk, "b>c a>b"), 0);
		}
		g = talk_graph(&talk);
		p = picture(g, &options, 2000);
		ck_assert_int_eq(scene_layout(p, &scene), 0);
		for (size_t k = 0; k < scene.n_shapes; k++)
			if (scene.shapes[k].kind == SHAPE_LINE && scene.shapes[k].ink == INK_LANE && bottom < scene.shapes[k].y2)
				bottom = scene.shapes[k].y2;
		for (size_t k = 0; k < scene.n_shapes; k++) {
			const struct shape *shape = &scene.shapes[k];

			if (shape->kind != SHAPE_BOX || shape->fill != INK_FAULT_PALE || shape->y > bottom)
				continue; /* the last one is of the legend */
			n++;
			ck_assert_double_gt(shape->y2, shape->y + 20);
			ck_assert_int_eq(shape->y2 < bottom - 30, cases[i].ends);
		}
		ck_assert_msg(n == cases[i].strips, "%s: %zu strips", cases[i].line, n);
		ck_assert_int_eq(has_text(&scene, "its packets are under a fault"), n > 0);
		check_texts(&scene);
		scene_fini(&scene);
		picture_free(p);
		graph_free(g);
		talk_fini(&talk);
	}
}
END_TEST

static void happens(struct trace *trace, uint32_t process, enum event_kind kind, uint32_t peer)
{
	struct event *event = trace_event_add(trace);
	uint64_t now = trace->n_events;

	*event = (struct event){ .kind = kind, .process = process, .box = 1, .order = now, .enter_ns = now, .return_ns = now,
				 .peer = peer, .value = kind == EVENT_LISTEN ? 7000 : 0 };
}

static void names(struct trace *trace, uint32_t process, uint32_t parent, const char *name)
{
	*trace_process_at(trace, process) = (struct trace_process){ .name = strdup(name), .box = 1, .parent = parent,
								      .command = strdup("/bin/child") };
}

/* A parent, n children that listen, and what they do: one after the other, or with all begun before the first ends. */
static void family(struct trace *trace, uint32_t n, bool in_turn)
{
	char name[32];

	trace_init(trace);
	trace_box_at(trace, 1)->name = strdup("c");
	names(trace, 1, 0, "c");
	happens(trace, 1, EVENT_START, 0);
	for (uint32_t child = 2; child <= n + 1; child++) {
		snprintf(name, sizeof(name), "c.%u", child - 1);
		names(trace, child, 1, name);
	}
	for (uint32_t i = 0; i < 2 * n; i++) {
		uint32_t child = 2 + (in_turn ? i / 2 : i % n);
		bool begins = in_turn ? i % 2 == 0 : i < n;

		if (begins)
			happens(trace, 1, EVENT_SPAWN, child);
		happens(trace, child, begins ? EVENT_START : EVENT_LISTEN, 0);
		if (!begins) {
			happens(trace, child, EVENT_EXIT, 0);
			happens(trace, 1, EVENT_WAIT, child);
		}
	}
	happens(trace, 1, EVENT_EXIT, 0);
}

/*
 * Where lanes are many, children that ran one after the other share one, in which their lives follow each other; those that ran
 * at once share one only where lanes would be very many, and then it does not look like one life.
 */
START_TEST(children_share_lanes)
{
	static const struct {
		uint32_t n;
		bool in_turn;
		size_t lanes;
		const char *head;
	} cases[] = {
		{ 5, true, 6, "on c" },
		{ 20, true, 2, "20 processes in turn" },
		{ 10, false, 11, "on c" },
		{ 20, false, 2, "20 processes" },
	};
	const struct render_options options = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct trace trace;
		struct graph *g;
		struct picture *p;
		struct scene scene;
		size_t lives = 0;

		family(&trace, cases[i].n, cases[i].in_turn);
		g = build(&trace, GRAPH_ORDER_PROCESS);
		p = picture(g, &options, 2000);
		ck_assert_uint_eq(p->n_lanes, cases[i].lanes);
		ck_assert_int_eq(scene_layout(p, &scene), 0);
		check_texts(&scene);
		ck_assert(has_text(&scene, cases[i].head));
		ck_assert_int_eq(has_text(&scene, "in turn"), p->n_lanes == 2 && cases[i].in_turn);
		ck_assert_int_eq(has_text(&scene, "c.*"), p->n_lanes == 2);
		ck_assert_int_eq(has_text(&scene, "start c.5"), p->n_lanes == 2);
		for (size_t k = 0; k < scene.n_shapes; k++)
			lives += scene.shapes[k].kind == SHAPE_LINE && scene.shapes[k].ink == INK_LANE && !scene.shapes[k].dashed;
		ck_assert_uint_eq(lives, cases[i].in_turn || p->n_lanes > 2 ? cases[i].n + 1 : 2);
		scene_fini(&scene);
		picture_free(p);
		graph_free(g);
		trace_fini(&trace);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("render");
	TCase *tc = tcase_create("pictures");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, pictures_can_be_read);
	tcase_add_test(tc, damaged_runs_can_be_read);
	tcase_add_test(tc, arrows_say_something);
	tcase_add_test(tc, folding_loses_no_message);
	tcase_add_test(tc, losses_show);
	tcase_add_test(tc, nobody_is_left);
	tcase_add_test(tc, contents_show);
	tcase_add_test(tc, unanswered_connects_show);
	tcase_add_test(tc, teardown_is_optional);
	tcase_add_test(tc, hostile_names);
	tcase_add_test(tc, png_fits);
	tcase_add_test(tc, edges_of_the_world);
	tcase_add_test(tc, same_picture_whatever_the_arrival);
	tcase_add_test(tc, children_share_lanes);
	tcase_add_test(tc, faults_reach);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
