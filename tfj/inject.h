/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The faults of one run on this agent: what was ordered, in names, becomes rules of the kernel side (faults.h) and things to
 * do for us: signals, starting again, queues, filters of system calls. What became of each is kept as its receipt.
 *
 * What the kernel side can decide, it decides; we only act where it tells us (REC_FAULT), or at once. Leases are renewed as
 * long as this is called: inject_tick() at least once a second.
 */
#ifndef TFJ_INJECT_H
#define TFJ_INJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/record.h"
#include "proto/fault.h"
#include "tfj/box.h"
#include "tfj/cgroup.h"
#include "tfj/crew.h"
#include "tfj/faults.h"
#include "tfj/guardian.h"
#include "tfj/name.h"

/* Without it for so long, all that is armed or in effect is over, and what is paused goes on. */
#define INJECT_LEASE_NS 10000000000ull

struct inject;
struct sock_fprog;

/* What faults are made on; borrowed. */
struct inject_place {
	struct tracer *tracer;
	struct faults **faults; /* of the agent; loaded by its first fault */
	struct guardian *guardian;
	const struct boxes *boxes;
	const struct cgroup *cgroup;
	const struct stream *stream; /* rows of processes */
	struct names *names;
	struct crew *crew;
	int epoll; /* becomes readable when inject_tick() has something to look at */
	uint32_t box_base;
	const char *no_syn; /* why SYNs to and from other kernels say nothing (syn.h); NULL: they do */
	/* Address and port of who is at the other end of our link: 0, or -ENOTCONN if it is not over IP. */
	int (*link_peer)(uint8_t ret_ip[16], uint16_t *ret_port, void *arg);
	bool (*is_attached)(const char *label, void *arg); /* is it one that the run did not start? */
	void (*settle)(void *arg); /* afterwards rows and names are up to date */
	/* An event about a fault, behind all that came before. process: which it is about, 0 none. */
	void (*on_event)(enum event_kind kind, uint32_t id, uint32_t process, uint64_t now_ns, void *arg);
	void (*on_receipts)(const struct fault_receipt *rows, size_t n, void *arg);
	/* So many packets passed that a fault might have been for, and were not looked at. why: what went wrong, or "". */
	void (*on_missed)(uint64_t packets, const char *why, void *arg);
	/* A process of which it was said that it will be started again, will not. */
	void (*on_no_restart)(const char *name, uint32_t status, uint32_t fault, void *arg);
	void *arg;
};

/* NULL: no memory. */
struct inject *inject_new(const struct inject_place *place);

/* The end of the run: nothing of the faults is left, but what the processes that they met have to live with. NULL is fine. */
void inject_free(struct inject *inject);

/*
 * All or none; takes out of `faults` what it keeps. armed_ns: what has not fired that long from now on never does; 0: to the end.
 * Errors name the fault: -EEXIST its id is in use, -ENOENT a box that is not here, -ENOTSUP cannot be done here, -EINVAL.
 */
int inject_arm(struct inject *inject, struct fault *faults, size_t n, uint64_t armed_ns, uint64_t now_ns, struct error *e);

/* id 0: all. -ENOENT: there is none, -ENOTSUP: that cannot be undone. */
int inject_lift(struct inject *inject, uint32_t id, uint64_t now_ns, struct error *e);

/* A record that tells of a fault, as soon as it is there. */
void inject_record(struct inject *inject, const struct rec_fault *record, size_t size, uint64_t now_ns);

/* What is due: to be called when inject_next() has come. CLOCK_MONOTONIC. */
void inject_tick(struct inject *inject, uint64_t now_ns);
uint64_t inject_next(const struct inject *inject);

/* Is there a fault that we act for when the kernel tells us, so that records should not wait, and be looked at? */
bool inject_hurries(const struct inject *inject);

/* Filter of the program that will have this label; NULL: none. Borrowed until the next call. */
const struct sock_fprog *inject_failing(struct inject *inject, const char *label);

/* A traced program runs (err 0) or could not be started. again: by us. */
void inject_on_started(struct inject *inject, const char *name, uint32_t process, bool again, int err, const char *error,
		       uint64_t now_ns);

/* A traced program has ended. Which fault ended it (0 none), and will it be started again? */
void inject_on_exited(struct inject *inject, const char *name, uint32_t process, uint32_t status, uint64_t now_ns,
		      uint32_t *ret_fault, bool *ret_restarts);

/* Nothing is started again any more: the run is being stopped. */
void inject_no_restarts(struct inject *inject);

/* What has not fired never will. Before the processes of the run are killed. */
void inject_disarm(struct inject *inject, uint64_t now_ns);

/* The last word on each; the rows are the caller's to free (fault_receipt_fini and free). Afterwards nothing is told any more. */
int inject_receipts(struct inject *inject, struct fault_receipt **ret_rows, size_t *ret_n);

/* May the run attach a process by that name? -ENOTSUP: one of the faults would do something to it, or to its children. */
int inject_spares(const struct inject *inject, const char *name, struct error *e);

/* Programs of ours in the kernel do it; else the agent alone, queues, or filters of the kernel's own. */
bool inject_in_kernel(enum fault_kind kind);

/* Can this agent do that kind? 0, or -ENOTSUP with the reason. */
int inject_able(struct tracer *tracer, enum fault_kind kind, struct error *e);
/* What serves it, a line. Static. */
const char *inject_served(enum fault_kind kind);

#endif
