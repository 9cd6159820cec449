/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Picks the backend by URL and passes calls on; and owners. Knows nothing of any database. */
#include "collector/store.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A URL can have a password in it, also one that nobody here understands. */
static bool is_url(const char *url)
{
	return strstr(url, "://") && strncmp(url, "sqlite:", 7);
}

static bool is_pg(const char *url)
{
	return !strncmp(url, "postgresql://", 13) || !strncmp(url, "postgres://", 11);
}

bool store_is_server(const char *url)
{
	return is_pg(url);
}

const char *store_name(const char *url, char *buf)
{
	if (is_url(url))
		store_pg_name(url, buf, STORE_NAME_MAX);
	else
		snprintf(buf, STORE_NAME_MAX, "%s", url);
	return buf;
}

/* Path of the SQLite file that url names, NULL if it is none. */
static const char *sqlite_path(const char *url, struct error *e)
{
	char name[STORE_NAME_MAX];

	if (!strncmp(url, "sqlite:", 7)) {
		url += 7;
		if (!strncmp(url, "///", 3))
			url += 2;
	} else if (is_url(url)) {
		error_set(e, -EPROTONOSUPPORT, "store %s: no backend for %.*s here; give the path of an SQLite file, or postgresql://...",
			  store_name(url, name), (int)(strstr(url, "://") - url), url);
		return NULL;
	}
	if (!*url) {
		error_set(e, -EINVAL, "store: the name is empty; give the path of an SQLite file");
		return NULL;
	}
	return url;
}

int store_open(const char *url, enum store_mode mode, struct store **ret_store, struct error *e)
{
	const char *path;

	if (is_pg(url))
		return store_pg_open(url, mode, ret_store, e);
	path = sqlite_path(url, e);
	return path ? store_sqlite_open(path, mode, ret_store, e) : -EINVAL;
}

int store_exists(const char *url, struct error *e)
{
	const char *path;

	if (is_pg(url))
		return store_pg_exists(url, e);
	path = sqlite_path(url, e);
	return path ? store_sqlite_exists(path, e) : -EINVAL;
}

void store_close(struct store *store)
{
	if (store)
		store->ops->close(store);
}

int store_run_create(struct store *store, struct store_run *run, struct error *e)
{
	return store->ops->run_create(store, run, e);
}

int store_stream_add(struct store *store, uint64_t run, struct store_stream *stream, struct error *e)
{
	return store->ops->stream_add(store, run, stream, e);
}

int store_begin(struct store *store, struct error *e)
{
	return store->ops->begin(store, e);
}

int store_batch_put(struct store *store, uint64_t run, uint64_t stream, uint64_t number, const void *bytes,
		    size_t size, struct error *e)
{
	return store->ops->batch_put(store, run, stream, number, bytes, size, e);
}

int store_commit(struct store *store, struct error *e)
{
	return store->ops->commit(store, e);
}

void store_rollback(struct store *store)
{
	store->ops->rollback(store);
}

int store_transaction(struct store *store, store_work *work, void *arg, struct error *e)
{
	return store->ops->transaction(store, work, arg, e);
}

int store_run_adopt(struct store *store, uint64_t id, struct error *e)
{
	struct store_owner self;
	int err = store_owner_self(&self, e);

	return err ? err : store->ops->run_adopt(store, id, &self, e);
}

int store_run_last(struct store *store, uint64_t *ret_id, struct error *e)
{
	return store->ops->run_last(store, ret_id, e);
}

int store_run_baseline(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e)
{
	return store->ops->run_baseline(store, experiment, ret_id, e);
}

int store_run_remove(struct store *store, uint64_t id, struct error *e)
{
	return store->ops->run_remove(store, id, e);
}

int store_run_fold(struct store *store, uint64_t id, struct error *e)
{
	return store->ops->run_fold(store, id, e);
}

int store_run_size(struct store *store, uint64_t id, uint64_t *ret_bytes, struct error *e)
{
	return store->ops->run_size(store, id, ret_bytes, e);
}

int store_room(struct store *store, bool tidy, uint64_t *ret_bytes, struct error *e)
{
	return store->ops->room(store, tidy, ret_bytes, e);
}

int store_run_drop(struct store *store, uint64_t id, uint64_t uses, struct error *e)
{
	return store->ops->run_drop(store, id, uses, e);
}

static bool always(void *arg)
{
	return true;
}

int store_sweep(struct store *store, store_go_on *go_on, void *arg, struct error *e)
{
	return store->ops->sweep(store, go_on ? go_on : always, arg, e);
}

