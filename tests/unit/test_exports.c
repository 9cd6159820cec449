/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Exports for programs that know time (Perfetto, OTLP), on random runs: whatever the clocks and names are, causes stand
 * before effects, what is referred to is there, and all text is UTF-8.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/query_inside.h"
#include "graph/timeline.h"
#include "lib/utf8.h"
#include "proto/perfetto.pb-c.h"
#include "tests/unit/random_run.h"

enum { SEEDS = 60 };

static const char hostile[] = "a\"b\\c\n{}'\x01\xff\xc3\xa9\xc3<&>";

struct exported {
	struct random_run random;
	struct store_run row;
	struct run run;
	struct query_run q;
	char *text;
	size_t size;
};

/* Clocks of boxes that disagree by up to a second: no run of ours is as bad. */
static void clocks_skew(struct trace *trace, uint64_t seed)
{
	uint64_t state = seed;
	int64_t skew[32];

	for (unsigned i = 0; i < 32; i++)
		skew[i] = (int64_t)random_below(&state, 2000000) * 1000 - 1000000000;
	for (size_t i = 0; i < trace->n_events; i++) {
		struct event *event = &trace->events[i];
		uint64_t base = 5000000000ull;

		event->enter_ns += base + (uint64_t)skew[event->process % 32];
		event->return_ns += base + (uint64_t)skew[event->process % 32];
	}
}

static void exported_init(struct exported *x, uint64_t seed, bool is_hostile)
{
	struct random_options options = {
		.processes = 2 + seed % 5, .steps = 500, .threads = seed % 2, .forks = seed % 3 == 0, .resets = seed % 4 == 0
	};
	struct trace *trace = &x->random.trace;

	*x = (struct exported){ .row = { .id = seed, .experiment = "random", .started_ns = 1700000000000000000ull } };
	random_run_init(&x->random, seed, &options);
	random_run_faults(&x->random, seed, 3);
	clocks_skew(trace, seed);
	for (size_t i = 1; is_hostile && i <= trace->n_processes; i++) {
		free(trace->processes[i].name);
		free(trace->processes[i].command);
		ck_assert_int_gt(asprintf(&trace->processes[i].name, "%s%zu", hostile, i), 0);
		trace->processes[i].command = strdup(hostile);
	}
	if (is_hostile) {
		x->row.experiment = x->row.reason = x->row.warnings = x->row.plan = (char *)hostile;
		x->row.outcome = OUTCOME_VIOLATED;
	}
	x->run.row = &x->row;
	x->run.trace = *trace;
	x->q.run = &x->run;
	ck_assert_int_eq(graph_build(&x->run.trace, GRAPH_ORDER_PROCESS, &x->q.graph, NULL), 0);
	ck_assert_int_eq(lineage_new(x->q.graph, &x->q.lineage), 0);
	ck_assert_int_eq(lineage_times(x->q.lineage, &x->q.times), 0);
}

static void exported_fini(struct exported *x)
{
	free(x->text);
	free(x->q.times);
	lineage_free(x->q.lineage);
	graph_free(x->q.graph);
	random_run_fini(&x->random);
}

static void written(struct exported *x, bool perfetto, bool all)
{
	FILE *out = open_memstream(&x->text, &x->size);
	struct error e = { "" };

	ck_assert_int_eq(perfetto ? query_export_perfetto(&x->q, all, out, &e) : query_export_otlp(&x->q, all, out, &e), 0);
	fclose(out);
}

static void is_utf8(const char *text)
{
	size_t n = strlen(text), len;

	for (size_t i = 0; i < n; i += len) {
		len = utf8_length((const unsigned char *)text + i, n - i);
		ck_assert_msg(len, "%s is not UTF-8", text);
	}
}

