/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where runs are kept: an interface with a backend a database behind it. A run is a row that is created `running`, gets
 * batches, and is sealed once. What store_commit() returned 0 for is on disk.
 *
 * Sealing says which class a run is of: runs of one experiment, with one plan, whose exact prints are equal, also up to the
 * roles. The first run of a class is kept whole. One that did the same again is a repeat: its row, its processes and its streams
 * stay, its batches go, and it points to a run whose events stand for its own (`kept`). A run whose prints do not count has
 * no class, is kept whole, and says why (`unclassed`).
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
#include "graph/print.h"
#include "lib/error.h"

#define STORE_UNKNOWN UINT64_MAX

struct sketch; /* graph/sketch.h */

/* Prints of a run: as it is, and when processes of one role stand for each other (without roles: the same). */
enum store_view { STORE_OWN, STORE_SYMMETRIC, STORE_VIEW_COUNT };

/* Whether the owner says, on whatever machine, that it is there: only where a store can be shared between machines. */
enum store_lease { STORE_LEASE_NONE, STORE_LEASE_HELD, STORE_LEASE_OVER };

/* The process that records a run: enough to tell, later, that it is gone. */
struct store_owner {
	char boot_id[40];
	uint64_t pid_namespace; /* inode */
	uint64_t start;		/* in clock ticks since boot, /proc/PID/stat */
	int32_t pid;
	enum store_lease lease; /* set by reading */
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
	/*
	 * What sealing is told: its prints, or why they do not count; neither: not known yet (see store_run_class()). As read back, the
	 * prints are those of its class; not in lists.
	 */
	struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT];
	bool has_prints;
	char *unclassed; /* why it has no class: a line. NULL: it has one, or nobody has looked */
	/* what sealing says */
	uint64_t class_id; /* 0: none */
	bool new_class;	   /* it is the first one of it */
	uint64_t kept; /* whose events stand for its own: its own number: they are all here; 0: they were removed since */
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

enum { STORE_PLAN_KEY_SIZE = 16 };

/* Runs that did the same. */
struct store_class {
	uint64_t id;
	char *experiment;
	unsigned char plan_key[STORE_PLAN_KEY_SIZE]; /* of plan and dry_run: store_plan_key() */
	char *plan;				     /* canonical lines, each with its end; NULL: none */
	bool dry_run;
	struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT];
	uint64_t first_run; /* the lowest number of its runs that were not removed */
	uint64_t kept_run;  /* the lowest number of those whose events are here; 0: none is */
};

/* How a run is sealed. NULL, or all zero: a repeat loses its events, and nothing is like it. */
struct store_seal {
	bool keep_all; /* also a repeat keeps its events */
	const struct sketch *sketch; /* by which a new class is found when something similar is looked for; NULL: it is not found so */
	const char *injected; /* canonical lines of faults that were injected while it went on: they count as lines of its plan. NULL: none */
};

enum store_mode {
	STORE_READ,   /* nothing is changed; works where nothing can be written */
	STORE_WRITE,  /* must exist */
	STORE_CREATE, /* made if missing */
};

struct store;

/* url: path of an SQLite file, or sqlite:PATH, or postgresql://... as libpq understands it. */
int store_open(const char *url, enum store_mode mode, struct store **ret_store, struct error *e);
void store_close(struct store *store);
#define STORE_NAME_MAX 4352u /* a path is short enough */
/* What may be shown of a URL: without a password. buf: STORE_NAME_MAX. Returns buf. */
const char *store_name(const char *url, char *buf);

/* Whether a server keeps it, which can be slow, or hang, and lets several write at once; else it is a file. */
bool store_is_server(const char *url);

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
 * sealed or gone (a backend may notice that only at the commit). After a failure: store_rollback().
 */
int store_begin(struct store *store, struct error *e);
int store_batch_put(struct store *store, uint64_t run, uint64_t stream, uint64_t number, const void *bytes,
		    size_t size, struct error *e);
int store_commit(struct store *store, struct error *e);
void store_rollback(struct store *store);

/*
 * What work does to the store, through store_run_create(), store_stream_add(), store_run_seal() and batches between begin and commit,
 * is kept as a whole, once this returns 0, or not at all; nobody sees a part of it. A backend may call work again after what it
 * did was undone. Those of several programs take turns: what work reads before it adds anything is what all of them have kept so far,
 * and the numbers of runs that it adds are higher. Returns what work returns, or why it could not be kept.
 */
typedef int store_work(struct store *store, void *arg, struct error *e);
int store_transaction(struct store *store, store_work *work, void *arg, struct error *e);

/* Makes this process the owner of a running one. -ESTALE: it is not running any more. */
int store_run_adopt(struct store *store, uint64_t id, struct error *e);

