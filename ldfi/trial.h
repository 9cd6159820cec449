/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What came of a run, as whoever ran it hands it in: plain data, borrowed. A goal is something that a good outcome
 * consists of, its support the messages that were received in its causal past (docs/lineage.md).
 */
#ifndef LDFI_TRIAL_H
#define LDFI_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trial_message {
	const char *label;    /* client>s1:7000#2/3 */
	const char *from, *to; /* processes; "": not known */
	uint64_t time;	      /* logical, of its send, from 1 */
	bool fixed;	      /* no fault can make it get lost: a datagram */
};

/* `crash PROCESS at send MESSAGE`: takes that message away, and all that the process would have sent after it. */
struct trial_crash {
	const char *process, *message;
	uint64_t time; /* of the message */
};

struct trial_goal {
	const char *name;
	const char *process; /* where it came about; "": nowhere in particular; NULL: not known */
	const struct trial_message *messages; /* its support */
	size_t n_messages;
	const struct trial_crash *crashes;
	size_t n_crashes;
};

enum trial_verdict {
	TRIAL_GOOD,
	TRIAL_VACUOUS,	    /* the premise never came about: nothing was tested */
	TRIAL_VIOLATED,
	TRIAL_INCONCLUSIVE, /* it says nothing: events lost, a timeout, an effect that ended early */
};

struct trial {
	enum trial_verdict verdict;
	const struct trial_goal *goals; /* GOOD */
	size_t n_goals;
	const struct trial_message *messages; /* all of the run, with those that got lost, each process's in the order of their sends: GOOD, */
	size_t n_messages;		      /* VIOLATED, and for random plans */
};

#endif
