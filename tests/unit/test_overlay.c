/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two runs as one graph and one picture: all that differs shows, nothing twice, nothing in a circle, and it can be read. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/show_diff.h"
#include "graph/overlay.h"
#include "graph/picture.h"
#include "graph/render.h"
#include "tests/heap.h"
#include "tests/unit/random_run.h"
#include "tests/unit/scene_check.h"
#include "tests/unit/talk.h"

#include "tests/unit/diff_golden.h"

/* Two runs, and all that is made of them. */
struct two {
	struct talk talks[2];
	struct random_run runs[2];
	bool random;
	const struct graph *graphs[2];
	struct diff *diff;
	struct overlay *overlay;
};

static void lay(struct two *two)
{
	ck_assert_int_eq(diff_new(two->graphs, &two->diff), 0);
	ck_assert_int_eq(overlay_new(two->graphs, two->diff, &two->overlay), 0);
}

static void two_talks(struct two *two, const char *first, const char *before, const char *after)
{
	memset(two, 0, sizeof(*two));
	talk_init(&two->talks[0], first, before);
	talk_init(&two->talks[1], first, after);
	for (int i = 0; i < 2; i++)
		two->graphs[i] = talk_graph(&two->talks[i]);
	lay(two);
}

static void two_fini(struct two *two)
{
	overlay_free(two->overlay);
	diff_free(two->diff);
	for (int i = 0; i < 2; i++) {
		graph_free((struct graph *)two->graphs[i]);
		if (two->random)
			random_run_fini(&two->runs[i]);
		else
			talk_fini(&two->talks[i]);
	}
}

static char *drawn(const struct two *two, const char *format, size_t *ret_size)
{
	struct shown_diff shown = { .diff = two->diff, .runs = { 1, 2 }, .experiments = { "talk", "talk" } };
	struct error e = { "" };
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);

	for (int i = 0; i < 2; i++) {
		shown.graphs[i] = two->graphs[i];
		ck_assert_int_eq(print_levels(shown.graphs[i], NULL, shown.prints[i]), 0);
	}
	ck_assert_msg(!show_diff_draw(&shown, format, out, &e), "%s", e.text);
	fclose(out);
	return text;
}

/* As it stands in SVG. */
static char *escaped(const char *text)
{
	char *buf = calloc(6, strlen(text) + 1), *to = buf;

	for (; *text; text++)
		to = stpcpy(to, *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : (char[]){ *text, '\0' });
	return buf;
}

/* Is there an element of the class with these words in its title? */
static bool is_told(const char *svg, const char *class, const char *words)
{
	char *text = escaped(words), open[64];
	bool told = false;

	snprintf(open, sizeof(open), "<g class=\"t %s\">", class);
	for (const char *at = strstr(svg, open); at && !told; at = strstr(at + 1, open)) {
		const char *end = strstr(at, "</title>"), *found = strstr(at, text);

		told = found && end && found < end;
	}
	free(text);
	return told;
}

/* Which sides show a change. */
static bool shows(const char *svg, const struct diff_change *change)
{
	switch (change->kind) {
	case DIFF_FAULT:
		return is_told(svg, change->cause_run ? "added" : "removed", change->text);
	case DIFF_PROCESS_ADDED:
	case DIFF_CONNECTION_ADDED:
	case DIFF_MESSAGES_ADDED:
		return is_told(svg, "added", change->text);
	case DIFF_PROCESS_REMOVED:
	case DIFF_CONNECTION_REMOVED:
	case DIFF_MESSAGES_REMOVED:
		return is_told(svg, "removed", change->text);
	case DIFF_CONNECTION_INSTEAD:
		return is_told(svg, "added", change->text) && is_told(svg, "removed", change->text);
	case DIFF_UNRECEIVED:
		return is_told(svg, "changed", change->text) && is_told(svg, "removed", change->text);
	case DIFF_RECEIVED:
		return is_told(svg, "changed", change->text) && is_told(svg, "added", change->text);
	case DIFF_RESULT:
		return is_told(svg, "changed", change->text);
	case DIFF_EXIT:
		return is_told(svg, change->vertex[0] == DIFF_NONE ? "added" : change->vertex[1] == DIFF_NONE ? "removed" : "changed",
			       change->text);
	case DIFF_REORDERED:
		return is_told(svg, "moved", change->text);
	case DIFF_KIND_COUNT:
		break;
	}
	return false;
}

