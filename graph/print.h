/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Prints of a run, 128 bits each. The exact print is shared by two runs if and only if the same messages were exchanged in the
 * same causal order; the folded one if they differ only in how often what was exchanged was repeated; the shape if the same sorts
 * of exchanges took place between the same processes, in whatever order. Equal at one level, equal at those that follow.
 * docs/print.md defines all of them so that another program can compute them from `bop show --json`.
 *
 * What is in: the order of each thread's messages, connections, children and ends, what caused what, and the names of
 * processes and services. What is out: system calls, pids, thread numbers, ephemeral ports, addresses, times, sizes, ordinals
 * (the order says them), teardown.
 *
 * Whether the print of a run that lost events counts is for the caller to say.
 */
#ifndef GRAPH_PRINT_H
#define GRAPH_PRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "graph/graph.h"

/* X(NAME, name, description) */
#define PRINT_LEVELS(X)                                                                            \
	X(EXACT, exact, "every message, in its causal order")                                      \
	X(FOLDED, folded, "the same, repetition of the same exchange collapsed")                   \
	X(SHAPE, shape, "which sorts of exchanges took place, between whom")

enum print_level {
#define X(NAME, name, text) PRINT_LEVEL_##NAME,
	PRINT_LEVELS(X)
#undef X
	PRINT_LEVEL_COUNT,
};

const char *print_level_name(enum print_level level);

struct print {
	uint64_t high, low;
	bool approximate; /* too symmetric to be sure: equal runs have equal prints, different ones may have, too. Never a shape */
};

#define PRINT_TEXT_SIZE 33
/* 32 hexadecimal digits. */
void print_text(const struct print *print, char buf[PRINT_TEXT_SIZE]);
/* < 0, 0, > 0; an approximate print never equals an exact one. */
int print_compare(const struct print *a, const struct print *b);

/*
 * The exact print. roles: by process index (n_processes + 1 of them), the role of a process that the experiment started, NULL: none.
 * Processes of one role can stand for each other: runs that differ only by renaming them, and the boxes they live in,
 * get one print. roles NULL: nobody can. The order that the graph was built for does not matter. 0 or -ENOMEM.
 *
 * Cost: linear in the events; where threads look alike, so often again as it takes to tell them apart, within a bound.
 */
int print_graph(const struct graph *graph, const char *const *roles, struct print *ret_print);

/* The same at all levels. */
int print_levels(const struct graph *graph, const char *const *roles, struct print ret_prints[PRINT_LEVEL_COUNT]);

#endif
