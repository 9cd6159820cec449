/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See seek.h. Looks only: nothing is done to any process. */
#include "tfj/seek.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tfj/container.h"
#include "tfj/procfs.h"

enum { SOCKETS_MAX = 256, /* that listen on one port: each thread of a server may have its own */
       ANCESTORS_MAX = 1000,
       PIDS_SHOWN = 8 };

#define CGROUP_MOUNT "/sys/fs/cgroup"
#define CGROUP_BESIDE CGROUP_MOUNT "/unified" /* where version 2 is mounted beside version 1 */

struct seeker {
	const struct message_attach *wish;
	const struct box *box;
	struct stat netns; /* of the box */
	struct stat program;
	pid_t first; /* of the container */
	char cgroup[PATH_MAX]; /* as /proc/PID/cgroup shows it */
	uint64_t sockets[SOCKETS_MAX];
	size_t n_sockets;
	struct proc *procs;
	size_t n;
	char what[PATH_MAX + 40]; /* the wish in words, behind "process" */
};

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int link_stat(pid_t pid, const char *name, struct stat *ret_st)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return stat(path, ret_st);
}

static bool in_box(const struct seeker *s, pid_t pid)
{
	struct stat st;

	return link_stat(pid, "ns/net", &st) == 0 && same_file(&st, &s->netns);
}

/* In the cgroup, or in one below it. */
static bool in_cgroup(const struct seeker *s, pid_t pid)
{
	char *path = proc_cgroup(pid);
	size_t len = strlen(s->cgroup);
	bool found = path && !strncmp(path, s->cgroup, len) && (!path[len] || path[len] == '/');

	free(path);
	return found;
}

static int on_socket(void *arg, int fd, uint64_t inode)
{
	const struct seeker *s = arg;

	for (size_t i = 0; i < s->n_sockets; i++)
		if (s->sockets[i] == inode)
			return 1;
	return 0;
}

static bool matches(struct seeker *s, pid_t pid)
{
	struct stat st;

	if (s->wish->pid)
		return pid == (pid_t)s->wish->pid;
	if (*s->wish->cgroup)
		return in_cgroup(s, pid);
	if (*s->wish->container)
		return pid == s->first;
	if (*s->wish->executable)
		return link_stat(pid, "exe", &st) == 0 && same_file(&st, &s->program);
	return proc_sockets(pid, on_socket, s) == 1;
}

/* How much of a cgroup's path is where cgroups are mounted, and not in /proc/PID/cgroup. */
static size_t mount_length(const char *path)
{
	struct statfs fs;

	if (!strncmp(path, CGROUP_BESIDE "/", sizeof(CGROUP_BESIDE)) && statfs(CGROUP_MOUNT, &fs) == 0 &&
	    fs.f_type != CGROUP2_SUPER_MAGIC)
		return sizeof(CGROUP_BESIDE) - 1;
	return strncmp(path, CGROUP_MOUNT "/", sizeof(CGROUP_MOUNT)) ? 0 : sizeof(CGROUP_MOUNT) - 1;
}

/* Those that listen on the port, in the namespace that the process is in. */
static int listeners_read(struct seeker *s, pid_t pid, const char *file)
{
	char path[64], line[512];
	unsigned long long inode;
	unsigned port, state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, file);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f) && s->n_sockets < SOCKETS_MAX)
		if (sscanf(line, " %*u: %*[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %llu", &port, &state, &inode) == 3 &&
		    state == 0x0a && port == s->wish->port)
			s->sockets[s->n_sockets++] = inode;
	fclose(f);
	return 0;
}

static void listeners_find(struct seeker *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!in_box(s, s->procs[i].pid))
			continue;
		if (listeners_read(s, s->procs[i].pid, "tcp") == 0) {
			listeners_read(s, s->procs[i].pid, "tcp6"); /* absent without IPv6 */
			return;
		}
	}
}

