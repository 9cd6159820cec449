/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a picture must show of a run, and how it is written: losses, faults, what is said, whatever the names. */
#include "tests/unit/render_run.h"

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

int main(void)
{
	Suite *suite = suite_create("render_shows");
	TCase *tc = tcase_create("pictures");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, losses_show);
	tcase_add_test(tc, nobody_is_left);
	tcase_add_test(tc, contents_show);
	tcase_add_test(tc, unanswered_connects_show);
	tcase_add_test(tc, teardown_is_optional);
	tcase_add_test(tc, hostile_names);
	tcase_add_test(tc, png_fits);
	tcase_add_test(tc, faults_reach);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
