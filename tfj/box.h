/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The boxes of one run: a network namespace each, all on one bridge, which is in a namespace of its own. Nothing is
 * made in the caller's namespace and nothing has a name outside: descriptors and the processes inside hold the
 * namespaces, so they are gone when both are, whatever killed them. There is no route out.
 */
#ifndef TFJ_BOX_H
#define TFJ_BOX_H

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define BOX_MAX 200

struct box {
	char name[64];
	uint32_t index; /* from 1 */
	int netns;	/* descriptor */
	uint64_t cookie; /* of the namespace, as SO_NETNS_COOKIE tells it */
	uint8_t ip4[16], ip6[16]; /* IPv4 as v4-mapped */
	char address[16], address6[40]; /* the same as text */
};

struct boxes {
	int hub; /* namespace of the bridge */
	struct box *box; /* [0] is box 1 */
	size_t n;
};

/*
 * Makes a box for each name (NULL-terminated): 10.83.0.N and fd83::N for the N-th. They can be used at once. -EINVAL
 * for names that are no host names or not unique, -E2BIG above BOX_MAX. On failure nothing is left.
 */
int boxes_open(char *const *names, struct boxes **ret_boxes, struct error *e);

/* Lets go of the namespaces; the kernel removes them behind our back when the last process has left. NULL is fine. */
void boxes_close(struct boxes *boxes);

const struct box *boxes_find(const struct boxes *boxes, const char *name);

/* The box that has this address, or NULL. */
const struct box *boxes_at(const struct boxes *boxes, const uint8_t ip[16]);

/* The text of /etc/hosts in every box. malloc'ed; NULL without memory. */
char *boxes_hosts(const struct boxes *boxes);

#endif
