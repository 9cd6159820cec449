/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A process of ours that wakes what a pause has stopped, if we do not: a stopped process would stay so for ever when the
 * agent dies. It has a session of its own, no descriptor but its link to us, and no right but to send signals; no signal
 * but SIGKILL ends it. It ends by itself when we have ended and nothing is left that could still be stopped.
 *
 * It works in two ways: at a time, for a process that is known to be stopped; and, when we are dead or did not renew
 * its lease, for every stopped process of a cgroup, because the kernel side stops processes before we hear of it.
 */
#ifndef TFJ_GUARDIAN_H
#define TFJ_GUARDIAN_H

#include <stdint.h>

#include "lib/error.h"

#define GUARDIAN_MAX 256u /* processes that it waits to wake */

struct guardian;

/* Forks: before there are threads, and descriptors that must end with us. */
int guardian_open(struct guardian **ret_guardian, struct error *e);

/* It ends when nothing is left to be woken; waits for that unless something is. NULL is fine. */
void guardian_close(struct guardian *guardian);

/* The cgroup (a descriptor of its directory, borrowed) whose processes the kernel may stop until until_ns. */
int guardian_watch(struct guardian *guardian, int cgroup, uint64_t until_ns);

/* We live; the kernel may stop processes until then. CLOCK_MONOTONIC. */
int guardian_renew(struct guardian *guardian, uint64_t until_ns);

/*
 * To be woken at wake_ns, or when we die. id is the caller's, not 0. UINT64_MAX: only when we die. -ENOSPC above GUARDIAN_MAX.
 * All return -EPIPE when the guardian has ended.
 */
int guardian_wake(struct guardian *guardian, uint64_t id, int pidfd, uint64_t wake_ns);
/* Once for each of those, when it was woken by us or has ended. */
int guardian_forget(struct guardian *guardian, uint64_t id);

/* The run is over, nothing of it can be stopped any more. */
int guardian_rest(struct guardian *guardian);

#endif
