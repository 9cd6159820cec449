/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See allowed.h. The file is replaced as a whole: a reader sees the list before or after a change, never half of it. Who
 * changes it holds a lock of the folder from reading to replacing.
 */
#include "collector/allowed.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/place.h"

enum { AGENTS_MAX = 10000 };

int allowed_name_check(const char *name, struct error *e)
{
	size_t n = strlen(name);

	if (n && n < ALLOWED_NAME_MAX && isalnum((unsigned char)*name) &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n)
		return 0;
	return error_set(e, -EINVAL, "'%s' cannot be a name: use letters, digits, '-', '_' and '.', at most %d", name,
			 ALLOWED_NAME_MAX - 1);
}

static int folder_make(char *folder, struct error *e)
{
	for (char *p = folder + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = '\0';
		if (mkdir(folder, c ? 0755 : 0700) < 0 && errno != EEXIST)
			return error_set(e, -errno, "cannot make the folder of keys '%s': %s", folder, strerror(errno));
		*p = c;
		if (!c)
			return 0;
	}
}

int allowed_folder(const char *given, bool make, char ret_folder[PATH_MAX], struct error *e)
{
	int err = place_keys(given, ret_folder, e);

	return !err && make ? folder_make(ret_folder, e) : err;
}

static int line_take(struct allowed *list, char *line, unsigned number, struct error *e)
{
	char *name = strtok_r(line, " \t\r", &line), *key = strtok_r(NULL, " \t\r", &line);
	struct allowed_agent *agents;

	if (!name || !strcmp(name, "#"))
		return 0;
	if (!key || !key_valid(key) || allowed_name_check(name, NULL) < 0)
		return error_set(e, -EINVAL, "%s:%u: each line is a name and a key", list->path, number);
	if (list->n >= AGENTS_MAX)
		return error_set(e, -E2BIG, "%s: more than %d agents", list->path, AGENTS_MAX);
	if (list->n % 64 == 0) {
		agents = realloc(list->agents, (list->n + 64) * sizeof(*agents));
		if (!agents)
			return error_set(e, -ENOMEM, "out of memory");
		list->agents = agents;
	}
	snprintf(list->agents[list->n].name, ALLOWED_NAME_MAX, "%s", name);
	memcpy(list->agents[list->n++].key, key, KEY_SIZE);
	return 0;
}

static int list_read(struct allowed *list, struct error *e)
{
	int fd = open(list->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	unsigned number = 0;
	size_t cap = 0;
	char *line = NULL;
	FILE *f;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &list->seen) < 0 || !(f = fdopen(fd, "r"))) {
		err = error_set(e, -errno, "%s: %s", list->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return err;
	}
	if (!S_ISREG(list->seen.st_mode) || list->seen.st_mode & 022 ||
	    (list->seen.st_uid != geteuid() && list->seen.st_uid != 0))
		err = error_set(e, -EPERM, "%s: others could let anybody in: it must be a file of yours that nobody else can "
				"write (chmod 600)", list->path);
	while (!err && getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		err = line_take(list, line, ++number, e);
	}
	free(line);
	fclose(f);
	return err;
}

int allowed_open(struct allowed *allowed, const char *folder, const char *name, struct error *e)
{
	int err;

	*allowed = (struct allowed){ .n = 0 };
	snprintf(allowed->path, sizeof(allowed->path), "%.*s/%s", PATH_MAX - 16, folder, name);
	err = list_read(allowed, e);
	if (err)
		allowed_fini(allowed);
	return err;
}

void allowed_fini(struct allowed *allowed)
{
	free(allowed->agents);
	allowed->agents = NULL;
	allowed->n = 0;
}

int allowed_refresh(struct allowed *allowed, struct error *e)
{
	struct allowed next = { .n = 0 };
	struct stat now = { .st_ino = 0 };
	int err;

	if (stat(allowed->path, &now) < 0)
		now.st_ino = 0;
	if (now.st_ino == allowed->seen.st_ino && now.st_size == allowed->seen.st_size &&
	    !memcmp(&now.st_mtim, &allowed->seen.st_mtim, sizeof(now.st_mtim)))
		return 0;
	memcpy(next.path, allowed->path, sizeof(next.path));
	err = list_read(&next, e);
	if (err) {
		allowed_fini(&next);
		allowed->seen = now; /* said once a change */
		return err;
	}
	allowed_fini(allowed);
	*allowed = next;
	return 1;
}

