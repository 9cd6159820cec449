/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between wire_*.c: receipts of faults, which are in batches and in a notice of their own, and text of a peer. */
#ifndef PROTO_WIRE_RECEIPT_H
#define PROTO_WIRE_RECEIPT_H

#include <stddef.h>

#include "proto/fault.h"
#include "proto/trace.pb-c.h"

/* Rows that borrow what the receipts hold, and pointers to them, in one piece of memory for the caller to free. NULL without. */
Bop__Wire__Receipt **wire_receipts_rows(const struct fault_receipt *from, size_t n);

/* -EBADMSG: out of range; -ENOMEM. Row belongs to the caller in any case. */
int wire_receipt_take(struct fault_receipt *row, const Bop__Wire__Receipt *from);

/* Copies n bytes of a peer into *field, whose old content is freed: whatever is no printable UTF-8 becomes '?'. 0 or -ENOMEM. */
int wire_string_take(char **field, const void *from, size_t n);

#endif
