/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs an experiment once: a state machine that is told what the agent said and what time it is, and gives orders.
 * No socket, clock, process or store: the same code runs against a real agent and against a test's.
 *
 *   beginning (boxes, faults) -> starting (each process, until ready) -> workload -> check -> stopping -> finishing -> done
 *
 * Whatever goes wrong on the way decides the outcome and goes to stopping, so that processes are stopped in order and
 * the run's end is always recorded; only the loss of the agent goes straight to done.
 */
#ifndef COLLECTOR_CONDUCT_H
#define COLLECTOR_CONDUCT_H

#include "collector/experiment.h"
#include "collector/outcome.h"
#include "collector/plan.h"
#include "collector/store.h"
#include "proto/wire.h"

#define CONDUCT_READY_RETRY_NS 50000000ull    /* between two attempts of a readiness program */
#define CONDUCT_SILENCE_NS 30000000000ull     /* an agent that owes a reply and says nothing for so long is taken for hung */

struct conduct_door {
	/* Sends an order; a failure means that the agent is lost. The order is borrowed. */
	int (*order)(void *arg, const struct message_order *order, struct error *e);
	void *arg;
	/* Something odd that does not decide the outcome; one line. May be NULL. */
	void (*warn)(void *arg, const char *text);
	/* What became of conduct_inject() and conduct_lift(): err 0, or a negative errno and why. May be NULL. */
	void (*answered)(void *arg, uint64_t token, int err, const char *text);
};

struct conduct_result {
	enum outcome outcome;
	char reason[512];  /* why the outcome is not good; may be empty */
	const char *blame; /* a process whose last words on stderr explain it; NULL: none */
	bool agent_lost;   /* died, was killed, or hangs: it must be killed and cleaned up after */
	bool began;	   /* boxes were made: events can have been recorded */
	uint64_t boxes_ns, ready_ns, workload_ns, check_ns, stop_ns; /* how long each took */
};

struct conduct;

/* experiment, directory (of the run, absolute) are borrowed until conduct_free(). now: CLOCK_MONOTONIC, ns, everywhere. */
int conduct_new(const struct experiment *experiment, uint64_t run, const char *directory,
		const struct conduct_door *door, struct conduct **ret_conduct, struct error *e);
void conduct_free(struct conduct *conduct);

/* Before it begins: what is armed before anything starts. Numbered; borrowed until conduct_free(). */
void conduct_faults(struct conduct *conduct, const struct plan *plan);

void conduct_begin(struct conduct *conduct, uint64_t now);
/* Every message of the agent; those that mean nothing here only show that it lives. */
void conduct_on_message(struct conduct *conduct, const struct message *message, uint64_t now);
void conduct_on_time(struct conduct *conduct, uint64_t now);
/* When conduct_on_time() has something to do at the latest. */
uint64_t conduct_deadline(const struct conduct *conduct);

/* The user wants it to end, in order. */
void conduct_interrupt(struct conduct *conduct, uint64_t now);
/* And now at once: nobody is asked or waited for any more. */
void conduct_hurry(struct conduct *conduct, uint64_t now);
/* The harness itself cannot go on (the store is full, ...): ends in order, outcome error. */
void conduct_fail(struct conduct *conduct, const char *reason, uint64_t now);
/* No agent any more; outcome: error, or interrupted if it was killed because the user wanted so. */
void conduct_agent_lost(struct conduct *conduct, enum outcome outcome, const char *reason);

/*
 * More faults (numbered; borrowed for the call), or one fewer, while it goes on; door.answered() is told with the token (not 0) what
 * came of it. -EBUSY: not now; then nobody is told.
 */
int conduct_inject(struct conduct *conduct, const struct plan *plan, uint64_t token, uint64_t now, struct error *e);
int conduct_lift(struct conduct *conduct, uint32_t id, uint64_t token, uint64_t now, struct error *e);

bool conduct_done(const struct conduct *conduct);
const struct conduct_result *conduct_result(const struct conduct *conduct);
/* For progress: "starting s1", "workload", "check", ... Valid until the next call. */
const char *conduct_phase(const struct conduct *conduct);

/* What became of each program: processes, workloads, check, in this order. Borrowed. */
const struct store_process *conduct_processes(const struct conduct *conduct, size_t *ret_n);

#endif
