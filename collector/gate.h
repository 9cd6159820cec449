/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Whom the doors of a context let in: ZeroMQ asks here (ZAP, RFC 27) about every key that is shown in a CURVE handshake.
 * Who is on the list comes in under its key; everybody else is refused and counted.
 */
#ifndef COLLECTOR_GATE_H
#define COLLECTOR_GATE_H

#include <zmq.h>

#include "collector/allowed.h"
#include "collector/refusal.h"

struct gate;

/* All are borrowed. Before any door of the context is opened. */
int gate_open(void *context, struct allowed *allowed, struct refusals *refusals, struct gate **ret_gate,
	      struct error *e);
void gate_close(struct gate *gate);

zmq_pollitem_t gate_item(const struct gate *gate);

/* Answers what was asked, a bounded number. */
void gate_work(struct gate *gate);

/* Who was refused last, for the log: "KEY from ADDRESS"; NULL: nobody since the last call. Valid until the next. */
const char *gate_refused(struct gate *gate);

#endif
