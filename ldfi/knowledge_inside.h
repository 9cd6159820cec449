/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between knowledge*.c. */
#ifndef LDFI_KNOWLEDGE_INSIDE_H
#define LDFI_KNOWLEDGE_INSIDE_H

#include <uthash.h>

#include "ldfi/knowledge.h"

struct message {
	UT_hash_handle hh;
	char *label;
	uint32_t index, from, to;
	uint64_t time; /* the earliest that was seen */
	size_t rank;   /* among those of its sender, by process order; see knowledge_order() */
	bool fixed;
	uint32_t loss, crash;	  /* failures; KNOWLEDGE_NONE: it is none */
	uint32_t *images;	  /* by way of the symmetry, once it was asked for */
};

struct process {
	UT_hash_handle hh;
	char *name;
	uint32_t index;
	bool allowed, can_crash;
	uint32_t *order; /* n_order messages that it sends, one after the other */
	size_t n_order, cap_order;
};

/*
 * A message of a support: its number times two, and one more if it came too late there to get lost within the budget.
 */
#define ENTRY(message, late) ((message) << 1 | (late))
#define ENTRY_MESSAGE(entry) ((entry) >> 1)
#define ENTRY_LATE(entry) ((entry) & 1)

struct support {
	uint32_t *entries; /* n of them, ascending */
	size_t n;
	struct failures plan; /* among which it came about; see knowledge_context() */
	struct failures survived;
	unsigned version;
};

struct goal {
	char *name;
	struct support *supports;
	size_t n, cap;
	bool base; /* it came about without failures */
};

struct knowledge {
	const struct budget *budget;
	const struct symmetry *symmetry;
	bool thorough;
	bool *useless; /* ways of the symmetry that say nothing: goals do not change places with their processes */
	struct message **messages, *by_label;
	size_t n_messages, cap_messages;
	struct process **processes, *by_name;
	size_t n_processes, cap_processes;
	struct failure *failures;
	size_t n_failures, cap_failures;
	struct goal *goals;
	size_t n_goals, cap_goals;
	bool changed;
};

/* Known from then on; a new one is to be put into its sender's order. */
int knowledge_intern(struct knowledge *k, const struct trial_message *from, uint32_t *ret_message, bool *ret_new);
/* The same, in its order behind all others, and among the failures if it can get lost. */
int knowledge_message_learn(struct knowledge *k, const struct trial_message *from, uint32_t *ret_message);
/* All messages of a run: new ones go behind what their sender sent before them there. */
int knowledge_messages_learn(struct knowledge *k, const struct trial_message *messages, size_t n);
/* A message goes into its sender's order behind that other one; KNOWLEDGE_NONE: in front of all. */
int knowledge_order(struct knowledge *k, uint32_t message, uint32_t behind);
/* One failure each, if the budget allows it and there is none yet. */
int knowledge_admit_loss(struct knowledge *k, uint32_t message);
int knowledge_admit_crash(struct knowledge *k, uint32_t message);
/* What the message is in the other places: it is known from then on. -ENOMEM. */
int knowledge_image(struct knowledge *k, size_t way, uint32_t message, uint32_t *ret_image);

/* Whether a crash of its sender at the message takes that other one of the same sender away. */
bool knowledge_takes(const struct knowledge *k, uint32_t message, uint32_t other);
bool knowledge_hits(const struct knowledge *k, uint32_t failure, const struct support *support);

#endif
