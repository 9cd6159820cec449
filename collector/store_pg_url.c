/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * URLs of PostgreSQL stores: what may be shown of one, and connecting. What libpq says of a URL that it cannot read is
 * never shown: it quotes it, with its password.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_pg.h"

/* Parts of the query that name the store; all others are left out. */
static bool is_public(const char *option, size_t n)
{
	static const char *const names[] = { "host=", "hostaddr=", "port=", "dbname=", "user=", "service=" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (n > strlen(names[i]) && !strncmp(option, names[i], strlen(names[i])))
			return true;
	return false;
}

static void append(char *buf, size_t size, const char *text, size_t n)
{
	size_t used = strlen(buf);

	snprintf(buf + used, size - used, "%.*s", (int)n, text);
}

void store_pg_name(const char *url, char *buf, size_t size)
{
	const char *scheme = strstr(url, "://"), *at = strrchr(url, '@');
	const char *rest = scheme ? scheme + 3 : url, *colon = at ? memchr(rest, ':', (size_t)(at - rest)) : NULL;
	char separator = '?';
	size_t n;

	*buf = '\0';
	if (colon) { /* everything up to the last @ may be of the password */
		append(buf, size, url, (size_t)(colon - url));
		url = rest = at;
	}
	n = strcspn(rest, "?");
	append(buf, size, url, (size_t)(rest - url) + n);
	for (const char *option = rest + n; *option; option += n) {
		option++;
		n = strcspn(option, "&");
		if (is_public(option, n)) {
			append(buf, size, &separator, 1);
			append(buf, size, option, n);
			separator = '&';
		}
	}
}

static const char *option_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++)
		if (!strcmp(options->keyword, keyword))
			return options->val && *options->val ? options->val : NULL;
	return NULL;
}

int pg_url_check(const char *url, struct error *e)
{
	const char *at = memchr(url, '@', strcspn(url, "?")), *again = at ? strpbrk(at + 1, "@/?") : NULL;
	/* one @ more is of the password, which libpq would take for a part of the host, and say so */
	PQconninfoOption *options = again && *again == '@' ? NULL : PQconninfoParse(url, NULL);
	char name[PG_NAME_MAX];

	store_pg_name(url, name, sizeof(name));
	if (!options)
		return error_set(e, -EINVAL,
				 "store %s: libpq does not understand this URL; one is postgresql://USER@HOST:PORT/DATABASE, with %%XX for "
				 "what is special in it", name);
	PQconninfoFree(options);
	return 0;
}

/*
 * A server that hangs, or a bop that was stopped in the middle of a transaction, must not stop the others for ever. What the URL says
 * in its own `options` comes later, so it wins.
 */
static char *options_make(const PQconninfoOption *parsed, bool readonly)
{
	const char *own = option_of(parsed, "options");
	char *options = NULL;

	if (asprintf(&options,
		     "-c statement_timeout=%u -c lock_timeout=%u -c idle_in_transaction_session_timeout=%u"
		     " -c synchronous_commit=on%s%s%s",
		     PG_ANSWER_MS - 1000, PG_LOCK_MS, 2 * PG_ANSWER_MS, readonly ? " -c default_transaction_read_only=on" : "",
		     own ? " " : "", own ? own : "") < 0)
		return NULL;
	return options;
}

PGconn *pg_url_connect(const char *url, bool readonly)
{
	PQconninfoOption *parsed = PQconninfoParse(url, NULL);
	char *options = parsed ? options_make(parsed, readonly) : NULL, seconds[16];
	const char *timeout = parsed ? option_of(parsed, "connect_timeout") : NULL;
	const char *keywords[] = { "dbname", "fallback_application_name", "client_encoding", "options", "connect_timeout", NULL };
	const char *values[] = { url, "bop", "UTF8", options, timeout ? timeout : seconds, NULL };
	PGconn *conn = NULL;

	snprintf(seconds, sizeof(seconds), "%u", PG_CONNECT_S);
	if (options)
		conn = PQconnectdbParams(keywords, values, 1);
	free(options);
	PQconninfoFree(parsed);
	return conn;
}
