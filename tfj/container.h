/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The containers of this machine: which processes are in which one, by what their cgroups say (lib/container.h), or, of crun and
 * runc, who put theirs wherever they were told to, by what those have written down. Looks only. No daemon is asked.
 */
#ifndef TFJ_CONTAINER_H
#define TFJ_CONTAINER_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "lib/container.h"
#include "lib/error.h"

#define CONTAINER_NAME_MAX 253u

struct container {
	enum container_runtime runtime;
	char id[CONTAINER_ID_MAX + 1];
	char name[CONTAINER_NAME_MAX + 1];		     /* "" : its runtime's files do not tell it */
	char pod_uid[37];				     /* Kubernetes, else "" */
	char pod[CONTAINER_NAME_MAX + 1], space[CONTAINER_NAME_MAX + 1]; /* the pod's name and its namespace, if known */
	uint64_t netns; /* inode of its network namespace: as in net:[...] of ls -l /proc/PID/ns; 0: could not be read */
	pid_t first;	/* the one that the others descend from: the oldest of those whose parent is outside */
	uint64_t first_start; /* as in struct proc */
	pid_t *pids;	/* by number */
	size_t n_pids;
};

struct containers {
	struct container *one; /* by id */
	size_t n;
};

/* Where files of runtimes are looked for: what $BOP_CONTAINERS_ROOT says stands before /run, /var/lib; else "". */
const char *containers_root(void);

/* Those in which something runs. Negative errno: /proc cannot be read, no memory. */
int containers_read(struct containers *ret_containers, struct error *e);
void containers_free(struct containers *containers);

/*
 * The one that text means: an id, the beginning of one (at least 6 characters) that no other has, a name, POD/NAME or
 * NAMESPACE/POD/NAME. -ENOENT: none; -ENOTUNIQ: several; -EINVAL: no such words.
 */
int containers_find(const struct containers *containers, const char *text, const struct container **ret, struct error *e);

/* A table, or JSON: docs/json.md. */
void containers_print(const struct containers *containers, FILE *out, int json);

#endif
