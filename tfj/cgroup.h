/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One cgroup (v2) for all processes of a run: the way to end them all, daemons too, and to know that they have ended.
 * Its directory is a claim (lib/claim.h): a later start finds what a killed owner left.
 */
#ifndef TFJ_CGROUP_H
#define TFJ_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/claim.h"
#include "lib/error.h"

#define CGROUP_KIND "run"

struct cgroup {
	struct claim claim; /* claim.fd serves CLONE_INTO_CGROUP */
	int events; /* POLLPRI when populated changes; -1: no cgroup */
};

#define CGROUP_NONE { .claim = CLAIM_NONE, .events = -1 }

/*
 * Where cgroups can be made: the first writable cgroup2 mount. Without one, mounts it at a claimed directory in a mount
 * namespace of the caller's own (call it before there are threads); *ret_mount holds that claim, or none.
 */
int cgroup_find_root(char *ret_root, size_t size, struct claim *ret_mount, struct error *e);

/* Undoes that mount; a claim that is not held is fine. Never remove its tree: that would be the machine's cgroups. */
void cgroup_leave_root(struct claim *mount);

int cgroup_open(struct cgroup *cgroup, const char *root, struct error *e);

/* Makes one below it, whose processes can be killed by themselves; its directory is the caller's to close. */
int cgroup_below(const struct cgroup *cgroup, const char *name, int *ret_directory);

/* Kills everything inside with SIGKILL. Afterwards start nothing in it: Linux 6.18 kills that as well. */
int cgroup_kill(const struct cgroup *cgroup);
int cgroup_kill_at(int directory);
/* Is anything alive inside? Negative errno if that cannot be told. */
int cgroup_populated(const struct cgroup *cgroup);
/* Waits until nothing is. 0, -ETIMEDOUT or another negative errno. */
int cgroup_wait_empty(const struct cgroup *cgroup, int timeout_ms);

/* Is it inside? */
bool cgroup_holds(const struct cgroup *cgroup, pid_t pid);

/* By a descriptor of its directory: SIGCONT to every stopped process inside; is nothing alive inside (or is it gone)? */
void cgroup_wake(int directory);
bool cgroup_is_empty(int directory);

/* Removes the empty cgroup, with those that its processes made below it, and closes it. No cgroup is fine. */
int cgroup_remove(struct cgroup *cgroup);

/* For a claim that was found stale: counts what lives inside, kills it, removes it. Takes the claim's directory. */
int cgroup_reclaim(struct claim *claim, unsigned *ret_killed);

#endif
