/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Large arrays: what is in them stays while they grow, sizes that are none are refused, a page begins where it must. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/large.h"

START_TEST(grow)
{
	uint64_t *array = NULL;
	size_t n = 0;

	for (size_t to = 1000; to < 8u << 20; to = to * 2 + 7) {
		array = large_realloc(array, to, sizeof(*array));
		ck_assert_ptr_nonnull(array);
		for (size_t i = 0; i < n; i++)
			ck_assert(array[i] == ~i);
		for (; n < to; n++)
			array[n] = ~n;
	}
	free(array);
}
END_TEST

START_TEST(no_size)
{
	char *array = malloc(1);

	ck_assert_ptr_null(large_malloc(SIZE_MAX / 2, 3));
	ck_assert_ptr_null(large_calloc(SIZE_MAX / 2, 3));
	ck_assert_ptr_null(large_realloc(array, SIZE_MAX / 2, 3));
	ck_assert_ptr_null(large_realloc(array, SIZE_MAX - 5, 1));
	free(array);
}
END_TEST

START_TEST(zeros)
{
	size_t n = 6u << 20;
	char *array = large_calloc(n, 1);

	ck_assert_ptr_nonnull(array);
	for (size_t i = 0; i < n; i++)
		ck_assert(!array[i]);
	free(array);
}
END_TEST

START_TEST(page)
{
	char *page = large_page();

	ck_assert_ptr_nonnull(page);
	ck_assert_uint_eq((uintptr_t)page % LARGE_PAGE, 0);
	memset(page, 1, LARGE_PAGE);
	free(page);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("large");
	TCase *tc = tcase_create("large");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, grow);
	tcase_add_test(tc, no_size);
	tcase_add_test(tc, zeros);
	tcase_add_test(tc, page);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
