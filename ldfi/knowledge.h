/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What good outcomes stood on, learned run by run: the messages that were seen, the failures that could take them
 * away, and for each goal the supports that brought it about. Pure.
 *
 * A loss hits a support that its message is in, if the budget lets it get lost as late as it came there. A crash at
 * the send of a message hits a support in which its process has sent that message or a later one, by the order in
 * which runs have shown them. What a support has survived does not hit it, whatever this says.
 *
 * A support counts for a plan if it can be expected to come about there unless the plan hits it. A goal that came
 * about without failures is taken for one that any of its supports brings about: all of them count for all plans (but
 * one in which a message came too late to get lost, which it can elsewhere, only with the failures that delayed it,
 * that is, took away what would have reached its sender earlier).
 * A goal that came about only among failures (an abort, where there is a commit without them) is taken for one that
 * is there because of them: its supports count for plans that have the failures of their runs, their context, in
 * them. thorough: so do those of all goals, which is Molly's way of going on from a good run with more failures on
 * top of its own; then nothing is believed but what a run has shown, and there is much more to run.
 *
 * A plan breaks a goal if it hits every support of the goal that counts for it, and if the goal is to be expected at
 * all: it came about without a context, or in one that the plan has in it.
 */
#ifndef LDFI_KNOWLEDGE_H
#define LDFI_KNOWLEDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ldfi/budget.h"
#include "ldfi/symmetry.h"
#include "ldfi/trial.h"

#define KNOWLEDGE_NONE UINT32_MAX

/* A failure that plans may have. */
struct failure {
	bool crash;	  /* of the sender, as it sends; else a loss */
	uint32_t message;
};

/* Numbers of failures, ascending. */
struct failures {
	uint32_t *rows;
	size_t n, cap;
};

struct knowledge;

/* budget and symmetry are borrowed until knowledge_free(). */
int knowledge_new(const struct budget *budget, const struct symmetry *symmetry, bool thorough, struct knowledge **ret_knowledge);
void knowledge_free(struct knowledge *knowledge);

struct knowledge_news {
	size_t goals, supports, mirrored, messages; /* that are new; mirrored: supports by symmetry alone */
	size_t absent; /* goals that are known and did not come about */
	bool failures; /* there are new ones, or the time of some has changed */
};

/* A good run with these failures. -ENOMEM: some of it may have been learned. */
int knowledge_learn(struct knowledge *knowledge, const struct trial *trial, const struct failures *plan, struct knowledge_news *ret_news);
/*
 * Messages that a run had, whatever came of it: plans can be made of them, too, and crashes at them, of processes
 * that can crash.
 */
int knowledge_see(struct knowledge *knowledge, const struct trial_message *messages, size_t n);

size_t knowledge_n_messages(const struct knowledge *knowledge);
size_t knowledge_n_goals(const struct knowledge *knowledge);
size_t knowledge_n_supports(const struct knowledge *knowledge, size_t goal);
unsigned knowledge_version(const struct knowledge *knowledge, size_t goal, size_t support); /* another one when it counts for more, or less hits it */
const char *knowledge_goal_name(const struct knowledge *knowledge, size_t goal);

size_t knowledge_n_failures(const struct knowledge *knowledge);
const struct failure *knowledge_failure(const struct knowledge *knowledge, uint32_t failure);
uint32_t knowledge_process(const struct knowledge *knowledge, uint32_t failure); /* whose send it is about: a number */
uint64_t knowledge_time(const struct knowledge *knowledge, uint32_t failure);	   /* the earliest that was seen of its message */
const char *knowledge_label(const struct knowledge *knowledge, uint32_t failure); /* of its message */
char *knowledge_line(const struct knowledge *knowledge, uint32_t failure);	   /* of a plan; malloc'ed, NULL: no memory */
uint32_t knowledge_find(const struct knowledge *knowledge, const char *line);	   /* KNOWLEDGE_NONE: none is written so */

/* The failures that hit a support: ret is emptied first. -ENOMEM. */
int knowledge_hitters(const struct knowledge *knowledge, size_t goal, size_t support, struct failures *ret);
/* For which plans it counts: those with all of these. ret is emptied first. -ENOMEM. */
int knowledge_context(const struct knowledge *knowledge, size_t goal, size_t support, struct failures *ret);
/* The goal came about only among failures. */
bool knowledge_branches(const struct knowledge *knowledge, size_t goal);
/*
 * The failures each of which takes away what that one does: itself, and of a loss the crashes before it. ret is
 * emptied first. -ENOMEM.
 */
int knowledge_takers(const struct knowledge *knowledge, uint32_t failure, struct failures *ret);
/* Drops losses that a crash of the plan takes away anyway, and a process's crashes behind its first. */
void knowledge_reduce(const struct knowledge *knowledge, struct failures *plan);

/*
 * The same failures in the other places of a way of the symmetry. False: there is no such plan, for nothing like it
 * was seen yet, or a crash would not take the same messages away there, or no memory to say so.
 */
bool knowledge_mirror(const struct knowledge *knowledge, size_t way, const struct failures *plan, struct failures *ret);

/* Keeps rows ascending, each once. -ENOMEM. */
int failures_add(struct failures *failures, uint32_t failure);
bool failures_has(const struct failures *failures, uint32_t failure);
void failures_fini(struct failures *failures);

#endif
