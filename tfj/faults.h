/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Faults in the kernel: arms rules with numbers for names, attaches the programs at packets in boxes, tells what
 * became of a rule. Names, orders and events are the caller's business. Nothing is loaded before faults_open;
 * everything but a filter in the namespace of a guest goes with this process, and that does nothing any more when
 * until_ns is over.
 *
 * Times are CLOCK_MONOTONIC. When a rule fires, a REC_FAULT comes with the tracer's records.
 */
#ifndef TFJ_FAULTS_H
#define TFJ_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/fault.h"
#include "lib/error.h"
#include "proto/fault.h"

struct faults;
struct tracer;

/* A connection; also whose end it is. */
struct fault_where {
	uint64_t process; /* label of the connector: fault_label(), fault_label_child() */
	uint32_t box;	  /* where it connects to; 0: ip counts */
	uint8_t ip[16];
	uint16_t port;
	uint32_t ordinal; /* from 1 */
};

struct kernel_fault {
	uint32_t id; /* from 1 to RULE_MAX - 1; not in use */
	enum fault_kind kind;
	uint32_t flags; /* enum fault_flag; RACY means nothing here */
	enum fault_moment_kind moment; /* NONE: at once */
	struct fault_where where;      /* SEND, RECV, CONNECT, ACCEPT */
	bool reply;		       /* SEND, RECV: message of the acceptor */
	uint32_t message;
	uint64_t process; /* EXIT, START: whose, a label. CRASH, PAUSE: who is hit; 0: whoever's moment it is */
	/* boxes. PARTITION, random ones: n_to 0 means everyone else. ISOLATE, CRASH_BOX: `from` only. */
	const uint32_t *from, *to;
	size_t n_from, n_to;
	uint32_t times; /* DROP; 0 means 1 */
	uint32_t ppm;
	uint64_t duration_ns; /* HOLD, PAUSE: `for`; of others too, where it ends the effect, if not 0 */
	uint64_t lease_ns;    /* 0: until faults_lift, or until_ns */
	uint64_t seed;
};

/* What the kernel knows of a rule. state: FAULT_STATE_ARMED, FIRED, WOULD_FIRE, LIFTED or EXPIRED (armed or in
 * effect). */
struct kernel_receipt {
	uint32_t id;
	enum fault_state state;
	bool over; /* FIRED: nothing of it is left to come (all drops are made, the held message has arrived) */
	uint32_t fired;
	uint64_t fired_ns, effect_ns /* from the trigger until the effect was in place */, ended_ns;
	uint64_t messages, bytes, packets;
	uint64_t collateral_bytes, collateral_packets;
	uint64_t lateness_ns;
	uint64_t decisions; /* random ones: n is a yes if fault_decision(seed, n, ppm), n from 0 */
	/* the connection, if it has one: cookie of the sending end, and where in its stream the message begins */
	uint64_t cookie, pos;
};

/*
 * Can this kernel, with the tracer's backend, do that kind? 0, or -ENOTSUP with the reason, a line.
 */
int faults_able(struct tracer *tracer, enum fault_kind kind, struct error *e);

/* Loads what acts on packets. The tracer outlives it. From here on connections are told apart by name. */
int faults_open(struct tracer *tracer, struct faults **ret_faults, struct error *e);
void faults_close(struct faults *faults);

/*
 * Acts on packets of all devices that are in that namespace, and, with faults_watch(), of those that come. guest: the namespace is not ours alone; what others
 * have attached there stays and goes on to see all packets that pass. The box must be in the tracer's scope, its
 * addresses told.
 */
int faults_box(struct faults *faults, int netns, uint32_t box, bool guest, struct error *e);

/*
 * Devices that have come into boxes get the programs, too, and those that went are forgotten: to be called when faults_watch_fd()
 * is readable, which is ours until faults_close().
 */
int faults_watch_fd(const struct faults *faults);
void faults_watch(struct faults *faults);

/*
 * Packets, since the last call, that a rule might have been for and that no program of ours has seen: through a new device before
 * it had the programs, through one to which none can be attached, or in a box of our own through one whose packets have no
 * Ethernet header (tun, wireguard). ret_why: what went wrong there, if anything did; "". Each call tries that again.
 */
uint64_t faults_missed(struct faults *faults, struct error *ret_why);

/* Packets from or to there are never touched: the agent's own link. port 0: every one. */
int faults_spare(struct faults *faults, const uint8_t ip[16], uint16_t port, struct error *e);

/*
 * Arms all or none, also while the run goes on: a moment that has passed never comes. The rules are good until
 * until_ns, which faults_renew() moves. -EINVAL: not a fault that can be armed, -E2BIG: too many, -ENOTSUP: not on
 * this kernel; e names it.
 */
int faults_arm(struct faults *faults, const struct kernel_fault *rules, size_t n, uint64_t until_ns, struct error *e);
void faults_renew(struct faults *faults, uint64_t until_ns);

/* Ends its effect, or disarms it. -ENOENT: there is none. */
int faults_lift(struct faults *faults, uint32_t id);
int faults_receipt(struct faults *faults, uint32_t id, struct kernel_receipt *ret_receipt);

/* The end of a run: no rule is left and nothing is attached. */
void faults_clear(struct faults *faults);

/* What agents that died left in the caller's network namespace is taken away; nothing else. Returns how many, or
 * negative errno. */
int faults_clean(void);

#endif
