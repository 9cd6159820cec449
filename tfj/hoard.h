/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Records that are kept as they came, to be dealt with later: a run that is sent deferred leaves the CPU to its
 * programs. In order, in the agent's spool (tfj/spool.h). Must not know what a record says.
 */
#ifndef TFJ_HOARD_H
#define TFJ_HOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tfj/spool.h"

struct hoard;

struct hoard *hoard_new(struct spool_room *room); /* NULL: no memory */
void hoard_free(struct hoard *hoard);

/* Copies it. tag is the caller's. -ENOMEM: it is not kept. */
int hoard_add(struct hoard *hoard, uint32_t tag, const void *record, size_t size);

/*
 * Hands out what was kept first, about 256 KiB of it, and forgets it. 1: there is more, 0: that was all; negative
 * errno: it cannot be read back, and is gone; *ret_lost records were in it.
 */
int hoard_take(struct hoard *hoard, void (*on_record)(uint32_t tag, const void *record, size_t size, void *arg),
	       void *arg, uint64_t *ret_lost);

uint64_t hoard_count(const struct hoard *hoard); /* records */

#endif
