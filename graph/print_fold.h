/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A run with its repetitions collapsed. Private to graph/. docs/print.md is the specification: names here are its names.
 *
 *   print_fold.c    threads to words: of each sort of item the first one
 *   print_shape.c   what is left without threads and order
 */
#ifndef GRAPH_PRINT_FOLD_H
#define GRAPH_PRINT_FOLD_H

#include "graph/print_inside.h"

struct print_fold {
	struct print_run run; /* threads are words, items letters; what tells processes and boxes is borrowed */
	uint64_t *plain;      /* by letter: its text without its mark */
};

/* from: with all its steps done; must outlive the fold. 0 or -ENOMEM; print_fold_fini() in either case. */
int print_fold_init(struct print_fold *fold, const struct print_run *from);
void print_fold_fini(struct print_fold *fold);

/* 0 or -ENOMEM. */
int print_shape(const struct print_fold *fold, struct print *ret_print);

#endif
