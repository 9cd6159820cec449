/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Opening an SQLite store: finds out whether the file is ours, makes it or brings it up to date (store_sqlite_format.c), reads it
 * where nothing can be written. Never changes a file that is not ours.
 *
 * WAL with synchronous=FULL: a commit is one append and one fsync of the log. The log is merged into the file when 16 MiB of it
 * have come together, and by the last one who closes the store. A reader needs the -shm file beside the
 * log, or a place to make it; where there is neither log nor such a place, the file itself is complete and is read as
 * immutable.
 */
#include "collector/store_sqlite.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"

enum { BUSY_MS = 5000 };

/* Pages of 4 KiB. Merging costs as much again as keeping: a run that is going on, on this machine perhaps, does not pay for it. */
#define LOG_LIMIT "PRAGMA wal_autocheckpoint=4096"

int sqlite_fail(struct store_sqlite *s, int rc, const char *doing, struct error *e)
{
	int system_errno = s->db ? sqlite3_system_errno(s->db) : 0;

	switch (rc & 0xff) {
	case SQLITE_FULL:
		return error_set(e, -ENOSPC, "store %s: %s: the disk is full", s->path, doing);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return error_set(e, -EBUSY, "store %s: %s: another program has kept it locked for %d s", s->path, doing,
				 BUSY_MS / 1000);
	case SQLITE_READONLY:
		return error_set(e, -EROFS, "store %s: %s: it is read-only here", s->path, doing);
	case SQLITE_NOTADB:
		return error_set(e, -EINVAL, "store %s: this is not an SQLite file, so it is no store of bop", s->path);
	case SQLITE_CORRUPT:
		return error_set(e, -EBADMSG, "store %s: %s: the file is damaged (%s)", s->path, doing,
				 sqlite3_errmsg(s->db));
	case SQLITE_NOMEM:
		return error_set(e, -ENOMEM, "store %s: %s: out of memory", s->path, doing);
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_IOERR:
		if (system_errno == ENOSPC || system_errno == EDQUOT)
			return error_set(e, -ENOSPC, "store %s: %s: the disk is full", s->path, doing);
		if (system_errno == EROFS)
			return error_set(e, -EROFS, "store %s: %s: it is read-only here", s->path, doing);
		return error_set(e, -EIO, "store %s: %s: %s", s->path, doing,
				 system_errno ? strerror(system_errno) : sqlite3_errmsg(s->db));
	}
	return error_set(e, -EIO, "store %s: %s: %s", s->path, doing, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

int sqlite_run(struct store_sqlite *s, const char *sql, const char *doing, struct error *e)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : sqlite_fail(s, rc, doing, e);
}

int sqlite_prepare(struct store_sqlite *s, const char *sql, sqlite3_stmt **ret_st, const char *doing, struct error *e)
{
	int rc = sqlite3_prepare_v2(s->db, sql, -1, ret_st, NULL);

	return rc == SQLITE_OK ? 0 : sqlite_fail(s, rc, doing, e);
}

/* A file: URI of the path with immutable=1. Caller frees. */
static char *immutable_uri(const char *path)
{
	char *uri = malloc(strlen(path) * 3 + 32), *to = uri;

	if (!uri)
		return NULL;
	to += sprintf(to, "file:%s", *path == '/' ? "//" : "");
	for (; *path; path++) {
		if (isalnum((unsigned char)*path) || strchr("/._-+@,=", *path))
			*to++ = *path;
		else
			to += sprintf(to, "%%%02x", (unsigned char)*path);
	}
	strcpy(to, "?immutable=1");
	return uri;
}

/* Whether the last one to leave merges the log into the file. */
static void log_merging(struct store_sqlite *s, bool on)
{
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !on, NULL);
}

/*
 * Somebody else has it locked. SQLite's own handler looks again every 0.1 s: too seldom to meet the moments between the transactions of
 * several that write without a break.
 */
