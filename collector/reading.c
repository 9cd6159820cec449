/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See reading.h. */
#include "collector/reading.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/query_inside.h"

/* What a page is of. */
struct asked {
	enum api_request_kind kind; /* GET_HISTORY or LIST_HYPOTHESES */
	const char *experiment;
	enum print_level level;
	enum store_view view;
	uint64_t after;
};

struct reading {
	struct reading *prev, *next; /* of those that are kept */
	struct door_id client;
	uint64_t began_ns; /* 0: it was not kept yet */
	struct asked asked; /* the page that it is for; the experiment's name is its own */
	struct history *history;
};

struct readings {
	struct reading *all; /* oldest first */
};

void reading_free(struct reading *reading)
{
	if (!reading)
		return;
	history_free(reading->history);
	free((char *)reading->asked.experiment);
	free(reading);
}

static bool is_read(enum api_request_kind kind)
{
	return kind == API_GET_HISTORY || kind == API_LIST_HYPOTHESES;
}

static int asked_of(const struct api_request *request, struct asked *ret, struct error *e)
{
	const Bop__Api__GetHistory *history = request->get_history;

	*ret = (struct asked){ .kind = request->kind };
	if (request->kind == API_LIST_HYPOTHESES) {
		ret->experiment = request->list_hypotheses->experiment;
		ret->after = request->list_hypotheses->after;
		ret->level = PRINT_LEVEL_EXACT;
		return 0;
	}
	ret->experiment = history->experiment;
	ret->after = history->after;
	ret->view = history->symmetric ? STORE_SYMMETRIC : STORE_OWN;
	return history_level_parse(history->level, &ret->level, e);
}

/* The page behind one that had more: the first one is always loaded. */
static bool is_next(const struct asked *a, const struct asked *b)
{
	return b->after && a->after == b->after && a->kind == b->kind && a->level == b->level && a->view == b->view &&
	       !strcmp(a->experiment, b->experiment);
}

static int begin(struct store *store, const struct asked *asked, struct reading **ret_reading, struct error *e)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	int err = reading ? 0 : -ENOMEM;

	if (!err) {
		reading->asked = *asked;
		reading->asked.experiment = strdup(asked->experiment);
		err = reading->asked.experiment ? history_load(store, asked->experiment, asked->level, asked->view, &reading->history, e) :
						  -ENOMEM;
	}
	if (!err)
		*ret_reading = reading;
	else
		reading_free(reading);
	return err;
}

/* *ret_n: rows of it; *ret_more: there are others behind it. */
static int page_fill(const struct history *h, const struct api_request *request, struct api_answer *answer, size_t *ret_n, bool *ret_more)
{
	int err = -ENOMEM;

	if (request->kind == API_GET_HISTORY) {
		answer->kind = API_HISTORY;
		answer->history = QUERY_MAKE(history);
		err = answer->history ? query_history_fill(h, request->get_history, answer->history) : err;
		*ret_n = err ? 0 : answer->history->n_rows;
		*ret_more = !err && answer->history->more;
	} else {
		answer->kind = API_HYPOTHESES;
		answer->hypotheses = QUERY_MAKE(hypotheses);
		err = answer->hypotheses ? query_hypotheses_fill(h, request->list_hypotheses, answer->hypotheses) : err;
		*ret_n = err ? 0 : answer->hypotheses->n_rows;
		*ret_more = !err && answer->hypotheses->more;
	}
	return err;
}

static int page_answer(struct store *store, const struct api_request *request, struct reading **reading, struct api_answer *answer,
		       struct error *e)
{
	struct asked asked;
	bool more = false;
	size_t n = 0;
	int err = asked_of(request, &asked, e);

	if (*reading && (err || !is_next(&(*reading)->asked, &asked))) {
		reading_free(*reading);
		*reading = NULL;
	}
	if (!err && !*reading)
		err = begin(store, &asked, reading, e);
	if (!err)
		err = page_fill((*reading)->history, request, answer, &n, &more);
	if (more) {
		(*reading)->asked.after = asked.after + n;
	} else {
		reading_free(*reading);
		*reading = NULL;
	}
	return err;
}

int reading_answer(struct store *store, const struct api_request *request, struct reading **reading, struct api_answer *ret_answer,
		   struct error *e)
{
	struct api_answer answer = { .id = request->id };
	int err;

	if (!is_read(request->kind))
		return query_answer(store, request, ret_answer, e);
	err = page_answer(store, request, reading, &answer, e);
	if (!err) {
		*ret_answer = answer;
		return 0;
	}
	api_answer_fini(&answer);
	return err == -ENOMEM ? error_set(e, err, "no memory for the answer") : err;
}

struct readings *readings_new(void)
{
	return calloc(1, sizeof(struct readings));
}

void readings_free(struct readings *readings)
{
	struct reading *reading, *next;

	if (!readings)
		return;
	DL_FOREACH_SAFE(readings->all, reading, next)
		reading_free(reading);
	free(readings);
}

static void forget(struct readings *readings, struct reading *reading)
{
	DL_DELETE(readings->all, reading);
	reading_free(reading);
}

struct reading *readings_take(struct readings *readings, const struct door_id *client, uint64_t now_ns)
{
	struct reading *reading, *next, *found = NULL;

	DL_FOREACH_SAFE(readings->all, reading, next)
		if (now_ns - reading->began_ns > READING_KEPT_NS)
			forget(readings, reading);
		else if (door_id_same(&reading->client, client))
			found = reading;
	if (found)
		DL_DELETE(readings->all, found);
	return found;
}

void readings_keep(struct readings *readings, const struct door_id *client, struct reading *reading, uint64_t now_ns)
{
	struct reading *other;
	size_t n;

	if (!reading)
		return;
	if (!reading->began_ns) {
		reading->client = *client;
		reading->began_ns = now_ns;
	}
	DL_APPEND(readings->all, reading);
	DL_COUNT(readings->all, other, n);
	if (n > READINGS_MAX)
		forget(readings, readings->all);
}
