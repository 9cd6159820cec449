/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The inside of the tracer, for tracer.c (what is loaded and attached), tracer_drain.c (what is read) and tracer_scope.c (who and
 * what is traced). Of others, only tests include this.
 */
#ifndef TFJ_TRACER_INSIDE_H
#define TFJ_TRACER_INSIDE_H

#include "bpf/state.h"
#include "bpf/tracer.skel.h"
#include "tfj/kretprobe.h"
#include "tfj/tracer.h"
#include "tfj/tracer_backend.h"
#include "tfj/tracer_kernel.h"
#include "tfj/tracer_rings.h"

/* As struct cpu_state in bpf/maps.bpf.h. */
struct cpu_counters {
	uint64_t seq, counters[COUNTER_COUNT];
};

struct tracer {
	struct tracer_bpf *bpf;
	struct tracer_rings rings;
	uint64_t slots; /* of a lane; 0: there are no lanes */
	tracer_on_record *on_record;
	void *arg;
	enum backend backend;
	struct bpf_link **links; /* of tracepoints, trampolines and kprobes; room for one of each program */
	size_t n_links;
	struct kretprobe *kretprobes; /* the same */
	unsigned int n_kretprobes;
	struct bpf_link *call_links[CALL_EXITS]; /* of perf events: slow to let go of */
	struct bpf_link *pipe_links[PIPE_EXITS];
	size_t n_pipe_links;
	size_t n_call_links;
	uint64_t missed; /* returns, by kretprobes that are detached */
	struct tracer_content *content; /* NULL: nobody asks for it */
	bool fault_able;
	uint32_t fault_changes; /* see tracer_faulting */
	struct cpu_counters *cpus; /* n_cpus of them, to be read into */
	int n_cpus;
	uint64_t arrived, given_up; /* records, since load */
};

#endif
