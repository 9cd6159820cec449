/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One run on this machine, from Begin to Finish: boxes, cgroup, programs, and the stream of what was recorded.
 */
#ifndef TFJ_RUN_H
#define TFJ_RUN_H

#include <stdbool.h>
#include <sys/types.h>

#include "bpf/record.h"
#include "proto/wire.h"
#include "tfj/link.h"
#include "tfj/served.h"
#include "tfj/spool.h"
#include "tfj/tracer.h"

struct run;
struct faults;
struct guardian;

/* What runs are made on; borrowed. */
struct run_place {
	struct tracer *tracer; /* attached */
	struct link *link;
	struct spool_room *room;
	const char *cgroup_root;
	const struct served *served;
	struct faults **faults;    /* of the agent; loaded by the first fault */
	struct guardian *guardian; /* NULL: there is none */
	bool no_syn_option; /* SYNs are to say nothing */
	int epoll;
	uint32_t box_base; /* a range of BOX_MAX numbers that no earlier run had */
	void (*on_started)(uint64_t order, int err, const char *error, pid_t pid, void *arg);
	/* fault: which one ended it, 0 none; restarts: it is started again, and then ends again */
	void (*on_exited)(const char *name, uint32_t status, const char *output, size_t size, uint32_t fault, bool restarts,
			  void *arg);
	void (*on_ready)(const char *name, void *arg);
	void (*on_receipts)(const struct fault_receipt *rows, size_t n, void *arg);
	void *arg;
};

/* order: a Begin. On failure nothing is left. */
int run_open(const struct run_place *place, const struct message_order *order, struct run **ret_run, struct error *e);

/*
 * Kills whatever lives, lets go of everything but the boxes: those are the caller's to close, when it does not matter
 * that the kernel is busy removing them. NULL is fine, and has none.
 */
struct boxes *run_close(struct run *run);

/* Borrowed rows in a malloc'ed array. */
int run_boxes(const struct run *run, struct trace_box **ret_boxes, size_t *ret_n);

int run_start(struct run *run, uint64_t order, const struct message_start *start, struct error *e);
int run_attach(struct run *run, const struct message_attach *attach, pid_t *ret_pid, struct error *e);
int run_signal(struct run *run, const char *name, int signal, struct error *e);
void run_mark(struct run *run, const char *text);

/* order: an Arm, out of which the faults are taken; a Lift. See inject.h. */
int run_arm(struct run *run, const struct message_order *order, struct error *e);
int run_lift(struct run *run, uint32_t fault, struct error *e);

/* What faults have to do by now; when there is more, CLOCK_MONOTONIC (UINT64_MAX: nothing). To be called in every turn. */
void run_inject(struct run *run);
uint64_t run_inject_next(const struct run *run);

/*
 * The end, in three steps: all processes are killed; a part of what was deferred becomes batches (1: there is more, to be
 * called again, 0: that was all; at any time); what the kernel recorded until then, and the last batch. Each goes on
 * where the one before failed, with an error.
 */
int run_stop(struct run *run, struct error *e);
int run_replay(struct run *run);
int run_finish(struct run *run, struct error *e);

/* Takes what is in the ring buffer. */
void run_drain(struct run *run);
void run_record(struct run *run, const struct rec_head *record, size_t size);
void run_on_exit(struct run *run, pid_t pid, int status);
void run_on_ready(struct run *run, void *data);

/* Makes a batch of what has come together; tells what was lost. To be called every so many milliseconds. */
void run_send(struct run *run);
uint64_t run_events(const struct run *run);

/* Is somebody waiting for what records say: a program that is not ready yet, a fault that we act for? */
bool run_waits(const struct run *run);
/* Are records kept as they come, to be dealt with at the end? */
bool run_deferred(const struct run *run);

#endif
