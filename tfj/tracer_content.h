/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The programs that read content (bpf/content.bpf.c), loaded beside the tracer's and with its maps. */
#ifndef TFJ_TRACER_CONTENT_H
#define TFJ_TRACER_CONTENT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

struct bpf_object;
struct tracer_content;

/*
 * Loads the program that this kernel takes, and attaches it: from now on sends make CONTENT records, of at most `bytes`
 * bytes. `tracer` is loaded and outlives it; epoch: as its programs have it. -ENOTSUP: this kernel lets no program read
 * what is sent.
 */
int tracer_content_open(struct bpf_object *tracer, uint32_t epoch, uint32_t bytes, size_t ring_bytes,
			struct tracer_content **ret_content, struct error *e);
void tracer_content_close(struct tracer_content *content);

#endif