/* On a track things stand behind each other; across tracks every effect is behind its cause; nothing is earlier than its clock says. */
START_TEST(timeline)
{
	struct timeline *t = NULL;
	uint64_t *last;
	size_t moved = 0;
	struct exported x;

	exported_init(&x, (uint64_t)_i + 1, false);
	const struct graph *g = x.q.graph;

	ck_assert_int_eq(timeline_new(g, true, &t), 0);
	last = calloc(t->n_tracks + 1, sizeof(*last));
	for (size_t i = 0; i < t->n_rows; i++) {
		const struct timeline_row *row = &t->rows[t->order[i]];
		const struct event *event = &g->trace->events[g->vertices[t->order[i]].event];

		ck_assert_uint_lt(row->track, t->n_tracks);
		ck_assert_uint_ge(row->begin_ns, last[row->track]);
		ck_assert_uint_ge(row->end_ns, row->begin_ns);
		ck_assert_uint_eq(timeline_moment(t, g, t->order[i]), event_time(event) + row->moved_ns);
		ck_assert_uint_eq(t->tracks[row->track].process, g->vertices[t->order[i]].process);
		last[row->track] = row->end_ns;
		moved += row->moved_ns != 0;
	}
	for (size_t i = 0; i < g->n_edges; i++)
		if (g->edges[i].rule != RULE_THREAD && g->edges[i].rule != RULE_PROCESS)
			ck_assert_uint_lt(timeline_moment(t, g, g->edges[i].from), timeline_moment(t, g, g->edges[i].to));
	ck_assert_msg(moved > 0, "these clocks cannot all be right");
	free(last);
	timeline_free(t);
	exported_fini(&x);
}
END_TEST

/* Clocks that agree with every cause are left alone. */
START_TEST(timeline_unmoved)
{
	struct random_run random;
	struct timeline *t = NULL;
	struct graph *g = NULL;

	random_run_init(&random, (uint64_t)_i + 1, &(struct random_options){ .processes = 4, .steps = 200 });
	ck_assert_int_eq(graph_build(&random.trace, GRAPH_ORDER_PROCESS, &g, NULL), 0);
	for (size_t i = 0; i < random.trace.n_events; i++) /* a thread is in one call at a time */
		random.trace.events[i].enter_ns = random.trace.events[i].return_ns = event_time(&random.trace.events[i]) * 1000;
	ck_assert_int_eq(timeline_new(g, true, &t), 0);
	for (size_t i = 0; i < t->n_rows; i++)
		ck_assert_msg(t->rows[i].moved_ns < 1000, "moved by %llu", (unsigned long long)t->rows[i].moved_ns);
	timeline_free(t);
	graph_free(g);
	random_run_fini(&random);
}
END_TEST

enum { TRACKS_MAX = 4096 };

struct reader {
	uint64_t uuids[TRACKS_MAX], last[TRACKS_MAX];
	unsigned depth[TRACKS_MAX];
	size_t n;
	uint64_t *begins, *ends; /* by arrow: time + 1; 0: not seen */
};

static size_t track_find(const struct reader *r, uint64_t uuid)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->uuids[i] == uuid)
			return i;
	ck_abort_msg("track %llu was not announced", (unsigned long long)uuid);
	return 0;
}

static void read_track(struct reader *r, const Bop__Perfetto__TrackDescriptor *track)
{
	ck_assert_uint_lt(r->n, TRACKS_MAX);
	for (size_t i = 0; i < r->n; i++)
		ck_assert_uint_ne(r->uuids[i], track->uuid);
	if (track->has_parent_uuid)
		track_find(r, track->parent_uuid);
	is_utf8(track->name);
	r->uuids[r->n++] = track->uuid;
}

static void read_event(struct reader *r, const Bop__Perfetto__TrackEvent *event, uint64_t time, size_t n_edges)
{
	size_t track = track_find(r, event->track_uuid);

	ck_assert_uint_ge(time, r->last[track]);
	r->last[track] = time;
	if (event->type == BOP__PERFETTO__TRACK_EVENT__TYPE__TYPE_SLICE_END)
		ck_assert_uint_gt(r->depth[track]--, 0);
	else
		is_utf8(event->name);
	r->depth[track] += event->type == BOP__PERFETTO__TRACK_EVENT__TYPE__TYPE_SLICE_BEGIN;
	for (size_t i = 0; i < event->n_debug_annotations; i++)
		if (event->debug_annotations[i]->value_case == BOP__PERFETTO__DEBUG_ANNOTATION__VALUE_STRING_VALUE)
			is_utf8(event->debug_annotations[i]->string_value);
	for (size_t i = 0; i < event->n_flow_ids; i++) {
		ck_assert(event->flow_ids[i] && event->flow_ids[i] <= n_edges && !r->begins[event->flow_ids[i]]);
		r->begins[event->flow_ids[i]] = time + 1;
	}
	for (size_t i = 0; i < event->n_terminating_flow_ids; i++) {
		uint64_t id = event->terminating_flow_ids[i];

		ck_assert(id && id <= n_edges && !r->ends[id]);
		ck_assert_msg(r->begins[id] && r->begins[id] < time + 1, "an arrow must have begun before");
		r->ends[id] = time + 1;
	}
}

