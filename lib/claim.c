/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Claimed directories: see claim.h for the idea. Must not know what a claim is used for.
 *
 * The one race: between mkdir and flock a sweeper can take the new directory for a dead one. So the creator locks, then
 * looks whether its directory is still at its path, and makes another one if not. The directory gets its wider mode only
 * when it is locked, so that nobody else can hold a lock on it first.
 *
 * Failures: negative errno of the system call; a half-made directory is removed again.
 */
#include "lib/claim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	TAG_LEN = 16,
	TRIES = 1000, /* on a busy machine a sweeper can be the quicker one many times in a row */
};

const char *claim_base(void)
{
	const char *base = getenv("BOP_TMPDIR");

	return base && *base ? base : "/tmp";
}

static bool tag_valid(const char *tag)
{
	return strlen(tag) == TAG_LEN && strspn(tag, "0123456789abcdef") == TAG_LEN;
}

/* Is what fd refers to (still) what the path names? A cgroup keeps its link count when it is removed: compare inodes. */
static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* One attempt with the path that claim has. -EAGAIN: a sweeper was quicker, try another one. */
static int claim_try(struct claim *claim, unsigned mode)
{
	int err;

	if (mkdir(claim->path, 0700) < 0)
		return -errno;
	claim->fd = open(claim->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	err = claim->fd < 0 ? -errno : 0;
	/* Only a sweeper can hold the lock of a directory that is this new, and not for long. */
	while (!err && flock(claim->fd, LOCK_EX) < 0)
		err = errno == EINTR ? 0 : -errno;
	if (err == -ENOENT || (!err && !same_file(claim->fd, claim->path)))
		err = -EAGAIN;
	if (!err && fchmod(claim->fd, mode) < 0)
		err = -errno;
	if (err && err != -EAGAIN)
		rmdir(claim->path);
	if (err)
		claim_close(claim);
	return err;
}

int claim_open(struct claim *claim, const char *base, const char *kind, const char *tag, unsigned mode,
	       struct error *e)
{
	uint64_t bits;
	int err = -EAGAIN;

	*claim = (struct claim)CLAIM_NONE;
	if (tag && !tag_valid(tag))
		return error_set(e, -EINVAL, "'%s' is no ownership tag (16 hexadecimal digits)", tag);
	for (int i = 0; i < TRIES && (err == -EAGAIN || (err == -EEXIST && !tag)); i++) {
		if (!tag && getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
			return error_set(e, -EIO, "no random numbers: %s", strerror(errno));
		if (tag)
			memcpy(claim->tag, tag, sizeof(claim->tag));
		else
			snprintf(claim->tag, sizeof(claim->tag), "%016llx", (unsigned long long)bits);
		if (snprintf(claim->path, sizeof(claim->path), "%s/bop.%s.%s", base, kind, claim->tag) >=
		    (int)sizeof(claim->path))
			return error_set(e, -ENAMETOOLONG, "the path '%s' is too long: use a shorter one", base);
		err = claim_try(claim, mode);
	}
	return err ? error_set(e, err, "cannot make the directory '%s': %s", claim->path, strerror(-err)) : 0;
}

void claim_close(struct claim *claim)
{
	if (claim->fd >= 0)
		close(claim->fd);
	claim->fd = -1;
}

/* Opens a directory that is no link and on which nothing is mounted: -EXDEV. */
static int directory_open(int at, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV,
	};
	struct stat above, below;
	int fd = syscall(SYS_openat2, at, name, &how, sizeof(how));

	if (fd >= 0 || errno != ENOSYS)
		return fd < 0 ? -errno : fd;
	/* Before Linux 5.6; cannot tell a bind mount of the same file system. */
	fd = openat(at, name, how.flags);
	if (fd < 0)
		return -errno;
	if (fstat(at, &above) == 0 && fstat(fd, &below) == 0 && above.st_dev == below.st_dev)
		return fd;
	close(fd);
	return -EXDEV;
}

/* Takes the lock of a directory if its owner is gone. Returns 1 with the claim held, 0 if it is somebody's. */
static int claim_take(struct claim *claim, int base_fd, const char *base, const char *name)
{
	struct stat st;

	*claim = (struct claim)CLAIM_NONE;
	if (snprintf(claim->path, sizeof(claim->path), "%s/%s", base, name) >= (int)sizeof(claim->path))
		return 0;
	memcpy(claim->tag, name + strlen(name) - TAG_LEN, TAG_LEN + 1);
	/* Something mounted over it would hide the lock, and would not be ours to remove. */
	claim->fd = directory_open(base_fd, name);
	if (claim->fd < 0) {
		claim->fd = -1;
		return 0;
	}
	if (fstat(claim->fd, &st) == 0 && st.st_uid == geteuid() && flock(claim->fd, LOCK_EX | LOCK_NB) == 0 &&
	    same_file(claim->fd, claim->path))
		return 1;
	claim_close(claim);
	return 0;
}

int claim_sweep(const char *base, const char *kind, int (*on_stale)(struct claim *claim, void *arg), void *arg,
		struct error *e)
{
	char prefix[64];
	struct claim claim;
	struct dirent *entry;
	int n = 0, first = 0, err;
	size_t len;
	DIR *dir;

	if (snprintf(prefix, sizeof(prefix), "bop.%s.", kind) >= (int)sizeof(prefix))
		return error_set(e, -EINVAL, "no such kind of directory: '%s'", kind);
	len = strlen(prefix);
	dir = opendir(base);
	if (!dir)
		return errno == ENOENT ? 0 : error_set(e, -errno, "cannot read '%s': %s", base, strerror(errno));
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, prefix, len) != 0 || !tag_valid(entry->d_name + len) ||
		    !claim_take(&claim, dirfd(dir), base, entry->d_name))
			continue;
		err = on_stale(&claim, arg);
		claim_close(&claim);
		n++;
		if (err < 0 && !first)
			first = error_set(e, err, "cannot remove '%s': %s", claim.path, strerror(-err));
	}
	closedir(dir);
	return first ? first : n;
}

