/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The figure of bop history as it is written: axes, lines, legend. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/chart.h"
#include "graph/scene.h"
#include "tests/heap.h"

static char *written(const struct chart *chart, enum render_format format, size_t *ret_size)
{
	char *bytes = NULL;
	size_t size = 0;
	struct error e;
	FILE *out = open_memstream(&bytes, &size);

	ck_assert_ptr_nonnull(out);
	ck_assert_msg(chart_write(chart, format, out, &e) == 0, "%s", e.text);
	fclose(out);
	*ret_size = size;
	return bytes;
}

static char *svg(const struct chart *chart)
{
	size_t size;

	return written(chart, RENDER_SVG, &size);
}

static struct chart chart_of(const struct chart_line *lines, size_t n)
{
	return (struct chart){ .title = "Distinct runs", .x_title = "runs", .y_title = "distinct runs", .lines = lines, .n_lines = n };
}

START_TEST(ticks_are_round)
{
	char buf[CHART_NUMBER_MAX];

	ck_assert_uint_eq(chart_step(0, 7), 1);
	ck_assert_uint_eq(chart_step(6, 7), 1);
	ck_assert_uint_eq(chart_step(7, 7), 2);
	ck_assert_uint_eq(chart_step(2000, 9), 500);
	ck_assert_uint_eq(chart_step(1999, 7), 500);
	ck_assert_uint_eq(chart_step(6999, 7), 1000);
	ck_assert_uint_gt(chart_step(UINT64_MAX, 7), 0);
	for (uint64_t most = 1; most < 5000; most++)
		ck_assert_uint_lt(most / chart_step(most, 9), 9);
	ck_assert_str_eq(chart_number(0, buf), "0");
	ck_assert_str_eq(chart_number(999, buf), "999");
	ck_assert_str_eq(chart_number(1000, buf), "1,000");
	ck_assert_str_eq(chart_number(UINT64_MAX, buf), "18,446,744,073,709,551,615");
}
END_TEST

/* Points of the n-th line, from 0, as "x y" after M and L. */
static size_t points_of(const char *text, size_t line, double *x, double *y, size_t max)
{
	size_t n = 0;
	int used;

	for (; (text = strstr(text, "<path d=\"M")); text += 9) {
		const char *end = strchr(text, '>');

		if (!memmem(text, (size_t)(end - text), "stroke-linejoin", 15) || line--)
			continue;
		for (text += 9; (*text == 'M' || *text == 'L') && n < max; text += used + 1, n++)
			ck_assert_int_eq(sscanf(text + 1, "%lf %lf%n", &x[n], &y[n], &used), 2);
		return n;
	}
	return 0;
}

/* A line goes up where it is told to, and ends where the runs end. */
START_TEST(lines_are_steps)
{
	static const uint64_t at[] = { 1, 2, 10 };
	struct chart_line line = { .name = "quorum", .at = at, .n = 3, .end = 20 };
	struct chart chart = chart_of(&line, 1);
	double x[64], y[64], unit;
	char *text = svg(&chart);
	size_t n = points_of(text, 0, x, y, 64);

	ck_assert_uint_eq(n, 8);
	unit = (x[7] - x[0]) / 20;
	ck_assert_double_gt(unit, 10);
	ck_assert_double_eq_tol(x[1] - x[0], unit, 0.11);
	ck_assert_double_eq_tol(x[3] - x[0], 2 * unit, 0.11);
	ck_assert_double_eq_tol(x[5] - x[0], 10 * unit, 0.11);
	ck_assert_double_eq_tol(y[0] - y[2], y[2] - y[4], 0.11);
	ck_assert_double_eq_tol(y[0] - y[7], 3 * (y[0] - y[2]), 0.21);
	ck_assert_double_eq_tol(y[6], y[7], 1e-9);
	free(text);
}
END_TEST

/* A million runs are no more shapes than a picture has pixels; the end is kept whatever is left out. */
START_TEST(large_ones_are_thinned)
{
	enum { N = 1000000 };
	uint64_t *at = malloc(N * sizeof(*at));
	struct chart_line line = { .name = "ldfi", .at = at, .n = N, .end = N };
	struct chart chart = chart_of(&line, 1);
	double *x = malloc(10000 * sizeof(*x)), *y = malloc(10000 * sizeof(*y));
	char *text;
	size_t n;

	ck_assert(at && x && y);
	for (uint64_t i = 0; i < N; i++)
		at[i] = i + 1;
	text = svg(&chart);
	ck_assert_uint_lt(strlen(text), 100000);
	n = points_of(text, 0, x, y, 10000);
	ck_assert_double_eq_tol(x[n - 1] - x[0], 560, 0.11);
	ck_assert_double_eq_tol(y[0] - y[n - 1], 350, 0.11);
	for (size_t i = 1; i < n; i++)
		ck_assert(x[i] >= x[i - 1] && y[i] <= y[i - 1]);
	free(text);
	free(at);
	free(x);
	free(y);
}
END_TEST