/*
 * Every track is announced, once, behind its parent; slices are closed and inside each other; every edge between tracks is an
 * arrow that begins, and then ends.
 */
START_TEST(perfetto)
{
	struct exported x;
	struct reader r = { .n = 0 };
	Bop__Perfetto__Trace *trace;
	size_t arrows = 0, wanted = 0, slices = 0, lost = 0;

	exported_init(&x, (uint64_t)_i + 1, _i % 2);
	written(&x, true, true);
	trace = bop__perfetto__trace__unpack(NULL, x.size, (uint8_t *)x.text);
	ck_assert_ptr_nonnull(trace);
	r.begins = calloc(x.q.graph->n_edges + 1, sizeof(*r.begins));
	r.ends = calloc(x.q.graph->n_edges + 1, sizeof(*r.ends));
	for (size_t i = 0; i < trace->n_packet; i++) {
		const Bop__Perfetto__TracePacket *packet = trace->packet[i];

		ck_assert_uint_eq(packet->trusted_packet_sequence_id, 1);
		ck_assert_uint_eq(packet->data_case == BOP__PERFETTO__TRACE_PACKET__DATA_CLOCK_SNAPSHOT, i == 0);
		if (packet->data_case == BOP__PERFETTO__TRACE_PACKET__DATA_TRACK_DESCRIPTOR)
			read_track(&r, packet->track_descriptor);
		if (packet->data_case != BOP__PERFETTO__TRACE_PACKET__DATA_TRACK_EVENT)
			continue;
		read_event(&r, packet->track_event, packet->timestamp, x.q.graph->n_edges);
		slices += packet->track_event->type == BOP__PERFETTO__TRACK_EVENT__TYPE__TYPE_SLICE_BEGIN;
		lost += packet->track_event->n_categories && !strcmp(packet->track_event->categories[0], "lost");
	}
	for (size_t i = 0; i < r.n; i++)
		ck_assert_uint_eq(r.depth[i], 0);
	for (size_t i = 0; i < x.q.graph->n_edges; i++) {
		wanted += x.q.graph->edges[i].rule != RULE_THREAD && x.q.graph->edges[i].rule != RULE_PROCESS;
		ck_assert_int_eq(!r.begins[i + 1], !r.ends[i + 1]);
		arrows += r.begins[i + 1] != 0;
	}
	ck_assert_uint_eq(arrows, wanted);
	ck_assert_msg(arrows > 20 && slices > 0, "%zu arrows, %zu slices", arrows, slices);
	ck_assert_uint_ge(lost, x.q.graph->n_holes);
	bop__perfetto__trace__free_unpacked(trace, NULL);
	free(r.begins);
	free(r.ends);
	exported_fini(&x);
}
END_TEST

static const char *text_of(const json_t *span, const char *key)
{
	const char *text = json_string_value(json_object_get(span, key));

	ck_assert_msg(text, "no %s", key);
	return text;
}

static uint64_t time_of(const json_t *span, const char *key)
{
	return strtoull(text_of(span, key), NULL, 10);
}

static void span_check(const json_t *spans, const json_t *span, const char *trace)
{
	const char *parent = json_string_value(json_object_get(span, "parentSpanId"));
	const json_t *of = parent ? json_object_get(spans, parent) : NULL, *link, *attribute;
	json_int_t kind = json_integer_value(json_object_get(span, "kind"));
	json_t *keys = json_object(), *linked = json_object();
	size_t i;

	ck_assert_str_eq(text_of(span, "traceId"), trace);
	ck_assert(*text_of(span, "name"));
	ck_assert_uint_ge(time_of(span, "endTimeUnixNano"), time_of(span, "startTimeUnixNano"));
	ck_assert_msg(!parent || of, "parent %s is missing", parent);
	if (of) /* also from one clock to another */
		ck_assert_uint_ge(time_of(span, "startTimeUnixNano"), time_of(of, "startTimeUnixNano"));
	ck_assert(parent || kind == 1);
	if (kind == 5) /* CONSUMER */
		ck_assert_int_eq(json_integer_value(json_object_get(of, "kind")), 4);
	json_array_foreach(json_object_get(span, "links"), i, link)
	{
		const json_t *cause = json_object_get(spans, text_of(link, "spanId"));

		ck_assert_msg(!json_object_get(linked, text_of(link, "spanId")), "a link is there twice");
		json_object_set_new(linked, text_of(link, "spanId"), json_true());
		ck_assert_int_eq(json_integer_value(json_object_get(cause, "kind")), 5);
		ck_assert_uint_le(time_of(cause, "startTimeUnixNano"), time_of(span, "startTimeUnixNano"));
	}
	json_array_foreach(json_object_get(span, "attributes"), i, attribute)
	{
		ck_assert(!json_object_get(keys, text_of(attribute, "key")));
		json_object_set_new(keys, text_of(attribute, "key"), json_true());
	}
	json_decref(keys);
	json_decref(linked);
}

