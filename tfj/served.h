/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The boxes that an agent was started with (tfj --box): names for namespaces that it makes for each run, or for network
 * namespaces that are there and stay, or are those of containers. What is there is used as it is: nothing in it is made, changed or removed.
 */
#ifndef TFJ_SERVED_H
#define TFJ_SERVED_H

#include <stddef.h>

#include "lib/error.h"
#include "proto/event.h"
#include "tfj/box.h"
#include "tfj/container.h"

struct served {
	struct box box[BOX_MAX]; /* netns -1: made for each run. Without indices */
	size_t n;		 /* 0: whatever boxes a run needs are made */
};

/*
 * specs: NAME, or NAME=NETNS: a name of `ip netns`, a path, `host` for the agent's own, each with @ADDRESS behind it or not, or
 * container:ID or NAME for that of a container. With a '?' at the end such a box is left out, with a line on stderr, if the container does not run here; one has to
 * be there. Its first IPv4 and IPv6 addresses that others can reach are the box's, or the IPv4 ADDRESS and the first IPv6 address
 * of that device. -EINVAL, -ENOENT, -EADDRNOTAVAIL: it has none, or not this one.
 */
int served_open(char *const *specs, size_t n, struct served *served, struct error *e);
void served_close(struct served *served);

/*
 * Lets go of the namespaces of containers, which would outlive them: each run takes them as they are then. A container that came
 * back under its name is taken again.
 */
void served_rest(struct served *served);

bool served_has_container(const struct served *served);

/* Fills in the namespace, the addresses and the way into the container that the box names. -ENOENT: it does not run, -ESRCH: not any more. */
int served_container(struct box *box, const struct containers *containers, struct error *e);

/* -EADDRNOTAVAIL: the box has another address than when we knew it so: the other agents have been told the old one. */
int served_moved(const struct box *box, const struct box *known, struct error *e);

/* -EINVAL: two guests are one namespace. */
int served_differ(const struct box *boxes, size_t n, struct error *e);

const struct box *served_find(const struct served *served, const char *name);

/* Rows for the hello, n of them, malloc'ed, with borrowed strings. NULL without memory. */
struct trace_box *served_rows(const struct served *served);

#endif
