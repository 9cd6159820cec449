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
	bool ended; /* the run had, so this stays right */
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

static bool is(const struct rendering *rendering, uint64_t run, bool all, const char *format, const char *order)
{
	return rendering->run == run && rendering->all == all && !strcmp(rendering->format, format) &&
	       !strcmp(rendering->order, order);
}

struct rendering *renderings_get(struct renderings *renderings, const Bop__Api__Render *ask)
{
	struct rendering *rendering;

	DL_FOREACH(renderings->kept, rendering)
		if (is(rendering, ask->run, ask->all, ask->format, ask->order) && (rendering->ended || ask->offset)) {
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
		if (is(other, rendering->run, rendering->all, rendering->format, rendering->order))
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

static int file_write(struct store *store, const Bop__Api__Render *ask, struct rendering *rendering, struct error *e)
{
	FILE *out = fopencookie(rendering, "w", (cookie_io_functions_t){ .write = on_write });
	int err, failed;

	if (!out)
		return error_set(e, -ENOMEM, "out of memory");
	err = query_render(store, ask, out, e);
	failed = ferror(out);
	failed |= fclose(out);
	if (rendering->too_large)
		return error_set(e, -E2BIG,
				 "%s of run %llu is larger than %u bytes: read it with bop, from the store itself",
				 ask->format, (unsigned long long)rendering->run, RENDERING_BYTES_MAX);
	if (!err && failed)
		err = error_set(e, -EIO, "the server cannot keep %s of run %llu: %s", ask->format,
				(unsigned long long)rendering->run, strerror(errno));
	return err;
}

static int render(struct store *store, const Bop__Api__Render *ask, uint64_t run, bool ended, struct rendering **ret,
		  struct error *e)
{
	struct rendering *rendering = calloc(1, sizeof(*rendering));
	int err = -ENOMEM;

	if (!rendering)
		return error_set(e, err, "out of memory");
	rendering->references = 1;
	rendering->run = run;
	rendering->all = ask->all;
	rendering->ended = ended;
	rendering->format = strdup(ask->format);
	rendering->order = strdup(ask->order);
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

int rendering_page(struct store *store, const Bop__Api__Render *ask, struct rendering **rendering,
		   struct api_answer *ret_answer, struct error *e)
{
	struct store_run *row = NULL;
	uint64_t run;
	int err = query_run_number(store, ask->run, &run, e);

	if (!err && ask->offset && !ask->run)
		err = error_set(e, -EINVAL, "say which run the page at %llu is of: the first one said it",
				(unsigned long long)ask->offset);
	if (!err)
		err = store_run_get(store, run, &row, e); /* it may have been removed */
	if (!err && !*rendering && ask->offset && row->running)
		err = error_set(e, -ENODATA,
				"run %llu goes on, and the pages before %llu are not kept any more: begin at 0 again",
				(unsigned long long)run, (unsigned long long)ask->offset);
	if (!err && !*rendering)
		err = render(store, ask, run, !row->running, rendering, e);
	if (!err)
		err = page_read(*rendering, ask->offset, ret_answer, e);
	store_run_free(row);
	return err;
}
