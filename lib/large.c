/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See large.h. What malloc hands out at this size is a mapping of its own, not touched yet. */
#include "lib/large.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE (4u << 20) /* bytes; two huge pages of x86-64 */

static void *advise(void *array, size_t bytes)
{
	uintptr_t page, first;

	if (!array || bytes < LARGE)
		return array;
	page = (uintptr_t)sysconf(_SC_PAGESIZE);
	first = ((uintptr_t)array + page - 1) & ~(page - 1);
	madvise((void *)first, ((uintptr_t)array + bytes - first) & ~(page - 1), MADV_HUGEPAGE);
	return array;
}

void *large_malloc(size_t n, size_t size)
{
	return large_realloc(NULL, n, size);
}

void *large_calloc(size_t n, size_t size)
{
	return advise(calloc(n, size), n * size); /* it has checked the product when it succeeds */
}

void *large_realloc(void *array, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return advise(realloc(array, bytes), bytes);
}
