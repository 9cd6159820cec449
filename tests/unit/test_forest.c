/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who waits for whom: ways, their ends, and the heaviest of a circle, against somebody who walks along them; what that costs where ways
 * are long, and what laying two runs of many messages over each other costs.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "graph/diff.h"
#include "graph/forest.h"
#include "graph/overlay.h"
#include "tests/unit/random_run.h"
#include "tests/unit/talk.h"

#define MOST 64
#define LONG 4096u
#define STEPS_LONG 100u /* of a call, in the mean: some times the logarithm of LONG */

/* 0: an end. */
struct walked {
	uint32_t next[MOST + 1], weight[MOST + 1];
};

static uint32_t walked_end(const struct walked *w, uint32_t node)
{
	while (w->next[node])
		node = w->next[node];
	return node;
}

/* The circle is where the way of `from`, then that of `to`, comes to a node for the second time. */
static uint32_t walked_heaviest(const struct walked *w, uint32_t from, uint32_t to)
{
	uint32_t way[2 * MOST + 2], n = 0, at, best;

	for (at = from; at; at = w->next[at])
		way[n++] = at;
	for (at = to;; at = w->next[at]) {
		for (uint32_t i = 0; i < n; i++)
			if (way[i] == at) {
				for (best = i; i < n; i++)
					best = w->weight[way[i]] > w->weight[way[best]] ? i : best;
				return way[best];
			}
		way[n++] = at;
	}
}

/* Whatever is linked and cut, in whatever order. */
START_TEST(as_walked)
{
	uint64_t rng = (uint64_t)_i + 1, circles = 0;
	uint32_t n = 2 + random_below(&rng, MOST - 1);
	struct walked w = { 0 };
	struct forest f;

	ck_assert_int_eq(forest_init(&f, n), 0);
	for (uint32_t node = 1; node <= n; node++) {
		w.weight[node] = random_below(&rng, 4);
		forest_weigh(&f, node, w.weight[node]);
	}
	for (unsigned k = 0; k < 1000; k++) {
		uint32_t from = 1 + random_below(&rng, n), to = 1 + random_below(&rng, n), end = walked_end(&w, from);

		ck_assert_uint_eq(forest_end(&f, from), end);
		if (!random_below(&rng, 4)) {
			forest_cut(&f, from);
			w.next[from] = 0;
		} else if (!random_below(&rng, 8) && end != from) {
			uint32_t last = from;

			while (w.next[last] != end)
				last = w.next[last];
			ck_assert_uint_eq(forest_shorten(&f, from), last);
			w.next[last] = 0;
		} else if (walked_end(&w, to) != end) {
			forest_link(&f, end, to);
			w.next[end] = to;
		} else {
			ck_assert_uint_eq(forest_heaviest(&f, from, to), walked_heaviest(&w, from, to));
			circles++;
		}
	}
	ck_assert_uint_gt(circles, 10);
	forest_fini(&f);
}
END_TEST

/* A way through all nodes, in which one after the other is taken out of the circle that it would be; nobody walks along it. */
START_TEST(long_ways)
{
	uint64_t calls = 0;
	struct forest f;

	ck_assert_int_eq(forest_init(&f, LONG), 0);
	for (uint32_t node = 1; node <= LONG; node++)
		forest_weigh(&f, node, 1 + node % 7);
	for (uint32_t node = 2; node <= LONG; node++, calls++)
		forest_link(&f, node - 1, node);
	for (uint32_t node = 2; node < LONG; node++, calls += 5) {
		ck_assert_uint_eq(forest_end(&f, node - 1), LONG);
		ck_assert_uint_gt(forest_heaviest(&f, node - 1, 1), 0);
		forest_cut(&f, node);
		ck_assert_uint_eq(forest_end(&f, 1), node);
		forest_link(&f, node, node + 1);
	}
	ck_assert_msg(f.steps < calls * STEPS_LONG, "%llu steps for %llu calls", (unsigned long long)f.steps, (unsigned long long)calls);
	forest_fini(&f);
}
END_TEST

/* More than can be numbered. */
START_TEST(too_many)
{
	struct forest f;

	ck_assert_int_eq(forest_init(&f, (size_t)UINT32_MAX + 1), -ENOMEM);
	forest_fini(&f);
}
END_TEST

/* Steps of laying the talks over each other, which go; *ret_moved: how much was moved. */
static uint64_t laid_steps(struct talk talks[2], size_t *ret_moved)
{
	const struct graph *graphs[2] = { talk_graph(&talks[0]), talk_graph(&talks[1]) };
	struct overlay *overlay = NULL;
	struct diff *diff = NULL;
	uint64_t steps;

	ck_assert_int_eq(diff_new(graphs, &diff), 0);
	ck_assert_int_eq(overlay_new(graphs, diff, &overlay), 0);
	*ret_moved = 0;
	for (size_t v = 0; v < overlay->graph.n_vertices; v++)
		*ret_moved += overlay->vertices[v].side == OVERLAY_MOVED;
	steps = overlay->steps;
	overlay_free(overlay);
	diff_free(diff);
	for (int i = 0; i < 2; i++) {
		graph_free((struct graph *)graphs[i]);
		talk_fini(&talks[i]);
	}
	return steps;
}

/* What a and b told c stands in one order in one run, in the other order in the other one. Steps for each message. */
static double swapped_steps(unsigned n)
{
	struct talk talks[2];
	char text[128];
	size_t moved;
	double steps;

	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), i ? "a+b b+a a+c b+c %u(b>c) b>a %u(a>c)" : "a+b b+a a+c b+c %u(a>c) a>b %u(b>c)", n, n);
		talk_init(&talks[i], "a b c", text);
	}
	steps = (double)laid_steps(talks, &moved) / n;
	ck_assert_uint_ge(moved, 2 * n); /* sends of one of the two, and what c received of one */
	return steps;
}

/* What b received at once in one run, it received one by one in the other one. Steps for each message. */
static double piled_steps(unsigned n)
{
	struct talk talks[2];
	char text[128];
	size_t moved;
	double steps;

	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), i ? "a+b %u(a>b?) %u(b<a)" : "a+b %u(a>b?) b<a", n, n);
		talk_init(&talks[i], "a b", text);
	}
	talks[0].trace.events[talks[0].trace.n_events - 1].value *= n;
	steps = (double)laid_steps(talks, &moved) / n;
	ck_assert_uint_eq(moved, 0);
	return steps;
}

/* Eight times as many cost hardly more each. 0: each message of one closes a circle that goes through all others of both. */
START_TEST(many_messages)
{
	double (*steps)(unsigned n) = _i ? piled_steps : swapped_steps, few = steps(500), many = steps(4000);

	printf("# %s: steps for each message: %.0f of 500, %.0f of 4000\n", _i ? "received at once" : "in another order", few, many);
	ck_assert_double_gt(few, 1);
	ck_assert_double_lt(many, 2 * few);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forest");
	TCase *tc = tcase_create("forest");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, as_walked, 0, 40);
	tcase_add_test(tc, long_ways);
	tcase_add_test(tc, too_many);
	tcase_add_loop_test(tc, many_messages, 0, 2);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
