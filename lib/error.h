/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An error for a person: one line that names what is wrong and what to do. Filled by whoever knows the thing's name,
 * printed once by whoever gives up (main, or the reply to a peer). Libraries never print.
 */
#ifndef LIB_ERROR_H
#define LIB_ERROR_H

#include <stdarg.h>

struct error {
	char text[512]; /* no trailing newline, control characters replaced by '?' */
};

/* Writes the text (cut when too long) and returns err, a negative errno, so that `return error_set(...)` works. e may be NULL. */
int error_set(struct error *e, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for those that have such arguments themselves. */
int error_setv(struct error *e, int err, const char *format, va_list ap);

/* Puts "prefix: " in front of what e says already. Returns err. */
int error_prefix(struct error *e, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
