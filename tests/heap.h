/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An allocator that fails when a test wants it to: every allocation of the program passes here. Only the thread that armed
 * it is concerned. Included by one file of a program. Sanitizers have an allocator of their own: then SANITIZED is defined,
 * and there is none of this.
 */
#ifndef TESTS_HEAP_H
#define TESTS_HEAP_H

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SANITIZED
#else
#include <stdbool.h>
#include <stddef.h>

static _Thread_local struct {
	bool armed;
	long seen, fail_at; /* the fail_at-th since `seen` was 0 gets no memory */
	long balance;	    /* allocated and not freed */
} heap;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *old);

static bool heap_fails(void)
{
	return heap.armed && ++heap.seen == heap.fail_at;
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
