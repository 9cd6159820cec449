/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hides what matches a pattern in bytes that are about to be kept. The only includer of PCRE2. Patterns are of the Perl
 * kind and work on bytes: no UTF-8, and `.` is any byte but a newline. They come from an experiment file, bytes from
 * anybody: what either can cost is bounded, and where the bound is reached everything is hidden.
 */
#ifndef LIB_REDACT_H
#define LIB_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"

#define REDACT_MAX_PATTERNS 32u
#define REDACT_MAX_PATTERN 1000u /* bytes of one */
#define REDACT_MAX_SIZE 4096u	 /* bytes that are looked at at once */
#define REDACT_MARK "[redacted]"

struct redactor;

/* NULL-terminated patterns; NULL: none. -EINVAL: says which one is wrong, where, and why. -ENOMEM. */
int redactor_new(char *const *patterns, struct redactor **ret_redactor, struct error *e);
void redactor_free(struct redactor *redactor);

enum redacted {
	REDACTED_NOTHING,
	REDACTED_PARTS, /* each is now one mark, however long it was */
	REDACTED_ALL,	/* the patterns cost too much, or there was no memory: the mark is all there is */
};

/*
 * Copies bytes (at most REDACT_MAX_SIZE of them) with marks for what matches. goes_on: they are the beginning of
 * something longer; then what could become a match with more bytes is hidden, too, from its start to the end. *ret_bytes
 * is malloc'ed; NULL without memory for it (-ENOMEM).
 */
int redactor_apply(struct redactor *redactor, const unsigned char *bytes, size_t size, bool goes_on,
		   unsigned char **ret_bytes, size_t *ret_size, enum redacted *ret_redacted);

#endif
