/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Threads and children that were there before their process was added: bpf/follow.bpf.c finds them. Inside the tracer. */
#ifndef TFJ_TRACER_FOLLOW_H
#define TFJ_TRACER_FOLLOW_H

#include <stddef.h>

#include <bpf/libbpf.h>

#include "bpf/state.h"
#include "lib/error.h"

/* As tracer_follow() in tracer.h. */
int tracer_follow_all(struct bpf_program *program, struct followed **ret_followed, size_t *ret_n, struct error *e);

#endif