/* "12, 34, 56, ..." */
static void pids_text(const pid_t *pids, size_t n, char *buf, size_t size)
{
	size_t used = 0;

	*buf = '\0';
	for (size_t i = 0; i < n && i < PIDS_SHOWN && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, "%s%d", i ? ", " : "", pids[i]);
	if (n > PIDS_SHOWN && used < size)
		snprintf(buf + used, size - used, ", ...");
}

/* Reads the wish. */
static int wish_read(struct seeker *s, struct error *e)
{
	const struct message_attach *wish = s->wish;
	const char *path = wish->cgroup;
	size_t len;

	if (!!wish->pid + !!*wish->cgroup + !!*wish->executable + !!wish->port + !!*wish->container != 1)
		return error_set(e, -EINVAL, "say which process: by pid, cgroup, executable, listen or container, one of them");
	if (wish->pid > INT_MAX)
		return error_set(e, -EINVAL, "%u is no process number", wish->pid);
	if (*wish->executable && stat(wish->executable, &s->program) < 0)
		return error_set(e, -errno, "program '%s': %s", wish->executable, strerror(errno));
	if (*wish->cgroup && (*path != '/' || strlen(path) >= sizeof(s->cgroup)))
		return error_set(e, -EINVAL, "cgroup '%s' is not spelled as /proc/PID/cgroup shows it, nor with " CGROUP_MOUNT " in front", path);
	snprintf(s->cgroup, sizeof(s->cgroup), "%s", path + mount_length(path));
	for (len = strlen(s->cgroup); len && s->cgroup[len - 1] == '/'; len--)
		s->cgroup[len - 1] = '\0';
	if (wish->pid)
		snprintf(s->what, sizeof(s->what), "has the number %u", wish->pid);
	else if (*wish->cgroup)
		snprintf(s->what, sizeof(s->what), "is in cgroup '%s'", wish->cgroup);
	else if (*wish->container)
		snprintf(s->what, sizeof(s->what), "is the first of container '%.200s'", wish->container);
	else if (*wish->executable)
		snprintf(s->what, sizeof(s->what), "runs '%s'", wish->executable);
	else
		snprintf(s->what, sizeof(s->what), "listens on port %u", wish->port);
	return 0;
}

static int container_find(struct seeker *s, struct error *e)
{
	const struct container *container = NULL;
	struct containers containers;
	int err = containers_read(&containers, e);

	if (err)
		return err;
	err = containers_find(&containers, s->wish->container, &container, e);
	s->first = err ? 0 : container->first;
	containers_free(&containers);
	return err;
}

/* Is it this program, or the collector's beside it? */
static bool runs_harness(pid_t pid)
{
	char self[PATH_MAX], path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 8);
	struct stat theirs, ours;

	if (n <= 0 || link_stat(pid, "exe", &theirs) < 0)
		return false;
	self[n] = '\0';
	if (stat("/proc/self/exe", &ours) == 0 && same_file(&ours, &theirs))
		return true;
	n = snprintf(path, sizeof(path), "%s/bop", dirname(self));
	return n < (ssize_t)sizeof(path) && stat(path, &ours) == 0 && same_file(&ours, &theirs);
}

static int harness_check(const struct seeker *s, pid_t pid, struct error *e)
{
	if (pid == getpid() || runs_harness(pid))
		return error_set(e, -EPERM, "process %d belongs to the harness itself", pid);
	if (procs_descends(s->procs, s->n, getpid(), pid))
		return error_set(e, -EPERM, "process %d has started the harness, which would be traced with its children", pid);
	return 0;
}

/* Does one that it descends from match, too? */
static bool is_below(const struct seeker *s, const bool *match, const struct proc *proc)
{
	for (int i = 0; proc && i < ANCESTORS_MAX; i++) {
		proc = procs_find(s->procs, s->n, proc->parent);
		if (proc && match[proc - s->procs])
			return true;
	}
	return false;
}

