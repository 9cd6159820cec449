/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the folded print and the shape see, and what not: talks that differ in one thing, and random ones with more repetition. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/print.h"
#include "tests/heap.h"
#include "tests/unit/random_run.h"
#include "tests/unit/talk.h"

/* As in test_graph_property.c: no line in a file for what holds. */
#define REQUIRE(condition) (void)((condition) || (ck_abort_msg("not true: %s", #condition), 0))

#define ASK(from, to) from ">" to " " to ">" from " "
#define MEET "c+s c+p "

struct levels {
	struct print print[PRINT_LEVEL_COUNT];
};

static const char *const client_roles[TALKERS + 1] = { NULL, "client", "client" };

static struct levels levels_of(const struct talk *t, const char *const *roles)
{
	struct graph *g = talk_graph(t);
	struct levels levels;

	ck_assert_int_eq(print_levels(g, roles, levels.print), 0);
	graph_free(g);
	return levels;
}

static struct levels told(const char *first, const char *text, const char *const *roles)
{
	struct talk t;
	struct levels levels;

	talk_init(&t, first, text);
	levels = levels_of(&t, roles);
	talk_fini(&t);
	return levels;
}

static bool differ(const struct levels *a, const struct levels *b, enum print_level level)
{
	return print_compare(&a->print[level], &b->print[level]) != 0;
}

/* X(NAME, one talk, another one, the exact prints differ, the folded ones, the shapes) */
#define CHANGES(X)                                                                                                    \
	X(ONCE_MORE, MEET "3(" ASK("c", "s") ")", MEET "4(" ASK("c", "s") ")", true, false, false)                    \
	X(TWICE, MEET ASK("c", "s"), MEET "2(" ASK("c", "s") ")", true, false, false)                                 \
	X(NOT_AT_ALL, MEET ASK("c", "p") ASK("c", "s"), MEET ASK("c", "p"), true, true, true)                         \
	X(CONNECTS_ANEW, "2(c+s " ASK("c", "s") ")", "5(c+s " ASK("c", "s") ")", true, false, false)                  \
	X(ONE_WAY, MEET "2(c>s)", MEET "7(c>s)", true, false, false)                                                  \
	X(TRIES_AGAIN, "c-s c+s " ASK("c", "s"), "4(c-s) c+s " ASK("c", "s"), true, false, false)                     \
	X(NEVER_REFUSED, "c-s c+s " ASK("c", "s"), "c+s " ASK("c", "s"), true, true, true)                            \
	X(HEARTBEAT, MEET "h+s h>s 2(" ASK("c", "s") ") h>s", MEET "h+s h>s " ASK("c", "s") "h>s " ASK("c", "s"), true, false, false) \
	X(TWO_REPLIES, MEET "2(c>s s>c s>c)", MEET "3(c>s s>c s>c)", true, false, false)                              \
	X(MANY_REPLIES, MEET "c>s 2(s>c)", MEET "c>s 5(s>c)", true, false, false)                                     \
	X(ONE_REPLY_OF_TWO, MEET "c>s 2(s>c)", MEET "c>s s>c", true, true, false)                                     \
	X(LAST_REPLY_MISSING, MEET "3(" ASK("c", "s") ")", MEET "2(" ASK("c", "s") ") c>s", true, true, false)        \
	X(REPLY_MISSING, MEET "3(" ASK("c", "s") ")", MEET ASK("c", "s") "c>s " ASK("c", "s"), true, true, false)     \
	X(REPLY_UNREAD, MEET "3(" ASK("c", "s") ")", MEET "2(" ASK("c", "s") ") c>s s>c?", true, true, false)         \
	X(NO_REPLY_EVER, "2(c+s " ASK("c", "s") ")", "c+s " ASK("c", "s") "c+s c>s", true, true, true)                \
	X(LOST, MEET "2(" ASK("c", "s") ")", MEET ASK("c", "s") "c>s!", true, true, true)                             \
	X(SWAPPED, MEET ASK("c", "s") ASK("c", "p"), MEET ASK("c", "p") ASK("c", "s"), true, true, false)             \
	X(SWAPPED_LATER, MEET ASK("c", "s") "2(" ASK("c", "p") ")", MEET ASK("c", "s") ASK("c", "p") ASK("c", "s") ASK("c", "p"), true, false, false) \
	X(SERVED_FIRST, "b+s c+s b>s c>s", "b+s c+s c>s b>s", true, true, false)                                      \
	X(ANOTHER_SERVER, "c+s " ASK("c", "s"), "c+p " ASK("c", "p"), true, true, true)                               \
	X(FORWARDED, MEET "p+s c>p p>s s>p p>c", MEET "p+s c>p p>c p>s s>p", true, true, false)                       \
	X(WORKERS, "2(c+s/1 c>s/1 s/1>c)", "c+s/1 c>s/1 s/1>c c+s/2 c>s/2 s/2>c", true, false, false)                 \
	X(MORE_WORKERS, "c+s/1 c>s/1 s/1>c", "c+s/1 c>s/1 s/1>c c+s/2 c>s/2 s/2>c c+s/3 c>s/3 s/3>c", true, false, false) \
	X(OTHER_STATUS, MEET ASK("c", "s") "c.", MEET ASK("c", "s") "c.3", true, true, true)

