/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the API renders of runs that are kept, page by page: pictures, what differs, logs for other programs. On random runs in a real store. */
#include "tests/unit/query_place.h"

static char *rendered(Bop__Api__Render *render, size_t *ret_size)
{
	char *text = NULL;
	struct error e = { "" };
	FILE *out = open_memstream(&text, ret_size);

	ck_assert_msg(query_render(store, render, out, &e) == 0, "%s", e.text);
	fclose(out);
	return text;
}

/*
 * The pages of a rendering make the whole; of a run that goes on they are of one moment; of a removed one there are
 * none.
 */
START_TEST(renderings)
{
	Bop__Api__RemoveRun remove = BOP__API__REMOVE_RUN__INIT;
	Bop__Api__Render render = BOP__API__RENDER__INIT;
	struct renderings *kept = renderings_new();
	struct rendering *rendering = NULL, *other = NULL;
	struct rendering_ask ask = { .render = &render };
	struct api_answer answer;
	struct trace_output *written;
	struct random_run run;
	struct error e = { "" };
	char *whole;
	size_t size, n = 0;
	uint64_t ended, going;

	random_run_init(&run, 8, &(struct random_options){ .processes = 3, .steps = 200 });
	written = trace_output_add(&run.trace);
	*written = (struct trace_output){ .process = 1, .stream = 1, .size = 5 << 19, .bytes = malloc(5 << 19) };
	memset(written->bytes, 'a', written->size);
	ended = keep(&run.trace, &(struct kept){ .lost = 0 });
	going = keep(&run.trace, &(struct kept){ .running = true });
	render.format = "json";
	render.run = ended;
	whole = rendered(&render, &size);
	ck_assert_uint_gt(size, QUERY_PAGE_BYTES_MAX);
	for (; n < size; n += answer.rendered->data.len, api_answer_fini(&answer)) {
		render.offset = n;
		ck_assert_ptr_eq(renderings_get(kept, &ask), n ? rendering : NULL);
		ck_assert_int_eq(rendering_page(store, &ask, &rendering, &answer, &e), 0);
		ck_assert(answer.rendered->total == size && answer.rendered->offset == n &&
			  answer.rendered->run == ended);
		ck_assert(answer.rendered->data.len &&
			  !memcmp(answer.rendered->data.data, whole + n, answer.rendered->data.len));
		if (n)
			rendering_put(rendering);
		else
			renderings_keep(kept, rendering);
	}
	render.offset = size + 5;
	ck_assert_int_eq(rendering_page(store, &ask, &rendering, &answer, &e), 0);
	ck_assert_uint_eq(answer.rendered->data.len, 0);
	api_answer_fini(&answer);
	rendering_put(rendering);
	/* one that goes on is rendered anew for its first page, and its others are not made up */
	render.run = going;
	render.offset = 1;
	ck_assert_int_eq(rendering_page(store, &ask, &other, &answer, &e), -ENODATA);
	render.offset = 0;
	ck_assert_int_eq(rendering_page(store, &ask, &other, &answer, &e), 0);
	api_answer_fini(&answer);
	renderings_keep(kept, other);
	ck_assert_ptr_null(renderings_get(kept, &ask));
	render.offset = 1;
	ck_assert_ptr_eq(renderings_get(kept, &ask), other);
	rendering_put(other);
	rendering_put(other);
	render.run = 0;
	other = NULL;
	ck_assert_int_eq(rendering_page(store, &ask, &other, &answer, &e), -EINVAL);
	remove.run = render.run = ended;
	answer = asked(API_REMOVE_RUN, &remove, API_REMOVED);
	api_answer_fini(&answer);
	rendering = renderings_get(kept, &ask);
	ck_assert_ptr_nonnull(rendering);
	ck_assert_int_eq(rendering_page(store, &ask, &rendering, &answer, &e), -ENOENT);
	rendering_put(rendering);
	renderings_free(kept);
	free(whole);
	random_run_fini(&run);
}
END_TEST

/*
 * A diff comes in the same pages, and says what it compared with; two that are asked for in the same words but for one are two. What is found in
 * history is looked for anew for every first page; and only what was compared as it is asked for is handed out again.
 */
