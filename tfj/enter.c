/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See enter.h. Files of a container are foreign input: they are looked for below its root whatever links say, and bounded. */
#include "tfj/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tfj/procfs.h"

enum { USERS_MAX = 1 << 20 }; /* bytes of /etc/passwd and /etc/group */

static int proc_open(pid_t pid, const char *name, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Is what pid has open still of the process that was listed? */
static bool still_there(const struct container *c, int process)
{
	struct pollfd ended = { .fd = process, .events = POLLIN };
	struct proc now;

	return proc_read(c->first, &now) == 0 && now.start == c->first_start && poll(&ended, 1, 0) == 0;
}

int enter_open(const struct container *c, struct enter *ret_enter, struct error *e)
{
	struct enter enter = ENTER_NONE;
	struct stat theirs, ours;
	char path[64];
	int err;

	enter.process = (int)syscall(SYS_pidfd_open, c->first, 0);
	err = enter.process < 0 ? -errno : 0;
	if (!err)
		err = enter.netns = proc_open(c->first, "ns/net", O_RDONLY);
	if (err >= 0)
		err = enter.root = proc_open(c->first, "root", O_PATH | O_DIRECTORY);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", c->first);
	if (err >= 0 && (stat(path, &theirs) < 0 || stat("/proc/self/ns/user", &ours) < 0))
		err = -errno;
	if (err >= 0 && !still_there(c, enter.process))
		err = -ESRCH;
	if (err < 0) {
		enter_close(&enter);
		return err == -ESRCH || err == -ENOENT ? error_set(e, -ESRCH, "the container '%.60s' ended while it was looked at", c->id) :
							 error_set(e, err, "the container '%.60s' cannot be looked into: %s", c->id, strerror(-err));
	}
	enter.users = theirs.st_ino != ours.st_ino;
	*ret_enter = enter;
	return 0;
}

void enter_close(struct enter *enter)
{
	if (enter->process >= 0)
		close(enter->process);
	if (enter->netns >= 0)
		close(enter->netns);
	if (enter->root >= 0)
		close(enter->root);
	*enter = (struct enter)ENTER_NONE;
}

int enter_processes(const struct enter *enter, int *ret_home)
{
	int home = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC), err;

	if (home < 0)
		return -errno;
	if (setns(enter->process, CLONE_NEWPID) == 0) {
		*ret_home = home;
		return 0;
	}
	err = -errno;
	close(home);
	return err;
}

int enter_leave(int home)
{
	int err = setns(home, CLONE_NEWPID) < 0 ? -errno : 0;

	close(home);
	return err;
}

int enter_child(const struct enter *enter)
{
	if (setns(enter->process, CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) < 0 || fchdir(enter->root) < 0 ||
	    chroot(".") < 0 || unshare(CLONE_NEWNS) < 0)
		return -errno;
	return 0;
}

/* NULL with errno: ENOENT if it is no file. */
static FILE *file_open(const struct enter *enter, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, enter->root, path, &how, sizeof(how));
	struct stat st;
	FILE *f;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > USERS_MAX) {
		close(fd);
		errno = ENOENT;
		return NULL;
	}
	f = fdopen(fd, "r");
	if (!f)
		close(fd);
	return f;
}

/* The other groups that list the user. */
static int groups_find(const struct enter *enter, const char *name, gid_t *groups, int room, int *n)
{
	FILE *f = file_open(enter, "/etc/group");
	struct group *group;
	int err = 0;

	while (f && !err && (group = fgetgrent(f)))
		for (char **member = group->gr_mem; *member && !err; member++) {
			if (strcmp(*member, name))
				continue;
			if (*n == room)
				err = -E2BIG;
			else
				groups[(*n)++] = group->gr_gid;
			break;
		}
	if (f)
		fclose(f);
	return err;
}

int enter_user(const struct enter *enter, const char *name, uid_t *ret_uid, gid_t *ret_gid, gid_t *groups, int *n_groups, struct error *e)
{
	FILE *f = file_open(enter, "/etc/passwd");
	int room = *n_groups, err;
	struct passwd *user = NULL;

	while (f && (user = fgetpwent(f)) && strcmp(user->pw_name, name))
		;
	if (f)
		fclose(f);
	if (!user)
		return error_set(e, -ENOENT, "there is no user '%s' in the container's /etc/passwd", name);
	*ret_uid = user->pw_uid;
	*ret_gid = groups[0] = user->pw_gid;
	*n_groups = 1;
	err = groups_find(enter, name, groups, room, n_groups);
	return err ? error_set(e, err, "the user '%s' is in too many groups", name) : 0;
}

bool enter_hides(const char *run_directory, const char *path)
{
	size_t n = strlen(run_directory);

	return n && !strncmp(path, run_directory, n) && (!path[n] || path[n] == '/');
}

char **enter_environment(char *const *environment)
{
	static const char pwd[] = "PWD=/", home[] = "HOME=/";
	size_t n = 0, used = 0;
	char **made;

	while (environment[n])
		n++;
	made = calloc(n + 1, sizeof(*made));
	for (size_t i = 0; made && i < n; i++) {
		if (!strncmp(environment[i], "PWD=", 4))
			made[used++] = (char *)pwd;
		else if (!strncmp(environment[i], "HOME=", 5))
			made[used++] = (char *)home;
		else if (strncmp(environment[i], "BOP_RUN_DIR=", 12))
			made[used++] = environment[i];
	}
	return made;
}