static bool has_side(const char *svg)
{
	return strstr(svg, "class=\"t added") || strstr(svg, "class=\"t removed") || strstr(svg, "class=\"t moved") ||
	       strstr(svg, "class=\"t ghost") || strstr(svg, "class=\"t changed");
}

/* Every seeded change is an element that says so, with what explains it; where nothing differs, nothing seems to. */
START_TEST(changes_show)
{
	struct two two;
	char *svg, cause[DIFF_CAUSE_MAX];
	size_t size;

	two_talks(&two, FIRST, golden[_i].before, golden[_i].after);
	svg = drawn(&two, "svg", &size);
	for (size_t i = 0; i < two.diff->n_changes; i++) {
		const struct diff_change *change = &two.diff->changes[i];

		ck_assert_msg(shows(svg, change), "%s: %s %s", golden[_i].name, diff_kind_name(change->kind), change->text);
		diff_cause_text(change, cause);
		ck_assert_msg(strstr(svg, cause) != NULL, "%s: %s", golden[_i].name, cause);
	}
	ck_assert_int_eq(has_side(svg), two.diff->n_changes > 0);
	ck_assert_ptr_nonnull(strstr(svg, ">talk, run 2 compared with run 1<"));
	free(svg);
	svg = drawn(&two, "dot", &size);
	ck_assert_int_eq(strstr(svg, "class=") != NULL, two.diff->n_changes > 0);
	free(svg);
	two_fini(&two);
}
END_TEST

/* What is in both, and by which signs the rest is told apart, without colours. */
START_TEST(signs)
{
	struct two two;
	size_t size;
	char *svg;

	two_talks(&two, FIRST, THREE ASK("c", "s") ASK("c", "p") "c.", THREE ASK("c", "p") ASK("c", "s") "c>q c.3");
	svg = drawn(&two, "svg", &size);
	ck_assert_ptr_nonnull(strstr(svg, ">+ c&gt;q:7000#1/1 · 10 B<"));
	ck_assert_ptr_nonnull(strstr(svg, ">⇅ c&gt;"));
	ck_assert_ptr_nonnull(strstr(svg, ">⇅ from here: "));
	ck_assert_ptr_nonnull(strstr(svg, ">≠ exit 3; in run 1: exit 0<"));
	ck_assert_ptr_nonnull(strstr(svg, ">+ only in run 2<"));
	ck_assert_ptr_null(strstr(svg, "only in run 1<"));
	free(svg);
	two_fini(&two);
	two_talks(&two, "c s", "c+s c>s d+s d>s", "c+s");
	svg = drawn(&two, "svg", &size);
	ck_assert_ptr_nonnull(strstr(svg, ">− c&gt;s:7000#1/1 · 10 B<"));
	ck_assert_ptr_nonnull(strstr(svg, "stroke-dasharray=\"2 3\""));
	ck_assert_ptr_nonnull(strstr(svg, ">− d<"));
	ck_assert_ptr_nonnull(strstr(svg, ">only in run 1<"));
	free(svg);
	two_fini(&two);
}
END_TEST

/* A caption that names fault 12 does not name fault 1. */
START_TEST(names_of_faults)
{
	ck_assert(diff_names_fault("+ lost to fault 1", 1));
	ck_assert(diff_names_fault("lost to fault 12, after fault 1 of run 1", 1));
	ck_assert(diff_names_fault("lost to fault 12", 12));
	ck_assert(!diff_names_fault("lost to fault 12", 1));
	ck_assert(!diff_names_fault("lost to fault 12", 2));
	ck_assert(!diff_names_fault("", 1));
}
END_TEST

