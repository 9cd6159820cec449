/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See serve_query.h. A query is the loop's until it is handed to a worker, and again when the worker is done. */
#include "collector/serve_query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/query.h"
#include "collector/reading.h"
#include "collector/rendering.h"
#include "collector/serve_inside.h"
#include "lib/clock.h"

enum { WORKING_MAX = 2 /* as many as there are threads: what is chosen begins at once */ };

struct query {
	struct worker_job job; /* first: it stands for the query */
	struct query *prev, *next;
	struct queries *queries;
	struct door_id client;
	int fd; /* of the client's connection */
	struct api_request request;
	size_t size; /* of the request, as it came */
	bool working, left, cancelled;
	struct rendering *rendering; /* of what comes in pages: what was kept of it, and afterwards what is to be kept */
	struct reading *reading; /* of a history, by this client: the same */
	/* what the worker found */
	int err;
	struct error e;
	enum api_answer_kind kind;
	unsigned char *bytes; /* of the answer */
	size_t n;
};

struct queries {
	struct serve *serve;
	struct workers *workers;
	struct query *all; /* in the order in which they get their turn */
	struct renderings *renderings;
	struct readings *readings;
};

int queries_open(struct serve *serve, struct queries **ret_queries, struct error *e)
{
	struct queries *queries = calloc(1, sizeof(*queries));
	int err = -ENOMEM;

	if (!queries)
		return error_set(e, err, "out of memory");
	queries->serve = serve;
	queries->renderings = renderings_new();
	queries->readings = readings_new();
	err = queries->renderings && queries->readings ? workers_open(&queries->workers, e) : error_set(e, -ENOMEM, "out of memory");
	if (err)
		queries_close(queries);
	else
		*ret_queries = queries;
	return err;
}

static void query_free(struct query *query)
{
	api_request_fini(&query->request);
	rendering_put(query->rendering);
	reading_free(query->reading);
	free(query->bytes);
	free(query);
}

void queries_close(struct queries *queries)
{
	struct query *query, *next;

	if (!queries)
		return;
	workers_close(queries->workers); /* now nobody else has a query in hand */
	DL_FOREACH_SAFE(queries->all, query, next)
	{
		DL_DELETE(queries->all, query);
		query_free(query);
	}
	renderings_free(queries->renderings);
	readings_free(queries->readings);
	free(queries);
}

/* In a thread. */
static int answer_make(struct query *query, struct store *store, struct api_answer *ret_answer)
{
	struct rendering_ask ask;

	if (!rendering_asked(&query->request, &ask))
		return reading_answer(store, &query->request, &query->reading, ret_answer, &query->e);
	*ret_answer = (struct api_answer){ .id = query->request.id };
	return rendering_page(store, &ask, &query->rendering, ret_answer, &query->e);
}

static void on_work(struct worker_job *job)
{
	struct query *query = (struct query *)job;
	struct api_answer answer = { .kind = API_ANSWER_NONE };
	enum store_mode mode = STORE_READ;
	struct store *store = NULL;

	query_answers(query->request.kind, &mode);
	query->err = store_open(query->queries->serve->store_url, mode, &store, &query->e);
	if (!query->err)
		query->err = answer_make(query, store, &answer);
	if (!query->err && api_answer_encode(&answer, &query->bytes, &query->n) < 0)
		query->err = error_set(&query->e, -ENOMEM, "no memory for the answer");
	if (!query->err && query->n > API_MAX_ANSWER)
		query->err = error_set(&query->e, -E2BIG,
				       "the answer would have %zu bytes, more than one can have (%u): ask for less",
				       query->n, API_MAX_ANSWER);
	query->kind = answer.kind;
	api_answer_fini(&answer);
	store_close(store);
}

static void answer_send(struct query *query)
{
	struct serve *serve = query->queries->serve;

	if (query->left)
		return;
	if (query->cancelled)
		api_refuse(serve, &query->client, query->request.id, -ECANCELED, "cancelled");
	else if (query->err)
		api_refuse(serve, &query->client, query->request.id, query->err, query->e.text);
	else
		api_put(serve, &query->client, query->kind, query->bytes, query->n);
	if (!query->cancelled && !query->err)
		query->bytes = NULL; /* is sent */
}

static void next_begin(struct queries *queries);

static void on_worked(struct worker_job *job)
{
	struct query *query = (struct query *)job;
	struct queries *queries = query->queries;

	DL_DELETE(queries->all, query);
	answer_send(query);
	if (!query->err)
		renderings_keep(queries->renderings, query->rendering);
	if (!query->left)
		readings_keep(queries->readings, &query->client, query->reading, clock_monotonic_ns());
	query->reading = query->left ? query->reading : NULL;
	query_free(query);
	next_begin(queries);
}

