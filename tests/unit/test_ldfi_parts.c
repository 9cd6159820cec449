/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hitting sets against brute force, what members of a role are called in each other's places, and that nothing leaks
 * when memory ends in the middle of what is learned.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ldfi/explored.h"
#include "ldfi/hitting.h"
#include "ldfi/knowledge.h"
#include "ldfi/symmetry.h"
#include "tests/heap.h"

/* ---- Hitting sets */

enum { THINGS = 9, SUPPORTS = 6, GOALS = 2 };

struct problem {
	uint32_t owners[THINGS];
	uint32_t owned, free;
	unsigned supports[GOALS][SUPPORTS]; /* bits */
	unsigned when[GOALS][SUPPORTS];	    /* bits, one of which must be there; 0: always */
	size_t n[GOALS];
};

static uint64_t draw(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

static struct problem problem_draw(uint64_t seed, bool conditions)
{
	uint64_t state = seed * 7919 + 1;
	struct problem p = { .owned = (uint32_t)(draw(&state) % 3), .free = (uint32_t)(draw(&state) % 4) };

	if (p.free == 3)
		p.free = UINT32_MAX;
	for (int i = 0; i < THINGS; i++)
		p.owners[i] = draw(&state) % 2 ? HITTING_NOBODY : (uint32_t)(draw(&state) % 3);
	for (int g = 0; g < GOALS; g++) {
		p.n[g] = 1 + draw(&state) % SUPPORTS;
		for (size_t i = 0; i < p.n[g]; i++) {
			p.supports[g][i] = (unsigned)(draw(&state) & draw(&state)) % (1 << THINGS);
			p.when[g][i] = conditions && i ? (unsigned)(draw(&state) & draw(&state)) % (1 << THINGS) : 0;
		}
	}
	return p;
}

static bool within(const struct problem *p, unsigned set)
{
	uint32_t owned = 0, free = 0;

	for (int i = 0; i < THINGS; i++) {
		if (!(set >> i & 1))
			continue;
		if (p->owners[i] == HITTING_NOBODY)
			free++;
		else
			owned++;
		for (int k = 0; k < i; k++)
			if (set >> k & 1 && p->owners[i] != HITTING_NOBODY && p->owners[i] == p->owners[k])
				return false;
	}
	return owned <= p->owned && free <= p->free;
}

static bool hits(const struct problem *p, size_t goal, unsigned set)
{
	for (size_t i = 0; i < p->n[goal]; i++)
		if (!(set & p->supports[goal][i]) && (!p->when[goal][i] || set & p->when[goal][i]))
			return false;
	return within(p, set);
}

static size_t listed(unsigned set, uint32_t *things)
{
	size_t n = 0;

	for (uint32_t i = 0; i < THINGS; i++)
		if (set >> i & 1)
			things[n++] = i;
	return n;
}

static struct hitting *hitting_of(const struct problem *p)
{
	struct hitting_limits limits = { p->owners, THINGS, p->owned, p->free, THINGS };
	struct hitting *h = NULL;
	uint32_t things[THINGS];

	ck_assert(!hitting_new(&limits, GOALS, &h));
	for (size_t g = 0; g < GOALS; g++)
		for (size_t i = 0; i < p->n[g]; i++) {
			int when = p->when[g][i] ? hitting_any(h, things, listed(p->when[g][i], things)) : 0;

			hitting_support(h, g, &when, when != 0, things, listed(p->supports[g][i], things));
		}
	return h;
}

/*
 * Each hitting set of a size that contains no smaller one that was blocked, once, and nothing else; without
 * conditions: the minimal ones.
 */
START_TEST(hitting)
{
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct problem p = problem_draw(seed, _i);
		struct hitting *h = hitting_of(&p);

		for (size_t goal = 0; goal < GOALS; goal++) {
			bool given[1 << THINGS] = { false }, wanted[1 << THINGS] = { false };

			for (uint32_t size = 1; size <= THINGS; size++) {
				uint32_t things[THINGS];
				size_t n;

				for (unsigned set = 1; set < 1 << THINGS; set++) {
					wanted[set] = wanted[set] ||
						      (__builtin_popcount(set) == (int)size && hits(&p, goal, set));
					for (unsigned sub = (set - 1) & set; sub && wanted[set]; sub = (sub - 1) & set)
						wanted[set] = !wanted[sub];
				}
				while (hitting_next(h, goal, size, things, &n)) {
					unsigned set = 0;

					for (size_t i = 0; i < n; i++)
						set |= 1u << things[i];
					ck_assert_uint_eq(n, size);
					ck_assert(!given[set]);
					given[set] = true;
				}
				for (unsigned set = 1; set < 1 << THINGS; set++)
					if (given[set] && __builtin_popcount(set) == (int)size)
						hitting_block(h, goal, things, listed(set, things));
			}
			ck_assert(!hitting_possible(h, goal) || hits(&p, goal, 0));
			ck_assert_msg(hits(&p, goal, 0) || !memcmp(given, wanted, sizeof(given)), "seed %llu",
				      (unsigned long long)seed);
		}
		hitting_free(h);
	}
}
END_TEST