static int on_busy(void *arg, int count)
{
	struct store_sqlite *s = arg;
	uint64_t now = clock_monotonic_ns();

	if (!count)
		s->busy_since_ns = now;
	if (now - s->busy_since_ns >= BUSY_MS * (CLOCK_SECOND_NS / 1000))
		return 0;
	nanosleep(&(struct timespec){ 0, (long)(500000 + now % 2000000) }, NULL); /* never two in step */
	return 1;
}

/* SQLite has names that it does not take for a file: ':memory:', which keeps nothing, and 'file:...'. None begins like this. Caller frees. */
static char *file_name(const char *path)
{
	char *name;

	return asprintf(&name, "%s%s", *path == '/' ? "" : "./", path) < 0 ? NULL : name;
}

static int db_open(struct store_sqlite *s, const char *name, int flags, struct error *e)
{
	int rc;

	sqlite3_close(s->db);
	s->db = NULL;
	rc = sqlite3_open_v2(name, &s->db, flags | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc != SQLITE_OK)
		return sqlite_fail(s, rc, "opening it", e);
	sqlite3_busy_handler(s->db, on_busy, s);
	/* a file can be a stranger's: what its schema says does nothing but keep rows */
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	log_merging(s, false); /* until it is known to be ours: another program's log stays as it is */
	return 0;
}

static bool log_is_empty(const char *path)
{
	struct stat st;
	char log[4096];

	snprintf(log, sizeof(log), "%s-wal", path);
	return stat(log, &st) < 0 || st.st_size == 0;
}

/* Did it fail because nothing can be made beside the file? */
static bool no_place(int rc)
{
	rc &= 0xff;
	return rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY || rc == SQLITE_FULL || rc == SQLITE_IOERR;
}

static int open_read(struct store_sqlite *s, bool writable, struct error *e)
{
	int err, rc = SQLITE_OK, first;
	char *uri;

	/* A reader that could write tidies the log away when it is the last one to leave. */
	err = db_open(s, s->file, writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, e);
	if (!err)
		err = sqlite_format_check(s, &rc, e);
	first = err;
	if (err < 0 && no_place(rc)) {
		if (!log_is_empty(s->path))
			return error_set(e, err,
					 "store %s: a bop that was killed left a log (%s-wal) to be merged, and nothing can "
					 "be written here; copy both files to where you can write",
					 s->path, s->path);
		uri = immutable_uri(s->file);
		if (!uri)
			return error_set(e, -ENOMEM, "out of memory");
		err = db_open(s, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, e);
		free(uri);
		if (!err)
			err = sqlite_format_check(s, &rc, e);
	}
	if (err < 0)
		return err;
	if (!err)
		return error_set(e, -EINVAL, "store %s: the file is empty: no run was ever kept in it", s->path);
	if (err == 2 && first == -ENOSPC)
		return error_set(e, first, "store %s: the disk is full, and the store has to be brought from format 1 to format 2", s->path);
	if (err == 2 && sqlite3_db_readonly(s->db, "main"))
		return error_set(e, -EROFS,
				 "store %s: it is of format 1, which this bop has to bring to format 2 first, and nothing can be "
				 "written here; copy it to where you can write",
				 s->path);
	log_merging(s, true);
	if (err == 2) {
		err = sqlite_run(s, "PRAGMA synchronous=FULL", "opening it", e);
		if (!err)
			err = sqlite_format_update(s, e);
		if (err < 0)
			return err;
	}
	return sqlite_run(s, "PRAGMA query_only=1", "opening it", e);
}