/* What else this client waits for gets its turn behind the others. */
static void move_back(struct queries *queries, const struct door_id *client)
{
	struct query *moved = NULL, *query, *next;

	DL_FOREACH_SAFE(queries->all, query, next)
		if (!query->working && door_id_same(&query->client, client)) {
			DL_DELETE(queries->all, query);
			DL_APPEND(moved, query);
		}
	DL_CONCAT(queries->all, moved);
}

/* Not while another one of its client is in work, or what was answered waits for it: the answer would be left out. */
static bool may_begin(const struct queries *queries, const struct query *query)
{
	const struct query *other;

	if (query->working || api_full(queries->serve, &query->client))
		return false;
	DL_FOREACH(queries->all, other)
		if (other->working && door_id_same(&other->client, &query->client))
			return false;
	return true;
}

static struct query *next_find(const struct queries *queries)
{
	struct query *query;
	size_t working = 0;

	DL_FOREACH(queries->all, query)
		working += query->working;
	if (working >= WORKING_MAX)
		return NULL;
	DL_FOREACH(queries->all, query)
		if (may_begin(queries, query))
			break;
	return query;
}

static void next_begin(struct queries *queries)
{
	struct rendering_ask ask;
	struct query *query;

	while ((query = next_find(queries))) {
		query->working = true;
		move_back(queries, &query->client);
		if (rendering_asked(&query->request, &ask))
			query->rendering = renderings_get(queries->renderings, &ask);
		query->reading = readings_take(queries->readings, &query->client, clock_monotonic_ns());
		workers_add(queries->workers, &query->job);
	}
}

/* Whether there is room for one more of this client's. */
static bool has_room(const struct queries *queries, const struct door_frame *from)
{
	const struct query *query;
	size_t n = 0, n_client = 0, bytes = from->size;

	DL_FOREACH(queries->all, query)
	{
		n++;
		if (!door_id_same(&query->client, &from->from))
			continue;
		n_client++;
		bytes += query->size;
	}
	return n < QUERIES_MAX && n_client < QUERIES_CLIENT_MAX && (!n_client || bytes <= QUERIES_CLIENT_BYTES);
}

/* Too many wait: who does not read goes without before anybody else does. */
static void unread_drop(struct queries *queries)
{
	struct query *query, *next;

	DL_FOREACH_SAFE(queries->all, query, next)
	{
		if (query->working || !api_full(queries->serve, &query->client))
			continue;
		DL_DELETE(queries->all, query);
		query_free(query);
	}
}

void queries_add(struct queries *queries, const struct door_frame *from, struct api_request *request)
{
	struct query *query;
	size_t n;

	DL_COUNT(queries->all, query, n);
	if (n >= QUERIES_MAX)
		unread_drop(queries);
	query = has_room(queries, from) ? calloc(1, sizeof(*query)) : NULL;
	if (!query) {
		api_refuse(queries->serve, &from->from, request->id, -EBUSY,
			   "too many requests of this connection wait (64), or of all together: ask again when one is "
			   "answered");
		return;
	}
	query->queries = queries;
	query->client = from->from;
	query->fd = from->fd;
	query->size = from->size;
	query->request = *request;
	*request = (struct api_request){ .id = 0 };
	query->job = (struct worker_job){ .work = on_work, .done = on_worked };
	DL_APPEND(queries->all, query);
	next_begin(queries);
}

bool queries_cancel(struct queries *queries, const struct door_id *client, uint64_t request)
{
	struct query *query;

	DL_FOREACH(queries->all, query)
		if (query->request.id == request && !query->cancelled && door_id_same(&query->client, client))
			break;
	if (!query)
		return false;
	query->cancelled = true;
	if (query->working)
		return true;
	answer_send(query);
	DL_DELETE(queries->all, query);
	query_free(query);
	return true;
}

void queries_client_gone(struct queries *queries, const struct door *door, int fd)
{
	struct query *query, *next;

	DL_FOREACH_SAFE(queries->all, query, next)
	{
		if (query->fd != fd || query->client.door != door)
			continue;
		query->left = true;
		if (query->working)
			continue;
		DL_DELETE(queries->all, query);
		query_free(query);
	}
}

int queries_fd(const struct queries *queries)
{
	return workers_fd(queries->workers);
}

void queries_done(struct queries *queries)
{
	workers_done(queries->workers);
	next_begin(queries); /* of who has read since what waited for it */
}
