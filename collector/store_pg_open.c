/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening a PostgreSQL store, and closing it. See store.h for the contracts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_pg.h"

static int pg_new(const char *url, enum store_mode mode, struct store_pg **ret_s, struct error *e)
{
	struct store_pg *s;
	int err = pg_url_check(url, e);

	if (err < 0)
		return err;
	s = calloc(1, sizeof(*s));
	if (s)
		s->url = strdup(url);
	if (!s || !s->url) {
		free(s);
		return error_set(e, -ENOMEM, "out of memory");
	}
	s->store.ops = &store_pg_ops;
	s->mode = mode;
	s->stop = -1;
	store_pg_name(url, s->name, sizeof(s->name));
	*ret_s = s;
	return 0;
}

/* What is of before is brought up to date by whoever comes first, also a reader who may write. */
static int update(struct store_pg *s, struct error *e)
{
	struct store_pg *writer = NULL;
	int err;

	if (s->mode != STORE_READ)
		return pg_tables_make(s, e);
	err = pg_new(s->url, STORE_WRITE, &writer, e);
	if (!err)
		err = pg_tables_make(writer, e);
	if (writer)
		store_close(&writer->store);
	return err < 0 ? error_prefix(e, err, "it was written by an older bop and has to be brought up to date first") : 0;
}

int store_pg_open(const char *url, enum store_mode mode, struct store **ret_store, struct error *e)
{
	struct store_pg *s = NULL;
	int err;

	err = pg_new(url, mode, &s, e);
	if (err < 0)
		return err;
	err = pg_tables_check(s, e);
	if (!err && mode != STORE_CREATE)
		err = error_set(e, -ENOENT, "store %s: there is none yet; `bop run` makes it, --store names another one", s->name);
	else if (!err)
		err = pg_tables_make(s, e);
	else if (err == 2)
		err = update(s, e);
	if (err < 0) {
		store_close(&s->store);
		return err;
	}
	*ret_store = &s->store;
	return 0;
}

int store_pg_exists(const char *url, struct error *e)
{
	struct store_pg *s = NULL;
	int err = pg_new(url, STORE_READ, &s, e);

	if (err < 0)
		return err;
	err = pg_tables_check(s, e);
	store_close(&s->store);
	return err > 0 ? 1 : err;
}