const struct allowed_agent *allowed_by_key(const struct allowed *allowed, const char *key)
{
	for (size_t i = 0; i < allowed->n; i++)
		if (!strcmp(allowed->agents[i].key, key))
			return &allowed->agents[i];
	return NULL;
}

const struct allowed_agent *allowed_by_name(const struct allowed *allowed, const char *name)
{
	for (size_t i = 0; i < allowed->n; i++)
		if (!strcmp(allowed->agents[i].name, name))
			return &allowed->agents[i];
	return NULL;
}

bool allowed_pair(const struct allowed *allowed, const char *name, const char *key)
{
	const struct allowed_agent *agent = allowed_by_key(allowed, key);

	return agent && !strcmp(agent->name, name);
}

static int list_write(const struct allowed *list, struct error *e)
{
	char path[PATH_MAX + 16];
	int fd, err = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s.XXXXXX", list->path);
	fd = mkostemp(path, O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f) {
		err = error_set(e, -errno, "%s: %s", path, strerror(errno));
		if (fd >= 0) {
			close(fd);
			unlink(path);
		}
		return err;
	}
	for (size_t i = 0; i < list->n; i++)
		fprintf(f, "%s %s\n", list->agents[i].name, list->agents[i].key);
	if (fflush(f) != 0 || ferror(f) || fsync(fd) < 0 || rename(path, list->path) < 0) {
		err = error_set(e, -errno, "%s: %s", list->path, strerror(errno));
		unlink(path);
	}
	fclose(f);
	return err;
}

/* The descriptor that holds the lock. */
static int folder_lock(const struct allowed *allowed, struct error *e)
{
	char folder[PATH_MAX];
	int fd, err;

	snprintf(folder, sizeof(folder), "%s", allowed->path);
	*strrchr(folder, '/') = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, -errno, "%s: %s", folder, strerror(errno));
	while (flock(fd, LOCK_EX) < 0) {
		if (errno == EINTR)
			continue;
		err = error_set(e, -errno, "%s: cannot be locked: %s", folder, strerror(errno));
		close(fd);
		return err;
	}
	return fd;
}

/* Locks, and reads what others have made of it meanwhile. Returns the lock. */
static int change_begin(struct allowed *allowed, struct error *e)
{
	struct allowed next = { .n = 0 };
	int lock = folder_lock(allowed, e), err;

	if (lock < 0)
		return lock;
	memcpy(next.path, allowed->path, sizeof(next.path));
	err = list_read(&next, e);
	if (err) {
		allowed_fini(&next);
		close(lock);
		return err;
	}
	allowed_fini(allowed);
	*allowed = next;
	return lock;
}

static int add(struct allowed *allowed, const char *name, const char *key, struct error *e)
{
	const struct allowed_agent *same = allowed_by_name(allowed, name), *other = allowed_by_key(allowed, key);
	char line[ALLOWED_NAME_MAX + KEY_SIZE + 1];
	int err;

	if (same && same == other)
		return 0;
	if (same)
		return error_set(e, -EEXIST, "'%s' is allowed with another key; `bop keys remove %s` first", name, name);
	if (other)
		return error_set(e, -EEXIST, "this key is allowed already, as '%s'", other->name);
	snprintf(line, sizeof(line), "%s %s", name, key);
	err = line_take(allowed, line, 0, e);
	return err ? err : list_write(allowed, e);
}

int allowed_add(struct allowed *allowed, const char *name, const char *key, struct error *e)
{
	int err = allowed_name_check(name, e), lock;

	if (err)
		return err;
	lock = change_begin(allowed, e);
	if (lock < 0)
		return lock;
	err = add(allowed, name, key, e);
	close(lock);
	return err;
}

static int take_off(struct allowed *allowed, const char *name, struct error *e)
{
	struct allowed_agent *agent = (struct allowed_agent *)allowed_by_name(allowed, name);

	if (!agent)
		return error_set(e, -ENOENT, "no agent '%s' is allowed (`bop keys` lists them)", name);
	*agent = allowed->agents[--allowed->n];
	return list_write(allowed, e);
}

int allowed_remove(struct allowed *allowed, const char *name, struct error *e)
{
	int lock = change_begin(allowed, e), err;

	if (lock < 0)
		return lock;
	err = take_off(allowed, name, e);
	close(lock);
	return err;
}
