/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Texts of messages, for those who encode and decode them. */
#ifndef PROTO_TEXT_H
#define PROTO_TEXT_H

#include <errno.h>
#include <string.h>

#include "lib/utf8.h"

/* To encode: protobuf knows no NULL. */
static inline char *text_of(char *s)
{
	return s ? s : (char *)"";
}

/* Copies of what was decoded. 0 or -ENOMEM. */
static inline int text_copy(char **ret_text, const char *from)
{
	*ret_text = strdup(from);
	return *ret_text ? 0 : -ENOMEM;
}

/* What a peer chose, and a list, a log or a terminal will show. */
static inline int shown_copy(char **ret_text, const char *from)
{
	*ret_text = utf8_printable(from, strlen(from));
	return *ret_text ? 0 : -ENOMEM;
}

#endif
