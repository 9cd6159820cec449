/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Labels of processes as the kernel side knows them: by a number that it can compute for children by itself (bpf/fault.h). */
#ifndef TFJ_LABEL_H
#define TFJ_LABEL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * s1, s1'2: by its text; s1.1.2: the second child of the first child of s1. Never 0. A program that the experiment calls
 * s1.1 has the number of that child: whoever gives names must not do that.
 */
uint64_t label_number(const char *label);

/* Is it `root`, or of one that descends from it: s1.2 of s1? */
bool label_is_below(const char *label, const char *root);

#endif