/* Those that match, in the box and elsewhere; of the former, those that stand for themselves. */
static void match_all(struct seeker *s, bool *match, pid_t *here, size_t *ret_n, pid_t *elsewhere, size_t *ret_elsewhere)
{
	for (size_t i = 0; i < s->n; i++) {
		match[i] = matches(s, s->procs[i].pid);
		if (match[i] && !in_box(s, s->procs[i].pid)) {
			match[i] = false;
			elsewhere[(*ret_elsewhere)++] = s->procs[i].pid;
		}
	}
	for (size_t i = 0; i < s->n; i++)
		if (match[i] && !is_below(s, match, &s->procs[i]))
			here[(*ret_n)++] = s->procs[i].pid;
}

static int choose(struct seeker *s, pid_t *ret_pid, struct error *e)
{
	pid_t *here = calloc(s->n + 1, sizeof(*here)), *elsewhere = calloc(s->n + 1, sizeof(*elsewhere));
	bool *match = calloc(s->n + 1, sizeof(*match));
	size_t n = 0, n_elsewhere = 0;
	char list[160];
	int err = 0;

	if (!here || !elsewhere || !match) {
		err = error_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	match_all(s, match, here, &n, elsewhere, &n_elsewhere);
	pids_text(n ? here : elsewhere, n ? n : n_elsewhere, list, sizeof(list));
	if (n == 1)
		*ret_pid = here[0];
	else if (n)
		err = error_set(e, -ENOTUNIQ, "there are %zu processes of which each %s (%s): say which, as {pid: %d}", n, s->what,
				list, here[0]);
	else if (n_elsewhere)
		err = error_set(e, -EXDEV, "no process that %s is in the network namespace of box '%s' (in another one: %s)", s->what,
				s->box->name, list);
	else
		err = error_set(e, -ESRCH, "there is no process that %s%s%s%s", s->what, s->wish->port ? " in box '" : "",
				s->wish->port ? s->box->name : "", s->wish->port ? "'" : "");
out:
	free(here);
	free(elsewhere);
	free(match);
	return err;
}

/* The number may have gone to somebody else while we looked: what the descriptor holds is looked at again. */
static int hold(struct seeker *s, pid_t pid, int *ret_pidfd, struct error *e)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };

	if (pidfd < 0)
		return error_set(e, -errno, "process %d: %s", pid, strerror(errno));
	if (!matches(s, pid) || !in_box(s, pid) || poll(&ended, 1, 0) != 0) {
		close(pidfd);
		return error_set(e, -ESRCH, "process %d ended while it was looked at", pid);
	}
	*ret_pidfd = pidfd;
	return 0;
}

int seek_process(const struct message_attach *wish, const struct box *box, pid_t *ret_pid, int *ret_pidfd, struct error *e)
{
	struct seeker *s = calloc(1, sizeof(*s));
	pid_t of;
	int err;

	if (!s)
		return error_set(e, -ENOMEM, "out of memory");
	s->wish = wish;
	s->box = box;
	err = wish_read(s, e);
	if (!err && fstat(box->netns, &s->netns) < 0)
		err = error_set(e, -errno, "box '%s': %s", box->name, strerror(errno));
	of = !err && wish->pid ? proc_of((pid_t)wish->pid) : 0;
	if (of && of != (pid_t)wish->pid)
		err = error_set(e, -EINVAL, "%u is a thread of process %d: attach that", wish->pid, of);
	if (!err) {
		err = procs_read(&s->procs, &s->n);
		if (err)
			error_set(e, err, "/proc cannot be read: %s", strerror(-err));
	}
	if (!err && wish->port)
		listeners_find(s);
	if (!err && *wish->container)
		err = container_find(s, e);
	if (!err && wish->pid)
		err = harness_check(s, (pid_t)wish->pid, e);
	if (!err)
		err = choose(s, ret_pid, e);
	if (!err)
		err = harness_check(s, *ret_pid, e);
	if (!err)
		err = hold(s, *ret_pid, ret_pidfd, e);
	free(s->procs);
	free(s);
	return err;
}
