/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Removes what killed owners left: cgroups with the processes in them, temporary directories, and filters at packets in network
 * namespaces that were there before. Only what carries our tag, belongs to our user and has no living owner; see lib/claim.h.
 * Namespaces of ours need no cleaning: they go by themselves, with the queues and filters in them.
 */
#ifndef TFJ_CLEAN_H
#define TFJ_CLEAN_H

#include <stdio.h>

#include "lib/error.h"

/*
 * Says what it removed, one line each, unless out is NULL. Goes on after a failure. Returns how many things it removed,
 * or the first negative errno.
 */
int clean(const char *cgroup_root, FILE *out, struct error *e);

/* Filters in this network namespace (NULL name: the caller's), which is said. Returns how many, or negative errno. */
int clean_netns(const char *name, int netns, FILE *out);

/* In the caller's, in all those of `ip netns`, and in those of containers. */
int clean_network(FILE *out);

#endif
