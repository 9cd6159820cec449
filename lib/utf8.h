/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is well-formed UTF-8, and what of it is safe to print. */
#ifndef LIB_UTF8_H
#define LIB_UTF8_H

#include <stddef.h>

/* Length of the well-formed sequence that text begins with (n bytes are left, one at least), 0 if it is none. */
size_t utf8_length(const unsigned char *text, size_t n);

/*
 * A copy of bytes that may be anything, safe to print: of every byte that is not well-formed, and every control character
 * (C0, DEL, C1), each byte is a '?'. malloc'ed, as long as what it was made of; NULL: no memory.
 */
char *utf8_printable(const void *bytes, size_t n);

#endif