int store_class_find(struct store *store, const char *experiment, const unsigned char plan_key[STORE_PLAN_KEY_SIZE],
		     const struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT], struct store_class **ret_class,
		     struct error *e)
{
	return store->ops->class_find(store, experiment, plan_key, prints, ret_class, e);
}

int store_class_get(struct store *store, uint64_t id, struct store_class **ret_class, struct error *e)
{
	return store->ops->class_get(store, id, ret_class, e);
}

int store_each_class(struct store *store, const char *experiment, store_on_class *on_class, void *arg, struct error *e)
{
	return store->ops->each_class(store, experiment, on_class, arg, e);
}

int store_class_near(struct store *store, const struct store_near *near, store_on_candidate *on_candidate, void *arg,
		     struct error *e)
{
	return near->n && near->of_key ? store->ops->class_near(store, near, on_candidate, arg, e) : 0;
}

int store_each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg,
		   struct error *e)
{
	static const struct store_range all = { .after = 0 };

	return store->ops->each_run(store, range ? range : &all, on_run, arg, e);
}

int store_each_stream(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e)
{
	return store->ops->each_stream(store, run, on_stream, arg, e);
}

int store_each_process(struct store *store, uint64_t run, store_on_process *on_process, void *arg, struct error *e)
{
	return store->ops->each_process(store, run, on_process, arg, e);
}

int store_each_batch(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e)
{
	return store->ops->each_batch(store, run, on_batch, arg, e);
}

void store_run_free(struct store_run *run)
{
	if (!run)
		return;
	free(run->experiment);
	free(run->path);
	free(run->text);
	free(run->version);
	free(run->reason);
	free(run->warnings);
	free(run->plan);
	free(run->unclassed);
	free(run);
}

static int boot_id_read(char *buf, size_t size)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f)
		return -errno;
	if (!fgets(buf, (int)size, f))
		buf[0] = '\0';
	fclose(f);
	buf[strcspn(buf, "\n")] = '\0';
	return *buf ? 0 : -EIO;
}

/*
 * Field 22 of /proc/PID/stat. The name in field 2 may hold anything, so fields are counted from the last ')'.
 * -ESRCH: it is dead, and its parent has not asked for its status yet.
 */
static int start_read(int32_t pid, uint64_t *ret_start)
{
	char path[64], line[1024], *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	at = fgets(line, sizeof(line), f);
	fclose(f);
	at = at ? strrchr(line, ')') : NULL;
	if (at && (!strncmp(at, ") Z", 3) || !strncmp(at, ") X", 3)))
		return -ESRCH;
	for (int field = 2; at && field < 22; field++) {
		at = strchr(at, ' ');
		if (at)
			at++;
	}
	if (!at)
		return -EIO;
	*ret_start = strtoull(at, NULL, 10);
	return 0;
}

int store_owner_self(struct store_owner *ret_owner, struct error *e)
{
	struct store_owner owner = { .pid = getpid() };
	struct stat st;
	int err;

	err = boot_id_read(owner.boot_id, sizeof(owner.boot_id));
	if (!err)
		err = start_read(owner.pid, &owner.start);
	if (!err && stat("/proc/self/ns/pid", &st) < 0)
		err = -errno;
	if (err < 0)
		return error_set(e, err, "/proc: cannot read about this process (is it mounted?): %s", strerror(-err));
	owner.pid_namespace = st.st_ino;
	*ret_owner = owner;
	return 0;
}

bool store_owner_certain(const struct store_owner *owner)
{
	struct store_owner self;

	if (owner->lease == STORE_LEASE_HELD)
		return true;
	return store_owner_self(&self, NULL) == 0 && !strcmp(self.boot_id, owner->boot_id) &&
	       self.pid_namespace == owner->pid_namespace && store_owner_alive(owner);
}

bool store_owner_alive(const struct store_owner *owner)
{
	struct store_owner self;
	uint64_t start;
	int err;

	if (store_owner_self(&self, NULL) < 0)
		return true;
	if (strcmp(self.boot_id, owner->boot_id)) /* this machine was started again, or it is another one */
		return owner->lease == STORE_LEASE_HELD;
	if (self.pid_namespace != owner->pid_namespace)
		return owner->lease != STORE_LEASE_OVER;
	err = start_read(owner->pid, &start);
	if (err == -ESRCH)
		return false;
	if (err == -ENOENT) /* or hidden from us (hidepid) */
		return owner->pid > 0 && kill(owner->pid, 0) < 0 && errno == EPERM;
	return err < 0 || start == owner->start;
}
