/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the two halves of the SQLite backend share: opening (store_sqlite_open.c) and rows (store_sqlite.c). */
#ifndef COLLECTOR_STORE_SQLITE_H
#define COLLECTOR_STORE_SQLITE_H

#include <sqlite3.h>

#include "collector/store.h"

struct store_sqlite {
	struct store store;
	sqlite3 *db;
	char *path;
	sqlite3_stmt *put; /* kept between batches */
	bool in_transaction;
};

extern const struct store_ops store_sqlite_ops;

/* Turns what SQLite said last into one line and a negative errno. */
int sqlite_fail(struct store_sqlite *s, int rc, const char *doing, struct error *e);
int sqlite_run(struct store_sqlite *s, const char *sql, const char *doing, struct error *e);

#endif
