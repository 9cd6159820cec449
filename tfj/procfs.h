/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What /proc tells of processes that are not ours. Each of them can end at any time: then it is not there, which is no error
 * of a list, and -ESRCH or -ENOENT of a question.
 */
#ifndef TFJ_PROCFS_H
#define TFJ_PROCFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc {
	pid_t pid, parent;
	uint64_t start; /* clock ticks since boot: with the number it tells a process from a later one */
	char state;	/* of its first thread: R, S, T (stopped by a signal), Z, ... */
};

/* -ESRCH: it is gone. */
int proc_read(pid_t pid, struct proc *ret_proc);

/* All processes, by number. malloc'ed. */
int procs_read(struct proc **ret_procs, size_t *ret_n);
/* NULL: it is not in the list. */
const struct proc *procs_find(const struct proc *procs, size_t n, pid_t pid);
/* Is `pid` a descendant of `ancestor`, as far as the list knows? Nobody is their own. */
int procs_descends(const struct proc *procs, size_t n, pid_t pid, pid_t ancestor);

/* Its arguments separated by blanks, cut where it gets long; [name] of one without any. malloc'ed; NULL: it is gone. */
char *proc_command(pid_t pid);

/* The path of its cgroup of version 2, as the kernel shows it. malloc'ed; NULL: it is gone, or there are no such. */
char *proc_cgroup(pid_t pid);

/* Calls on_path for the path of each of its cgroups, of version 2 and 1; not 0 ends that and is returned. -errno: it is gone. */
int proc_cgroups(pid_t pid, int (*on_path)(void *arg, const char *path), void *arg);

/* The process that a number is of: another one, if it is a thread's. 0: there is none. */
pid_t proc_of(pid_t pid);

/* Calls on_socket for each descriptor of a socket; not 0 ends that and is returned. inode: of the socket. */
int proc_sockets(pid_t pid, int (*on_socket)(void *arg, int fd, uint64_t inode), void *arg);

#endif
