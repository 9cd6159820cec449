/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is well-formed UTF-8. Cannot fail. */
#ifndef LIB_UTF8_H
#define LIB_UTF8_H

#include <stddef.h>

/* Length of the well-formed sequence that text begins with (n bytes are left, one at least), 0 if it is none. */
size_t utf8_length(const unsigned char *text, size_t n);

#endif
