/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An SQLite file that somebody sent, or that a disk has damaged. Nothing of it is trusted, and reading changes nothing but the format. */
#include <unistd.h>

#include "collector/copy.h"
#include "tests/fuzz/shown.h"

static char path[] = "/tmp/fuzz-bop-store-XXXXXX.db";

enum { FORMAT_BYTE = 63 }; /* the last one of user_version */

static char taken[64];

/* With what SQLite lays beside a file that says it has a write-ahead log. */
static void file_remove(const char *file)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char name[80];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		snprintf(name, sizeof(name), "%s%s", file, suffixes[i]);
		unlink(name);
	}
}

static void path_remove(void)
{
	file_remove(path);
}

static void taken_remove(void)
{
	file_remove(taken);
}

static int file_open(void)
{
	static int fd = -1;

	if (fd < 0) {
		fd = mkstemps(path, 3);
		must(fd >= 0 && !atexit(path_remove));
	}
	return fd;
}

/* As `bop import` does. What was taken can be read as well. */
static void run_take(struct store *from, uint64_t id)
{
	static struct store *to;
	struct error e = { "" };
	struct copy_index *index;
	struct copied copied;
	struct run *run;
	int err;

	if (!to) {
		snprintf(taken, sizeof(taken), "/tmp/fuzz-bop-taken-%d.db", getpid());
		must(!atexit(taken_remove) && !store_open(taken, STORE_CREATE, &to, &e));
	}
	index = copy_index_new(to);
	must(index);
	err = copy_run(from, id, to, index, &copied, &e);
	copy_index_free(index);
	if (err) {
		must_explain(err, &e);
		return;
	}
	must(!run_load(to, copied.to, &run, &e));
	run_free(run);
	must(!store_run_remove(to, copied.to, &e));
}

static int on_run(const struct store_run *row, void *arg, struct error *e)
{
	struct store *store = arg;
	struct run *run;
	int err = run_load(store, row->id, &run, e);

	if (err) {
		must_explain(err, e);
		return 0;
	}
	run_show(run);
	run_free(run);
	run_take(store, row->id);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t after[1 << 20];
	int fd = file_open(), err;
	struct store *store;
	struct error e = { "" };

	if (size > sizeof(after))
		return 0;
	must(!ftruncate(fd, 0) && pwrite(fd, data, size, 0) == (ssize_t)size);
	err = store_open(path, STORE_READ, &store, &e);
	if (!err) {
		err = run_each(store, NULL, on_run, store, &e);
		store_close(store);
	}
	if (err)
		must_explain(err, &e);
	if (size > FORMAT_BYTE && data[FORMAT_BYTE] == 1) /* it was to be brought to format 2 */
		return 0;
	must(pread(fd, after, sizeof(after), 0) == (ssize_t)size && !memcmp(after, data, size));
	return 0;
}