/*
 * Ends a run, in one transaction: writes what sealing sets, and the processes (n 0: leaves them); with has_prints (and then
 * experiment, plan and dry_run are needed, too) and no `unclassed`, finds its class, or makes it with the sketch's keys, however
 * many collectors do so at once; and decides whether it is kept whole. It is, if it is the first of its class, or nothing else of
 * its class with its outcome is; if its exact print is approximate; with keep_all. Else its batches go. Sets class_id,
 * new_class and kept of run. how: NULL is all zero. -ESTALE: it is not running any more.
 */
int store_run_seal(struct store *store, struct store_run *run, const struct store_process *processes, size_t n,
		   const struct store_seal *how, struct error *e);
/*
 * Gives a run that was sealed without prints and without `unclassed` (by a bop of before, or after a crash) what sealing would have
 * given it, from the same members of run; never removes events. One that has a class or a reason keeps it. Sets the same members.
 * -ESTALE: it still goes on; -ENOENT.
 */
int store_run_class(struct store *store, struct store_run *run, const struct store_seal *how, struct error *e);

/* -ENOENT: no such run. The caller frees with store_run_free(). */
int store_run_get(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e);
void store_run_free(struct store_run *run);
/* The highest number; 0: there is none. */
int store_run_last(struct store *store, uint64_t *ret_id, struct error *e);
/* The highest number of an experiment's run that ended, whole, had no faults that acted, and has events (its own, or those that stand for them); 0: there is none. */
int store_run_baseline(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e);
/*
 * Removes everything of it, from history, too; a class without runs goes. What repeats it (`kept`) has no events from then on.
 * At once, for whoever reads; the room is given back in pieces, so that no other writer waits for long. Whoever is killed
 * meanwhile leaves the rest to store_sweep(). -ENOENT, -EBUSY while it is being recorded.
 */
int store_run_remove(struct store *store, uint64_t id, struct error *e);
/*
 * The same with its events only: the row stays, with `kept` 0. A repeat, which has none of its own, stays as it is. uses: how many runs
 * are shown with them, itself included, as far as the caller knows; -ESTALE: there are more by now. STORE_UNKNOWN: whatever there are.
 */
int store_run_drop(struct store *store, uint64_t id, uint64_t uses, struct error *e);
/*
 * Makes a repeat of a run that has its own events: they go, and those of another run of its class with its outcome (the lowest number
 * that has its own) stand for them, and for what repeated it. -ESTALE: there is no such run (any more); a run that has none of its own
 * stays as it is. -ENOENT.
 */
int store_run_fold(struct store *store, uint64_t id, struct error *e);
/* Bytes of a run's own events, as they are kept; 0: it has none. */
int store_run_size(struct store *store, uint64_t id, uint64_t *ret_bytes, struct error *e);
/* Bytes of the whole store, and of the log beside it; STORE_UNKNOWN: only its server knows. tidy: merges the log first. */
int store_room(struct store *store, bool tidy, uint64_t *ret_bytes, struct error *e);
/*
 * Finishes what a killed one began to remove. Returns of how many runs, or a negative errno. go_on is asked before each piece of it, and
 * false ends it there, with the rest left to the next one; NULL: it goes on.
 */
typedef bool store_go_on(void *arg);
int store_sweep(struct store *store, store_go_on *go_on, void *arg, struct error *e);

/* The key of a plan: XXH3 with 128 bits of its lines, seed 1 of a dry run, else 0; all zero: no faults (lines NULL or empty). */
void store_plan_key(const char *lines, bool dry_run, unsigned char ret_key[STORE_PLAN_KEY_SIZE]);
/*
 * The class of an experiment's runs with that plan and these exact prints (own and up to the roles; the others are not looked
 * at): 1 and *ret_class, which the caller frees with store_class_free(); 0: no run did that yet; or a negative errno.
 */
int store_class_find(struct store *store, const char *experiment, const unsigned char plan_key[STORE_PLAN_KEY_SIZE],
		     const struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT], struct store_class **ret_class,
		     struct error *e);
/* -ENOENT: there is none (any more). As above. */
int store_class_get(struct store *store, uint64_t id, struct store_class **ret_class, struct error *e);
void store_class_free(struct store_class *class);

/*
 * Visitors. What they get is borrowed for the call (path and text are NULL in a list); a value other than 0 stops and
 * is returned.
 */
typedef int store_on_run(const struct store_run *run, void *arg, struct error *e);
typedef int store_on_stream(const struct store_stream *stream, void *arg, struct error *e);
typedef int store_on_process(const struct store_process *process, void *arg, struct error *e);
typedef int store_on_batch(uint64_t stream, uint64_t number, const void *bytes, size_t size, void *arg,
			   struct error *e);