/* One of several conditions must hold. */
START_TEST(either)
{
	const uint32_t owners[] = { HITTING_NOBODY, HITTING_NOBODY, HITTING_NOBODY, HITTING_NOBODY };
	struct hitting_limits limits = { owners, 4, 0, UINT32_MAX, 4 };
	struct hitting *h = NULL;
	uint32_t things[4] = { 3 };
	int any[3], all[2];
	size_t n;

	ck_assert(!hitting_new(&limits, 1, &h));
	hitting_support(h, 0, NULL, 0, things, 1);
	for (uint32_t i = 0; i < 3; i++)
		any[i] = hitting_any(h, &i, 1);
	all[0] = hitting_all(h, any, 2);
	all[1] = hitting_all(h, &any[2], 1);
	hitting_either(h, 0, all, 2);
	ck_assert(!hitting_next(h, 0, 1, things, &n));
	ck_assert(hitting_next(h, 0, 2, things, &n) && n == 2 && things[0] == 2 && things[1] == 3);
	ck_assert(!hitting_next(h, 0, 2, things, &n));
	hitting_free(h);
}
END_TEST

/* ---- Symmetry */

static const struct symmetry_member servers[] = { { "s1", "b1" }, { "s2", "b2" }, { "s3", "b3" } };
static const struct symmetry_member clients[] = { { "c", "x" }, { "d.e", "y" } };
static const struct symmetry_role roles[] = { { servers, 3 }, { clients, 2 } };

/* Every way once, the first of which changes nothing; a role that makes too many is left out. */
START_TEST(ways)
{
	static struct symmetry_member many[7];
	struct symmetry_role with_many[] = { { many, 7 }, { clients, 2 } };
	char *seen[12], *text;
	struct symmetry *s;
	size_t left_out;

	ck_assert(!symmetry_new(roles, 2, &s, &left_out) && !left_out);
	ck_assert_uint_eq(symmetry_ways(s), 12);
	for (size_t way = 0; way < 12; way++) {
		seen[way] = symmetry_words(s, way, "s1 s2 s3 c");
		for (size_t i = 0; i < way; i++)
			ck_assert_str_ne(seen[way], seen[i]);
	}
	ck_assert_str_eq(seen[0], "s1 s2 s3 c");
	for (size_t way = 0; way < 12; way++)
		free(seen[way]);
	symmetry_free(s);

	for (size_t i = 0; i < 7; i++)
		many[i] = (struct symmetry_member){ "p", "p" };
	ck_assert(!symmetry_new(with_many, 2, &s, &left_out) && left_out == 1);
	ck_assert_uint_eq(symmetry_ways(s), 2);
	text = symmetry_process(s, 1, "d.e.1");
	ck_assert_str_eq(text, "c.1");
	free(text);
	symmetry_free(s);
	ck_assert(!symmetry_new(NULL, 0, &s, NULL) && symmetry_ways(s) == 1);
	symmetry_free(s);
}
END_TEST

/*
 * Processes stand left of a label, boxes right; children and later incarnations go with theirs; what only begins
 * alike stays.
 */
START_TEST(names)
{
	static const char *const labels[][2] = {
		{ "s1>b2:7000#2/3", "s2>b1:7000#2/3" },	      { "s1.1<b3:*1#1/1", "s2.1<b3:*1#1/1" },
		{ "s2'2>b1:7000#1/1", "s1'2>b2:7000#1/1" },   { "s11>b1:7000#1/1", "s11>b2:7000#1/1" },
		{ "c>10.0.0.1:80#1/1", "c>10.0.0.1:80#1/1" }, { "s1~b2:53/4<", "s2~b1:53/4<" }
	};
	static const char *const words[][2] = { { "s1 has it, not s2: b1>b2", "s2 has it, not s1: b2>b1" },
						{ "xs1 s1x s1", "xs1 s1x s2" },
						{ "s1-delivers, s2_x", "s2-delivers, s2_x" }, { "", "" } };
	struct symmetry *s;
	size_t way = 0;
	char *text = NULL;

	ck_assert(!symmetry_new(roles, 1, &s, NULL));
	do {
		free(text);
		text = symmetry_words(s, ++way, "s1 s2 s3");
	} while (strcmp(text, "s2 s1 s3"));
	free(text);
	for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++) {
		text = symmetry_label(s, way, labels[i][0]);
		ck_assert_str_eq(text, labels[i][1]);
		free(text);
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		text = symmetry_words(s, way, words[i][0]);
		ck_assert_str_eq(text, words[i][1]);
		free(text);
	}
	symmetry_free(s);
}
END_TEST

/* ---- Lineage */

