/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a test has its folder: in $TMPDIR, which tests/run removes with all that is in it, or in /tmp. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>

/* name ends in XXXXXX, for mkdtemp(). */
static inline void scratch_name(char *buf, size_t size, const char *name)
{
	const char *base = getenv("TMPDIR");

	if ((size_t)snprintf(buf, size, "%s/%s", base && *base ? base : "/tmp", name) < size)
		return;
	fprintf(stderr, "%s: too long a name for the folder of a test; set TMPDIR to a shorter one\n", base);
	abort();
}

#endif
