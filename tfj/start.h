/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A start order that is kept, so that the same program can be started again. */
#ifndef TFJ_START_H
#define TFJ_START_H

#include "proto/wire.h"

/* A copy of its own. -ENOMEM: nothing is left. */
int start_copy(const struct message_start *from, struct message_start *ret_start);
void start_fini(struct message_start *start); /* a zeroed one is fine */

#endif
