/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the steps of print_graph() share. Private to graph/. docs/print.md is the specification: names here are its names.
 *
 *   print_survey.c, print_take.c   graph to threads, each a list of items
 *   print_drop.c    closes and waits that are luck
 *   print_keep.c    what of them is in and what is out
 *   print_canon.c   puts the threads into an order that no numbering decides, writes them down
 *   print_fold.c    collapses repetition
 *   print.c         names, and all in turn
 */
#ifndef GRAPH_PRINT_INSIDE_H
#define GRAPH_PRINT_INSIDE_H

#include <stddef.h>

#include "graph/print.h"

/*
 * X(NAME, number, part). Numbers are in every print: append. Items of the CORE are always in; an ENDING only if something of
 * the core came after it; OWN is core of a process that the experiment started, an ending of its descendants; a SPAWNING is in
 * if the thread that it made has items.
 */
#define PRINT_KINDS(X)                                                                             \
	X(THREAD, 0, HEAD)                                                                         \
	X(START, 1, OWN)                                                                           \
	X(EXEC, 2, OWN)                                                                            \
	X(SPAWN, 3, SPAWNING)                                                                      \
	X(LISTEN, 4, CORE)                                                                         \
	X(CONNECT, 5, CORE)                                                                        \
	X(ACCEPT, 6, CORE)                                                                         \
	X(SEND, 7, CORE)                                                                           \
	X(RECV, 8, CORE)                                                                           \
	X(PART, 9, CORE)                                                                           \
	X(DATA, 10, CORE)                                                                          \
	X(FIN, 11, ENDING)                                                                         \
	X(ERROR, 12, ENDING)                                                                       \
	X(CLOSE, 13, ENDING)                                                                       \
	X(SHUTDOWN, 14, ENDING)                                                                    \
	X(WAIT, 15, ENDING)                                                                        \
	X(EXIT, 16, OWN)                                                                           \
	X(FIRED, 17, CORE)

enum print_kind {
#define X(NAME, number, part) PRINT_##NAME = number,
	PRINT_KINDS(X)
#undef X
};

enum print_part { PART_HEAD, PART_CORE, PART_ENDING, PART_OWN, PART_SPAWNING };

enum print_side { SIDE_NONE, SIDE_CONNECTOR, SIDE_ACCEPTOR };

struct print_item {
	uint64_t text;	     /* hash of it, 0: none */
	uint32_t thread;     /* index into threads */
	uint32_t place;	     /* among the items of its thread that are in */
	uint32_t link;	     /* item + 1: its cause, or what it caused; 0 none */
	union {
		uint32_t connection; /* index into graph.connections, 0 none */
		uint32_t peer;	     /* of a folded run: the root at the other end, 0 none */
	};
	uint32_t box;	     /* that can be renamed, 0 none */
	uint8_t kind, side;
	bool dropped; /* was a matter of luck, see print_drop.c */
	bool in;
};

struct print_thread {
	uint64_t text;	  /* hash of its process's name */
	uint32_t process; /* index into trace.processes */
	uint32_t box;	  /* that can be renamed, 0 none */
	uint32_t first, n; /* its items, also those that are out */
	uint32_t n_in;
	uint32_t origin;  /* item + 1: the spawn that made it, 0 unknown; a word has none */
	uint32_t kept_to; /* items from here on are out; 0: the thread is */
	uint32_t done;	  /* of those, how many were looked at */
	uint32_t kinds;	  /* of its items: bits 1 << kind. A word has none */
};

struct print_run {
	const struct graph *g;
	const char *const *roles;
	uint32_t *root;	   /* by process: the one that the experiment started */
	bool *renamable;   /* by box */
	uint32_t *boxes;   /* those that can be renamed, by name */
	size_t n_boxes;
	struct print_item *items;
	struct print_thread *threads;
	size_t n_items, cap_items, n_threads, cap_threads;
	size_t n_in; /* items that are in */
	bool folded; /* threads are words: see print_fold.h */
};

/* Hash of a text; 0 of an empty one. */
uint64_t print_hash(const char *text);
/* Splits s1:7000: *ret_box if s1 can be renamed, and the rest; else 0 and all of it. */
const char *print_target(const struct print_run *run, const char *text, uint32_t *ret_box);
/* The box of a process, if it can be renamed. */
uint32_t print_box(const struct print_run *run, uint32_t process);

/* Whether an item is in whatever else is. */
bool print_is_core(const struct print_run *run, const struct print_item *item);

/* Everything but the order of the threads. 0 or -ENOMEM; print_run_fini() in either case. */
int print_run_init(struct print_run *run, const struct graph *graph, const char *const *roles);
void print_run_fini(struct print_run *run);

/* The prints of what print_run_init() made. 0 or -ENOMEM; on failure ret_prints stays untouched. */
int print_run_levels(struct print_run *run, struct print ret_prints[PRINT_LEVEL_COUNT]);

/* The steps. All return 0 or -ENOMEM; what they made stays in run. */
int print_take(struct print_run *run);
int print_drop(struct print_run *run);
int print_keep(struct print_run *run);
int print_canon(struct print_run *run, struct print *ret_print);

#endif
