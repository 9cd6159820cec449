/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See rendering.h. A worker has a reference, which the loop takes and gives back: they are counted there alone. */
#include "collector/rendering.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utlist.h>

#include "collector/query_inside.h"
#include "lib/claim.h"

struct rendering {
	struct rendering *prev, *next; /* of those that are kept */
	unsigned references;
	uint64_t run, size;
	char *format, *order;
	bool all;
	bool diff;
	uint64_t asked_other; /* of a diff; 0: the nearest */
	struct query_diffed diffed;
	bool stays; /* right for ever: what it shows has ended */
	bool kept;
	int fd;
	bool too_large; /* while it is written */
};

struct renderings {
	struct rendering *kept; /* oldest first */
};

struct renderings *renderings_new(void)
{
	return calloc(1, sizeof(struct renderings));
}

void rendering_put(struct rendering *rendering)
{
	if (!rendering || --rendering->references)
		return;
	if (rendering->fd >= 0)
		close(rendering->fd);
	free(rendering->format);
	free(rendering->order);
	free(rendering);
}

static void forget(struct renderings *renderings, struct rendering *rendering)
{
	DL_DELETE(renderings->kept, rendering);
	rendering->kept = false;
	rendering_put(rendering);
}

void renderings_free(struct renderings *renderings)
{
	if (!renderings)
		return;
	while (renderings->kept)
		forget(renderings, renderings->kept);
	free(renderings);
}

bool rendering_asked(const struct api_request *request, struct rendering_ask *ret_ask)
{
	*ret_ask = (struct rendering_ask){ .render = NULL };
	if (request->kind == API_RENDER)
		ret_ask->render = request->render;
	else if (request->kind == API_DIFF)
		ret_ask->diff = request->diff;
	return ret_ask->render || ret_ask->diff;
}

/* What both have in common. */
#define ASKED(ask, field) ((ask)->diff ? (ask)->diff->field : (ask)->render->field)

static const char *asked_order(const struct rendering_ask *ask)
{
	return ask->diff ? "" : ask->render->order;
}

static bool is_asked(const struct rendering *rendering, const struct rendering_ask *ask)
{
	return rendering->diff == !!ask->diff && rendering->run == ASKED(ask, run) && rendering->all == ASKED(ask, all) &&
	       (!ask->diff || rendering->asked_other == ask->diff->other) && !strcmp(rendering->format, ASKED(ask, format)) &&
	       !strcmp(rendering->order, asked_order(ask));
}

static bool is_same(const struct rendering *a, const struct rendering *b)
{
	return a->diff == b->diff && a->run == b->run && a->all == b->all && a->asked_other == b->asked_other &&
	       !strcmp(a->format, b->format) && !strcmp(a->order, b->order);
}

struct rendering *renderings_get(struct renderings *renderings, const struct rendering_ask *ask)
{
	struct rendering *rendering;

	DL_FOREACH(renderings->kept, rendering)
		if (is_asked(rendering, ask) && (rendering->stays || ASKED(ask, offset))) {
			rendering->references++;
			return rendering;
		}
	return NULL;
}

void renderings_keep(struct renderings *renderings, struct rendering *rendering)
{
	struct rendering *other, *next;
	size_t n = 0;

	if (!rendering || rendering->kept)
		return;
	DL_FOREACH_SAFE(renderings->kept, other, next)
		if (is_same(other, rendering))
			forget(renderings, other);
	DL_APPEND(renderings->kept, rendering);
	rendering->kept = true;
	rendering->references++;
	DL_COUNT(renderings->kept, other, n);
	if (n > RENDERINGS_MAX)
		forget(renderings, renderings->kept);
}

/* For fopencookie(): no more than may be. */
static ssize_t on_write(void *cookie, const char *bytes, size_t size)
{
	struct rendering *rendering = cookie;
	ssize_t n;

	if (size > RENDERING_BYTES_MAX - rendering->size) {
		rendering->too_large = true;
		errno = EFBIG;
		return 0;
	}
	n = write(rendering->fd, bytes, size);
	if (n > 0)
		rendering->size += (uint64_t)n;
	return n < 0 ? 0 : n;
}

