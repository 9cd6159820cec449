/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See large.h. What malloc hands out at this size is a mapping of its own, not touched yet. */
#include "lib/large.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE (2 * (size_t)LARGE_PAGE)
#define MALLOC_HEAD (2 * sizeof(size_t)) /* of the C library's, in front of a mapping */

static void *advise(void *array, size_t bytes)
{
	uintptr_t page, first;

	if (!array)
		return array;
	page = (uintptr_t)sysconf(_SC_PAGESIZE);
	first = ((uintptr_t)array + page - 1) & ~(page - 1);
	madvise((void *)first, ((uintptr_t)array + bytes - first) & ~(page - 1), MADV_HUGEPAGE);
	return array;
}

static void *advise_large(void *array, size_t bytes)
{
	return bytes < LARGE ? array : advise(array, bytes);
}

void *large_malloc(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return advise_large(malloc(bytes), bytes);
}

void *large_calloc(size_t n, size_t size)
{
	return advise_large(calloc(n, size), n * size); /* it has checked the product when it succeeds */
}

void *large_realloc(void *array, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - LARGE_PAGE)
		return NULL;
	/* a mapping of whole huge pages begins at one, wherever it is moved to: else each move would split those it has */
	if (bytes >= LARGE)
		bytes = ((bytes + MALLOC_HEAD + LARGE_PAGE - 1) & ~((size_t)LARGE_PAGE - 1)) - MALLOC_HEAD;
	return advise_large(realloc(array, bytes), bytes);
}

void *large_page(void)
{
	return advise(aligned_alloc(LARGE_PAGE, LARGE_PAGE), LARGE_PAGE);
}
