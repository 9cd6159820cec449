/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A stored run in memory: its row, what became of its programs, and its trace. */
#ifndef COLLECTOR_RUN_H
#define COLLECTOR_RUN_H

#include "collector/store.h"
#include "graph/graph.h"
#include "proto/event.h"

/* When the run began whose events are here. */
struct run_clock {
	char boot_id[40];
	uint64_t realtime_ns, monotonic_ns;
};

struct run {
	struct store_run *row; /* running, but its owner is gone: shown as ended, incomplete */
	struct store_process *processes;
	size_t n_processes;
	struct store_stream *streams; /* of events_of, an agent each; times of the trace are of the first one's clock */
	size_t n_streams;
	struct store_stream *agents; /* who recorded the run itself: `streams`, or a repeat's own; none if an older bop did not keep them */
	size_t n_agents;
	struct trace trace;	    /* of all streams; lost is UINT64_MAX when one has no end or a gap */
	bool complete;
	uint64_t events_of; /* the run that recorded them: its own number, or, of a repeat, that of the one that it did the same as */
	struct run_clock clock;
};

/* "7", or "last", which gives 0. -EINVAL. */
int run_name_parse(const char *name, uint64_t *ret_id, struct error *e);
int run_none(struct error *e); /* -ENOENT: there is no last one */
/* "7" or "last". -EINVAL, -ENOENT. */
int run_find(struct store *store, const char *name, uint64_t *ret_id, struct error *e);

/*
 * With the events of the run that stands for it (store.h). -ENOENT; -EBADMSG: they cannot be read; -ENODATA: they were removed.
 */
int run_load(struct store *store, uint64_t id, struct run **ret_run, struct error *e);
void run_free(struct run *run);

/* Nanoseconds from the start of the run to a moment of the trace's clock; negative before it. */
int64_t run_time(const struct run *run, uint64_t monotonic_ns);

/*
 * Counts events, messages, losses and holes into row. The holes come from the graph, so all is as slow as building it;
 * what could not be found out is STORE_UNKNOWN. Fails as graph_build() does. ret_graph: where to leave the graph
 * (process order) for the caller to free; NULL: nowhere.
 */
int run_count(const struct run *run, struct store_run *row, struct graph **ret_graph, struct error *e);

/* What the row of a run says when its owner died before it could seal it. Takes nothing. */
#define RUN_OWNER_DIED "bop was killed before the run ended"

/* Loads a run of a dead owner and counts it, as it is to be sealed; complete: all its streams have ended. */
int run_load_dead(struct store *store, uint64_t id, bool complete, struct run **ret_run, struct error *e);

/* Seals every run whose owner is gone. Returns how many, or a negative errno. */
int run_seal_orphans(struct store *store, struct error *e);
/* Whether there are such runs: 1, 0, or a negative errno. */
int run_has_orphans(struct store *store, struct error *e);

/* As store_each_run(); a run whose owner is gone is presented as it would be sealed. */
int run_each(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg, struct error *e);

/*
 * Last lines (at most n) that the process wrote to stderr, or if it wrote nothing there to stdout. Caller frees; NULL:
 * nothing.
 */
char *run_last_words(const struct run *run, const char *process, unsigned n);

#endif
