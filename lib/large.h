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

void *large_malloc(size_t n, size_t size);
void *large_calloc(size_t n, size_t size);
void *large_realloc(void *array, size_t n, size_t size);

#endif