static const struct {
	const char *name, *one, *other;
	bool differ[PRINT_LEVEL_COUNT];
} changes[] = {
#define X(NAME, one, other, exact, folded, shape) { #NAME, one, other, { exact, folded, shape } },
	CHANGES(X)
#undef X
};
#define N_CHANGES (sizeof(changes) / sizeof(*changes))

/* Each change is seen at the levels that the table says. */
START_TEST(what_is_seen_of_changes)
{
	for (size_t i = 0; i < N_CHANGES; i++) {
		struct levels one = told("c b s p h", changes[i].one, NULL), other = told("c b s p h", changes[i].other, NULL);

		for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++) {
			ck_assert_msg(!one.print[level].approximate, "%s", changes[i].name);
			ck_assert_msg(differ(&one, &other, level) == changes[i].differ[level], "%s: %s is %s", changes[i].name,
				      print_level_name(level), changes[i].differ[level] ? "the same" : "another");
		}
	}
}
END_TEST

/* Who of one role did what does not matter up to the roles, at any level; that two of them did the same still is not the same as one. */
START_TEST(roles)
{
	static const char *const talks[][2] = {
		{ "c+s " ASK("c", "s") "b+s b>s", "b+s " ASK("b", "s") "c+s c>s" },
		{ "c+s b+s 3(" ASK("c", "s") ") " ASK("b", "s"), "b+s c+s " ASK("b", "s") "2(" ASK("c", "s") ")" },
		{ "c+s b+s " ASK("c", "s") ASK("b", "s"), "c+s c+s " ASK("c", "s") ASK("c", "s") },
	};
	static const bool same[][PRINT_LEVEL_COUNT] = { { true, true, true }, { false, true, true }, { false, false, false } };

	for (int i = 0; i < 3; i++) {
		struct levels one = told("c b s", talks[i][0], client_roles), other = told("c b s", talks[i][1], client_roles);
		struct levels plain = told("c b s", talks[i][0], NULL), mirrored = told("c b s", talks[i][1], NULL);

		for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
			ck_assert_msg(differ(&one, &other, level) != same[i][level], "%d, %s", i, print_level_name(level));
		ck_assert_msg(differ(&plain, &mirrored, PRINT_LEVEL_FOLDED), "%d", i);
	}
}
END_TEST

/* A role in which only who talks to whom tells members apart: chains of three and of two plus one, all of whom ask once and answer once. */
START_TEST(who_with_whom)
{
	static const char *const nodes[] = { NULL, "node", "node", "node", "node", "node", "node" };
	struct levels ring = told("a b c d e f", "a+b b+c c+d d+e e+f f+a", nodes);
	struct levels rings = told("a b c d e f", "a+b b+c c+a d+e e+f f+d", nodes);
	struct levels renamed = told("a b c d e f", "c+a a+e e+b b+d d+f f+c", nodes);

	ck_assert(differ(&ring, &rings, PRINT_LEVEL_FOLDED));
	ck_assert(!differ(&ring, &renamed, PRINT_LEVEL_FOLDED) && !ring.print[PRINT_LEVEL_FOLDED].approximate);
	ck_assert(!differ(&ring, &rings, PRINT_LEVEL_SHAPE)); /* three steps away all look alike */
}
END_TEST

