/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The programs that read content (bpf/content.bpf.c), loaded beside the tracer's and with its maps. */
#ifndef TFJ_TRACER_CONTENT_H
#define TFJ_TRACER_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "tfj/tracer_backend.h"

struct tracer;
struct tracer_content;

/* What the programs are to do, and beside what. */
struct tracer_content_place {
	const struct tracer *tracer; /* loaded; outlives them */
	enum backend backend;	   /* of it */
	uint32_t epoch;		   /* as its programs have it */
	uint32_t bytes;		   /* to be read of each send, at most */
	size_t ring_bytes;
};

/*
 * Loads and attaches the programs of the tracer's backend: from now on sends make CONTENT records. -ENOTSUP: it has none,
 * or this kernel refuses them.
 */
int tracer_content_open(const struct tracer_content_place *place, struct tracer_content **ret_content, struct error *e);
/* Can pages be read, which sendfile and splice hand on? */
bool tracer_content_pages(void);

void tracer_content_close(struct tracer_content *content);

#endif