/* Each line is a request; ids are unique, parents and links are there and not later; a span a message, and one for its receiver. */
START_TEST(otlp)
{
	json_t *spans = json_object(), *line, *rows, *row;
	size_t i, roots = 0, producers = 0, consumers = 0, links = 0, lines = 0;
	const char *trace = NULL, *key;
	struct exported x;
	char *end;

	exported_init(&x, (uint64_t)_i + 1, _i % 2);
	written(&x, false, true);
	for (char *at = x.text; *at; at = end + 1, lines++) {
		end = strchr(at, '\n');
		ck_assert_ptr_nonnull(end);
		line = json_loadb(at, (size_t)(end - at), JSON_REJECT_DUPLICATES, NULL);
		ck_assert_ptr_nonnull(line);
		ck_assert_int_eq(json_unpack(line, "{s:[{s:[{s:o}]}]}", "resourceSpans", "scopeSpans", "spans", &rows), 0);
		ck_assert_uint_gt(json_array_size(rows), 0);
		json_array_foreach(rows, i, row)
		{
			ck_assert(!json_object_get(spans, text_of(row, "spanId")));
			ck_assert_uint_eq(strlen(text_of(row, "spanId")), 16);
			json_object_set(spans, text_of(row, "spanId"), row);
		}
		json_decref(line);
	}
	json_object_foreach(spans, key, row)
	{
		json_int_t kind = json_integer_value(json_object_get(row, "kind"));

		trace = trace ? trace : text_of(row, "traceId");
		span_check(spans, row, trace);
		roots += !json_object_get(row, "parentSpanId");
		producers += kind == 4;
		consumers += kind == 5;
		links += json_array_size(json_object_get(row, "links"));
	}
	ck_assert_uint_eq(roots, 1);
	ck_assert_uint_eq(producers, x.q.graph->n_messages);
	ck_assert_msg(consumers > 5 && consumers <= producers && links > 1 && lines > 2, "%zu of %zu, %zu links, %zu lines",
		      consumers, producers, links, lines);
	json_decref(spans);
	exported_fini(&x);
}
END_TEST

/* A run in which nothing happened has a track and a span all the same. */
START_TEST(nothing)
{
	struct store_run row = { .id = 1, .experiment = "x", .running = true };
	struct run run = { .row = &row };
	struct query_run q = { .run = &run };
	struct exported x = { .q = q };

	trace_init(&run.trace);
	x.q.run = &run;
	ck_assert_int_eq(graph_build(&run.trace, GRAPH_ORDER_PROCESS, &x.q.graph, NULL), 0);
	ck_assert_int_eq(lineage_new(x.q.graph, &x.q.lineage), 0);
	ck_assert_int_eq(lineage_times(x.q.lineage, &x.q.times), 0);
	written(&x, true, false);
	ck_assert_uint_gt(x.size, 20);
	free(x.text);
	written(&x, false, false);
	ck_assert_ptr_nonnull(strstr(x.text, "\"name\":\"run 1\""));
	free(x.text);
	free(x.q.times);
	lineage_free(x.q.lineage);
	graph_free(x.q.graph);
	trace_fini(&run.trace);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("exports");
	TCase *tc = tcase_create("exports");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, timeline, 0, SEEDS);
	tcase_add_loop_test(tc, timeline_unmoved, 0, 10);
	tcase_add_loop_test(tc, perfetto, 0, SEEDS);
	tcase_add_loop_test(tc, otlp, 0, SEEDS);
	tcase_add_test(tc, nothing);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
