/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See utf8.h. Overlong forms, surrogates and what lies beyond U+10FFFF are not well-formed. */
#include "lib/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t utf8_length(const unsigned char *text, size_t n)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = text[0] < 0x80 ? 1 : text[0] >> 5 == 6 ? 2 : text[0] >> 4 == 14 ? 3 : text[0] >> 3 == 30 ? 4 : 0;
	uint32_t code = len > 1 ? text[0] & (0x7fu >> len) : text[0];

	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (text[i] >> 6 != 2)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (len > 1 && (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)))
		return 0;
	return len;
}

static bool is_control(const unsigned char *text, size_t len)
{
	return len == 1 ? text[0] < 0x20 || text[0] == 0x7f : len == 2 && text[0] == 0xc2 && text[1] < 0xa0;
}

char *utf8_printable(const void *bytes, size_t n)
{
	const unsigned char *from = bytes;
	char *text = malloc(n + 1);
	size_t len;

	for (size_t i = 0; text && i < n; i += len) {
		len = utf8_length(from + i, n - i);
		if (!len || is_control(from + i, len)) {
			text[i] = '?';
			len = 1;
		} else {
			memcpy(text + i, from + i, len);
		}
	}
	if (text)
		text[n] = '\0';
	return text;
}