/* Faults of one line in both plans are the same, one by one. */
START_TEST(equal_faults)
{
	struct two two = { .random = false };
	size_t both = 0;

	for (int i = 0; i < 2; i++) {
		talk_init(&two.talks[i], "a b c", "a+b b+c a>b* a+c a>c");
		talk_event(&two.talks[i], (struct talker){ 0 }, EVENT_ARMED, 0)->value = 2;
		talk_event(&two.talks[i], (struct talker){ 0 }, EVENT_ARMED, 0)->value = 3;
		for (unsigned k = 1; k < 4; k++) {
			struct event *armed = NULL;

			for (size_t at = 0; at < two.talks[i].trace.n_events; at++)
				if (two.talks[i].trace.events[at].kind == EVENT_ARMED && two.talks[i].trace.events[at].value == k)
					armed = &two.talks[i].trace.events[at];
			ck_assert_ptr_nonnull(armed);
			armed->text = 1;
		}
		two.graphs[i] = talk_graph(&two.talks[i]);
		ck_assert_uint_eq(two.graphs[i]->n_faults, 3);
	}
	lay(&two);
	for (size_t i = 0; i < two.overlay->graph.n_faults; i++)
		both += two.overlay->faults[i].side == OVERLAY_BOTH;
	ck_assert_uint_eq(two.overlay->graph.n_faults, 3);
	ck_assert_uint_eq(both, 3);
	two_fini(&two);
}
END_TEST

/* Is the vertex a ghost, or what was put in its place? */
static bool is_moved(const struct overlay *o, uint32_t v)
{
	return o->vertices[v].side == OVERLAY_GHOST || o->vertices[v].side == OVERLAY_MOVED;
}

/* Of a run: where each of its events is in the line of both; messages that share a receive have several places. */
static void check_threads(const struct two *two, unsigned side, const uint32_t *place)
{
	const struct overlay *o = two->overlay;
	const struct graph *g = two->graphs[side];
	uint32_t *first = malloc((g->n_vertices + 1) * sizeof(*first)), *last = malloc((g->n_vertices + 1) * sizeof(*last));
	uint32_t *reach = calloc(g->n_vertices + 1, sizeof(*reach));

	memset(first, 0xff, (g->n_vertices + 1) * sizeof(*first));
	for (uint32_t v = 0; v < o->graph.n_vertices; v++) {
		uint32_t own = o->vertices[v].vertex[side];

		/* run 0 has no say where things were moved to */
		if (own == DIFF_NONE || o->trace.processes[o->graph.vertices[v].process].name == NULL)
			continue;
		if (first[own] == UINT32_MAX || place[v] < first[own])
			first[own] = place[v];
		if (first[own] == place[v] || place[v] > last[own])
			last[own] = place[v];
	}
	/* vertices are numbered by process and order: causes of a thread come before their effects */
	for (uint32_t v = 0; v < g->n_vertices; v++) {
		if (first[v] != UINT32_MAX) {
			ck_assert_uint_ge(first[v] + 1, reach[v]);
			reach[v] = last[v] + 1 > reach[v] ? last[v] + 1 : reach[v];
		}
		for (size_t i = 0; i < g->n_edges; i++)
			if (g->edges[i].from == v && g->edges[i].rule == RULE_THREAD && reach[g->edges[i].to] < reach[v])
				reach[g->edges[i].to] = reach[v];
	}
	free(first);
	free(last);
	free(reach);
}

/* All stand in one line, causes first; the vertices of a process are numbered in it. */
static void check_line(const struct two *two, bool threads)
{
	const struct overlay *o = two->overlay;
	const struct graph *g = &o->graph;
	uint32_t *place = malloc((g->n_vertices + 1) * sizeof(*place));

	memset(place, 0xff, (g->n_vertices + 1) * sizeof(*place));
	for (uint32_t i = 0; i < g->n_vertices; i++) {
		ck_assert_uint_lt(o->line[i], g->n_vertices);
		ck_assert_uint_eq(place[o->line[i]], UINT32_MAX);
		place[o->line[i]] = i;
	}
	for (size_t i = 0; i < g->n_edges; i++) {
		ck_assert_uint_lt(place[g->edges[i].from], place[g->edges[i].to]);
		ck_assert_int_ne(o->vertices[g->edges[i].from].side, OVERLAY_GHOST);
		ck_assert_int_ne(o->vertices[g->edges[i].to].side, OVERLAY_GHOST);
	}
	for (uint32_t v = 1; v < g->n_vertices; v++)
		if (g->vertices[v].process == g->vertices[v - 1].process)
			ck_assert_uint_lt(place[v - 1], place[v]);
	for (unsigned side = 0; side < 2 && threads; side++)
		check_threads(two, side, place);
	free(place);
}

