/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A connection to PostgreSQL, always in pipeline mode: statements are sent without waiting, and their answers are
 * collected together. Nothing waits longer than PG_ANSWER_MS for the next byte of an answer, or than the URL's connect_timeout for a
 * connection; a connection that failed is closed, and made again by whoever needs it.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_pg.h"
#include "lib/clock.h"
#include "lib/grow.h"

bool pg_is(const PGresult *result, const char *state)
{
	const char *is = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return is && !strncmp(is, state, strlen(state));
}

void pg_disconnect(struct store_pg *s)
{
	PQfinish(s->conn);
	s->conn = NULL;
	s->inside = s->begin = false;
	s->n_sent = 0;
	memset(s->prepared, 0, sizeof(s->prepared));
}

/* Of several lines the first, and what follows in one; whoever wants a hint reads the server's log. */
static void line_of(const char *text, char *buf, size_t size)
{
	while (!strncmp(text, "ERROR:  ", 8) || !strncmp(text, "FATAL:  ", 8))
		text += 8;
	snprintf(buf, size, "%.*s", (int)strcspn(text, "\n"), text);
}

/* The connection is of no use any more. */
static int lost(struct store_pg *s, int err, const char *doing, const char *why, struct error *e)
{
	char line[300];

	line_of(why, line, sizeof(line));
	pg_disconnect(s);
	s->failure = PG_LOST;
	return error_set(e, err, "store %s: %s: %s", s->name, doing, *line ? line : "the connection was lost");
}

static bool is_any(const char *state, const char *const *states)
{
	for (; *states; states++)
		if (state && !strncmp(state, *states, strlen(*states)))
			return true;
	return false;
}

static int refused(struct store_pg *s, struct error *e)
{
	/* what stays so; all else says only "not now" */
	static const char *const finals[] = { "authentication", "password", "does not exist", "ermission denied", "no pg_hba.conf entry",
					      "could not translate", "certificate", "SSL", "invalid", NULL };
	const char *text = PQerrorMessage(s->conn);
	bool again = true, missing = strstr(text, "database \"") && strstr(text, "does not exist");
	char line[300];

	for (size_t i = 0; finals[i]; i++)
		again &= !strstr(text, finals[i]);
	line_of(text, line, sizeof(line));
	pg_disconnect(s);
	s->failure = again ? PG_LOST : PG_FINAL;
	if (missing)
		return error_set(e, -ENOENT, "store %s: %s (createdb makes it)", s->name, line);
	return error_set(e, again ? -ECONNREFUSED : -EACCES, "store %s: %s", s->name, line);
}

int pg_connect(struct store_pg *s, struct error *e)
{
	if (s->conn && PQstatus(s->conn) == CONNECTION_OK)
		return 0;
	pg_disconnect(s);
	s->conn = pg_url_connect(s->url, s->mode == STORE_READ);
	if (!s->conn) {
		s->failure = PG_FINAL;
		return error_set(e, -ENOMEM, "out of memory");
	}
	if (PQstatus(s->conn) != CONNECTION_OK)
		return refused(s, e);
	if (PQsetnonblocking(s->conn, 1) < 0 || !PQenterPipelineMode(s->conn))
		return lost(s, -EIO, "connecting", PQerrorMessage(s->conn), e);
	s->had_link = true;
	return 0;
}

