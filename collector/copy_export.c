/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store of its own for some runs, as one file: made beside its place, and put there when it is whole. See copy.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/copy.h"

/* With what SQLite lays beside it. */
static void temporary_remove(const char *path)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char *name = NULL;

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++)
		if (asprintf(&name, "%s%s", path, suffixes[i]) >= 0) {
			unlink(name);
			free(name);
		}
}

static bool log_is_left(const char *path)
{
	char *name = NULL;
	bool left;

	if (asprintf(&name, "%s-wal", path) < 0)
		return true;
	left = access(name, F_OK) == 0;
	free(name);
	return left;
}

static int runs_copy(struct store *from, struct copied *copied, size_t n, const char *path, struct error *e)
{
	struct copy_index *index = NULL;
	struct store *to = NULL;
	int err = store_sqlite_open(path, STORE_CREATE, &to, e);

	if (!err && !(index = copy_index_new(to)))
		err = error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n && !err; i++)
		err = copy_run(from, copied[i].from, to, index, &copied[i], e);
	copy_index_free(index);
	store_close(to);
	if (!err && log_is_left(path))
		err = error_set(e, -EIO, "%s: its log could not be merged (is the disk full?)", path);
	return err;
}

static int already(const char *path, struct error *e)
{
	return error_set(e, -EEXIST, "%s is there already, and could be a store: give another name, or remove it", path);
}

/* Never over what is there, as far as the file system knows how. */
static int put(const char *temporary, const char *path, struct error *e)
{
	int rc = renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE);

	if (rc < 0 && errno == EINVAL)
		rc = rename(temporary, path);
	if (rc < 0)
		return errno == EEXIST ? already(path, e) : error_set(e, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

int copy_export(struct store *from, struct copied *copied, size_t n, const char *path, struct error *e)
{
	char *temporary = NULL;
	int fd, err = 0;
	mode_t mask;

	if (access(path, F_OK) == 0)
		return already(path, e);
	for (size_t i = 0; i < n && !err; i++)
		err = copy_check(from, copied[i].from, e);
	if (err < 0)
		return err;
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	fd = mkstemp(temporary);
	if (fd < 0) {
		err = error_set(e, -errno, "%s: %s", path, strerror(errno));
		free(temporary);
		return err;
	}
	err = runs_copy(from, copied, n, temporary, e);
	mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
	if (!err && fsync(fd) < 0)
		err = error_set(e, -errno, "%s: %s", path, strerror(errno));
	close(fd);
	if (!err)
		err = put(temporary, path, e);
	temporary_remove(temporary);
	free(temporary);
	return err;
}