static int file_open(void)
{
	int fd = open(claim_base(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : memfd_create("bop-rendering", MFD_CLOEXEC);
}

static int file_write(struct store *store, const struct rendering_ask *ask, struct rendering *rendering, struct error *e)
{
	FILE *out = fopencookie(rendering, "w", (cookie_io_functions_t){ .write = on_write });
	int err, failed;

	if (!out)
		return error_set(e, -ENOMEM, "out of memory");
	err = ask->diff ? query_diff(store, ask->diff, out, &rendering->diffed, e) : query_render(store, ask->render, out, e);
	failed = ferror(out);
	failed |= fclose(out);
	if (rendering->too_large)
		return error_set(e, -E2BIG,
				 "%s of run %llu is larger than %u bytes: read it with bop, from the store itself",
				 rendering->format, (unsigned long long)rendering->run, RENDERING_BYTES_MAX);
	if (!err && failed)
		err = error_set(e, -EIO, "the server cannot keep %s of run %llu: %s", rendering->format,
				(unsigned long long)rendering->run, strerror(errno));
	return err;
}

static int render(struct store *store, const struct rendering_ask *ask, uint64_t run, bool stays, struct rendering **ret,
		  struct error *e)
{
	struct rendering *rendering = calloc(1, sizeof(*rendering));
	int err = -ENOMEM;

	if (!rendering)
		return error_set(e, err, "out of memory");
	rendering->references = 1;
	rendering->run = run;
	rendering->all = ASKED(ask, all);
	rendering->diff = ask->diff;
	rendering->asked_other = ask->diff ? ask->diff->other : 0;
	rendering->stays = stays;
	rendering->format = strdup(ASKED(ask, format));
	rendering->order = strdup(asked_order(ask));
	rendering->fd = file_open();
	if (rendering->fd < 0)
		err = error_set(e, -errno, "the server has no room for a picture: %s", strerror(errno));
	else if (!rendering->format || !rendering->order)
		err = error_set(e, -ENOMEM, "out of memory");
	else
		err = file_write(store, ask, rendering, e);
	if (err)
		rendering_put(rendering);
	else
		*ret = rendering;
	return err;
}

static int page_read(const struct rendering *rendering, uint64_t offset, struct api_answer *answer, struct error *e)
{
	uint64_t left = offset < rendering->size ? rendering->size - offset : 0;
	size_t size = left < QUERY_PAGE_BYTES_MAX ? (size_t)left : QUERY_PAGE_BYTES_MAX;
	Bop__Api__Rendered *page = QUERY_MAKE(rendered);
	ssize_t n = 0;

	answer->kind = API_RENDERED;
	answer->rendered = page;
	if (!page || !(page->data.data = malloc(size + 1)))
		return error_set(e, -ENOMEM, "out of memory");
	page->run = rendering->run;
	page->offset = offset;
	page->total = rendering->size;
	page->other = rendering->diffed.other;
	page->differs = rendering->diffed.differs;
	while (page->data.len < size) {
		n = pread(rendering->fd, page->data.data + page->data.len, size - page->data.len,
			  (off_t)(offset + page->data.len));
		if (n <= 0)
			return error_set(e, -EIO, "the server cannot read what it kept: %s",
					 n < 0 ? strerror(errno) : "it is shorter");
		page->data.len += (size_t)n;
	}
	return 0;
}

/* Whether a run that is kept has ended: 1 or 0; it may have been removed. *gone becomes true if its events were. */
static int has_ended(struct store *store, uint64_t run, bool *gone, struct error *e)
{
	struct store_run *row = NULL;
	int err = store_run_get(store, run, &row, e), ended = row && !row->running;

	*gone |= ended && !row->kept;
	store_run_free(row);
	return err ? err : ended;
}

/* As if nothing were kept: what is kept is not ours to put away here. */
static int page_render(struct store *store, const struct rendering_ask *ask, uint64_t run, struct api_answer *ret_answer, struct error *e)
{
	struct rendering *rendering = NULL;
	int err = render(store, ask, run, false, &rendering, e);

	if (!err)
		err = page_read(rendering, 0, ret_answer, e);
	rendering_put(rendering);
	return err;
}

int rendering_page(struct store *store, const struct rendering_ask *ask, struct rendering **rendering,
		   struct api_answer *ret_answer, struct error *e)
{
	uint64_t run, other = ask->diff ? ask->diff->other : 0, offset = ASKED(ask, offset);
	int err = query_run_number(store, ASKED(ask, run), &run, e), ended = 0, other_ended = 1;
	bool gone = false;

	if (!err && offset && !ASKED(ask, run))
		err = error_set(e, -EINVAL, "say which run the page at %llu is of: the first one said it",
				(unsigned long long)offset);
	if (!err)
		err = ended = has_ended(store, run, &gone, e);
	if (err >= 0 && other)
		err = other_ended = has_ended(store, other, &gone, e);
	if (err < 0)
		return err;
	ended = ended && other_ended;
	if (!*rendering && offset && !ended)
		return error_set(e, -ENODATA,
				 "run %llu goes on, and the pages before %llu are not kept any more: begin at 0 again",
				 (unsigned long long)(other_ended ? run : other), (unsigned long long)offset);
	if (*rendering && gone && !offset)
		return page_render(store, ask, run, ret_answer, e);
	err = *rendering ? 0 : render(store, ask, run, ended && (!ask->diff || other), rendering, e);
	return err ? err : page_read(*rendering, offset, ret_answer, e);
}