static const struct trial_message messages[] = { { "c>b1:1#1/1", "c", "s1", 1, false },
						 { "c>b2:1#1/1", "c", "s2", 1, false },
						 { "s1>b2:2#1/1", "s1", "s2", 2, false },
						 { "c~b1:3/1", "c", "s1", 2, true } };
static const struct trial_crash crashes[] = { { "c", "c>b1:1#1/1", 1 }, { "s1", "s1>b2:2#1/1", 2 } };
static const struct trial_goal goals[] = { { "s2 has it", "s2", messages, 4, crashes, 2 },
					   { "end", "", messages, 1, crashes, 1 } };
static const struct trial trial = { TRIAL_GOOD, goals, 2, messages, 4 };
static const struct budget budget = { 3, BUDGET_ANY, 1, NULL };

static struct failures plan_of(const struct knowledge *l, const char *a, const char *b)
{
	struct failures plan = { .n = 0 };

	ck_assert(!failures_add(&plan, knowledge_find(l, a)) && (!b || !failures_add(&plan, knowledge_find(l, b))));
	return plan;
}

/*
 * A support in the other places is a support of the goal that is called so there; what a plan's crash takes away
 * anyway is dropped; no fault can make a datagram get lost.
 */
START_TEST(learned)
{
	struct failures none = { .n = 0 }, plan, image = { .n = 0 };
	struct knowledge_news news;
	struct symmetry *s;
	struct knowledge *l;

	ck_assert(!symmetry_new(roles, 1, &s, NULL) && !knowledge_new(&budget, s, false, &l));
	ck_assert(!knowledge_learn(l, &trial, &none, &news));
	/* "s2 has it" in six ways; "end" is of nobody, so that all that leads to it in other places leads to it, too */
	ck_assert(news.supports == 2 && news.mirrored == 7 && news.failures);
	ck_assert_uint_eq(knowledge_n_goals(l), 4);
	ck_assert_uint_eq(knowledge_find(l, "cut c~b1:3/1"), KNOWLEDGE_NONE);
	ck_assert_uint_eq(knowledge_find(l, "crash c at send c>b3:1#1/2"), KNOWLEDGE_NONE);
	ck_assert_uint_ne(knowledge_find(l, "cut c>b3:1#1/1"), KNOWLEDGE_NONE); /* an image */
	plan = plan_of(l, "crash c at send c>b1:1#1/1", "cut c>b2:1#1/1");
	knowledge_reduce(l, &plan);
	ck_assert(plan.n == 1 && knowledge_failure(l, plan.rows[0])->crash);
	failures_fini(&plan);
	plan = plan_of(l, "cut c>b1:1#1/1", "cut s1>b2:2#1/1");
	for (size_t way = 0; way < 6; way++)
		ck_assert(knowledge_mirror(l, way, &plan, &image) && image.n == 2);
	failures_fini(&plan);
	failures_fini(&image);
	knowledge_free(l);
	symmetry_free(s);
}
END_TEST

#ifndef SANITIZED
/* The n-th allocation fails, for every n: -ENOMEM, and nothing is left. */
START_TEST(memory)
{
	long n;
	int err = -ENOMEM;

	for (n = 1; n == 1 || heap.seen >= heap.fail_at; n++) {
		long balance = heap.balance;
		struct failures none = { .n = 0 }, plan = { .n = 0 };
		struct explored *explored = NULL;
		struct symmetry *s = NULL;
		struct knowledge *l = NULL;
		struct knowledge_news news;
		char *line = NULL;

		heap.armed = true;
		heap.seen = 0;
		heap.fail_at = n;
		err = symmetry_new(roles, 2, &s, NULL);
		err = err ? err : knowledge_new(&budget, s, true, &l);
		err = err ? err : knowledge_learn(l, &trial, &none, &news);
		err = err ? err : failures_add(&plan, 1);
		err = err ? err : knowledge_learn(l, &trial, &plan, &news);
		err = err ? err : explored_new(&explored);
		err = err ? err : explored_add(explored, &plan);
		err = err ? err : explored_add_violation(explored, &plan);
		line = err ? NULL : knowledge_line(l, 1);
		err = err ? err : line ? 0 : -ENOMEM;
		heap.armed = false;
		ck_assert(!err || err == -ENOMEM);
		free(line);
		explored_free(explored);
		failures_fini(&plan);
		knowledge_free(l);
		symmetry_free(s);
		ck_assert_int_eq(heap.balance, balance);
	}
	ck_assert(!err && n > 200);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("ldfi_parts");
	TCase *tcase = tcase_create("parts");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 100);
	tcase_add_loop_test(tcase, hitting, 0, 2);
	tcase_add_test(tcase, either);
	tcase_add_test(tcase, ways);
	tcase_add_test(tcase, names);
	tcase_add_test(tcase, learned);
#ifndef SANITIZED
	tcase_add_test(tcase, memory);
#endif
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
