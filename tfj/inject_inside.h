/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The inside of inject.h: inject_arm.c (orders), inject.c (what happens then), inject_name.c (names to numbers), inject_act.c
 * (what the agent does), inject_program.c (programs that start and end), inject_receipt.c (what is told). Nobody else includes this.
 */
#ifndef TFJ_INJECT_INSIDE_H
#define TFJ_INJECT_INSIDE_H

#include "lib/clock.h"
#include "tfj/inject.h"
#include "tfj/shape.h"

#define NEVER UINT64_MAX
#define INJECT_RENEW_NS CLOCK_SECOND_NS /* leases are renewed that often */

/* One fault of the run. */
struct injected {
	struct fault fault;
	struct fault_receipt receipt; /* line and why are its own */
	bool kernel;	  /* a rule of the kernel side stands for it */
	bool waits_port;  /* it will, when the port of its connection is known */
	bool told_fired;  /* there is an event of it */
	bool changed;	  /* the receipt is not told yet */
	bool over;	  /* the receipt is final */
	bool powered;	  /* crash box: its box is in use again */
	bool starting;	  /* restart: its program was told to start */
	bool pending;	  /* restart: after a crash, until due_ns. fail: in a program that is being started */
	uint64_t armed_until; /* NEVER: as long as the run lasts */
	uint64_t due_ns;	  /* when there is something to do for it */
	uint64_t killed_ns;	  /* restart: when its process ended, */
	uint32_t status, killer;  /* how, and by which fault */
	char *name;	  /* restart: of the program */
	int pidfd;	  /* pause: of who is stopped, else -1 */
	bool guarded;	  /* the guardian knows of that */
	bool shaped;	  /* rate, reorder: the queues are there */
};

struct inject {
	struct inject_place place;
	struct injected *by_id[RULE_MAX];
	struct injected **list;
	size_t n, cap;
	bool opened;	   /* the kernel side knows our boxes */
	bool closed;	   /* nothing is told any more */
	bool no_restarts;
	uint64_t renew_ns, next_ns;
	bool able[FAULT_KIND_COUNT]; /* that it works here is known */
	unsigned hurries;  /* faults that want inject_hurries() */
	struct shape **shapes; /* by box - 1, NULL until they are needed */
	struct sock_fprog *filter;
};

/* inject_name.c: a fault with numbers for names. What the pointers of rule are to is in it. */
struct resolved {
	struct kernel_fault rule;
	uint32_t *from, *to;
	bool kernel;	 /* the kernel side is to have it, */
	bool waits_port; /* when the port is known */
	bool at_once;	 /* the agent acts as soon as all are armed */
	bool elsewhere;	 /* its moment is one of another kernel: there is nothing to do here */
};

int inject_resolve(struct inject *inject, const struct fault *fault, struct resolved *ret_resolved, struct error *e);
void resolved_fini(struct resolved *resolved);

/* A living process of the run with that label: its row, or 0; *ret_pidfd is the caller's to close. */
uint32_t inject_process(struct inject *inject, const char *label, int *ret_pidfd);

/* The box with that name, of this agent or another; NULL: none. */
const struct box *inject_box(const struct inject *inject, const char *name);

/* inject_act.c: the agent's part, now. tgid: of the process in which it fired, 0: nobody told. */
int inject_act(struct inject *inject, struct injected *it, uint32_t tgid, uint64_t fired_ns, uint64_t now_ns, struct error *e);
/* Ends what inject_act() did; also of one that has not acted. -ENOTSUP: cannot be undone. */
int inject_undo(struct inject *inject, struct injected *it, struct error *e);
/* Its power is back: packets pass again, and nobody remembers the connections that it had. */
void inject_box_power(struct inject *inject, struct injected *it);
void inject_shapes_close(struct inject *inject);

/* inject_program.c */
void inject_restart(struct inject *inject, struct injected *it, uint64_t now_ns);
void inject_restart_cancel(struct inject *inject, struct injected *it);
/* A crash would have happened: so would the start again. */
void inject_restart_would(struct inject *inject, const struct injected *crash);
void inject_filter_free(struct inject *inject);

/* inject_arm.c */
void injected_free(struct injected *it); /* NULL is fine */

/* inject.c */
void inject_hurries_count(struct inject *inject);

/* inject_receipt.c */
void inject_state(struct injected *it, enum fault_state state);
void inject_why(struct injected *it, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An event, once for each fault; and the receipt says so. */
void inject_fired(struct inject *inject, struct injected *it, uint32_t process, uint64_t fired_ns, uint64_t now_ns);
void inject_ended(struct inject *inject, struct injected *it, enum fault_state state, uint64_t now_ns);
/* What the kernel side knows of it. */
void inject_look(struct inject *inject, struct injected *it, uint64_t now_ns);
void inject_tell(struct inject *inject);

/* Does the kernel side have a rule for it by now? */
static inline bool inject_has_rule(const struct injected *it)
{
	return it->kernel && !it->waits_port;
}

/* Something is to be done at that time, at the latest. */
static inline void inject_wants(struct inject *inject, uint64_t at_ns)
{
	if (at_ns < inject->next_ns)
		inject->next_ns = at_ns;
}

#endif