static int expect(struct store_pg *s, bool wanted, enum pg_prepared prepares, struct error *e)
{
	if (grow(&s->sent, &s->cap_sent, s->n_sent + 1, sizeof(*s->sent)) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	s->sent[s->n_sent++] = (struct pg_sent){ wanted, prepares };
	return 0;
}

static int send_one(struct store_pg *s, const struct pg_sql *sql, const struct pg_params *p, const int *formats)
{
	char name[16];

	if (!sql->prepared)
		return PQsendQueryParams(s->conn, sql->text, p->n, p->types, p->values, p->lengths, formats, 1);
	snprintf(name, sizeof(name), "bop%d", (int)sql->prepared);
	if (!s->prepared[sql->prepared] && (expect(s, false, sql->prepared, NULL) < 0 || !PQsendPrepare(s->conn, name, sql->text, p->n, p->types)))
		return 0;
	s->prepared[sql->prepared] = true; /* if it fails, pg_collect() takes that back */
	return PQsendQueryPrepared(s->conn, name, p->n, p->values, p->lengths, formats, 1);
}

static int put(struct store_pg *s, const struct pg_sql *sql, const struct pg_params *params, bool wanted, struct error *e)
{
	static const struct pg_params none;
	int formats[PG_PARAMS_MAX], ok = 1;

	s->failure = PG_FINAL;
	if (params && params->full)
		return error_set(e, -E2BIG, "store %s: a statement has too many values", s->name);
	if (!s->conn)
		return lost(s, -ECONNRESET, "writing", "", e);
	for (int i = 0; i < PG_PARAMS_MAX; i++)
		formats[i] = 1;
	if (s->begin) {
		ok = expect(s, false, PG_UNPREPARED, e) == 0 && PQsendQueryParams(s->conn, "BEGIN", 0, NULL, NULL, NULL, NULL, 1);
		s->begin = false;
		s->inside = true;
	}
	if (!ok || !send_one(s, sql, params ? params : &none, formats) || expect(s, wanted, PG_UNPREPARED, e) < 0)
		return lost(s, -ECONNRESET, "writing", PQerrorMessage(s->conn), e);
	return 0;
}

int pg_put(struct store_pg *s, const struct pg_sql *sql, const struct pg_params *params, struct error *e)
{
	return put(s, sql, params, false, e);
}

int pg_want(struct store_pg *s, const struct pg_sql *sql, const struct pg_params *params, struct error *e)
{
	return put(s, sql, params, true, e);
}

int pg_put_numbers(struct store_pg *s, const char *text, uint64_t a, uint64_t b, struct error *e)
{
	const struct pg_sql sql = { .text = text };
	struct pg_params params = { 0 };

	pg_number(&params, a);
	if (strstr(text, "$2"))
		pg_number(&params, b);
	return pg_put(s, &sql, &params, e);
}

/* Until something can be read or written. 0, or why not. */
static int wait_for(struct store_pg *s, short events, uint64_t deadline)
{
	struct pollfd items[] = { { .fd = PQsocket(s->conn), .events = events }, { .fd = s->stop, .events = POLLIN } };
	uint64_t now = clock_monotonic_ns();
	int n;

	if (now >= deadline)
		return -ETIMEDOUT;
	n = poll(items, 2, (int)((deadline - now) / 1000000 + 1));
	if (n < 0 && errno != EINTR)
		return -errno;
	return n > 0 && items[1].revents ? -ECANCELED : 0;
}

/* Sends what waits, and reads until the next result is there. */
static int ready(struct store_pg *s, const char *doing, struct error *e)
{
	uint64_t answer_ms = s->patient ? PG_LONG_MS : PG_ANSWER_MS;
	uint64_t deadline = clock_monotonic_ns() + answer_ms * (CLOCK_SECOND_NS / 1000);
	char why[80];
	int unsent, err;

	for (;;) {
		unsent = PQflush(s->conn);
		if (unsent < 0 || !PQconsumeInput(s->conn))
			return lost(s, -ECONNRESET, doing, PQerrorMessage(s->conn), e);
		if (!unsent && !PQisBusy(s->conn))
			return 0;
		err = wait_for(s, (short)(POLLIN | (unsent ? POLLOUT : 0)), deadline);
		if (err == -ETIMEDOUT) {
			snprintf(why, sizeof(why), "the server has not answered for %" PRIu64 " s", answer_ms / 1000);
			return lost(s, err, doing, why, e);
		}
		if (err < 0)
			return lost(s, err, doing, strerror(-err), e);
	}
}

/* The server's word becomes ours. */
static int failed(struct store_pg *s, const PGresult *result, const char *doing, struct error *e)
{
	static const char *const again[] = { "40001", "40P01", "23503", NULL }, *const gone[] = { "08", "57P", "40003", NULL };
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	char line[300];

	line_of(text ? text : PQresultErrorMessage(result), line, sizeof(line));
	s->failure = is_any(state, again) ? PG_AGAIN : is_any(state, gone) || !state ? PG_LOST : PG_FINAL;
	if (s->failure == PG_LOST)
		return lost(s, -ECONNRESET, doing, line, e);
	if (pg_is(result, "22012")) /* PG_RUN_HOLD found none */
		return error_set(e, -ESTALE, "store %s: run %llu was ended or removed by somebody else", s->name,
				 (unsigned long long)s->held);
	if (pg_is(result, "23505") || pg_is(result, "42P07") || pg_is(result, "42710")) /* a row, a table, something else */
		return error_set(e, -EEXIST, "store %s: %s: %s", s->name, doing, line);
	if (pg_is(result, "53100"))
		return error_set(e, -ENOSPC, "store %s: %s: the server's disk is full (%s)", s->name, doing, line);
	if (pg_is(result, "55P03"))
		return error_set(e, -EBUSY, "store %s: %s: another program has kept it locked for %u s", s->name, doing, PG_LOCK_MS / 1000);
	if (pg_is(result, "57014"))
		return error_set(e, -ETIMEDOUT, "store %s: %s: the server did not get it done in time (%s)", s->name, doing, line);
	if (pg_is(result, "25006"))
		return error_set(e, -EROFS, "store %s: %s: it is read-only here", s->name, doing);
	if (pg_is(result, "42501"))
		return error_set(e, -EACCES, "store %s: %s: %s (GRANT gives it)", s->name, doing, line);
	if (pg_is(result, "XX001") || pg_is(result, "XX002"))
		return error_set(e, -EBADMSG, "store %s: %s: the database is damaged (%s)", s->name, doing, line);
	return error_set(e, s->failure == PG_AGAIN ? -EAGAIN : -EIO, "store %s: %s: %s", s->name, doing, line);
}

/* The result of one statement and the NULL behind it. *ret_result: NULL if it failed. */
static int result_next(struct store_pg *s, PGresult **ret_result, bool told, const char *doing, struct error *e)
{
	PGresult *result, *end;
	int err = ready(s, doing, e);

	if (err < 0)
		return err;
	result = PQgetResult(s->conn);
	*ret_result = NULL;
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		*ret_result = result;
		result = NULL;
		break;
	case PGRES_PIPELINE_ABORTED: /* by one before it, which has said why */
		err = 1;
		break;
	default:
		err = told ? 1 : result ? failed(s, result, doing, e) : lost(s, -ECONNRESET, doing, PQerrorMessage(s->conn), e);
	}
	PQclear(result);
	if (!s->conn)
		return err;
	if (ready(s, doing, e) < 0) {
		PQclear(*ret_result);
		*ret_result = NULL;
		return -ECONNRESET;
	}
	end = PQgetResult(s->conn);
	PQclear(end);
	return err;
}