static size_t count_sent(const struct graph *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n_messages; i++)
		n += !g->vertices[g->messages[i].send].teardown;
	return n;
}

/* A message of both is one, and every one is sent once; each is where the diff says that it is. */
static void check_messages(const struct two *two)
{
	const struct overlay *o = two->overlay;
	size_t sent[2] = { count_sent(two->graphs[0]), count_sent(two->graphs[1]) };
	uint32_t *sends = calloc(o->graph.n_messages + 1, sizeof(*sends)), *receives = calloc(o->graph.n_messages + 1, sizeof(*receives));

	ck_assert_uint_eq(o->graph.n_messages, sent[0] + sent[1] - two->diff->same_messages);
	for (uint32_t v = 0; v < o->graph.n_vertices; v++) {
		const struct graph_vertex *vertex = &o->graph.vertices[v];
		uint32_t message = vertex->n_messages ? o->graph.vertex_messages[vertex->first_message] : 0;
		bool send = o->trace.events[v].kind == EVENT_SEND, both;

		if (!vertex->n_messages)
			continue;
		ck_assert_uint_le(vertex->n_messages, 1);
		(send ? sends : receives)[message]++;
		both = send && o->vertices[v].message[0] != DIFF_NONE && o->vertices[v].message[1] != DIFF_NONE;
		if (both)
			ck_assert_uint_eq(two->diff->twins[0].message[o->vertices[v].message[0]], o->vertices[v].message[1]);
		if (send)
			ck_assert_uint_eq(o->graph.messages[message].send, v);
		if (send && o->vertices[v].side == OVERLAY_ADDED)
			ck_assert_uint_eq(two->diff->twins[1].message[o->vertices[v].message[1]], DIFF_NONE);
		if (send && o->vertices[v].side == OVERLAY_REMOVED)
			ck_assert_uint_eq(two->diff->twins[0].message[o->vertices[v].message[0]], DIFF_NONE);
	}
	for (size_t i = 0; i < o->graph.n_messages; i++) {
		ck_assert_uint_eq(sends[i], 1);
		ck_assert_uint_le(receives[i], 2);
	}
	free(sends);
	free(receives);
}

/* Each change is noted somewhere, and what differs has a reason. */
static void check_notes(const struct two *two)
{
	const struct overlay *o = two->overlay;
	bool *noted = calloc(two->diff->n_changes + 1, sizeof(*noted));

	for (size_t i = 0; i < o->n_notes; i++)
		noted[o->notes[i].change] = true;
	for (size_t i = 0; i < two->diff->n_changes; i++)
		ck_assert_msg(noted[i], "%s does not show", two->diff->changes[i].text);
	for (uint32_t v = 0; v < o->graph.n_vertices && !two->diff->n_changes; v++)
		ck_assert_msg(o->vertices[v].side == OVERLAY_BOTH, "nothing differs, and yet %s: %s",
			      overlay_side_name(o->vertices[v].side), event_kind_name(o->trace.events[v].kind));
	for (uint32_t v = 0; v < o->graph.n_vertices; v++)
		if (o->vertices[v].side != OVERLAY_BOTH && o->graph.vertices[v].n_messages && !is_moved(o, v))
			ck_assert_uint_gt(o->vertices[v].n_notes, 0);
	free(noted);
}

static void check_pictures(const struct two *two)
{
	static const size_t limits[] = { 100000, 2000, 300, 60, 9, 1 };

	for (size_t k = 0; k < sizeof(limits) / sizeof(*limits); k++) {
		struct render_options options = { .title = "two", .runs = { 1, 2 }, .overlay = two->overlay };
		struct picture *p = NULL;
		struct scene scene;

		ck_assert_int_eq(picture_build(&two->overlay->graph, &options, limits[k], &p, NULL), 0);
		ck_assert_uint_le(p->n_nodes, limits[k]);
		ck_assert_int_eq(scene_layout(p, &scene), 0);
		for (size_t i = 0; i < p->n_links; i++)
			ck_assert_uint_lt(p->nodes[p->links[i].from].row, p->nodes[p->links[i].to].row);
		check_texts(&scene);
		check_arrows(&scene);
		scene_fini(&scene);
		picture_free(p);
	}
}