/*
 * Removes an entry of the directory at `from`. A directory that is not empty is moved up into the directory at `top`
 * under a name of its own, where a later pass finds it: so any depth needs no more than two descriptors.
 */
static int entry_remove(int from, const char *name, int top, unsigned *serial)
{
	char to[32];

	if (unlinkat(from, name, 0) == 0)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (unlinkat(from, name, AT_REMOVEDIR) == 0)
		return 0;
	if ((errno != ENOTEMPTY && errno != EEXIST) || from == top)
		return -errno;
	do {
		snprintf(to, sizeof(to), ".removed.%u", (*serial)++);
		if (renameat2(from, name, top, to, RENAME_NOREPLACE) == 0)
			return 0;
	} while (errno == EEXIST);
	return -errno;
}

/* Removes, or moves up, all that is in the directory `name` of `at`; name NULL: in `at` itself, nothing moves. */
static int directory_empty(int at, const char *name, unsigned *serial)
{
	int err = 0, first = 0, fd;
	struct dirent *entry;
	DIR *dir;

	fd = directory_open(at, name ? name : ".");
	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		err = -errno;
		close(fd);
		return err;
	}
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		err = entry_remove(name ? fd : at, entry->d_name, at, serial);
		if ((err == -ENOTEMPTY || err == -EEXIST) && !name) {
			err = directory_empty(at, entry->d_name, serial);
			if (!err && unlinkat(at, entry->d_name, AT_REMOVEDIR) < 0)
				err = -errno;
		}
		if (err && err != -ENOENT && !first)
			first = err;
	}
	closedir(dir);
	return first;
}

int claim_remove_tree(const char *path)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char above[PATH_MAX];
	unsigned serial = 0;
	int parent, fd, err;

	if (!*name || name - path >= (ptrdiff_t)sizeof(above))
		return -EINVAL;
	snprintf(above, sizeof(above), "%.*s", (int)(name - path), path);
	parent = open(*above ? above : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return -errno;
	fd = directory_open(parent, name);
	if (fd == -ENOTDIR || fd == -ELOOP) {
		err = unlinkat(parent, name, 0) < 0 ? -errno : 0;
		goto out;
	}
	/* Each pass removes what the one before moved up; a pass that fails ends it, one that moved nothing is the last. */
	err = fd < 0 ? fd : 0;
	while (!err) {
		err = directory_empty(fd, NULL, &serial);
		if (err || unlinkat(parent, name, AT_REMOVEDIR) == 0)
			break;
		err = errno == ENOTEMPTY || errno == EEXIST ? 0 : -errno;
	}
	if (fd >= 0)
		close(fd);
out:
	close(parent);
	return err;
}
