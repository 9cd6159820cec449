/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See procfs.h. */
#include "tfj/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COMMAND_MAX = 4096, ANCESTORS_MAX = 1000 };

/* Reads at most size - 1 bytes of /proc/PID/NAME. Negative errno: it is gone, or not ours to read. */
static ssize_t file_read(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
	return (ssize_t)n;
}

/* Behind the name, which can hold anything: state, parent, and as the 20th from there when it began. */
int proc_read(pid_t pid, struct proc *ret_proc)
{
	unsigned long long start;
	char buf[1024], *p, state;
	int parent;

	if (file_read(pid, "stat", buf, sizeof(buf)) <= 0)
		return -ESRCH;
	p = strrchr(buf, ')');
	if (!p || sscanf(p + 1, " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
			 &state, &parent, &start) != 3)
		return -ESRCH;
	*ret_proc = (struct proc){ pid, parent, start, state };
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct proc *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

int procs_read(struct proc **ret_procs, size_t *ret_n)
{
	struct proc *procs = NULL, *grown;
	DIR *dir = opendir("/proc");
	size_t n = 0, cap = 0;
	struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)*entry->d_name))
			continue;
		if (n == cap) {
			cap = cap * 2 + 512;
			grown = realloc(procs, cap * sizeof(*procs));
			if (!grown) {
				free(procs);
				closedir(dir);
				return -ENOMEM;
			}
			procs = grown;
		}
		n += !proc_read(atoi(entry->d_name), &procs[n]);
	}
	closedir(dir);
	if (n)
		qsort(procs, n, sizeof(*procs), by_pid);
	*ret_procs = procs;
	*ret_n = n;
	return 0;
}

const struct proc *procs_find(const struct proc *procs, size_t n, pid_t pid)
{
	const struct proc wanted = { .pid = pid };

	return n ? bsearch(&wanted, procs, n, sizeof(*procs), by_pid) : NULL;
}

int procs_descends(const struct proc *procs, size_t n, pid_t pid, pid_t ancestor)
{
	const struct proc *proc = procs_find(procs, n, pid);

	for (int i = 0; proc && proc->parent && i < ANCESTORS_MAX; i++) {
		if (proc->parent == ancestor)
			return 1;
		proc = procs_find(procs, n, proc->parent);
	}
	return 0;
}

char *proc_command(pid_t pid)
{
	char *text = malloc(COMMAND_MAX + 1), name[64];
	ssize_t n = text ? file_read(pid, "cmdline", text, COMMAND_MAX + 1) : -ENOMEM;

	if (n < 0) {
		free(text);
		return NULL;
	}
	while (n && !text[n - 1])
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (!text[i])
			text[i] = ' ';
	text[n] = '\0';
	if (n)
		return text;
	file_read(pid, "comm", name, sizeof(name));
	name[strcspn(name, "\n")] = '\0';
	snprintf(text, COMMAND_MAX + 1, "[%s]", name);
	return text;
}

/* Lines "N:controllers:path"; 0:: is version 2. only_2: no others. */
static int cgroups_each(pid_t pid, bool only_2, int (*on_path)(void *arg, const char *path), void *arg)
{
	char file[64], *line = NULL, *path;
	size_t cap = 0;
	int err = 0;
	FILE *f;

	snprintf(file, sizeof(file), "/proc/%d/cgroup", pid);
	f = fopen(file, "re");
	if (!f)
		return -errno;
	while (!err && getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		path = strchr(line, ':');
		path = path ? strchr(path + 1, ':') : NULL;
		if (path && (!only_2 || !strncmp(line, "0::", 3)))
			err = on_path(arg, path + 1);
	}
	free(line);
	fclose(f);
	return err;
}

int proc_cgroups(pid_t pid, int (*on_path)(void *arg, const char *path), void *arg)
{
	return cgroups_each(pid, false, on_path, arg);
}

static int on_only_path(void *arg, const char *path)
{
	*(char **)arg = strdup(path);
	return 1;
}

char *proc_cgroup(pid_t pid)
{
	char *path = NULL;

	cgroups_each(pid, true, on_only_path, &path);
	return path;
}

pid_t proc_of(pid_t pid)
{
	char buf[4096];
	const char *line;
	int of;

	if (file_read(pid, "status", buf, sizeof(buf)) <= 0)
		return 0;
	line = strstr(buf, "\nTgid:");
	return line && sscanf(line, " Tgid: %d", &of) == 1 ? of : 0;
}

int proc_sockets(pid_t pid, int (*on_socket)(void *arg, int fd, uint64_t inode), void *arg)
{
	char path[64], target[64];
	unsigned long long inode;
	struct dirent *entry;
	int err = 0;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!err && (entry = readdir(dir))) {
		n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (sscanf(target, "socket:[%llu]", &inode) == 1)
			err = on_socket(arg, atoi(entry->d_name), inode);
	}
	closedir(dir);
	return err;
}
