/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The kernel side as seen from tfj: loads and attaches the programs in bpf/, tells them which network namespaces and
 * tasks are ours, and hands out records. The only includer of the skeleton. Attached only while something is to be
 * traced: attached system-call tracepoints cost every process of the machine a little.
 *
 * Everything ends with this process: links and maps are held by descriptors only, nothing is pinned.
 */
#ifndef TFJ_TRACER_H
#define TFJ_TRACER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bpf/record.h"
#include "bpf/state.h"
#include "lib/error.h"

struct tracer;

/* One record, borrowed for the call. Returns 0 to go on. */
typedef void tracer_on_record(const struct rec_head *record, size_t size, void *arg);

/*
 * Opens and loads (does not attach). backend: a name that tracer_backend() can return; NULL or "": the best that works
 * here. ring_bytes: size of the ring buffer, a power of two of pages; 0: 16 MiB. faults: faults_open() may follow; without, the
 * kernel checks the programs in half the time. Errors name what the kernel lacks:
 * -ENOSYS no BPF, -ENOENT no BTF, -EPERM not root (or lacking capabilities), -ENOTSUP no way to trace on this kernel, or
 * not the one that was asked for, -EINVAL no such backend.
 */
int tracer_open(const char *backend, size_t ring_bytes, bool faults, tracer_on_record *on_record, void *arg,
		struct tracer **ret_tracer, struct error *e);
void tracer_close(struct tracer *tracer);

/* Name of the backend in use ("tracepoint", "fentry", "kprobe", "tracepoint-late"). Static. */
const char *tracer_backend(const struct tracer *tracer);

int tracer_attach(struct tracer *tracer, struct error *e);

/* Nothing is recorded any more. Keeps what is slow to let go of (perf events: they still cost others 40 ns a call). */
void tracer_detach(struct tracer *tracer);

/* Lets go of that, too: for an agent that has had nothing to trace for some seconds. Only after tracer_detach. */
void tracer_rest(struct tracer *tracer);

/*
 * Scope. netns_cookie is what SO_NETNS_COOKIE says; box an index >= 1, unique in this tracer while it is in scope.
 * Addresses tell the kernel which box a connect goes to, for its ordinals (also ::1 and 127.0.0.0/8 are the own box,
 * without being told). A task is given by pidfd before it executes the program; its descendants follow by themselves.
 */
int tracer_add_box(struct tracer *tracer, uint64_t netns_cookie, uint32_t box, struct error *e);
/* The same for a namespace that is not ours alone: only added tasks and their descendants are traced there. */
int tracer_add_guest(struct tracer *tracer, uint64_t netns_cookie, uint32_t box, struct error *e);
int tracer_add_address(struct tracer *tracer, uint32_t box, const uint8_t ip[16], struct error *e);
/* label: by which faults find it (bpf/fault.h), and from which its descendants get theirs; 0: none does. */
int tracer_add_process(struct tracer *tracer, int pidfd, uint32_t box, uint64_t label, struct error *e);
/* The same of one that runs already; tracer_follow() comes next. */
int tracer_add_running(struct tracer *tracer, int pidfd, uint32_t box, uint64_t label, struct error *e);

bool tracer_has_task(const struct tracer *tracer, int pidfd); /* is it traced, or ignored, already? */

/*
 * After tracer_add_running: all threads and descendants that traced processes have join, and are
 * numbered. They come malloc'ed, each behind its parent; those that are made from now on make records, and count on. -EAGAIN: there is no end of them.
 */
int tracer_follow(struct tracer *tracer, struct followed **ret_followed, size_t *ret_n, struct error *e);
/* So many bytes have been read from a socket of such a process, before tracer_add_running(). Without effect if it cannot be told. */
void tracer_add_taken(struct tracer *tracer, uint64_t cookie, uint64_t taken);
/* Such a process listens there, in the box of a guest: who connects from now on is traced there. */
int tracer_add_listener(struct tracer *tracer, uint32_t box, uint16_t port, struct error *e);

/* An untraced helper inside a box (readiness probe, check): neither it, its children nor its sockets make records. */
int tracer_ignore_task(struct tracer *tracer, int pidfd, struct error *e);

/*
 * From now on until tracer_clear, sends also make CONTENT records with up to `bytes` (1 to REC_CONTENT_MAX) of what they
 * send. -ENOTSUP: this kernel lets nobody read it.
 */
int tracer_content(struct tracer *tracer, uint32_t bytes, struct error *e);

/*
 * What is traced from now on until tracer_clear, besides TCP: bits of enum traced_transport (bpf/state.h). Pipes cost every
 * read and write of the machine something while they are traced; without being asked they are not.
 */
int tracer_transports(struct tracer *tracer, uint32_t transports, struct error *e);

/* A pipe of ours that traced tasks use, too: it makes no records. Without effect if it cannot be told to the kernel. */
void tracer_ignore_pipe(struct tracer *tracer, int fd);

/*
 * From now on, until tracer_clear: a connection that is older than all this is traced from its first use by a traced task
 * on. Costs every send and receive on the machine a little. Kprobes can take in only what has a cookie (SO_COOKIE gives it one).
 */
void tracer_adopt(struct tracer *tracer);

/*
 * Nobody is traced any more, whoever still lives; what was recorded until now can be drained. For runs whose processes do not
 * end with them, before tracer_clear.
 */
void tracer_stop(struct tracer *tracer);

/* Forgets every box, address and ordinal: the end of a run. Sockets that still live make no more records. */
void tracer_clear(struct tracer *tracer);

/* Becomes readable when the ring buffer passed its fill mark. Drain it at least every 20 ms as well. */
int tracer_fd(const struct tracer *tracer);

/* Hands all waiting records to on_record. Returns how many, or negative errno. */
int tracer_drain(struct tracer *tracer);

/*
 * The same until everything has come that was put out before the call, also what a CPU is still writing (a virtual one can stand
 * still over it). Returns how many records had been put out since load. *ret_missing: how many of them have not come after 5 s, 0 as
 * a rule; no later call counts them again.
 */
uint64_t tracer_drain_all(struct tracer *tracer, uint64_t *ret_missing);

/* Sums over CPUs since load. */
void tracer_counters(const struct tracer *tracer, uint64_t ret_counters[COUNTER_COUNT]);

/*
 * `tfj probe`: tries each capability by loading and attaching it, prints a line for each: name, yes/no, what serves
 * it, why not. Returns 0 if tracing is possible here, 1 if not, negative errno if it could not be tried (not root).
 */
int tracer_probe(FILE *out, int json, struct error *e);

#endif
