/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which programs make which backend. All backends share most programs and fill the same records; they differ in how they
 * see a send begin and return, and a receive return.
 */
#ifndef TFJ_TRACER_BACKEND_H
#define TFJ_TRACER_BACKEND_H

#include "lib/error.h"

struct bpf_object;
struct bpf_program;
struct btf;

/* X(ID, name, what serves it). In the order of preference: see docs/kernel.md. */
#define BACKENDS(X)                                                                                                    \
	X(TRACEPOINT, "tracepoint", "tracepoints tcp_sendmsg_locked, sock_send_length, sock_recv_length")              \
	X(FENTRY, "fentry", "trampolines at tcp_sendmsg, tcp_recvmsg and the places where a send lets others in")      \
	X(KPROBE, "kprobe", "kprobes at the same functions")                                                           \
	X(LATE, "tracepoint-late",                                                                                     \
	  "tracepoints without the entry of sends: messages are numbered when their send returns, short writes split " \
	  "them, several writers on one socket can be confused")

enum backend {
#define X(id, name, text) BACKEND_##id,
	BACKENDS(X)
#undef X
	BACKEND_COUNT,
	BACKEND_SHARED = BACKEND_COUNT, /* of programs: they belong to all */
};

extern const char *const backend_names[BACKEND_COUNT];
extern const char *const backend_texts[BACKEND_COUNT];

/* By name; -1: there is no such backend. */
int backend_find(const char *name);

int backend_has(enum backend backend, const struct bpf_program *program);

/* Does this program belong to all backends? */
int program_is_shared(const struct bpf_program *program);

/*
 * Has only the backend's programs and the shared ones loaded, without those that this kernel has no place for and that
 * can be done without. -ENOTSUP: one is needed that it has no place for; e names it. btf NULL: every place is there.
 */
int backend_choose(enum backend backend, struct bpf_object *object, struct btf *btf, struct error *e);

/* Position of the flags among the arguments of tcp_recvmsg: 3, or 4 before Linux 5.19 (ec095263a965). */
unsigned int backend_recv_flags(struct btf *btf);

#endif
