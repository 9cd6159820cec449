/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Work on a PostgreSQL store that is tried again: a transaction that another one was in the way of (serialization failure, deadlock),
 * and whatever was lost with its connection. Bounded by PG_PATIENCE_MS, all together. Whether a commit that was never answered took
 * place cannot be known from the connection: work says s->unsure and looks.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_pg.h"
#include "lib/clock.h"

enum { PAUSE_FIRST_MS = 2, PAUSE_LOST_MS = 50, PAUSE_MAX_MS = 500 };

/* Those who were in each other's way do not come back at the same moment. */
static int pause_ms(const struct store_pg *s, int attempt)
{
	int ms = (s->failure == PG_LOST ? PAUSE_LOST_MS : PAUSE_FIRST_MS) << (attempt < 8 ? attempt : 8);

	ms = ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
	return ms / 2 + (int)(clock_monotonic_ns() / 1000 % (uint64_t)(ms / 2 + 1));
}

static bool paused(struct store_pg *s, int attempt)
{
	struct pollfd stop = { .fd = s->stop, .events = POLLIN };

	if (s->failure == PG_FINAL || clock_monotonic_ns() >= s->until_ns)
		return false;
	return poll(&stop, 1, pause_ms(s, attempt)) == 0;
}

static int commit(struct store_pg *s, const char *doing, struct error *e)
{
	PGresult *result = NULL;
	int err;

	s->begin = false;
	if (!s->inside)
		return 0; /* nothing was sent, so nothing is to be kept */
	err = pg_query(s, "COMMIT", NULL, &result, doing, e);
	if (err < 0 && s->failure == PG_LOST)
		s->unsure = true;
	if (!err && strcmp(PQcmdStatus(result), "COMMIT")) { /* ROLLBACK, after an error that was not looked at */
		s->failure = PG_FINAL;
		err = error_set(e, -EIO, "store %s: %s: the server undid it", s->name, doing);
	}
	PQclear(result);
	if (s->conn)
		s->inside = false;
	return err;
}

static int attempt_once(struct store_pg *s, bool transaction, pg_work *work, void *arg, const char *doing, struct error *e)
{
	int err = pg_connect(s, e);

	if (err < 0)
		return err;
	s->begin = transaction;
	s->failure = PG_FINAL;
	err = work(s, arg, e);
	if (!err && transaction)
		err = commit(s, doing, e);
	return err;
}

void pg_patience(struct store_pg *s, uint64_t ms)
{
	s->until_ns = clock_monotonic_ns() + ms * (CLOCK_SECOND_NS / 1000);
}

static int tried(struct store_pg *s, bool transaction, pg_work *work, void *arg, const char *doing, struct error *e)
{
	int err, attempt = 0;

	if (s->whole) /* a part: what fails is tried again as a whole */
		return work(s, arg, e);
	s->unsure = false;
	pg_patience(s, s->had_link ? PG_PATIENCE_MS : PG_OPEN_MS);
	do {
		err = attempt_once(s, transaction, work, arg, doing, e);
		if (err < 0)
			pg_undo(s);
	} while (err < 0 && paused(s, attempt++));
	s->begin = false;
	return err;
}

int pg_transaction(struct store_pg *s, pg_work *work, void *arg, const char *doing, struct error *e)
{
	return tried(s, true, work, arg, doing, e);
}

int pg_read(struct store_pg *s, pg_work *work, void *arg, struct error *e)
{
	return tried(s, false, work, arg, "reading", e);
}

struct question {
	const char *sql;
	const struct pg_params *params;
	PGresult *result;
};

static int ask(struct store_pg *s, void *arg, struct error *e)
{
	struct question *question = arg;

	return pg_query(s, question->sql, question->params, &question->result, "reading", e);
}

int pg_ask(struct store_pg *s, const char *sql, const struct pg_params *params, PGresult **ret_result, struct error *e)
{
	struct question question = { sql, params, NULL };
	int err = pg_read(s, ask, &question, e);

	*ret_result = question.result;
	return err;
}