static int open_write(struct store_sqlite *s, enum store_mode mode, struct error *e)
{
	int err, rc, found;

	err = db_open(s, s->file, SQLITE_OPEN_READWRITE | (mode == STORE_CREATE ? SQLITE_OPEN_CREATE : 0), e);
	if (err < 0)
		return err;
	found = err = sqlite_format_check(s, &rc, e);
	if (err < 0)
		return err;
	if (sqlite3_db_readonly(s->db, "main"))
		return error_set(e, -EROFS, "store %s: it is read-only; nothing can be kept in it", s->path);
	if (!err && mode != STORE_CREATE)
		return error_set(e, -EINVAL, "store %s: the file is empty: no run was ever kept in it", s->path);
	if (!err) {
		err = sqlite_format_make(s, e);
		if (err < 0)
			return err;
	}
	log_merging(s, true);
	err = sqlite_run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=FAST; "
				LOG_LIMIT, "opening it", e);
	if (!err && found == 2)
		err = sqlite_format_update(s, e);
	if (!err) /* fails here, rather than in the middle of a run, where nothing can be written */
		err = sqlite_run(s, "BEGIN IMMEDIATE; ROLLBACK", "opening it", e);
	return err;
}

/* Mode bits count for root, too: who took them away meant it. */
static bool mode_writable(const char *path)
{
	struct stat st;

	return access(path, W_OK) == 0 && stat(path, &st) == 0 && (st.st_mode & 0222);
}

static int directory_check(const char *path, struct error *e)
{
	char *copy = strdup(path), *directory;
	int err = 0;

	if (!copy)
		return error_set(e, -ENOMEM, "out of memory");
	directory = dirname(copy);
	if (access(directory, F_OK) < 0)
		err = error_set(e, -errno, "store %s: %s: %s", path, directory, strerror(errno));
	else if (!mode_writable(directory))
		err = error_set(e, -EROFS, "store %s: the directory %s is read-only for you", path, directory);
	free(copy);
	return err;
}

int store_sqlite_exists(const char *path, struct error *e)
{
	struct stat st;
	int err;

	if (stat(path, &st) < 0) {
		if (errno != ENOENT)
			return error_set(e, -errno, "store %s: %s", path, strerror(errno));
		err = directory_check(path, e);
		return err < 0 ? err : 0;
	}
	if (!S_ISREG(st.st_mode))
		return error_set(e, -EINVAL, "store %s: this is not a file", path);
	return 1;
}

/* Removes what is left of a store that could not be made; not one that another bop made meanwhile: that one has an id. */
static void unmade_remove(const char *path)
{
	static const unsigned char none[4];
	unsigned char id[4] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (pread(fd, id, sizeof(id), 68) < (ssize_t)sizeof(id) || !memcmp(id, none, sizeof(id)))
		unlink(path);
	close(fd);
}

int store_sqlite_open(const char *path, enum store_mode mode, struct store **ret_store, struct error *e)
{
	struct store_sqlite *s = NULL;
	bool fresh;
	int err;

	err = store_sqlite_exists(path, e);
	if (err < 0 && !(mode != STORE_CREATE && err == -EROFS))
		return err;
	if (err <= 0 && mode != STORE_CREATE)
		return error_set(e, -ENOENT, "store %s: there is none yet; `bop run` makes it, --store names another one",
				 path);
	if (err > 0 && mode != STORE_READ && !mode_writable(path))
		return error_set(e, -EROFS, "store %s: it is read-only; nothing can be kept in it", path);
	fresh = !err;
	if (mode != STORE_READ) { /* the log lies beside the file */
		err = directory_check(path, e);
		if (err < 0)
			return err;
	}
	s = calloc(1, sizeof(*s));
	if (s) {
		s->path = strdup(path);
		s->file = file_name(path);
	}
	if (!s || !s->path || !s->file) {
		err = error_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	s->store.ops = &store_sqlite_ops;
	err = mode == STORE_READ ? open_read(s, mode_writable(path), e) : open_write(s, mode, e);
	if (err < 0)
		goto out;
	*ret_store = &s->store;
	s = NULL;
	err = 0;
out:
	if (s)
		store_sqlite_ops.close(&s->store);
	if (err < 0 && fresh)
		unmade_remove(path);
	return err;
}
