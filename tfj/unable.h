/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which kinds of faults do not work on this machine, and why: what an agent says of itself (proto/wire.h,
 * message_hello).
 */
#ifndef TFJ_UNABLE_H
#define TFJ_UNABLE_H

#include "proto/wire.h"

struct tracer;
struct guardian;

struct unable {
	struct message_unable rows[FAULT_KIND_COUNT];
	size_t n;
	char why[FAULT_KIND_COUNT][sizeof(((struct error *)NULL)->text)]; /* of the rows */
};

/* Tries each. guardian NULL: there is none. Cannot fail. ret is pointed into. */
void unable_find(struct tracer *tracer, const struct guardian *guardian, struct unable *ret);

#endif
