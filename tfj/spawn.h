/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Starts a program inside a box: network, mount and host-name namespaces, cgroup, user, directory, pipes. The child is
 * born into the cgroup and waits there until it is let go, so that it can be registered before its first instruction.
 */
#ifndef TFJ_SPAWN_H
#define TFJ_SPAWN_H

#include <sched.h>
#include <sys/types.h>

#include "lib/error.h"

struct enter;
struct sock_fprog;

/*
 * How a starter gives way to what it starts (sched(7)): its programs are scheduled as usual again. With any other policy they
 * have its own.
 */
#define SPAWN_BATCH (SCHED_BATCH | SCHED_RESET_ON_FORK)

struct spawn_spec {
	const char *host; /* host name inside; not that of a container, which has one */
	int netns, cgroup; /* descriptors */
	const struct enter *enter; /* the container; then paths, users and groups are those in it. NULL: none */
	const char *hosts, *resolv; /* files to lie over /etc/hosts and /etc/resolv.conf; NULL: none */
	char *const *argv, *const *environment; /* argv[0] without a slash is looked up in the environment's PATH */
	const char *user; /* "": the caller's own */
	const char *directory; /* absolute; made, and given to user, if missing (not in a container) */
	int one_pipe; /* stdout and stderr share stdout's pipe */
	const struct sock_fprog *failing; /* a filter of its system calls, from exec on (tfj/failing.h); NULL: none */
};

struct spawn {
	pid_t pid;
	int pidfd;
	int go; /* to the child: a byte lets it run, closing ends it */
	int failure; /* from the child: ends when exec succeeded, else says what failed; non-blocking */
	int out, err; /* non-blocking; err is -1 with one_pipe */
};

#define SPAWN_NONE { .pidfd = -1, .go = -1, .failure = -1, .out = -1, .err = -1 }

/* -EINVAL bad specification, -ENOENT no such user, or what the system says. On failure nothing is left. */
int spawn_prepare(const struct spawn_spec *spec, struct spawn *ret_spawn, struct error *e);

/* Lets the child run; closes go. */
int spawn_go(struct spawn *spawn);

/*
 * When failure is readable: 0 = the program runs; -EAGAIN = not yet; else a negative errno and the reason in e. Closes
 * failure unless -EAGAIN. program: what the reason is to name.
 */
int spawn_result(struct spawn *spawn, const char *program, struct error *e);

/* Closes every descriptor; a child that was not let go ends. It still has to be reaped. */
void spawn_close(struct spawn *spawn);

#endif
