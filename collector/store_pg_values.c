/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Values that go to PostgreSQL and come back, in its binary format: numbers in network order, the rest as it is. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_pg.h"

/* Of the types: pg_type.dat of PostgreSQL; the others that speak its protocol have the same. */
enum { TYPE_BOOL = 16, TYPE_BYTEA = 17, TYPE_INT8 = 20, TYPE_TEXT = 25 };

static void add(struct pg_params *params, Oid type, const void *value, size_t size)
{
	if (params->n == PG_PARAMS_MAX) {
		params->full = true;
		return;
	}
	params->types[params->n] = type;
	params->values[params->n] = value;
	params->lengths[params->n++] = (int)size;
}

void pg_number(struct pg_params *params, uint64_t value)
{
	uint64_t *room = params->room[params->n % PG_PARAMS_MAX];

	*room = htobe64(value);
	add(params, TYPE_INT8, value == STORE_UNKNOWN ? NULL : room, sizeof(*room));
}

void pg_bool(struct pg_params *params, bool value)
{
	add(params, TYPE_BOOL, value ? "\1" : "\0", 1);
}

void pg_text(struct pg_params *params, const char *text)
{
	add(params, TYPE_TEXT, text, text ? strlen(text) : 0);
}

void pg_bytes(struct pg_params *params, const void *bytes, size_t size)
{
	add(params, TYPE_BYTEA, bytes, size);
}

void pg_octets(struct pg_params *params, const char *text)
{
	add(params, TYPE_BYTEA, text, text ? strlen(text) : 0);
}

void pg_print(struct pg_params *params, const struct print *print)
{
	uint64_t *room = params->room[params->n % PG_PARAMS_MAX];

	room[0] = htobe64(print->high);
	room[1] = htobe64(print->low);
	add(params, TYPE_BYTEA, room, 2 * sizeof(*room));
}

void pg_owner(struct pg_params *params, const struct store_owner *owner)
{
	pg_text(params, owner->boot_id);
	pg_number(params, owner->pid_namespace);
	pg_number(params, (uint64_t)owner->pid);
	pg_number(params, owner->start);
}

uint64_t pg_get_number(const PGresult *result, int row, int column)
{
	uint64_t value;

	if (PQgetisnull(result, row, column) || PQgetlength(result, row, column) != sizeof(value))
		return STORE_UNKNOWN;
	memcpy(&value, PQgetvalue(result, row, column), sizeof(value));
	return be64toh(value);
}

void pg_get_print(const PGresult *result, int row, int column, struct print *print)
{
	uint64_t numbers[2];

	if (PQgetlength(result, row, column) != sizeof(numbers))
		return;
	memcpy(numbers, PQgetvalue(result, row, column), sizeof(numbers));
	print->high = be64toh(numbers[0]);
	print->low = be64toh(numbers[1]);
}

bool pg_get_bool(const PGresult *result, int row, int column)
{
	return PQgetlength(result, row, column) == 1 && *PQgetvalue(result, row, column);
}

char *pg_get_text(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

const void *pg_get_bytes(const PGresult *result, int row, int column, size_t *ret_size)
{
	*ret_size = (size_t)PQgetlength(result, row, column);
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}
