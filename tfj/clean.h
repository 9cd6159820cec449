/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Removes what killed owners left: cgroups with the processes in them, and temporary directories. Only what carries our
 * tag, belongs to our user and has no living owner; see lib/claim.h. Namespaces need no cleaning: they go by themselves.
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

#endif
