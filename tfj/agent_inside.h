/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The inside of an agent, for agent.c (the loop), agent_open.c (its start) and agent_order.c (what the collector orders
 * and is told). Nobody else includes this.
 */
#ifndef TFJ_AGENT_INSIDE_H
#define TFJ_AGENT_INSIDE_H

#include "tfj/agent.h"
#include "tfj/box.h"
#include "tfj/cgroup.h"
#include "tfj/faults.h"
#include "tfj/guardian.h"
#include "tfj/link.h"
#include "tfj/run.h"
#include "tfj/served.h"
#include "tfj/tracer.h"
#include "tfj/unable.h"

struct agent {
	struct message_hello hello;
	struct unable unable; /* in hello */
	char host[65], kernel[65], boot_id[40];
	struct tracer *tracer;
	struct link *link;
	struct guardian *guardian; /* NULL: it could not be made */
	struct faults *faults; /* NULL: there was none so far */
	struct spool_room room;
	struct served served;
	unsigned strangers; /* collectors other than the one that ordered the run */
	struct run *run; /* NULL: none */
	struct run_place place;
	char cgroup_root[256];
	struct claim cgroup_mount;
	int epoll, signals;
	bool attached, resting, quit, stop, embedded;
	struct boxes *grave; /* of the run before, not closed yet */
	uint64_t idle_ns, progress_ns, tick_ns, heard_ns, quit_ns;
	struct { /* the run has ended, but its last batch has not left */
		bool pending;
		bool replaying; /* what was deferred is not all batches yet */
		bool abandoned; /* nobody waits for the reply */
		uint64_t order;
		int err;
		struct error e;
	} finish;
	struct message waiting; /* a Begin that came while an abandoned run is still becoming batches */
};

/* agent_open.c: what failed half-way is there to be closed. */
int agent_open(struct agent *agent, const struct agent_options *options, struct error *e);

/* agent_order.c */
void agent_on_order(struct agent *agent, const struct message_order *order);
/* Goes on with the end of a run: the reply to Finish follows the last batch, for which the window may have to open. */
void agent_finish(struct agent *agent);
bool agent_can_replay(const struct agent *agent); /* it has something to do at once */
/* Nobody is left who would end the run. What was recorded is kept for a collector that comes back. agent_finish() ends it. */
void agent_abandon(struct agent *agent, const char *why);
/* Is this one to be moved to `waiting`, from where it is obeyed when the run has ended? */
bool agent_must_wait(const struct agent *agent, const struct message *message);
/* Lets go of the run, ended or not. */
void agent_run_end(struct agent *agent);
/* Keeps the boxes of the run before until the next one has its own; lets go of those kept before. NULL: none. */
void agent_grave(struct agent *agent, struct boxes *boxes);

/* agent_order.c: what runs and the tracer tell. */
void agent_on_record(const struct rec_head *record, size_t size, void *arg);
void agent_on_started(uint64_t order, int err, const char *error, pid_t pid, void *arg);
void agent_on_exited(const char *name, uint32_t status, const char *output, size_t size, uint32_t fault, bool restarts, void *arg);
void agent_on_receipts(const struct fault_receipt *rows, size_t n, void *arg);
void agent_on_ready(const char *name, void *arg);

#endif
