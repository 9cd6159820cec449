/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What runtimes have written about their containers on disk: names. Files that are not there, not regular, too large or no
 * JSON, and names that are none, tell nothing, and that is no error.
 */
#ifndef TFJ_CONTAINER_STATE_H
#define TFJ_CONTAINER_STATE_H

#include "tfj/container.h"

/* Fills in name, pod and space, of a container whose runtime, id and pod_uid are known. Of CRI it finds out the runtime. */
void container_state_read(struct container *container);

/* One of crun's or runc's own: its first process, and when that began (as in struct proc). */
struct container_plain {
	enum container_runtime runtime;
	char id[CONTAINER_ID_MAX + 1];
	pid_t pid;
	uint64_t start;
};

/* Calls on_plain for each that their folders tell of, alive or not; not 0 ends that and is returned. */
int container_state_each(int (*on_plain)(void *arg, const struct container_plain *plain), void *arg);

#endif
