/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a box sends, slowed down or out of order: queues (qdiscs) on the device of a box that we made. They go with its
 * network namespace, whatever happens to us. Never used on a device that is not ours: its queues are others' business.
 *
 * One class of an htb queue for each fault, reached by filters on the receiver's address; all other packets pass as if
 * there were none. A packet that two faults want is slowed down by the one with the lower id.
 */
#ifndef TFJ_SHAPE_H
#define TFJ_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define SHAPE_ID_MAX 32766u
#define SHAPE_DELAY_NS 10000000u /* how late a packet comes that is out of order */

struct shape;

/* 0, or -ENOTSUP with what the kernel lacks: tried in a namespace that is made for it. reorder: that too, not only rate. */
int shape_able(int reorder, struct error *e);

/* The device with this index in that namespace. */
int shape_open(int netns, int device, struct shape **ret_shape, struct error *e);
/* The queues stay. NULL is fine. */
void shape_close(struct shape *shape);

struct shape_fault {
	uint32_t id;   /* from 1 to SHAPE_ID_MAX, not in use on this device */
	uint64_t rate; /* bits a second; 0: as fast as it can */
	uint32_t ppm;  /* packets of a million that come SHAPE_DELAY_NS later; 0: none */
	uint64_t seed; /* of that choice, where the kernel takes one */
	const uint8_t (*to)[16]; /* receivers' addresses, IPv4 as v4-mapped; */
	size_t n_to;		 /* 0: everyone */
};

/* On failure nothing of it is left. */
int shape_add(struct shape *shape, const struct shape_fault *fault, struct error *e);
int shape_remove(struct shape *shape, uint32_t id);

#endif
