/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which of root's rights (capabilities(7)) the agent uses, and letting go of the others. What programs in boxes may do is
 * not changed by it: one that runs as root gets at exec what the bounding set holds.
 */
#ifndef TFJ_RIGHTS_H
#define TFJ_RIGHTS_H

#include <stdio.h>

#include "lib/error.h"

/* -EPERM: one is missing; the line names all that are, and what each is for. */
int rights_check(struct error *e);

/*
 * From now on only those are in effect in this thread and in those that it makes. They stay permitted: the kernel takes
 * the signal at its parent's death away from a program that gains any at exec, and ours must not outlive us.
 */
int rights_keep(struct error *e);

/* Calls function in a thread without any, and waits for it: for what makes threads that only move bytes. */
int rights_without(void (*function)(void *arg), void *arg);

/* For a process that only sends signals, to whomever: nothing else is left to it, for ever. Before it has threads. */
int rights_to_signal(void);

/* A line for each; or, as JSON, the members of an array. */
void rights_print(FILE *out, int json);

#endif
