/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How a program gets into a container: into the namespaces (network, mounts, host name, IPC, processes) and below the root of
 * its first process, which stays what it is. Not into its cgroup: that has other limits, and the run has to find its own.
 */
#ifndef TFJ_ENTER_H
#define TFJ_ENTER_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/error.h"
#include "tfj/container.h"

struct enter {
	int process; /* pidfd of its first process; -1: none */
	int netns, root;
	bool users; /* has a user namespace of its own: programs cannot be started in it */
};

#define ENTER_NONE { .process = -1, .netns = -1, .root = -1 }

/* -ESRCH: it has ended. All three are of one and the same process. */
int enter_open(const struct container *container, struct enter *ret_enter, struct error *e);
void enter_close(struct enter *enter);

/* For the parent: what the calling thread makes until enter_leave() is in the container's namespace of processes. */
int enter_processes(const struct enter *enter, int *ret_home);
int enter_leave(int home);

/* For a child: the rest; only system calls. Its mounts are a copy of the container's: what is mounted there now is the child's. */
int enter_child(const struct enter *enter);

/*
 * For the parent: a user of the container's own /etc/passwd, with its groups of /etc/group; *n_groups: room for them, then how many.
 * -ENOENT: none such, -E2BIG: in too many groups.
 */
int enter_user(const struct enter *enter, const char *name, uid_t *ret_uid, gid_t *ret_gid, gid_t *groups, int *n_groups, struct error *e);

/* Is that path the run's directory, or in it? No container has it. */
bool enter_hides(const char *run_directory, const char *path);

/* The same environment for a program that begins in the container's root: the run's folders are not there. malloc'ed, its strings borrowed. */
char **enter_environment(char *const *environment);

#endif
