/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chao1 against what EstimateS prints, and against the truth where it is known. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "collector/richness.h"

#define COUNTS(...) (const uint64_t[]){ __VA_ARGS__, 0 }

/* counts: how often each class came; ends with 0. */
static struct richness of(const uint64_t *counts)
{
	uint64_t runs = 0, classes = 0, once = 0, twice = 0;

	for (; *counts; counts++) {
		runs += *counts;
		classes++;
		once += *counts == 1;
		twice += *counts == 2;
	}
	return richness_of(runs, classes, once, twice);
}

static void expect(const uint64_t *counts, double estimate, double low, double high)
{
	struct richness r = of(counts);

	ck_assert_msg(fabs(r.estimate - estimate) < 0.005, "%f, not %f", r.estimate, estimate);
	ck_assert_msg(fabs(r.low - low) < 0.005 && fabs(r.high - high) < 0.005, "%f - %f, not %f - %f", r.low, r.high, low, high);
}

/* As EstimateS gives them, to two decimals (they are the reference values of scikit-bio's tests, too). */
START_TEST(as_published)
{
	expect(COUNTS(1, 1, 4, 2, 5, 2, 4, 1, 2), 9.75, 9.07, 17.45);
	expect(COUNTS(2, 2, 4, 5), 4, 4, 4.95);
	expect(COUNTS(1, 1, 4, 5), 5, 4.08, 17.27);
}
END_TEST

START_TEST(at_the_edges)
{
	struct richness none = richness_of(0, 0, 0, 0), one = of(COUNTS(1)), new = richness_of(2000, 2000, 2000, 0);

	ck_assert(none.estimate == 0 && none.low == 0 && none.high == 0 && none.next_new == 0);
	ck_assert(one.estimate == 1 && one.low == 1 && one.high == 1 && one.next_new == 1);
	ck_assert(new.estimate == 2000 + 2000 * 1999 / 2 && new.low > 2000 && new.high > new.estimate && isfinite(new.high));
	expect(COUNTS(200), 1, 1, 1);
	ck_assert_double_eq_tol(of(COUNTS(1, 9)).next_new, 0.1, 1e-9);
}
END_TEST

/* Whatever comes: seen <= low <= estimate <= high, all finite. */
START_TEST(is_an_interval)
{
	for (uint64_t runs = 1; runs <= 40; runs++)
		for (uint64_t once = 0; once <= runs; once++)
			for (uint64_t twice = 0; once + 2 * twice <= runs; twice++) {
				uint64_t rest = runs - once - 2 * twice;
				struct richness r;

				if (rest == 1 || rest == 2)
					continue;
				for (uint64_t more = rest ? 1 : 0; more <= rest / 3; more++) {
					r = richness_of(runs, once + twice + more, once, twice);
					ck_assert_msg((double)r.classes <= r.low && r.low <= r.estimate && r.estimate <= r.high &&
							      isfinite(r.high),
						      "%lu runs, %lu + %lu + %lu classes: %f %f %f", runs, once, twice, more, r.low,
						      r.estimate, r.high);
				}
			}
}
END_TEST

/* Plans have classes of their own: what is unseen of each is added up, and nothing is concluded from one for another. */
START_TEST(plans_are_joined)
{
	struct richness a = of(COUNTS(1, 1, 4, 2, 5, 2, 4, 1, 2)), b = of(COUNTS(1, 1, 4, 5)), sum = { 0 }, once = { 0 };

	richness_join(&sum, &a);
	ck_assert(sum.estimate == a.estimate && sum.low == a.low && sum.high == a.high);
	richness_join(&sum, &b);
	ck_assert_double_eq_tol(sum.estimate, 14.75, 1e-9);
	ck_assert(sum.runs == a.runs + b.runs && sum.classes == 13 && sum.low > 13 && sum.high < a.high + b.high);
	for (int i = 0; i < 100; i++) { /* a hundred plans, run once each, say nothing of what else they could do */
		struct richness plan = of(COUNTS(1));

		richness_join(&once, &plan);
	}
	ck_assert(once.classes == 100 && once.estimate == 100 && once.low == 100 && once.high == 100);
}
END_TEST

static double uniform(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (double)(*state >> 11) / 9007199254740992.0;
}

/* Draws from `n` classes, of which the i-th comes with weight 1 / (1 + skew * i). */
static struct richness draw(uint64_t n, double skew, uint64_t runs, uint64_t *state)
{
	uint64_t *counts = calloc(n + 1, sizeof(*counts)), seen = 0;
	double whole = 0, at;
	struct richness r;

	ck_assert_ptr_nonnull(counts);
	for (uint64_t i = 0; i < n; i++)
		whole += 1 / (1 + skew * (double)i);
	for (uint64_t run = 0; run < runs; run++) {
		uint64_t i = 0;

		at = uniform(state) * whole - 1;
		for (; at > 0 && i + 1 < n; i++)
			at -= 1 / (1 + skew * (double)(i + 1));
		counts[i]++;
	}
	for (uint64_t i = 0; i < n; i++)
		if (counts[i])
			counts[seen++] = counts[i];
	counts[seen] = 0;
	r = of(counts);
	free(counts);
	return r;
}

/* Where all classes are alike the interval mostly has the truth in it; where some are rare, the estimate is below it. */
START_TEST(against_the_truth)
{
	uint64_t state = 1;
	unsigned covered = 0, closer = 0;
	double low = 0;

	for (int i = 0; i < 400; i++) {
		struct richness r = draw(60, 0, 100, &state);

		covered += r.low <= 60 && 60 <= r.high;
		closer += fabs(r.estimate - 60) < 60 - (double)r.classes;
	}
	ck_assert_msg(covered >= 340, "%u of 400", covered);
	ck_assert_msg(closer >= 340, "%u of 400", closer);
	for (int i = 0; i < 400; i++)
		low += draw(60, 1, 100, &state).estimate / 400;
	ck_assert_msg(low > 36 && low < 62, "%f", low);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("richness");
	TCase *tc = tcase_create("richness");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, as_published);
	tcase_add_test(tc, at_the_edges);
	tcase_add_test(tc, is_an_interval);
	tcase_add_test(tc, plans_are_joined);
	tcase_add_test(tc, against_the_truth);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
