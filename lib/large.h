/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * malloc, calloc and realloc for arrays that may be large and are read out of order: from 4 MiB on the kernel is asked
 * for huge pages (madvise, MADV_HUGEPAGE), with which a look-up far away does not miss the processor's table of pages.
 * NULL without memory, also where n times size is no size. free() as usual. A kernel that has no such pages changes
 * nothing but the time.
 */
#ifndef LIB_LARGE_H
#define LIB_LARGE_H

#include <stddef.h>

#define LARGE_PAGE (2u << 20) /* bytes of a huge page of x86-64 */

void *large_malloc(size_t n, size_t size);
void *large_calloc(size_t n, size_t size);
void *large_realloc(void *array, size_t n, size_t size);

/* LARGE_PAGE bytes that are one such page: one page fault, not 512. NULL without memory; free() as usual. */
void *large_page(void);

#endif
