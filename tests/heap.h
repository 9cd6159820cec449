/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An allocator that fails when a test wants it to: every allocation of the program passes here. Only the thread that armed
 * it is concerned. Included by one file of a program. Sanitizers have an allocator of their own: then SANITIZED is defined,
 * and nothing fails.
 */
#ifndef TESTS_HEAP_H
#define TESTS_HEAP_H

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#include <stdbool.h>

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SANITIZED

static inline void heap_arm(long fail_at)
{
}

static inline bool heap_disarm(void)
{
	return false;
}
#else
#include <errno.h>
#include <stddef.h>

static _Thread_local struct {
	bool armed;
	long seen, fail_at; /* the fail_at-th since `seen` was 0 gets no memory */
	long balance;	    /* allocated and not freed */
} heap;

/* From now on: the fail_at-th allocation gets no memory, the first one is 1. */
static inline void heap_arm(long fail_at)
{
	heap.seen = 0;
	heap.fail_at = fail_at;
	heap.armed = true;
}

/* No longer. Has one failed? */
static inline bool heap_disarm(void)
{
	heap.armed = false;
	return heap.seen >= heap.fail_at;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *old);

static bool heap_fails(void)
{
	if (!heap.armed || ++heap.seen != heap.fail_at)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	void *made = heap_fails() ? NULL : __libc_malloc(size);

	heap.balance += made != NULL;
	return made;
}

void *calloc(size_t n, size_t size)
{
	void *made = heap_fails() ? NULL : __libc_calloc(n, size);

	heap.balance += made != NULL;
	return made;
}

void *realloc(void *old, size_t size)
{
	void *made = heap_fails() ? NULL : __libc_realloc(old, size);

	heap.balance += made && !old;
	return made;
}

void free(void *old)
{
	heap.balance -= old != NULL;
	__libc_free(old);
}
#endif

#endif
