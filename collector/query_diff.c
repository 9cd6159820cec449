/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What differs between two runs: what `bop diff` writes. See query.h. */
#include <errno.h>
#include <string.h>

#include "collector/compare.h"
#include "collector/query_inside.h"
#include "collector/show_diff.h"

/* X(NAME, name, how it is written) */
#define FORMATS(X)                                                          \
	X(TEXT, text, (show_diff(shown, all, out), 0))                      \
	X(JSON, json, show_diff_json(shown, out, e))                        \
	X(SVG, svg, show_diff_draw(shown, "svg", out, e))                   \
	X(PNG, png, show_diff_draw(shown, "png", out, e))                   \
	X(DOT, dot, show_diff_draw(shown, "dot", out, e))                   \
	X(PICTURE, picture, show_diff_draw(shown, "json", out, e))

enum format {
#define X(NAME, name, how) FORMAT_##NAME,
	FORMATS(X)
#undef X
	FORMAT_COUNT,
};

static enum format format_of(const char *name)
{
#define X(NAME, name_, how)                                                                                          \
	if (!strcmp(name, #name_))                                                                                   \
		return FORMAT_##NAME;
	FORMATS(X)
#undef X
	return FORMAT_COUNT;
}

static int write_it(const struct shown_diff *shown, enum format format, bool all, FILE *out, struct error *e)
{
	switch (format) {
#define X(NAME, name, how)                                                                                           \
	case FORMAT_##NAME:                                                                                          \
		return how;
		FORMATS(X)
#undef X
	case FORMAT_COUNT:
		break;
	}
	return -EINVAL;
}

int query_diff(struct store *store, const Bop__Api__Diff *ask, FILE *out, struct query_diffed *ret_diffed, struct error *e)
{
	enum format format = format_of(ask->format);
	struct comparison c = { .diff = NULL };
	struct shown_diff shown;
	uint64_t run;
	int err;

	if (format == FORMAT_COUNT)
		return error_set(e, -EINVAL, "format '%s': a diff is text, json, svg, png, dot or picture", ask->format);
	if (ask->other > INT64_MAX)
		return error_set(e, -ENOENT, "there is no run %llu", (unsigned long long)ask->other);
	err = query_run_number(store, ask->run, &run, e);
	if (err)
		return err;
	err = comparison_init(&c, store, run, ask->other, e);
	if (err == -EBADMSG || err == -EINVAL) /* what was recorded makes no sense */
		err = -EIO;
	if (!err) {
		shown = comparison_shown(&c);
		*ret_diffed = (struct query_diffed){ .other = shown.runs[0], .differs = comparison_differs(&c) };
		err = write_it(&shown, format, ask->all, out, e);
	}
	comparison_fini(&c);
	return err;
}
