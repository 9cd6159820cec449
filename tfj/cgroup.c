/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The cgroup of a run. Must not know what runs inside.
 *
 * cgroup.kill (Linux 5.14) reaches every process however it forks; before that, the listed ones are killed until none
 * is left. A cgroup can stay busy for a moment after its last process ended; removing is tried again for a while.
 */
#include "tfj/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tfj/procfs.h"

enum { REMOVE_TRIES = 1000, RECLAIM_WAIT_MS = 5000, DEPTH_MAX = 32 };

/* Undoes mountinfo's \ooo in place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] && text[2] && text[3]) {
			*to++ = (text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0');
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* proc(5): ID PARENT DEV ROOT MOUNTPOINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS */
static bool line_is_cgroup2(char *line, char **ret_mountpoint)
{
	char *type = strstr(line, " - "), *save = NULL, *field;

	if (!type || strncmp(type + 3, "cgroup2 ", 8) != 0)
		return false;
	*type = '\0';
	field = strtok_r(line, " ", &save);
	for (int i = 0; i < 4 && field; i++)
		field = strtok_r(NULL, " ", &save);
	if (!field)
		return false;
	unescape(field);
	*ret_mountpoint = field;
	return true;
}

static int root_mount(char *ret_root, size_t size, struct claim *ret_mount, struct error *e)
{
	int err = claim_open(ret_mount, claim_base(), CGROUP_KIND, NULL, 0700, e);

	if (err)
		return err;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", ret_mount->path, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
		err = -errno;
		rmdir(ret_mount->path);
		claim_close(ret_mount);
		return error_set(e, err, "no cgroup v2 is mounted and it cannot be mounted either: %s%s", strerror(-err),
				 err == -EPERM ? " (tfj must run as root)" : "");
	}
	snprintf(ret_root, size, "%s", ret_mount->path);
	return 0;
}

int cgroup_find_root(char *ret_root, size_t size, struct claim *ret_mount, struct error *e)
{
	char *line = NULL, *mountpoint;
	bool found = false;
	size_t cap = 0;
	FILE *f;

	*ret_mount = (struct claim)CLAIM_NONE;
	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return error_set(e, -errno, "cannot read /proc/self/mountinfo: %s", strerror(errno));
	while (!found && getline(&line, &cap, f) > 0)
		if (line_is_cgroup2(line, &mountpoint) && access(mountpoint, W_OK) == 0 && strlen(mountpoint) < size) {
			strcpy(ret_root, mountpoint);
			found = true;
		}
	free(line);
	fclose(f);
	return found ? 0 : root_mount(ret_root, size, ret_mount, e);
}

void cgroup_leave_root(struct claim *mount)
{
	if (mount->fd < 0)
		return;
	umount2(mount->path, MNT_DETACH);
	rmdir(mount->path);
	claim_close(mount);
}

int cgroup_open(struct cgroup *cgroup, const char *root, struct error *e)
{
	int err;

	*cgroup = (struct cgroup)CGROUP_NONE;
	err = claim_open(&cgroup->claim, root, CGROUP_KIND, NULL, 0755, e);
	if (err)
		return err;
	cgroup->events = openat(cgroup->claim.fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (cgroup->events < 0) {
		err = error_set(e, -errno, "'%s' is no cgroup: %s", cgroup->claim.path, strerror(errno));
		cgroup_remove(cgroup);
	}
	return err;
}

/* Calls visit for every cgroup below, deepest first, then for `name` of `parent` itself. */
static int tree_walk(int parent, const char *name, int depth, int (*visit)(int parent, const char *name, void *arg),
		     void *arg)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (depth < DEPTH_MAX && (entry = readdir(dir)))
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			tree_walk(fd, entry->d_name, depth + 1, visit, arg);
	closedir(dir);
	return visit(parent, name, arg);
}

/* Stopped by a signal; or it cannot be told. */
static bool is_stopped(int pid)
{
	struct proc proc;

	/* of a Z, other threads may go on, or be stopped */
	return proc_read(pid, &proc) < 0 || proc.state == 'T' || proc.state == 'Z';
}

