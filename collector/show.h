/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs as text for people (show.c) and as JSON for programs (show_json.c, docs/json.md). Large runs are written piece
 * by piece. Knows nothing about where a run came from. A write that fails is left in ferror(out).
 */
#ifndef COLLECTOR_SHOW_H
#define COLLECTOR_SHOW_H

#include <stdio.h>

#include "collector/prints.h"
#include "collector/run.h"
#include "graph/graph.h"

struct json_writer;

/* Where the time of a run went, in nanoseconds. */
struct show_timing {
	uint64_t total, boxes, ready, workload, check, stop;
	uint64_t cpu; /* of this process, from the first order to the last batch on disk */
};

/* name NULL: process order, the one that cannot miss an influence. */
int show_order_parse(const char *name, enum graph_order *ret_order, struct error *e);

/* The line or two that `bop run` ends with. store: to be named in the hint; NULL: the default. */
/* prints NULL: they are not known. */
void show_run_line(const struct run *run, const struct prints *prints, bool all, const char *store, FILE *out);
/* directory: where it was kept; empty: nowhere. */
void show_run_line_json(const struct run *run, const struct prints *prints, const struct show_timing *timing,
			const char *directory, FILE *out);

/*
 * Lists of runs. each: visits them all; with prints, also those (NULL for a run that has
 * none). The visitor returns 0, or -ENOMEM.
 */
typedef int show_each_run(void *from, bool prints,
			  int (*on_row)(const struct store_run *row, const struct prints *prints, void *arg), void *arg,
			  struct error *e);
int show_runs(show_each_run *each, void *from, bool prints, FILE *out, struct error *e);
int show_runs_json(show_each_run *each, void *from, bool prints, FILE *out, struct error *e);

/* all: every process, connection and message, not only the first. */
int show_run(const struct run *run, const struct graph *graph, bool all, FILE *out, struct error *e);
int show_run_json(const struct run *run, const struct graph *graph, FILE *out, struct error *e);
int show_output(const struct run *run, FILE *out, struct error *e);

/* What became of a process of the trace: whether it ended, and its status as of wait(). */
struct show_status {
	bool exited;
	uint32_t status;
};

/* For all processes of the trace, by index; of those that the experiment started, as the agent said. Caller frees. */
int show_statuses(const struct run *run, struct show_status **ret_statuses, struct error *e);
/* "0", "7", "SIGKILL", "-" */
void show_status_text(const struct show_status *status, char *buf, size_t size);

/* What a process wrote to stdout (1) or stderr (2). Caller frees. NULL: out of memory. */
char *show_written(const struct run *run, uint32_t process, int stream, size_t *ret_size, uint64_t *ret_left_out);

/* "new", "repeat of run 3", "not new" (and kept all the same), "-": it has no class; "no events": they were removed. */
#define SHOW_CLASS_SIZE 48
void show_class_words(const struct store_run *row, char *buf, size_t size);
/* Says whose events are shown, if not its own. */
void show_events_line(const struct run *run, FILE *out);

/* A part of show_run. */
int show_connections(const struct graph *graph, bool all, FILE *out, struct error *e);

/* Parts of show_run and show_run_json: the faults of the plan and those that were injected, and what became of them. */
void show_faults(const struct run *run, const struct graph *graph, bool all, FILE *out);
void show_faults_json(const struct run *run, const struct graph *graph, struct json_writer *w);

/*
 * How the connections ended, by index: "closed", "open", "unanswered", "ECONNREFUSED", ... Static texts; caller frees
 * the array. NULL: there is nothing to show, all that was received there belongs to another one (a multicast address).
 */
int show_connection_ends(const struct graph *graph, const char ***ret_ends, struct error *e);

#endif
