/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The history of an experiment (docs/history.md): the classes of its runs, how often and when each came, with which outcomes;
 * what was tried (its plans); how many classes there are that never came. Made in memory from the rows of a store: linear in
 * runs and classes. Coarser levels, and roles, make one class of several of the store.
 */
#ifndef COLLECTOR_HISTORY_H
#define COLLECTOR_HISTORY_H

#include "collector/richness.h"
#include "collector/store.h"

struct history_class {
	uint64_t id;	     /* of the one of the store's classes in it that was found first */
	size_t plan;	     /* its place among the plans */
	struct print print;  /* at the history's level: what its runs have in common */
	uint64_t exact;	     /* so many classes of the store are in it */
	uint64_t first_run, last_run;
	uint64_t kept_run;   /* the first whose events are kept; 0: none */
	uint64_t first_ns, last_ns; /* when those runs began, CLOCK_REALTIME */
	uint64_t count;	     /* runs */
	uint64_t found_at;   /* the first one was the how-many-th run that counts, of the experiment: from 1 */
	uint64_t outcomes[OUTCOME_COUNT];
};

/* Runs with the same faults. */
struct history_plan {
	unsigned char key[STORE_PLAN_KEY_SIZE];
	char *lines; /* canonical, each with its end; empty: no faults */
	bool dry_run;
	uint64_t runs, unclassed; /* that count, that do not */
	uint64_t first_run, last_run; /* of both */
	uint64_t outcomes[OUTCOME_COUNT]; /* the same */
	struct richness richness; /* of its classes */
};

struct history_reason {
	char *text; /* why runs do not count */
	uint64_t runs;
};

struct history {
	enum print_level level;
	enum store_view view;
	struct history_class *classes; /* in the order in which they were found */
	size_t n_classes;
	struct history_plan *plans; /* in the order of their first runs */
	size_t n_plans;
	struct history_reason *reasons; /* the most frequent first */
	size_t n_reasons;
	uint64_t runs, unclassed; /* that count; that ended and do not */
	uint64_t at[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT]; /* how many classes there are at each level */
	struct richness richness; /* of all plans together */
};

/* exact, folded, shape; NULL or empty: exact. -EINVAL. */
int history_level_parse(const char *name, enum print_level *ret_level, struct error *e);

/* What is known of a run; reason: why it has no class, when class_id is 0. */
struct history_run {
	uint64_t id, class_id, started_ns; /* id 0: there is none */
	enum outcome outcome;
	const char *reason;
	const char *plan; /* only without class: its lines, NULL: none */
	bool dry_run;	  /* the same */
};

/*
 * runs: ended ones, by number; a run whose class is not among them does not exist. Strings are borrowed for the call. 0 or -ENOMEM.
 */
int history_make(const struct history_run *runs, size_t n_runs, const struct store_class *classes, size_t n_classes,
		 enum print_level level, enum store_view view, struct history **ret_history);
/* Of a store. -ENOENT: the experiment has no run; the complaint says which ones have. */
int history_load(struct store *store, const char *experiment, enum print_level level, enum store_view view,
		 struct history **ret_history, struct error *e);
void history_free(struct history *history);

#endif