static const struct random_options shapes[] = {
	{ .processes = 2, .steps = 60 },
	{ .processes = 3, .steps = 120, .resets = true },
	{ .processes = 3, .steps = 200, .threads = true, .forks = true, .resets = true },
	{ .processes = 5, .steps = 150, .threads = true },
};

/* What a damaged record may say. */
static void damage(struct trace *trace, uint64_t *rng)
{
	struct event *event = &trace->events[random_below(rng, (unsigned)trace->n_events)];
	uint64_t value = random_below(rng, 2) ? random_next(rng) : random_below(rng, 8);

	switch (random_below(rng, 7)) {
	case 0: event->pos = value; break;
	case 1: event->value = (int64_t)value; break;
	case 2: event->process = (uint32_t)value; break;
	case 3: event->kind = (uint16_t)random_below(rng, EVENT_KIND_COUNT + 1); break;
	case 4: event->end = (uint32_t)value; break;
	case 5: event->enter_ns = event->return_ns = value; break;
	case 6: event->peer = event->box = event->text = (uint32_t)value; break;
	}
}

/* Two runs of which one or both are damaged have a picture, if they have graphs. */
START_TEST(damaged_pairs)
{
	unsigned built = 0;

	for (unsigned seed = 0; seed < 300; seed++) {
		struct two two = { .random = true };
		uint64_t rng = seed;
		bool whole = true;

		for (unsigned i = 0; i < 2; i++) {
			random_run_init(&two.runs[i], seed, &shapes[seed % 4]);
			random_run_faults(&two.runs[i], seed + i, seed % 3);
			for (unsigned k = 0; k < (i ? 1 + seed % 9 : seed % 2); k++)
				damage(&two.runs[i].trace, &rng);
			whole &= graph_build(&two.runs[i].trace, GRAPH_ORDER_THREAD, (struct graph **)&two.graphs[i], NULL) == 0;
		}
		if (whole) {
			built++;
			lay(&two);
			check_line(&two, false);
			if (seed < 100)
				check_pictures(&two);
		}
		two_fini(&two);
	}
	ck_assert_uint_gt(built, 100);
}
END_TEST

/* Another run, or the same with faults, or with some of its events lost. */
static bool two_random(struct two *two, unsigned seed)
{
	const struct random_options *shape = &shapes[seed / 3 % 4];
	uint64_t rng = seed;

	memset(two, 0, sizeof(*two));
	two->random = true;
	random_run_init(&two->runs[0], seed, shape);
	random_run_init(&two->runs[1], seed + (seed % 3 ? 0 : 100000), shape);
	if (seed % 3 == 1)
		random_run_faults(&two->runs[1], seed, 1 + seed % 5);
	for (unsigned i = 0; seed % 3 == 2 && i < 1 + seed % 7; i++) {
		struct trace *trace = &two->runs[1].trace;

		trace->events[random_below(&rng, (unsigned)trace->n_events)] = trace->events[trace->n_events - 1];
		trace->n_events--;
	}
	for (int i = 0; i < 2; i++)
		if (graph_build(&two->runs[i].trace, GRAPH_ORDER_THREAD, (struct graph **)&two->graphs[i], NULL) < 0)
			return false;
	lay(two);
	return true;
}

/* 1,000 pairs of random runs: an acyclic graph in which everything is once; the first of them also drawn, folded to all degrees. */
START_TEST(random_pairs)
{
	unsigned built = 0;

	for (unsigned seed = 0; seed < 1000; seed++) {
		struct two two;

		if (two_random(&two, seed)) {
			built++;
			check_line(&two, false);
			check_messages(&two);
			check_notes(&two);
			if (seed < 60)
				check_pictures(&two);
		}
		two_fini(&two);
	}
	ck_assert_uint_gt(built, 950);
}
END_TEST

#define OPS 60

/* Asks, tells, messages that are received later: random words of four processes that are all connected. */
static size_t say_at_random(uint64_t *rng, char words[OPS][32], size_t n)
{
	static const char *const names[] = { "a", "b", "c", "d" };

	for (size_t i = 0; i < n; i++) {
		unsigned p = random_below(rng, 4), q = (p + 1 + random_below(rng, 3)) % 4;

		if (random_below(rng, 3))
			snprintf(words[i], 32, "%s>%s", names[p], names[q]);
		else
			snprintf(words[i], 32, "%s>%s %s>%s", names[p], names[q], names[q], names[p]);
	}
	return n;
}

