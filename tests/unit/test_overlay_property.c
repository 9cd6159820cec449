/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Overlays of random pairs of runs: everything is once, causes stand before effects, and each thread's order is kept. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/overlaid.h"

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

int main(void)
{
	Suite *suite = suite_create("overlay property");
	TCase *tc = tcase_create("two runs");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, random_pairs);
	tcase_add_test(tc, damaged_pairs);
	tcase_add_test(tc, other_orders);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