static size_t find_order(const char *text, const char *a, const char *b)
{
	const char *at_a = strstr(text, a), *at_b = strstr(text, b);

	ck_assert_msg(at_a && at_b, "%s, %s", a, b);
	return at_a < at_b;
}

/* The legend has every name, note and number; the highest line first; what is in names is only text. */
START_TEST(legend)
{
	static const uint64_t at[] = { 1, 2, 3, 4 };
	struct chart_line lines[CHART_LINES_MAX] = {
		{ .name = "low", .notes = { "1 class in 5 runs", "at least 1" }, .at = at, .n = 1, .end = 5 },
		{ .name = "<script>&\x1b\xff", .notes = { "4 classes in 5 runs" }, .at = at, .n = 4, .end = 5 },
	};
	struct chart chart = chart_of(lines, 2);
	char *text;

	for (size_t i = 2; i < CHART_LINES_MAX; i++)
		lines[i] = (struct chart_line){ .name = "middle", .at = at, .n = 2, .end = 2 };
	chart.subtitle = "exact";
	text = svg(&chart);
	ck_assert(find_order(text, "4 classes in 5 runs", ">low<"));
	ck_assert(find_order(text, "&lt;script&gt;&amp;??", "1 class in 5 runs"));
	ck_assert(strstr(text, ">at least 1<") && strstr(text, ">exact<") && strstr(text, ">runs<") && strstr(text, ">distinct runs<"));
	ck_assert_ptr_null(strstr(text, "<script"));
	free(text);
	chart.n_lines = CHART_LINES_MAX;
	text = svg(&chart);
	ck_assert_ptr_nonnull(strstr(text, "stroke-dasharray"));
	free(text);
}
END_TEST

START_TEST(nothing_yet_and_too_much)
{
	struct chart_line line = { .name = "none" }, many[CHART_LINES_MAX + 1] = { { .name = "x" } };
	struct chart chart = chart_of(&line, 1);
	size_t size;
	char *text = written(&chart, RENDER_PNG, &size);
	FILE *out = fopen("/dev/null", "w");
	struct error e;

	ck_assert(size > 100 && !memcmp(text, "\x89PNG", 4));
	free(text);
	chart = chart_of(many, CHART_LINES_MAX + 1);
	ck_assert_int_eq(chart_write(&chart, RENDER_SVG, out, &e), -EINVAL);
	chart.n_lines = 0;
	ck_assert_int_eq(chart_write(&chart, RENDER_SVG, out, &e), -EINVAL);
	chart = chart_of(&line, 1);
	ck_assert_int_eq(chart_write(&chart, RENDER_DOT, out, &e), -EINVAL);
	fclose(out);
	out = fopen("/dev/full", "w");
	ck_assert_int_eq(chart_write(&chart, RENDER_SVG, out, &e), -ENOSPC);
	ck_assert_int_lt(chart_write(&chart, RENDER_PNG, out, &e), 0);
	fclose(out);
}
END_TEST

#ifndef SANITIZED
/* Whichever allocation fails: said so, and nothing is kept. */
START_TEST(no_memory)
{
	static const uint64_t at[] = { 1, 2 };
	struct chart_line line = { .name = "a", .notes = { "b" }, .at = at, .n = 2, .end = 3 };
	struct chart chart = chart_of(&line, 1);
	FILE *out = fopen("/dev/null", "w");
	bool failed = true;
	struct error e;
	char *first = svg(&chart);
	long before, n;
	int err;

	setvbuf(out, NULL, _IONBF, 0); /* its buffer is not ours */
	for (n = 1; failed; n++) {
		before = heap.balance;
		heap_arm(n);
		err = chart_write(&chart, RENDER_SVG, out, &e);
		failed = heap_disarm();
		ck_assert_msg(heap.balance == before, "allocation %ld: %ld not freed", n, heap.balance - before);
		ck_assert(failed ? err == -ENOMEM : !err);
	}
	ck_assert_int_gt(n, 10);
	fclose(out);
	free(first);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("chart");
	TCase *tc = tcase_create("chart");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, ticks_are_round);
	tcase_add_test(tc, lines_are_steps);
	tcase_add_test(tc, large_ones_are_thinned);
	tcase_add_test(tc, legend);
	tcase_add_test(tc, nothing_yet_and_too_much);
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
