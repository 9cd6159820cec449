/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One line for a person. Cannot fail. */
#include "lib/error.h"

#include <stdio.h>
#include <string.h>

static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

int error_setv(struct error *e, int err, const char *format, va_list ap)
{
	if (!e)
		return err;
	vsnprintf(e->text, sizeof(e->text), format, ap);
	clean(e->text);
	return err;
}

int error_set(struct error *e, int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	error_setv(e, err, format, ap);
	va_end(ap);
	return err;
}

int error_prefix(struct error *e, int err, const char *format, ...)
{
	char prefix[sizeof(e->text)], old[sizeof(e->text)];
	va_list ap;

	if (!e)
		return err;
	va_start(ap, format);
	vsnprintf(prefix, sizeof(prefix), format, ap);
	va_end(ap);
	memcpy(old, e->text, sizeof(old));
	return error_set(e, err, "%s: %s", prefix, old);
}
