/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lanes: rings of one CPU each, for the records of sends and receives, which are nearly all that there are. The ring
 * buffer's lock, and lines of memory that CPUs take from each other, cost more than all the rest of such a record. In
 * memory that tfj maps; only the programs of that CPU write `head` and slots, only tfj writes `tail`. Whatever finds no
 * place in its lane goes into the ring buffer. A slot belongs to position p, from 0, when its turn is p + 1: before, it is
 * being written, or was not yet.
 */
#ifndef BPF_LANE_H
#define BPF_LANE_H

#include "bpf/record.h"

struct lane_slot {
	__u64 turn;
	struct rec_transfer record;
};

struct lane {
	__u64 head; /* claimed so far */
	__u64 apart[7]; /* what one side writes is no line of the other's */
	__u64 tail; /* taken so far */
	__u64 apart_too[7];
	struct lane_slot slot[];
};

#endif
