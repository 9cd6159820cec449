/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The inside of a conduct, for its files: conduct.c (what comes in), conduct_steps.c (what follows from it),
 * conduct_order.c (what goes out), conduct_faults.c. Nobody else includes this.
 */
#ifndef COLLECTOR_CONDUCT_INSIDE_H
#define COLLECTOR_CONDUCT_INSIDE_H

#include "collector/conduct.h"

/* Names that no process of an experiment can have. */
#define NAME_CHECK ":check"
#define NAME_READY ":ready"

enum conduct_state { IDLE, BEGINNING, STARTING, WORKLOAD, CHECK, STOPPING, FINISHING, DONE };
enum { ACTOR_NONE = -1, ACTOR_HELPER = -2 };

struct conduct_pending {
	uint64_t id;
	enum order_kind kind;
	int actor;
	uint64_t token; /* of who wants to know; 0: the conduct itself */
};

/* A program of the experiment, beside what is kept of it. */
struct conduct_actor {
	const struct experiment_process *spec; /* NULL: the check */
	char *directory;
	bool ordered, ready;
	uint32_t fault; /* that ended it last; 0: none did */
};

/* The program that tells whether a process is ready: one at a time. */
struct conduct_helper {
	char name[64];
	unsigned attempt;
	bool running;
	uint64_t retry_at;
	char said[160]; /* last line of the last attempt */
};

struct conduct {
	const struct experiment *x;
	uint64_t run;
	const char *directory;
	struct conduct_door door;
	enum conduct_state state;
	struct conduct_result result;
	struct conduct_actor *actors;
	struct store_process *processes; /* what is kept; same indices */
	size_t n_actors;
	size_t current; /* STARTING: which */
	struct conduct_helper helper;
	struct trace_box *boxes;
	size_t n_boxes;
	struct conduct_pending *pending;
	size_t n_pending, cap_pending;
	uint64_t last_id;
	const struct plan *plan; /* NULL: no faults */
	uint64_t heard_ns; /* when the agent said something, or was last asked while it owed nothing */
	uint64_t deadline_ns; /* of the state */
	uint64_t since_ns;    /* when it was entered */
	char phase[96];
};

/* Is it a process that the run did not start, and that does not end with it? */
static inline bool conduct_is_attached(const struct conduct *c, size_t actor)
{
	return c->actors[actor].spec && c->actors[actor].spec->attach;
}

/* conduct_order.c: orders to the agent. A failure to send one ends the run. */
void conduct_order(struct conduct *c, struct message_order *order, int actor, uint64_t now);
/* token: of who wants to know what came of it; 0: the conduct itself. */
void conduct_order_for(struct conduct *c, struct message_order *order, uint64_t token, uint64_t now);
void conduct_order_mark(struct conduct *c, char *text, uint64_t now);
void conduct_order_signal(struct conduct *c, size_t actor, uint64_t now);
void conduct_order_start(struct conduct *c, size_t actor, uint64_t now);
void conduct_order_helper(struct conduct *c, uint64_t now); /* the ready program of the current process */

/* conduct_faults.c */
bool conduct_order_plan(struct conduct *c, uint64_t now); /* false: there is nothing to arm */
void conduct_on_armed(struct conduct *c, const char *refused, uint64_t now); /* the answer to that: why not; NULL: they are */
void conduct_answer(struct conduct *c, const struct conduct_pending *pending, int err, const char *text);
/* An actor's end: notes whether a fault was the reason. True: it is started again, and has not ended. */
bool conduct_ended_by_fault(struct conduct *c, const struct message *message, size_t actor);

/* conduct_steps.c */
void conduct_begun(struct conduct *c, uint64_t now); /* the boxes are there */
void conduct_advance(struct conduct *c, uint64_t now); /* as far as what is known allows */
void conduct_overdue(struct conduct *c, uint64_t now); /* the deadline of the state has passed */
void conduct_enter(struct conduct *c, enum conduct_state state, uint64_t now);
/* Decides the outcome, unless it is decided, and begins to stop. */
void conduct_stop(struct conduct *c, enum outcome outcome, const char *reason, uint64_t now);
void conduct_failf(struct conduct *c, uint64_t now, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The last line of text that is not empty. */
void conduct_last_line(const char *text, size_t size, char *buf, size_t buf_size);

#endif
