/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What became of a fault, for people and for programs: the same words wherever it is shown. */
#ifndef COLLECTOR_RECEIPT_H
#define COLLECTOR_RECEIPT_H

#include <jansson.h>
#include <stddef.h>

#include "proto/fault.h"

/* "hit 1 message, 100 B in 2 packets; 3.2 us after its moment; WHY". May be empty; always terminated. */
void receipt_text(const struct fault_receipt *receipt, char *buf, size_t size);

/* docs/json.md. Without times of day: fired_ns and ended_ns are for the caller, who knows the clock. */
json_t *receipt_object(const struct fault_receipt *receipt);

#endif
