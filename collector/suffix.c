/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See suffix.h. */
#include "collector/suffix.h"

#include <errno.h>
#include <string.h>

/* X(end of the name, format of Render). The first that fits counts: longer ones stand before. */
#define SUFFIXES(X)                                                                                                  \
	X(".otlp.json", "otlp")                                                                                      \
	X(".perfetto-trace", "perfetto")                                                                             \
	X(".svg", "svg")                                                                                             \
	X(".png", "png")                                                                                             \
	X(".dot", "dot")                                                                                             \
	X(".json", "json")                                                                                           \
	X(".molly", "molly")                                                                                         \
	X(".sql", "sql")                                                                                             \
	X(".shiviz", "shiviz")

static int ends_in(const char *file, const char *suffix)
{
	size_t n = strlen(file), size = strlen(suffix);

	return n >= size && !strcmp(file + n - size, suffix);
}

int suffix_format(const char *file, char **ret_format, struct error *e)
{
#define X(suffix, format)                                                                                            \
	if (ends_in(file, suffix)) {                                                                                 \
		*ret_format = (char *)format;                                                                        \
		return 0;                                                                                            \
	}
	SUFFIXES(X)
#undef X
	return error_set(e, -EINVAL,
			 "-o %s: the name must end in .svg, .png, .dot or .json (or .molly, .sql, .shiviz, .perfetto-trace, "
			 ".otlp.json)",
			 file);
}
