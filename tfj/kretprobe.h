/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Probes on the returns of functions in which many threads may be waiting at once. What libbpf attaches has room for some
 * ten of them (a matter of the number of CPUs) and misses the others; only an event that is defined in tracefs can have
 * more. Such a definition outlives its maker, unlike everything else here: it bears the maker's process number, and is
 * removed by the maker, by the next tracer with kprobes, or by `tfj clean`. Without its maker it does nothing.
 */
#ifndef TFJ_KRETPROBE_H
#define TFJ_KRETPROBE_H

#include <stdint.h>

struct bpf_link;
struct bpf_program;

#define KRETPROBE_WAITING 4096 /* threads at once in one function; what the kernel allows */

struct kretprobe {
	struct bpf_link *link;
	char event[80]; /* GROUP/NAME */
};

/* Runs the program at each return of that function. Returns 0 or negative errno; then there is nothing to undo. */
int kretprobe_attach(struct kretprobe *probe, struct bpf_program *program, const char *function);
void kretprobe_detach(struct kretprobe *probe);

/* Returns that these n probes missed since they were attached. */
uint64_t kretprobes_missed(const struct kretprobe *probes, unsigned int n);

/* Removes the definitions of processes that are no more. Returns how many there were, or negative errno. */
int kretprobes_clean(void);

#endif
