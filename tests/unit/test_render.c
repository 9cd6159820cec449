/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Properties of pictures, over random runs: they can be read, whatever the run. */
#include "tests/unit/render_run.h"

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
	tcase_add_test(tc, edges_of_the_world);
	tcase_add_test(tc, same_picture_whatever_the_arrival);
	tcase_add_test(tc, children_share_lanes);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