static char *sentence(char words[OPS][32], size_t n)
{
	char *text = malloc(OPS * 32 + 128);

	strcpy(text, "a+b a+c a+d b+c b+d c+d");
	for (size_t i = 0; i < n; i++)
		strcat(strcat(text, " "), words[i]);
	return text;
}

/* Moves, drops and adds some of them. */
static size_t change_words(uint64_t *rng, char words[OPS][32], size_t n)
{
	char word[32];

	for (unsigned k = 1 + random_below(rng, 6); k; k--) {
		size_t from = random_below(rng, (unsigned)n), to = random_below(rng, (unsigned)n);

		strcpy(word, words[from]);
		memmove(words[from], words[from + 1], (n - from - 1) * 32);
		if (!random_below(rng, 4) && n > 5) {
			n--;
			continue;
		}
		memmove(words[to + 1], words[to], (n - to - 1) * 32);
		strcpy(words[to], word);
	}
	return n;
}

/* The same said in another order: each thread's order in both runs is kept, but for what was moved. */
START_TEST(other_orders)
{
	size_t moved = 0, ghosts = 0;

	for (uint64_t seed = 0; seed < 300; seed++) {
		uint64_t rng = seed;
		char words[OPS + 1][32], *before, *after;
		size_t n = say_at_random(&rng, words, 8 + random_below(&rng, OPS - 8));
		struct two two;

		before = sentence(words, n);
		after = sentence(words, change_words(&rng, words, n));
		two_talks(&two, "a b c d", before, after);
		check_line(&two, true);
		check_messages(&two);
		check_notes(&two);
		if (seed < 40)
			check_pictures(&two);
		for (uint32_t v = 0; v < two.overlay->graph.n_vertices; v++) {
			moved += two.overlay->vertices[v].side == OVERLAY_MOVED;
			ghosts += two.overlay->vertices[v].side == OVERLAY_GHOST;
		}
		two_fini(&two);
		free(before);
		free(after);
	}
	ck_assert_uint_gt(moved, 500);
	ck_assert_uint_gt(ghosts, 100);
}
END_TEST

static size_t count_moved(const struct overlay *o)
{
	size_t n = 0;

	for (uint32_t v = 0; v < o->graph.n_vertices; v++)
		n += is_moved(o, v);
	return n;
}

/* P hears of Q in one run, and Q of P in the other one, behind what they do in both: neither order can stand. */
START_TEST(contradiction)
{
	struct two two;

	two_talks(&two, "a b c", "a+b b+a a+c b+c a>c a>b b>c", "a+b b+a a+c b+c b>c b>a a>c");
	check_line(&two, true);
	check_messages(&two);
	check_notes(&two);
	ck_assert_uint_gt(count_moved(two.overlay), 0);
	two_fini(&two);
}
END_TEST

/* What only came later in time is not in another order, also where what only run 0 has stands between. */
START_TEST(later_is_not_moved)
{
	struct two two;

	two_talks(&two, "c s p", "c+s c+p c>s s>c c>p p>c", "c+s c+p c>s? c>p p>c s<c");
	check_line(&two, true);
	check_notes(&two);
	ck_assert_uint_eq(two.diff->n_changes, 1);
	ck_assert_uint_eq(count_moved(two.overlay), 0);
	two_fini(&two);
}
END_TEST

/* a closes its connection to b and is killed, b sees the end of file. */
static void close_and_die(struct talk *t)
{
	struct talker a = { .process = 1 }, b = { .process = 2 };
	uint32_t from = t->line[1][2], to = t->line[2][1];

	talk_event(t, a, EVENT_CLOSE, from)->pos = t->sent[from];
	talk_event(t, a, EVENT_EXIT, 0)->value = 9;
	talk_event(t, b, EVENT_RECV, to)->pos = t->got[to];
}

/*
 * What a process did only in the run in which it lived stands behind its death. The arrow of a close stays, though there is another
 * way from it to what it caused: through what only the other run has.
 */
