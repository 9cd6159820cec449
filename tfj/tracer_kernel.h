/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What tracer.c and probe.c share about asking the kernel. */
#ifndef TFJ_TRACER_KERNEL_H
#define TFJ_TRACER_KERNEL_H

#include <stddef.h>

#include "lib/error.h"

#include <stdbool.h>

struct bpf_link;
struct bpf_object;
struct bpf_program;
struct btf;
struct tracer;

/* Keeps libbpf's complaints of this thread instead of printing them, from now on. */
void tracer_quiet(void);

/* The first complaint since, one line, "" if there was none. Borrowed until the next call into libbpf. */
const char *tracer_complaint(void);

/*
 * Is it a general reason why nothing can be traced (no BPF, not allowed, no BTF)? Fills e and
 * returns it, else 0.
 */
int tracer_explain(int err, struct error *e);

/* All programs and maps, as linked: an ELF image for bpf_object__open_mem(). Static. */
const void *tracer_object(size_t *ret_size);

/* For objects that are loaded beside the tracer's: its programs and maps, and those maps that both have, before it is loaded. */
struct bpf_object *tracer_programs(const struct tracer *tracer);
int tracer_maps_share(const struct tracer *tracer, struct bpf_object *object);

/* Empties a map with keys of up to 64 bytes. */
void map_clear(int map);

/* Its programs look for rules of faults, and look again at what they know of connections; or do not. */
void tracer_faulting(struct tracer *tracer, bool on);

/* Connectors leave what their SYNs are to tell; or do not. */
void tracer_syn_tells(struct tracer *tracer, bool on);

/* Was it opened for that? */
bool tracer_fault_able(const struct tracer *tracer);

/* Does this kernel have that tracepoint? */
int tracer_has(struct btf *btf, const char *tracepoint);

/* How many arguments has that tracepoint? 0: there is none. */
int tracer_arguments(struct btf *btf, const char *tracepoint);

/* Are there perf events on system calls, and may we have one? */
int calls_watchable(void);

/* A directory of tracefs ("." or a path below it), or negative errno. The caller closes it. */
int tracefs_open(const char *directory);

/*
 * A perf event, disabled, for the event with that directory below tracefs; negative errno. One CPU is enough: a program
 * on it runs on all of them.
 */
int trace_event_open(int tracefs, const char *name);

#define CALL_EXITS 9
extern const char *const tracer_call_exits[CALL_EXITS];

/* Others that move bytes of pipes; watched only in runs that ask for it. */
#define PIPE_EXITS 7
extern const char *const tracer_pipe_exits[PIPE_EXITS];

/* Runs the program at each return of that call until the link is destroyed. NULL: see errno. */
struct bpf_link *call_exit_attach(struct bpf_program *program, int tracefs, const char *name);

/*
 * Lets go of n such links (at most CALL_EXITS or PIPE_EXITS) without waiting for the kernel to be done with them.
 */
void call_exits_release(struct bpf_link **links, size_t n);

#endif
