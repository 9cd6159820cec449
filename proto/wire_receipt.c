/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See wire_receipt.h. Pure. */
#include "proto/wire_receipt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/text.h"

int wire_string_take(char **field, const void *from, size_t n)
{
	char *copy = utf8_printable(from, n);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

Bop__Wire__Receipt **wire_receipts_rows(const struct fault_receipt *from, size_t n)
{
	Bop__Wire__Receipt **rows = malloc(n * (sizeof(*rows) + sizeof(**rows)) + 1);
	Bop__Wire__Receipt *row = rows ? (Bop__Wire__Receipt *)(rows + n) : NULL;

	for (size_t i = 0; rows && i < n; i++) {
		rows[i] = &row[i];
		bop__wire__receipt__init(&row[i]);
#define X(field) row[i].field = from[i].field;
		FAULT_RECEIPT_NUMBERS(X)
#undef X
		row[i].state = from[i].state;
		row[i].line = text_of(from[i].line);
		row[i].why = text_of(from[i].why);
	}
	return rows;
}

int wire_receipt_take(struct fault_receipt *row, const Bop__Wire__Receipt *from)
{
	int err;

	if (!from->id || !from->state || from->state >= FAULT_STATE_COUNT)
		return -EBADMSG;
#define X(field) row->field = from->field;
	FAULT_RECEIPT_NUMBERS(X)
#undef X
	row->state = from->state;
	err = wire_string_take(&row->line, from->line, strlen(from->line));
	return err ? err : wire_string_take(&row->why, from->why, strlen(from->why));
}
