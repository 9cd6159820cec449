/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which running process an order to attach means: by its number, its cgroup, its program, a port that it listens on, or its container. One that
 * others of those that match descend from stands for all of them; it must be in its box's network namespace, and not be
 * part of the harness.
 */
#ifndef TFJ_SEEK_H
#define TFJ_SEEK_H

#include <sys/types.h>

#include "lib/error.h"
#include "proto/wire.h"
#include "tfj/box.h"

/*
 * *ret_pidfd is the caller's, and holds the process that was looked at. -ESRCH: none, -ENOTUNIQ: several, -EXDEV: in another
 * network namespace, -EPERM: part of the harness, -EINVAL: not exactly one way to say which.
 */
int seek_process(const struct message_attach *wish, const struct box *box, pid_t *ret_pid, int *ret_pidfd, struct error *e);

#endif