/* The file that lists what is inside. NULL: errno says why. */
static FILE *members_open(int parent, const char *name)
{
	char path[300];
	FILE *f;
	int fd;

	if (snprintf(path, sizeof(path), "%s/cgroup.procs", name) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	fd = openat(parent, path, O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f && fd >= 0)
		close(fd);
	return f;
}

/* Sends signal (0: none) to what the cgroup lists; SIGCONT only to what needs it. Returns how many, or negative errno. */
static int members_signal(int parent, const char *name, int signal)
{
	FILE *f = members_open(parent, name);
	int n = 0, pid;

	if (!f)
		return -errno;
	while (fscanf(f, "%d", &pid) == 1) {
		n++;
		if (signal && pid > 1 && (signal != SIGCONT || is_stopped(pid)))
			kill(pid, signal);
	}
	fclose(f);
	return n;
}

static int visit_count(int parent, const char *name, void *arg)
{
	int n = members_signal(parent, name, 0);

	if (n > 0)
		*(unsigned *)arg += n;
	return 0;
}

static int visit_kill(int parent, const char *name, void *arg)
{
	int n = members_signal(parent, name, SIGKILL);

	return n < 0 ? n : 0;
}

static int visit_wake(int parent, const char *name, void *arg)
{
	return members_signal(parent, name, SIGCONT);
}

static int visit_remove(int parent, const char *name, void *arg)
{
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Its path ends in ours, or goes on below it; our name has a tag that no other has. */
bool cgroup_holds(const struct cgroup *cgroup, pid_t pid)
{
	const char *slash = strrchr(cgroup->claim.path, '/'), *at;
	size_t len = slash ? strlen(slash) : 0;
	char *path = len > 1 ? proc_cgroup(pid) : NULL;
	bool holds;

	at = path ? strstr(path, slash) : NULL;
	holds = at && (at[len] == '/' || !at[len]);
	free(path);
	return holds;
}

int cgroup_below(const struct cgroup *cgroup, const char *name, int *ret_directory)
{
	int fd;

	if (mkdirat(cgroup->claim.fd, name, 0755) < 0)
		return -errno;
	fd = openat(cgroup->claim.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_directory = fd;
	return 0;
}

int cgroup_kill(const struct cgroup *cgroup)
{
	return cgroup->claim.fd < 0 ? 0 : cgroup_kill_at(cgroup->claim.fd);
}

int cgroup_kill_at(int directory)
{
	int fd = openat(directory, "cgroup.kill", O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno == ENOENT ? tree_walk(directory, ".", 0, visit_kill, NULL) : -errno;
	if (write(fd, "1", 1) < 0)
		err = -errno;
	close(fd);
	return err;
}

int cgroup_populated(const struct cgroup *cgroup)
{
	char text[256];
	const char *field;
	ssize_t size = pread(cgroup->events, text, sizeof(text) - 1, 0);

	if (size < 0)
		return -errno;
	text[size] = '\0';
	field = strstr(text, "populated ");
	return field ? field[10] == '1' : -EBADMSG;
}

void cgroup_wake(int directory)
{
	tree_walk(directory, ".", 0, visit_wake, NULL);
}

bool cgroup_is_empty(int directory)
{
	struct cgroup cgroup = { .events = openat(directory, "cgroup.events", O_RDONLY | O_CLOEXEC) };
	int populated = cgroup.events < 0 ? 0 : cgroup_populated(&cgroup);

	if (cgroup.events >= 0)
		close(cgroup.events);
	return populated <= 0;
}

static long elapsed_ms(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

int cgroup_wait_empty(const struct cgroup *cgroup, int timeout_ms)
{
	struct pollfd wait = { .fd = cgroup->events, .events = POLLPRI };
	struct timespec start;
	long left;
	int populated;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while ((populated = cgroup_populated(cgroup)) == 1) {
		left = timeout_ms - elapsed_ms(&start);
		if (left <= 0)
			return -ETIMEDOUT;
		/* Without cgroup.kill a process can slip through by forking: kill again from time to time. */
		if (poll(&wait, 1, left < 50 ? left : 50) == 0)
			cgroup_kill(cgroup);
	}
	return populated;
}

int cgroup_remove(struct cgroup *cgroup)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int err = 0;

	if (cgroup->claim.fd < 0)
		return 0;
	for (int i = 0; i < REMOVE_TRIES; i++) {
		err = rmdir(cgroup->claim.path) < 0 ? -errno : 0;
		if (err != -EBUSY)
			break;
		tree_walk(cgroup->claim.fd, ".", 0, visit_remove, NULL);
		nanosleep(&pause, NULL);
	}
	if (cgroup->events >= 0)
		close(cgroup->events);
	cgroup->events = -1;
	claim_close(&cgroup->claim);
	return err == -ENOENT ? 0 : err;
}

int cgroup_reclaim(struct claim *claim, unsigned *ret_killed)
{
	struct cgroup cgroup = { .claim = *claim };
	int err;

	*ret_killed = 0;
	cgroup.events = openat(claim->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (cgroup.events < 0)
		return -errno;
	tree_walk(claim->fd, ".", 0, visit_count, ret_killed);
	err = cgroup_kill(&cgroup);
	if (!err)
		err = cgroup_wait_empty(&cgroup, RECLAIM_WAIT_MS);
	claim->fd = -1; /* cgroup_remove closes it */
	if (!err)
		return cgroup_remove(&cgroup);
	close(cgroup.events);
	claim_close(&cgroup.claim);
	return err;
}
