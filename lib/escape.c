/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See escape.h. Loses nothing: what was written can be read back. */
#include "lib/escape.h"

#include <stdlib.h>
#include <string.h>

/* The letter after the backslash, 0: there is none. */
static char letter(unsigned char byte)
{
	switch (byte) {
	case '\\':
	case '"':
		return (char)byte;
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	}
	return 0;
}

char *escape_bytes(const void *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = bytes;
	char *text = malloc(size * ESCAPE_WORST + 1), *to = text;

	for (size_t i = 0; text && i < size; i++) {
		if (letter(from[i])) {
			*to++ = '\\';
			*to++ = letter(from[i]);
		} else if (from[i] >= ' ' && from[i] < 0x7f) {
			*to++ = (char)from[i];
		} else {
			*to++ = '\\';
			*to++ = 'x';
			*to++ = digits[from[i] >> 4];
			*to++ = digits[from[i] & 15];
		}
	}
	if (text)
		*to = '\0';
	return text;
}