START_TEST(diffs)
{
	Bop__Api__Diff diff = BOP__API__DIFF__INIT, again;
	struct rendering_ask ask = { .diff = &diff }, ask_again = { .diff = &again };
	struct renderings *kept = renderings_new();
	struct rendering *rendering = NULL, *found = NULL;
	struct query_diffed diffed;
	struct api_answer answer;
	struct random_run runs[2];
	struct error e = { "" };
	uint64_t numbers[2];
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (int i = 0; i < 2; i++) {
		random_run_init(&runs[i], 8 + i, &(struct random_options){ .processes = 3, .steps = 200 });
		numbers[i] = keep(&runs[i].trace, &(struct kept){ .lost = 0 });
	}
	diff.format = "text";
	diff.run = numbers[1];
	diff.other = numbers[0];
	ck_assert_msg(query_diff(store, &diff, out, &diffed, &e) == 0, "%s", e.text);
	fclose(out);
	ck_assert(diffed.other == numbers[0] && diffed.differs);
	ck_assert_int_eq(rendering_page(store, &ask, &rendering, &answer, &e), 0);
	ck_assert(answer.rendered->total == size && answer.rendered->run == numbers[1] && answer.rendered->other == numbers[0] &&
		  answer.rendered->differs && !memcmp(answer.rendered->data.data, text, size));
	api_answer_fini(&answer);
	renderings_keep(kept, rendering);
	again = diff;
	found = renderings_get(kept, &ask_again);
	ck_assert_ptr_eq(found, rendering);
	rendering_put(found);
	again.format = "json";
	ck_assert_ptr_null(renderings_get(kept, &ask_again));
	again = diff;
	again.other = numbers[1];
	ck_assert_ptr_null(renderings_get(kept, &ask_again));
	again.other = 0;
	ck_assert_ptr_null(renderings_get(kept, &ask_again));
	/* the nearest: here the only other one */
	found = NULL;
	ck_assert_msg(rendering_page(store, &ask_again, &found, &answer, &e) == 0, "%s", e.text);
	ck_assert(answer.rendered->other == numbers[0] && answer.rendered->total > size);
	api_answer_fini(&answer);
	renderings_keep(kept, found);
	ck_assert_ptr_null(renderings_get(kept, &ask_again));
	again.offset = 1;
	ck_assert_ptr_eq(renderings_get(kept, &ask_again), found);
	rendering_put(found);
	rendering_put(found);
	/* with itself nothing differs; with what is not there nothing can be said */
	again = diff;
	again.other = again.run;
	found = NULL;
	ck_assert_int_eq(rendering_page(store, &ask_again, &found, &answer, &e), 0);
	ck_assert(answer.rendered->other == numbers[1] && !answer.rendered->differs);
	api_answer_fini(&answer);
	rendering_put(found);
	found = NULL;
	again.other = numbers[1] + 1;
	ck_assert_int_eq(rendering_page(store, &ask_again, &found, &answer, &e), -ENOENT);
	again.other = UINT64_MAX;
	ck_assert_int_eq(rendering_page(store, &ask_again, &found, &answer, &e), -ENOENT);
	again = diff;
	again.format = "pdf";
	ck_assert_int_eq(rendering_page(store, &ask_again, &found, &answer, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "pdf"));
	ck_assert_ptr_null(found);
	refused(API_DIFF, &diff, -EOPNOTSUPP, ""); /* is not answered in one piece */
	rendering_put(rendering);
	renderings_free(kept);
	free(text);
	for (int i = 0; i < 2; i++)
		random_run_fini(&runs[i]);
}
END_TEST

/* Reads one line of text; returns what is behind it. */
static char *line_next(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	ck_assert_ptr_nonnull(end);
	*end = '\0';
	*text = end + 1;
	return line;
}

/*
 * The vector clocks of the ShiViz log: each process counts its own from 1, and they order exactly what the graph
 * orders.
 */
START_TEST(shiviz)
{
	enum { PROCESSES = 3 };
	Bop__Api__Render render = BOP__API__RENDER__INIT;
	unsigned clocks[400][PROCESSES + 1] = { { 0 } }, owner[400], seen[PROCESSES + 1] = { 0 };
	struct lineage *l = NULL;
	struct graph *g = NULL;
	struct random_run run;
	size_t n = 0, size;
	char *whole, *at;

	random_run_init(&run, 11, &(struct random_options){ .processes = PROCESSES, .steps = 220 });
	keep(&run.trace, &(struct kept){ .lost = 0 });
	render.format = "shiviz";
	render.all = true;
	whole = at = rendered(&render, &size);
	ck_assert_str_eq(line_next(&at), "(?<event>.*)\\n(?<host>\\S*) (?<clock>{.*})");
	ck_assert_str_eq(line_next(&at), "");
	for (; *at && n < 400; n++) {
		char *clock;

		ck_assert_ptr_nonnull(strchr(line_next(&at), ' '));
		ck_assert_int_eq(sscanf(at, "p%u {", &owner[n]), 1);
		for (clock = strchr(line_next(&at), '{'); clock && *clock != '}'; clock = strpbrk(clock + 1, ",}")) {
			unsigned process, count;

			ck_assert_int_eq(sscanf(clock + 1, " \"p%u\": %u", &process, &count), 2);
			clocks[n][process] = count;
		}
		ck_assert_uint_eq(clocks[n][owner[n]], ++seen[owner[n]]);
	}
	ck_assert_int_eq(graph_build(&run.trace, GRAPH_ORDER_PROCESS, &g, NULL), 0);
	ck_assert_int_eq(lineage_new(g, &l), 0);
	ck_assert_msg(n > 60 && n < 400, "%zu events", n);
	for (uint32_t v = 0; v < g->n_vertices; v++) {
		const struct event *event = &run.trace.events[g->vertices[v].event];
		unsigned before[PROCESSES + 1] = { 0 }, process = 0;
		bool *past = NULL;

		if (!event->order && event->kind != EVENT_START)
			continue;
		ck_assert_int_eq(lineage_past(l, v, &past), 0);
		sscanf(g->trace->processes[g->vertices[v].process].name, "p%u", &process);
		for (uint32_t u = 0; u < g->n_vertices; u++) {
			const struct event *other = &run.trace.events[g->vertices[u].event];
			unsigned of = 0;

			if (past[u] && (other->order || other->kind == EVENT_START)) {
				sscanf(g->trace->processes[g->vertices[u].process].name, "p%u", &of);
				before[of]++;
			}
		}
		for (size_t i = 0; i < n; i++)
			if (owner[i] == process && clocks[i][process] == before[process])
				ck_assert(!memcmp(clocks[i], before, sizeof(before)));
		free(past);
	}
	free(whole);
	lineage_free(l);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_render");
	TCase *tc = tcase_create("query_render");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, renderings);
	tcase_add_test(tc, diffs);
	tcase_add_test(tc, shiviz);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
