/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The boxes that an agent was started with (tfj --box): names for namespaces that it makes for each run, or for network
 * namespaces that are there and stay. What is there is used as it is: nothing in it is made, changed or removed.
 */
#ifndef TFJ_SERVED_H
#define TFJ_SERVED_H

#include <stddef.h>

#include "lib/error.h"
#include "proto/event.h"
#include "tfj/box.h"

struct served {
	struct box box[BOX_MAX]; /* netns -1: made for each run. Without indices */
	size_t n;		 /* 0: whatever boxes a run needs are made */
};

/*
 * specs: NAME, or NAME=NETNS: a name of `ip netns`, a path, or `host` for the agent's own. Its first IPv4 and IPv6
 * addresses that others can reach are the box's. -EINVAL, -ENOENT, -EADDRNOTAVAIL: it has no IPv4 address.
 */
int served_open(const char *const *specs, size_t n, struct served *served, struct error *e);
void served_close(struct served *served);

const struct box *served_find(const struct served *served, const char *name);

/* Rows for the hello, n of them, malloc'ed, with borrowed strings. NULL without memory. */
struct trace_box *served_rows(const struct served *served);

#endif