typedef int store_on_class(const struct store_class *class, void *arg, struct error *e);
/* sketch: its values; the keys are not set. */
typedef int store_on_candidate(uint64_t class_id, const struct sketch *sketch, void *arg, struct error *e);

/* Which runs, and in which order. NULL, or all zero: all, by number. */
struct store_range {
	const char *experiment; /* only of that name; NULL: of any */
	uint64_t after;		/* only with a higher number; with newest, with a lower one. 0: all */
	bool newest;		/* the highest number first */
	bool running;		/* only those that are not sealed; is quick */
	bool unknown;		/* only those that store_run_class() is for; is quick */
};

int store_each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg,
		   struct error *e);
int store_each_stream(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e);
int store_each_process(struct store *store, uint64_t run, store_on_process *on_process, void *arg, struct error *e);
int store_each_batch(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e);

/* By number. experiment NULL: of all. */
int store_each_class(struct store *store, const char *experiment, store_on_class *on_class, void *arg, struct error *e);
/* The key that all classes of an experiment have that were kept with a sketch, beside those of the sketch. */
uint64_t store_experiment_key(const char *experiment);
/* Which classes are looked for: they have one of n keys or more. */
struct store_near {
	const uint64_t *keys;
	size_t n;
	uint64_t below;	 /* only with a lower number; 0: any */
	uint32_t of_key; /* of each key at most so many: those with the highest numbers */
};

/* Each once, by number. Costs as much as n keys times of_key, however many classes there are. */
int store_class_near(struct store *store, const struct store_near *near, store_on_candidate *on_candidate, void *arg,
		     struct error *e);

/* This process; and whether the owner can still be alive (true when that cannot be told from here). */
int store_owner_self(struct store_owner *ret_owner, struct error *e);
bool store_owner_alive(const struct store_owner *owner);
/* Whether it is known to be alive: false when that cannot be told from here. */
bool store_owner_certain(const struct store_owner *owner);

/*
 * A backend. Same contracts as the functions above. In run_seal and run_class `class` is what a new class would be (id, first_run and
 * kept_run not set), NULL: the run has none; how is never NULL.
 */
struct store_ops {
	void (*close)(struct store *store);
	int (*run_create)(struct store *store, struct store_run *run, struct error *e);
	int (*stream_add)(struct store *store, uint64_t run, struct store_stream *stream, struct error *e);
	int (*begin)(struct store *store, struct error *e);
	int (*batch_put)(struct store *store, uint64_t run, uint64_t stream, uint64_t number, const void *bytes,
			 size_t size, struct error *e);
	int (*commit)(struct store *store, struct error *e);
	void (*rollback)(struct store *store);
	int (*transaction)(struct store *store, store_work *work, void *arg, struct error *e);
	int (*run_adopt)(struct store *store, uint64_t id, const struct store_owner *owner, struct error *e);
	int (*run_seal)(struct store *store, struct store_run *run, const struct store_process *processes, size_t n,
			const struct store_class *class, const struct store_seal *how, struct error *e);
	int (*run_class)(struct store *store, struct store_run *run, const struct store_class *class,
			 const struct store_seal *how, struct error *e);
	int (*run_get)(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e);
	int (*run_last)(struct store *store, uint64_t *ret_id, struct error *e);
	int (*run_baseline)(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e);
	int (*run_remove)(struct store *store, uint64_t id, struct error *e);
	int (*run_drop)(struct store *store, uint64_t id, uint64_t uses, struct error *e);
	int (*run_fold)(struct store *store, uint64_t id, struct error *e);
	int (*run_size)(struct store *store, uint64_t id, uint64_t *ret_bytes, struct error *e);
	int (*room)(struct store *store, bool tidy, uint64_t *ret_bytes, struct error *e);
	int (*sweep)(struct store *store, store_go_on *go_on, void *arg, struct error *e);
	int (*class_find)(struct store *store, const char *experiment, const unsigned char *plan_key,
			  const struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT], struct store_class **ret_class,
			  struct error *e);
	int (*class_get)(struct store *store, uint64_t id, struct store_class **ret_class, struct error *e);
	int (*each_class)(struct store *store, const char *experiment, store_on_class *on_class, void *arg,
			  struct error *e);
	int (*class_near)(struct store *store, const struct store_near *near, store_on_candidate *on_candidate, void *arg,
			  struct error *e);
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
int store_pg_open(const char *url, enum store_mode mode, struct store **ret_store, struct error *e);
int store_pg_exists(const char *url, struct error *e);
void store_pg_name(const char *url, char *buf, size_t size);

#endif
