/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What differs between two runs, in words. Processes are aligned by their names; connections by who asked for what, then by
 * what was said on them; messages of a connection by what precedes and follows. What happened after the outcome does not count.
 * Pure, as the graphs that it looks at: those are borrowed, and outlive it. Runs are called 0 and 1 here: what 1 has and 0
 * has not is added.
 *
 * Cost: linear in what is alike at the beginning and the end of connections, quadratic within a bound in what is between.
 */
#ifndef GRAPH_DIFF_H
#define GRAPH_DIFF_H

#include "graph/graph.h"

/* X(NAME, name, description) */
#define DIFF_KINDS(X)                                                                                             \
	X(FAULT, fault, "a fault fired that did not in the other run")                                            \
	X(PROCESS_ADDED, process_added, "a process that the other run has not")                                   \
	X(PROCESS_REMOVED, process_removed, "a process that is not there any more")                               \
	X(EXIT, exit, "a process ended in another way, or did not end")                                           \
	X(CONNECTION_ADDED, connection_added, "a connection, and all messages on it")                             \
	X(CONNECTION_REMOVED, connection_removed, "the same, not there any more")                                 \
	X(CONNECTION_INSTEAD, connection_instead, "a connection to somebody else, in the place of another one")   \
	X(RESULT, result, "a connection came about, or did not, or failed for another reason")                    \
	X(MESSAGES_ADDED, messages_added, "messages that follow each other on a connection")                      \
	X(MESSAGES_REMOVED, messages_removed, "the same, not there any more")                                     \
	X(UNRECEIVED, unreceived, "a message that was sent, but not received whole")                              \
	X(RECEIVED, received, "a message that is received whole now")                                             \
	X(REORDERED, reordered, "what a thread did earlier or later than in the other run")

enum diff_kind {
#define X(NAME, name, text) DIFF_##NAME,
	DIFF_KINDS(X)
#undef X
	DIFF_KIND_COUNT,
};

const char *diff_kind_name(enum diff_kind kind);

#define DIFF_NONE UINT32_MAX

enum diff_cause { DIFF_UNEXPLAINED, DIFF_BY_FAULT, DIFF_BY_LOSS };

/* Arrays: of run 0 and of run 1. */
struct diff_change {
	enum diff_kind kind;
	uint32_t process[2];	/* whose it is: who connected, ended, went another way; 0 none */
	uint32_t connection[2]; /* 0 none */
	uint32_t vertex[2];	/* where it begins; DIFF_NONE */
	uint32_t beside;	/* REORDERED: the vertex of run 1 that it comes before, and came after */
	uint32_t first[2];	/* by direction (0 from the connector): the number of its first message */
	uint32_t n[2];		/* and how many messages; REORDERED: n[0] moments */
	bool later;		/* it is the other way round */
	uint32_t turns;		/* how often the connector asks in them */
	bool answers;		/* what precedes them is a question that has no answer otherwise */
	enum diff_cause cause;	/* what explains it: of run cause_run the fault of id `fault`, or that events were lost */
	uint32_t fault, cause_run;
	bool lost_to_it;	/* the fault took the message itself, and not what led to it */
	uint32_t moved;		/* REORDERED: of its pairs, else 0 */
	char *text;		/* a sentence, without the explanation */
};

/* Who is who in the other run. */
struct diff_twins {
	uint32_t *process;    /* by process: 0 none */
	uint32_t *connection; /* by connection: 0 none */
	uint32_t *message;    /* by message: DIFF_NONE */
	uint32_t *receive;    /* by message: its last receive before the outcome; DIFF_NONE */
};

/* What both did: connects, accepts, sends, receives, exits before the outcome. Two messages can share a receive. */
struct diff_pair {
	uint32_t vertex[2];
	uint32_t moved; /* the number of the change of order that it is part of; 0: it stays */
};

struct diff {
	struct diff_twins twins[2];
	struct diff_pair *pairs; /* by vertex of run 0 */
	size_t n_pairs;
	struct diff_change *changes; /* faults, what came and went, what has another order; each by time */
	size_t n_changes;
	size_t same_messages, same_connections; /* aligned, whatever else differs of them */
	bool approximate; /* too much differs in one place to be aligned well there */
};

/*
 * Both graphs are of GRAPH_ORDER_THREAD: order that a thread pool makes up would explain too much. 0 or -ENOMEM; on failure
 * *ret_diff stays untouched.
 */
int diff_new(const struct graph *const graphs[2], struct diff **ret_diff);
void diff_free(struct diff *diff);

/* Why, as it stands behind a sentence: "lost to fault 1", "after fault 1", "events were lost here". Empty: unexplained. */
#define DIFF_CAUSE_MAX 80
void diff_cause_text(const struct diff_change *change, char buf[DIFF_CAUSE_MAX]);
/* Does a text name that fault ("lost to fault 1"), and not only one whose number begins with its own? */
bool diff_names_fault(const char *text, uint32_t fault);

#endif
