/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What Render or Diff made, kept as long as somebody may want the next page of it: in files without a name. A run that has
 * ended looks the same for ever; of one that goes on, all pages of one reading are of the moment at which its first
 * page was asked for.
 */
#ifndef COLLECTOR_RENDERING_H
#define COLLECTOR_RENDERING_H

#include "collector/store.h"
#include "proto/api.h"

#define RENDERINGS_MAX 4u	      /* that are kept */
#define RENDERING_BYTES_MAX (1u << 30) /* of one; a larger one is refused */

struct rendering;
struct renderings;

struct renderings *renderings_new(void); /* NULL: no memory */
void renderings_free(struct renderings *renderings);

/* What is asked for: one of them. */
struct rendering_ask {
	const Bop__Api__Render *render;
	const Bop__Api__Diff *diff;
};

/* true: it is answered in pages. Borrowed from the request. */
bool rendering_asked(const struct api_request *request, struct rendering_ask *ret_ask);

/* What is kept and may answer it, with a reference of the caller's; NULL: nothing. */
struct rendering *renderings_get(struct renderings *renderings, const struct rendering_ask *ask);
/* Keeps it, with a reference of its own; the oldest one goes. */
void renderings_keep(struct renderings *renderings, struct rendering *rendering);
void rendering_put(struct rendering *rendering); /* NULL is fine */

/*
 * In whatever thread: fills the answer with the page, from *rendering; if that is NULL, or of another run, all of it is
 * rendered first, and *rendering becomes that; what is kept of a run whose events were removed since gives only pages that follow a first one. Errors as of query_render() and query_diff(); -EINVAL: a page that is not the
 * first must say which run; -E2BIG.
 */
int rendering_page(struct store *store, const struct rendering_ask *ask, struct rendering **rendering,
		   struct api_answer *ret_answer, struct error *e);

#endif
