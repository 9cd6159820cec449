/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reads what the programs put out: the ring buffer, and the lanes of CPUs (bpf/lane.h), as one sequence in which nothing comes
 * before what it may be the consequence of.
 */
#ifndef TFJ_RINGS_H
#define TFJ_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/lane.h"

struct rings;

/* Memory that the programs write to. Only `ring_taken` and the tails of the lanes are written here. */
struct rings_memory {
	uint64_t *ring_taken;	    /* bytes, since it was made */
	const uint64_t *ring_given; /* the same, reserved by programs */
	const unsigned char *ring;  /* twice, one behind the other */
	size_t ring_bytes;	    /* a power of two */
	unsigned char *lanes;	    /* NULL: none */
	size_t lane_bytes;	    /* from one to the next */
	size_t n_lanes;
	uint64_t slots; /* of each, a power of two */
};

/* One record, borrowed for the call. */
typedef void rings_on_record(void *arg, const struct rec_head *record, size_t size);

/* The memory stays the caller's and must outlive it. -ENOMEM */
int rings_new(const struct rings_memory *memory, struct rings **ret_rings);
void rings_free(struct rings *rings);

/*
 * Hands over what was put out before now_ns (CLOCK_MONOTONIC, read just now), but nothing that could be the consequence of
 * a record that is still being written, which *ret_waits tells of: that comes with a later call. Returns how many records.
 */
int rings_drain(struct rings *rings, uint64_t now_ns, rings_on_record *on_record, void *arg, bool *ret_waits);

/* Records that programs put into lanes so far. */
uint64_t rings_lanes_given(const struct rings *rings);

#endif
