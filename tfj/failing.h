/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * System calls that fail in a process that we start, and in those that it makes: a seccomp filter, which a process cannot
 * take off again. The only includer of libseccomp. Filters exist before the program does, so nothing can be added to one
 * that runs.
 */
#ifndef TFJ_FAILING_H
#define TFJ_FAILING_H

#include <linux/filter.h>
#include <stddef.h>

#include "lib/error.h"

struct failing_call {
	const char *call; /* its name: "fsync" */
	int error;	  /* positive errno */
};

/* 0, or -ENOTSUP: this kernel has no such filters. */
int failing_able(struct error *e);

/* Can it be made to fail? -EINVAL: no such call on this machine; -ENOTSUP: a process cannot be started, or end, without it. */
int failing_check(const struct failing_call *call, struct error *e);

/* A filter for them. *ret_filter->filter is malloc'ed; n is at least 1. The first of two that name one call counts. */
int failing_make(const struct failing_call *calls, size_t n, struct sock_fprog *ret_filter, struct error *e);

#endif