START_TEST(what_is_gone_explains_no_order)
{
	struct render_options options = { .runs = { 1, 2 } };
	struct two two = { .random = false };
	struct picture *p = NULL;
	size_t drawn = 0;

	talk_init(&two.talks[0], "a b", "a+b 2(a>b)");
	talk_init(&two.talks[1], "a b", "a+b a>b");
	close_and_die(&two.talks[1]);
	for (int i = 0; i < 2; i++)
		two.graphs[i] = talk_graph(&two.talks[i]);
	lay(&two);
	options.overlay = two.overlay;
	ck_assert_int_eq(picture_build(&two.overlay->graph, &options, 2000, &p, NULL), 0);
	for (size_t i = 0; i < p->n_links; i++)
		drawn += p->links[i].rule == RULE_CLOSE && p->links[i].drawn;
	ck_assert_uint_eq(drawn, 1);
	for (uint32_t v = 1; v < two.overlay->graph.n_vertices; v++)
		if (two.overlay->vertices[v].side == OVERLAY_REMOVED && two.overlay->trace.events[v].kind == EVENT_SEND)
			ck_assert_int_eq(two.overlay->trace.events[v - 1].kind, EVENT_EXIT);
	picture_free(p);
	two_fini(&two);
}
END_TEST

/*
 * A message whose first bytes another thread sends when it has got the answer to its last ones: nobody does, but a store that somebody sent can
 * say so. By threads it has no circle; the message taken as a whole would.
 */
static void tail_first(struct talk *t)
{
	struct talker a = { .process = 1 }, other_a = { .process = 1, .thread = 2 }, b = { .process = 2 }, other_b = { .process = 2, .thread = 2 };
	uint32_t from = t->line[1][2], to = t->line[2][1];
	struct event *tail, *head, *event;

	tail = talk_event(t, other_a, EVENT_SEND, from);
	tail->pos = tail->value = 10;
	tail->message = 1;
	tail->order += 10; /* behind the head in its process, which is no order here */
	event = talk_event(t, b, EVENT_RECV, to);
	event->pos = event->value = 10;
	talk_send(t, b, a, 0);
	head = talk_event(t, a, EVENT_SEND, from);
	head->value = 10;
	head->message = 1;
	talk_event(t, other_b, EVENT_RECV, to)->value = 10;
}

START_TEST(tail_before_head)
{
	struct two two = { .random = false };

	for (int i = 0; i < 2; i++) {
		talk_init(&two.talks[i], "a b", "a+b");
		tail_first(&two.talks[i]);
		if (i)
			talk_say(&two.talks[i], "a>b?");
		two.graphs[i] = talk_graph(&two.talks[i]);
	}
	lay(&two);
	check_line(&two, true);
	check_pictures(&two);
	two_fini(&two);
}
END_TEST

/* What was received before the outcome, and sent behind it as the clock of another machine has it, is no message of the run. */
START_TEST(sent_behind_the_outcome)
{
	for (int later = 0; later < 2; later++) {
		struct two two = { .random = false };

		for (int i = 0; i < 2; i++) {
			struct talk *t = &two.talks[i];
			uint64_t mark;

			talk_init(t, "a b", i == later ? "a+b 2(a>b)" : "a+b a>b");
			*trace_text_at(&t->trace, 1) = strdup("outcome");
			talk_event(t, (struct talker){ 0 }, EVENT_MARK, 0)->text = 1;
			mark = t->trace.events[t->trace.n_events - 1].enter_ns;
			for (size_t k = 0; k < t->trace.n_events; k++)
				if (t->trace.events[k].kind == EVENT_SEND && t->trace.events[k].message == 2)
					t->trace.events[k].enter_ns = t->trace.events[k].return_ns = mark + 1000;
			two.graphs[i] = talk_graph(t);
		}
		lay(&two);
		check_line(&two, true);
		check_messages(&two);
		check_pictures(&two);
		two_fini(&two);
	}
}
END_TEST

/* Nothing, and something; two that have nothing in common; the same in another arrival. */
START_TEST(edges_of_the_world)
{
	static const char *const said[][2] = {
		{ "", "" }, { "", "a+b a>b" }, { "a+b a>b", "" }, { "a+b a>b a.", "x+y x>y x.3" }, { "a-b", "a+b" }, { "a+b", "a-b" },
	};
	static const char *const formats[] = { "svg", "png", "dot", "json" };
	size_t size;

	for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
		struct two two;

		two_talks(&two, "", said[i][0], said[i][1]);
		check_line(&two, true);
		check_notes(&two);
		check_pictures(&two);
		for (size_t k = 0; k < 4; k++) {
			char *bytes = drawn(&two, formats[k], &size);

			ck_assert_uint_gt(size, 20);
			free(bytes);
		}
		two_fini(&two);
	}
}
END_TEST

