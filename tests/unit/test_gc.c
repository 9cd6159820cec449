/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a policy says of random lists of runs. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "collector/gc.h"

enum { RUNS = 24, ROUNDS = 3000 };

static uint64_t state = 88172645463325252ull;

static unsigned pick(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % n);
}

static const struct gc_policy nothing = { .max_size = GC_NO_LIMIT, .keep_last = GC_NO_LIMIT };

/* A class is of one experiment. */
static size_t runs_make(struct gc_run *runs)
{
	static const char *const names[] = { "a", "b" };
	size_t n = pick(RUNS);

	for (size_t i = 0; i < n; i++)
		runs[i] = (struct gc_run){ .id = i + 1, .size = 1 + pick(100), .used_ns = 1 + pick(1000), .rank = pick(30), .class_id = pick(6),
					   .outcome = pick(3) ? OUTCOME_GOOD : OUTCOME_VIOLATED, .unique = pick(5) == 0 };
	for (size_t i = 0; i < n; i++)
		runs[i].experiment = names[runs[i].class_id % 2];
	return n;
}

static struct gc_policy policy_make(void)
{
	struct gc_policy policy = nothing;

	if (pick(2))
		policy.before_ns = pick(1000);
	if (pick(2))
		policy.max_size = pick(1500);
	if (pick(2))
		policy.keep_last = pick(20);
	policy.violated = pick(2);
	return policy;
}

static bool same(const struct gc_run *a, const struct gc_run *b)
{
	return a->class_id && a->class_id == b->class_id && a->outcome == b->outcome && !a->unique && !b->unique;
}

/* How young the events of a run are, by all that they would stand for. */
static void young(const struct gc_run *runs, size_t n, const struct gc_run *of, uint64_t *ret_used, uint64_t *ret_rank)
{
	*ret_used = of->used_ns;
	*ret_rank = of->rank;
	for (size_t i = 0; i < n; i++)
		if (same(&runs[i], of)) {
			*ret_used = runs[i].used_ns > *ret_used ? runs[i].used_ns : *ret_used;
			*ret_rank = runs[i].rank < *ret_rank ? runs[i].rank : *ret_rank;
		}
}

/* A copy has somebody who stands for it, keeps its events, and is the first; only what a rule names goes, and all that it names. */
static void check(const struct gc_run *before, const struct gc_run *runs, size_t n, const struct gc_policy *policy)
{
	bool rules = policy->before_ns || policy->max_size != GC_NO_LIMIT || policy->keep_last != GC_NO_LIMIT;
	uint64_t size = 0, used, rank;
	bool more = false;

	for (size_t i = 0; i < n; i++) {
		bool first = true, may;

		for (size_t k = 0; k < i; k++)
			first &= !same(&runs[k], &runs[i]);
		young(before, n, &before[i], &used, &rank);
		may = (policy->violated || runs[i].outcome != OUTCOME_VIOLATED) &&
		      (policy->keep_last == GC_NO_LIMIT || rank >= policy->keep_last);
		ck_assert(rules || runs[i].why == GC_KEEP || runs[i].why == GC_COPY);
		if (runs[i].why == GC_COPY) {
			const struct gc_run *other = &runs[runs[i].copy_of - 1];

			ck_assert(!first && other != &runs[i] && same(other, &runs[i]) && other->why == GC_KEEP);
			continue;
		}
		ck_assert_uint_eq(runs[i].copy_of, 0);
		ck_assert(runs[i].why == GC_KEEP || may);
		ck_assert(runs[i].why != GC_KEEP || first);
		if (may && policy->before_ns)
			ck_assert_int_eq(used < policy->before_ns, runs[i].why == GC_OLD);
		if (may && rules && !policy->before_ns && policy->max_size == GC_NO_LIMIT)
			ck_assert_int_eq(runs[i].why, GC_NOT_LAST);
		size += runs[i].why == GC_KEEP ? runs[i].size : 0;
		more |= runs[i].why == GC_KEEP && may;
	}
	ck_assert(size <= policy->max_size || !more);
}

START_TEST(policies)
{
	struct gc_run runs[RUNS], before[RUNS];
	size_t n, dropped = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct gc_policy policy = i % 4 ? policy_make() : nothing;

		n = runs_make(runs);
		memcpy(before, runs, sizeof(runs));
		ck_assert_int_eq(gc_plan(runs, n, &policy), 0);
		check(before, runs, n, &policy);
		for (size_t k = 0; k < n; k++)
			dropped += runs[k].why != GC_KEEP;
	}
	ck_assert_uint_gt(dropped, ROUNDS);
}
END_TEST

/* The oldest go first, and no more than must. */
START_TEST(oldest_first)
{
	struct gc_run runs[] = { { .id = 1, .size = 10, .used_ns = 30, .experiment = "a" },
				 { .id = 2, .size = 10, .used_ns = 10, .experiment = "a" },
				 { .id = 3, .size = 10, .used_ns = 20, .experiment = "a" } };
	struct gc_policy policy = nothing;

	policy.max_size = 15;
	ck_assert_int_eq(gc_plan(runs, 3, &policy), 0);
	ck_assert(runs[0].why == GC_KEEP && runs[1].why == GC_TOO_LARGE && runs[2].why == GC_TOO_LARGE);
	policy.max_size = 20;
	ck_assert_int_eq(gc_plan(runs, 3, &policy), 0);
	ck_assert(runs[0].why == GC_KEEP && runs[1].why == GC_TOO_LARGE && runs[2].why == GC_KEEP);
}
END_TEST

START_TEST(words)
{
	static const char *const bad[] = { "", "d", "-1d", "1x", "1dd", "1 d", "99999999999999999999d", "9999999999w", "+1d", "1.5d" };
	uint64_t n = 7;

	ck_assert(!gc_time_parse("30d", &n) && n == 30 * 86400ull * 1000000000);
	ck_assert(!gc_time_parse("0s", &n) && n == 0);
	ck_assert(!gc_time_parse("2w", &n) && n == 14 * 86400ull * 1000000000);
	ck_assert(!gc_size_parse("2G", &n) && n == 2ull << 30);
	ck_assert(!gc_size_parse("4096", &n) && n == 4096);
	ck_assert(!gc_size_parse("0", &n) && n == 0);
	ck_assert(!gc_size_parse("500M", &n) && n == 500ull << 20);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(gc_time_parse(bad[i], &n) == -EINVAL && gc_size_parse(bad[i], &n) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(gc_time_parse("30", &n), -EINVAL); /* of what? */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gc");
	TCase *tc = tcase_create("gc");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, policies);
	tcase_add_test(tc, oldest_first);
	tcase_add_test(tc, words);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
