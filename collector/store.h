/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where runs are kept: an interface with one file a backend behind it. A run is a row that is created `running`, gets
 * batches, and is sealed once. What store_commit() returned 0 for is on disk.
 *
 * Must not know what is inside a batch. Every failure leaves the store as it was before the call (or before
 * store_begin()), and names the store.
 */
#ifndef COLLECTOR_STORE_H
#define COLLECTOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/outcome.h"
#include "lib/error.h"

#define STORE_UNKNOWN UINT64_MAX

/* The process that records a run: enough to tell, later, that it is gone. */
struct store_owner {
	char boot_id[40];
	uint64_t pid_namespace; /* inode */
	uint64_t start;		/* in clock ticks since boot, /proc/PID/stat */
	int32_t pid;
};

struct store_run {
	uint64_t id;
	char *experiment, *path, *text; /* its name; its file, and what was in it */
	char *version;			/* of bop */
	uint64_t started_ns;		/* CLOCK_REALTIME */
	uint64_t started_monotonic_ns;	/* CLOCK_MONOTONIC at the same moment */
	struct store_owner owner;
	char *plan;    /* canonical lines of its faults, each with its end; NULL: none. Not in lists */
	uint64_t seed; /* of what it decides by chance; 0: none. Not in lists */
	bool dry_run, racy; /* of the plan. Not in lists */
	uint32_t faults; /* lines of the plan */
	/* set by sealing */
	bool running, incomplete;
	enum outcome outcome;
	char *reason, *warnings; /* one line; lines. NULL: none */
	uint64_t duration_ns;
	uint64_t events, messages, lost, holes; /* STORE_UNKNOWN: not known */
};

/* An agent process that recorded for a run. */
struct store_stream {
	uint64_t number; /* from 1 in its run */
	unsigned char session[16];
	char *host, *boot_id, *kernel, *backend;
	uint64_t monotonic_ns, realtime_ns; /* read together, on the agent's machine */
};

enum store_role { STORE_PROCESS = 1, STORE_WORKLOAD, STORE_CHECK };

/* What became of a program of the experiment. */
struct store_process {
	char *name, *box, *command;
	enum store_role role;
	bool started, exited;
	uint32_t status; /* as wait() shows it; only with exited */
	char *output;	 /* of the check: stdout and stderr; NULL: none */
	size_t output_size;
};

enum store_mode {
	STORE_READ,   /* nothing is changed; works where nothing can be written */
	STORE_WRITE,  /* must exist */
	STORE_CREATE, /* made if missing */
};

struct store;

/* url: path of an SQLite file, or sqlite:PATH. */
int store_open(const char *url, enum store_mode mode, struct store **ret_store, struct error *e);
void store_close(struct store *store);

/*
 * Finds what can be found without making anything: 1 the store exists, 0 it does not but can be made there, or a
 * negative errno.
 */
int store_exists(const char *url, struct error *e);

/* Takes experiment, path, text, version, started_*, owner, plan, seed, dry_run, racy from run; sets run->id. */
int store_run_create(struct store *store, struct store_run *run, struct error *e);
/* Sets stream->number. */
int store_stream_add(struct store *store, uint64_t run, struct store_stream *stream, struct error *e);

/*
 * Batches are put in between begin and commit. A number that is there already is kept as it is. -ESTALE: the run is
 * sealed or gone. After a failure: store_rollback().
 */
int store_begin(struct store *store, struct error *e);
int store_batch_put(struct store *store, uint64_t run, uint64_t stream, uint64_t number, const void *bytes,
		    size_t size, struct error *e);
int store_commit(struct store *store, struct error *e);
void store_rollback(struct store *store);

/* Makes this process the owner of a running one. -ESTALE: it is not running any more. */
int store_run_adopt(struct store *store, uint64_t id, struct error *e);

/* Writes what sealing sets, and the processes (n 0: leaves them). -ESTALE: it is not running any more. */
int store_run_seal(struct store *store, const struct store_run *run, const struct store_process *processes, size_t n,
		   struct error *e);

/* -ENOENT: no such run. The caller frees with store_run_free(). */
int store_run_get(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e);
void store_run_free(struct store_run *run);
/* The highest number; 0: there is none. */
int store_run_last(struct store *store, uint64_t *ret_id, struct error *e);
/* The highest number of an experiment's run that ended, whole, and had no faults that acted; 0: there is none. */
int store_run_baseline(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e);
/* Removes everything of it. -ENOENT, -EBUSY while it is being recorded. */
int store_run_remove(struct store *store, uint64_t id, struct error *e);

/*
 * Visitors. What they get is borrowed for the call (path and text are NULL in a list); a value other than 0 stops and
 * is returned.
 */
typedef int store_on_run(const struct store_run *run, void *arg, struct error *e);
typedef int store_on_stream(const struct store_stream *stream, void *arg, struct error *e);
typedef int store_on_process(const struct store_process *process, void *arg, struct error *e);
typedef int store_on_batch(uint64_t stream, uint64_t number, const void *bytes, size_t size, void *arg,
			   struct error *e);

/* Which runs, and in which order. NULL, or all zero: all, by number. */
struct store_range {
	const char *experiment; /* only of that name; NULL: of any */
	uint64_t after;		/* only with a higher number; with newest, with a lower one. 0: all */
	bool newest;		/* the highest number first */
};

int store_each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg,
		   struct error *e);
int store_each_stream(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e);
int store_each_process(struct store *store, uint64_t run, store_on_process *on_process, void *arg, struct error *e);
int store_each_batch(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e);

/* This process; and whether the owner can still be alive (true when that cannot be told from here). */
int store_owner_self(struct store_owner *ret_owner, struct error *e);
bool store_owner_alive(const struct store_owner *owner);

/* A backend. Same contracts as the functions above. */
struct store_ops {
	void (*close)(struct store *store);
	int (*run_create)(struct store *store, struct store_run *run, struct error *e);
	int (*stream_add)(struct store *store, uint64_t run, struct store_stream *stream, struct error *e);
	int (*begin)(struct store *store, struct error *e);
	int (*batch_put)(struct store *store, uint64_t run, uint64_t stream, uint64_t number, const void *bytes,
			 size_t size, struct error *e);
	int (*commit)(struct store *store, struct error *e);
	void (*rollback)(struct store *store);
	int (*run_adopt)(struct store *store, uint64_t id, const struct store_owner *owner, struct error *e);
	int (*run_seal)(struct store *store, const struct store_run *run, const struct store_process *processes,
			size_t n, struct error *e);
	int (*run_get)(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e);
	int (*run_last)(struct store *store, uint64_t *ret_id, struct error *e);
	int (*run_baseline)(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e);
	int (*run_remove)(struct store *store, uint64_t id, struct error *e);
	int (*each_run)(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg,
			struct error *e);
	int (*each_stream)(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e);
	int (*each_process)(struct store *store, uint64_t run, store_on_process *on_process, void *arg,
			    struct error *e);
	int (*each_batch)(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e);
};

struct store {
	const struct store_ops *ops;
};

int store_sqlite_open(const char *path, enum store_mode mode, struct store **ret_store, struct error *e);
int store_sqlite_exists(const char *path, struct error *e);

#endif