/* A change in the middle of a long loop stays visible when the loop is folded; so do both ends of a large one. */
START_TEST(differences_stay_visible)
{
	struct two two;
	char *svg;
	size_t size;

	two_talks(&two, FIRST, THREE "12500(" ASK("c", "s") ")" "12500(" ASK("c", "s") ")", THREE "12500(" ASK("c", "s") ") c>p 12500(" ASK("c", "s") ")");
	svg = drawn(&two, "svg", &size);
	ck_assert_uint_eq(two.diff->n_changes, 1);
	ck_assert_uint_gt(two.graphs[0]->n_vertices, 100000);
	ck_assert_ptr_nonnull(strstr(svg, ">+ c&gt;p:7000#1/1 · 10 B<"));
	ck_assert_ptr_nonnull(strstr(svg, " folded<"));
	ck_assert_uint_lt(size, 200000);
	free(svg);
	two_fini(&two);
	two_talks(&two, "", "a+b 25000(" ASK("a", "b") ")", "x+y 25000(" ASK("x", "y") ")");
	svg = drawn(&two, "svg", &size);
	ck_assert_ptr_nonnull(strstr(svg, ">+ 1 connection, "));
	ck_assert_ptr_nonnull(strstr(svg, ">\u2212 1 connection, "));
	ck_assert_uint_lt(size, 200000);
	free(svg);
	two_fini(&two);
	two_talks(&two, FIRST, THREE ASK("c", "s") ASK("c", "p"), THREE ASK("c", "s") "25000(" ASK("c", "s") ")" ASK("c", "p"));
	svg = drawn(&two, "svg", &size);
	ck_assert_ptr_nonnull(strstr(svg, ">+ 1 connection, "));
	ck_assert_ptr_nonnull(strstr(svg, ">+ c&gt;s:7000#1/25001"));
	ck_assert_uint_lt(size, 200000);
	free(svg);
	two_fini(&two);
}
END_TEST

#ifndef SANITIZED
/* Whichever allocation fails: no memory, said so, and nothing is kept. */
START_TEST(no_memory)
{
	struct two two;
	bool failed = true;
	size_t which = 0;
	long before;

	while (strcmp(golden[which].name, "a cut, and what came of it") != 0)
		which++;
	two_talks(&two, FIRST, golden[which].before, golden[which].after);
	for (long n = 1; failed; n++) {
		struct overlay *overlay = NULL;
		int err;

		before = heap.balance;
		heap_arm(n);
		err = overlay_new(two.graphs, two.diff, &overlay);
		failed = heap_disarm();
		ck_assert_msg(err == -ENOMEM || (!err && overlay->graph.n_vertices == two.overlay->graph.n_vertices), "allocation %ld: %d", n, err);
		overlay_free(overlay);
		ck_assert_msg(heap.balance == before, "allocation %ld: %ld not freed", n, heap.balance - before);
	}
	ck_assert_int_gt(heap.fail_at, 60);
	two_fini(&two);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("overlay");
	TCase *tc = tcase_create("two runs");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, changes_show, 0, N_GOLDEN);
	tcase_add_test(tc, names_of_faults);
	tcase_add_test(tc, equal_faults);
	tcase_add_test(tc, signs);
	tcase_add_test(tc, random_pairs);
	tcase_add_test(tc, damaged_pairs);
	tcase_add_test(tc, other_orders);
	tcase_add_test(tc, contradiction);
	tcase_add_test(tc, later_is_not_moved);
	tcase_add_test(tc, what_is_gone_explains_no_order);
	tcase_add_test(tc, tail_before_head);
	tcase_add_test(tc, sent_behind_the_outcome);
	tcase_add_test(tc, edges_of_the_world);
	tcase_add_test(tc, differences_stay_visible);
#ifndef SANITIZED
	tcase_add_test(tc, no_memory);
#endif
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