/* Exchanges of a random talk; each is complete. */
static const char *const exchanges[] = {
	ASK("a", "s"), ASK("b", "s"), ASK("a", "t"), ASK("b", "t"), ASK("s", "t"), "a>t ", "a-u ", "b+u " ASK("b", "u"), "a>s b>s s>b s>a ",
};
#define N_EXCHANGES (sizeof(exchanges) / sizeof(*exchanges))

/* Says `order`, then n exchanges of those that were said, at random. */
static struct levels repeated(const unsigned *order, unsigned n_order, unsigned n, uint64_t *rng)
{
	char text[20000] = "a+s b+s a+t b+t s+t ";

	for (unsigned i = 0; i < n_order; i++)
		strcat(text, exchanges[order[i]]);
	for (unsigned i = 0; i < n; i++)
		strcat(text, exchanges[order[random_below(rng, n_order)]]);
	return told("a b s t u", text, NULL);
}

/* However often, and in whatever order, exchanges come again that there were: one folded print; in whatever order they come first: one shape. */
START_TEST(repetition_is_nothing_new)
{
	unsigned folded = 0;

	for (uint64_t seed = 0; seed < 300; seed++) {
		unsigned order[N_EXCHANGES], n = 1 + seed % N_EXCHANGES;
		uint64_t rng = seed;
		struct levels once, often, shuffled;

		for (unsigned i = 0; i < N_EXCHANGES; i++)
			order[i] = i;
		for (unsigned i = 0; i < N_EXCHANGES; i++) {
			unsigned k = random_below(&rng, N_EXCHANGES), was = order[i];

			order[i] = order[k];
			order[k] = was;
		}
		once = repeated(order, n, 0, &rng);
		often = repeated(order, n, 1 + random_below(&rng, 60), &rng);
		REQUIRE(differ(&once, &often, PRINT_LEVEL_EXACT));
		REQUIRE(!differ(&once, &often, PRINT_LEVEL_FOLDED));
		REQUIRE(!differ(&once, &often, PRINT_LEVEL_SHAPE));
		for (unsigned i = 0; i < n / 2; i++) {
			unsigned was = order[i];

			order[i] = order[n - 1 - i];
			order[n - 1 - i] = was;
		}
		shuffled = repeated(order, n, 5, &rng);
		folded += differ(&once, &shuffled, PRINT_LEVEL_FOLDED);
		REQUIRE(!differ(&once, &shuffled, PRINT_LEVEL_SHAPE));
	}
	ck_assert_uint_gt(folded, 100);
}
END_TEST

/* Folding many turns of a loop leaves no more than one: the print of any number of them is not approximate, and takes no search. */
START_TEST(many_turns)
{
	struct levels few = told("c s", "2(c+s " ASK("c", "s") ")", NULL), many = told("c s", "400(c+s " ASK("c", "s") ")", NULL);

	ck_assert(!differ(&few, &many, PRINT_LEVEL_FOLDED) && !differ(&few, &many, PRINT_LEVEL_SHAPE));
}
END_TEST

#ifndef SANITIZED
/* Whichever allocation fails: no memory, said so, or no harm done; and nothing is kept. */
START_TEST(no_memory)
{
	struct talk t;
	struct graph *g;
	struct levels levels, same;
	bool failed = true;
	long before;
	int err;

	talk_init(&t, "c b s", "c+s b+s/1 c>s s>c b>s/1 s/1>b c+s c>s s>c c>s c. b.");
	same = levels_of(&t, client_roles);
	g = talk_graph(&t);
	for (long n = 1; failed; n++) {
		before = heap.balance;
		heap_arm(n);
		err = print_levels(g, client_roles, levels.print);
		failed = heap_disarm();
		ck_assert_msg(heap.balance == before, "allocation %ld: %ld not freed", n, heap.balance - before);
		ck_assert_msg(err == -ENOMEM || (!err && !differ(&levels, &same, PRINT_LEVEL_EXACT) &&
						 !differ(&levels, &same, PRINT_LEVEL_FOLDED) && !differ(&levels, &same, PRINT_LEVEL_SHAPE)),
			      "allocation %ld: %d", n, err);
	}
	ck_assert_int_gt(heap.fail_at, 40);
	graph_free(g);
	talk_fini(&t);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("print_fold");
	TCase *tc = tcase_create("talks");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, what_is_seen_of_changes);
	tcase_add_test(tc, roles);
	tcase_add_test(tc, who_with_whom);
	tcase_add_test(tc, repetition_is_nothing_new);
	tcase_add_test(tc, many_turns);
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
