/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes that may be anything, as text that is safe to print: in a terminal, in JSON, in a picture. */
#ifndef LIB_ESCAPE_H
#define LIB_ESCAPE_H

#include <stddef.h>

#define ESCAPE_WORST 4u /* characters that a byte becomes, at most */

/*
 * As in a C or Python string, without the quotes: printable ASCII stands for itself, but \\ and \" for those two; \n,
 * \r, \t; every other byte is \xNN. malloc'ed; NULL: no memory.
 */
char *escape_bytes(const void *bytes, size_t size);

#endif
