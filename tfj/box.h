/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The boxes of one run: a network namespace each, all on one bridge, which is in a namespace of its own. Nothing is
 * made in the caller's namespace and nothing has a name outside: descriptors and the processes inside hold the
 * namespaces, so they are gone when both are, whatever killed them. There is no route out.
 *
 * Or they are guests: namespaces that were there before and stay (served.h), used as they are. Boxes of other agents
 * (peers) are known by name and address only.
 */
#ifndef TFJ_BOX_H
#define TFJ_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "proto/event.h"

#define BOX_MAX 200

struct box {
	char name[64];
	uint32_t index; /* from 1 */
	int netns;	/* descriptor; -1: of a peer */
	bool guest;	/* the namespace is not ours alone */
	const char *container; /* a guest that is the network of this one, borrowed; NULL: it is not */
	struct enter *enter;   /* the way into it, during a run; NULL: none */
	uint64_t cookie; /* of the namespace, as SO_NETNS_COOKIE tells it */
	uint8_t ip4[16], ip6[16]; /* IPv4 as v4-mapped */
	char address[16], address6[40]; /* the same as text */
};

struct boxes {
	int hub; /* namespace of the bridge */
	struct box *box; /* [0] is box 1 */
	size_t n;	 /* of this agent; */
	size_t n_known;	 /* with the peers, which follow */
};

struct served;
struct enter;

/*
 * Makes a box for each name (NULL-terminated): 10.83.0.N and fd83::N for the N-th. They can be used at once. -EINVAL
 * for names that are no host names or not unique, -E2BIG above BOX_MAX. On failure nothing is left.
 */
int boxes_open(char *const *names, struct boxes **ret_boxes, struct error *e);

/* Takes guests that are served, by their names. -ENOENT: one is not. */
int boxes_guests(char *const *names, const struct served *served, struct boxes **ret_boxes, struct error *e);

/* Adds boxes of other agents. -EINVAL: a name that is none, or is there already, or an address that is none. */
int boxes_peers(struct boxes *boxes, const struct trace_box *peers, size_t n, struct error *e);

/* -EINVAL: not a name for a box. */
int box_name_check(const char *name, struct error *e);

/* Cookie of the caller's network namespace. */
int box_cookie(uint64_t *ret_cookie);

/* Lets go of the namespaces; the kernel removes them behind our back when the last process has left. NULL is fine. */
void boxes_close(struct boxes *boxes);

/* Of this agent. */
const struct box *boxes_find(const struct boxes *boxes, const char *name);

/* The box that has this address, a peer's too, or NULL. */
const struct box *boxes_at(const struct boxes *boxes, const uint8_t ip[16]);

/* The text of /etc/hosts in every box. malloc'ed; NULL without memory. */
char *boxes_hosts(const struct boxes *boxes);

#endif
