/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The kernel's ring buffer and lanes, mapped, and who waits for them: what tfj/rings.h reads.
 */
#ifndef TFJ_TRACER_RINGS_H
#define TFJ_TRACER_RINGS_H

#include <bpf/libbpf.h>

#include "lib/error.h"
#include "tfj/rings.h"

/* May a ring buffer have that size? -EINVAL, -E2BIG */
int ring_size_check(size_t ring_bytes, struct error *e);

/* The programs call for each record whose number on its CPU has none of these bits. */
uint64_t ring_wake_mask(size_t ring_bytes);

/*
 * Slots of each CPU's lane beside such a ring buffer; half of them is filled when the programs call. 0: no lanes, because
 * the ring is small, or because of the clock: it must tell any two moments apart that can be cause and effect, which we trust
 * that of x86-64 alone to do, unless it counts ticks, and show us what it shows the kernel, which it does not in a time
 * namespace that has moved it.
 */
uint64_t ring_lane_slots(size_t ring_bytes);

struct tracer_rings {
	struct rings *rings; /* NULL: nothing is mapped */
	struct rings_memory memory;
	const struct bpf_map *records;
	void *given;	  /* the mapping that begins with ring_given */
	int epoll;	  /* readable since the programs called, until the next drain */
};

/*
 * Maps both; slots: of a lane, 0: there are none. Returns 0 or negative errno; then nothing is left, as after
 * tracer_rings_close, which is also for one that is all zeros.
 */
int tracer_rings_open(struct tracer_rings *rings, const struct bpf_map *records, const struct bpf_map *lanes, uint64_t slots);
void tracer_rings_close(struct tracer_rings *rings);

/* Returns how many records. */
int tracer_rings_drain(struct tracer_rings *rings, rings_on_record *on_record, void *arg);

#endif