static int sync_read(struct store_pg *s, const char *doing, struct error *e)
{
	PGresult *result;
	int err = ready(s, doing, e);

	if (err < 0)
		return err;
	result = PQgetResult(s->conn);
	if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
		err = lost(s, -ECONNRESET, doing, PQerrorMessage(s->conn), e);
	PQclear(result);
	return err;
}

int pg_collect(struct store_pg *s, PGresult **ret_results, size_t n, const char *doing, struct error *e)
{
	size_t n_sent = s->n_sent, at = 0;
	PGresult *result = NULL;
	int err = 0, one;

	s->failure = PG_FINAL;
	for (size_t i = 0; i < n; i++)
		ret_results[i] = NULL;
	if (!s->conn || !PQpipelineSync(s->conn))
		return lost(s, -ECONNRESET, doing, s->conn ? PQerrorMessage(s->conn) : "", e);
	for (size_t i = 0; i < n_sent && s->conn; i++) {
		one = result_next(s, &result, err < 0, doing, e);
		if (one < 0 && !err)
			err = one;
		if (one && s->conn)
			s->prepared[s->sent[i].prepares] = false;
		if (s->sent[i].wanted && at < n)
			ret_results[at++] = result;
		else
			PQclear(result);
		result = NULL;
	}
	s->n_sent = 0;
	if (s->conn) {
		enum pg_failure failure = s->failure;

		one = sync_read(s, doing, err ? NULL : e);
		err = err ? err : one;
		if (s->conn)
			s->failure = failure;
	}
	for (size_t i = 0; err < 0 && i < n; i++) {
		PQclear(ret_results[i]);
		ret_results[i] = NULL;
	}
	return err;
}

int pg_query(struct store_pg *s, const char *sql, const struct pg_params *params, PGresult **ret_result, const char *doing,
	     struct error *e)
{
	const struct pg_sql statement = { .text = sql };
	PGresult *result = NULL;
	int err = pg_want(s, &statement, params, e);

	if (!err)
		err = pg_collect(s, &result, 1, doing, e);
	if (ret_result)
		*ret_result = result;
	else
		PQclear(result);
	return err;
}

int pg_query_number(struct store_pg *s, const char *sql, const struct pg_params *params, uint64_t *ret_number, const char *doing,
		    struct error *e)
{
	PGresult *result = NULL;
	int err = pg_query(s, sql, params, &result, doing, e);

	*ret_number = err || !PQntuples(result) || PQgetisnull(result, 0, 0) ? 0 : pg_get_number(result, 0, 0);
	PQclear(result);
	return err;
}

void pg_undo(struct store_pg *s)
{
	enum pg_failure failure = s->failure;

	s->begin = false;
	if (s->conn && s->n_sent) /* sent, and nobody has looked: what becomes of it is decided by the server */
		pg_disconnect(s);
	if (s->conn && s->inside && pg_query(s, "ROLLBACK", NULL, NULL, "writing", NULL) < 0)
		pg_disconnect(s);
	s->inside = false;
	s->failure = failure;
}
