/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A run that is kept, made again and again: file, plan and seed as they were. What comes of it is counted by classes, at the level that
 * was asked for. Over when it was made so often as was asked, or when nothing new came for so long, or nothing that could have been new: as
 * with `bop run --until-stable`.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/query_inside.h"
#include "collector/serve_inside.h"
#include "collector/tally.h"
#include "lib/clock.h"
#include "lib/grow.h"

#define RETRY_NS (CLOCK_SECOND_NS / 20) /* somebody else has the agents */
enum { REPEATS_MAX = 64, TIMES_DEFAULT = 10 };

struct repeat {
	struct repeat *prev, *next;
	struct serve *serve;
	struct door_frame from; /* who, and its connection; nothing else */
	struct api_request again; /* the whole run; its id is that of the request */
	uint64_t of, times, until_stable;
	struct print before; /* of what is repeated */
	bool has_before;
	struct history h;	   /* level, view, classes, runs, unclassed, reasons; no plans */
	size_t cap_classes, cap_reasons;
	struct print *exact; /* of all runs so far, each once */
	size_t n_exact, cap_exact;
	uint64_t *runs;
	size_t n_runs, cap_runs;
	uint64_t as_before, quiet; /* quiet: so many that count since the last new class */
	uint64_t deaf; /* so many that do not, since the last one that does */
	const char *why_deaf; /* of the last one; static */
	struct act *act;   /* the run that goes on; NULL: none */
	uint64_t retry_at; /* UINT64_MAX: nothing waits */
	bool left, cancelled;
};

static void repeat_free(struct repeat *r)
{
	DL_DELETE(r->serve->repeats, r);
	api_request_fini(&r->again);
	for (size_t i = 0; i < r->h.n_reasons; i++)
		free(r->h.reasons[i].text);
	free(r->h.classes);
	free(r->h.reasons);
	free(r->exact);
	free(r->runs);
	free(r);
}

static void give_up(struct repeat *r, int err, const char *text)
{
	if (!r->left)
		api_refuse(r->serve, &r->from.from, r->again.id, err, text);
	repeat_free(r);
}

static bool is_stable(const struct repeat *r)
{
	return r->until_stable && r->quiet >= r->until_stable;
}

static bool is_deaf(const struct repeat *r)
{
	return r->until_stable && r->deaf >= tally_deaf_max(r->until_stable);
}

static struct richness richness(const struct repeat *r)
{
	uint64_t once = 0, twice = 0;

	for (size_t i = 0; i < r->h.n_classes; i++) {
		once += r->h.classes[i].count == 1;
		twice += r->h.classes[i].count == 2;
	}
	return richness_of(r->h.runs, r->h.n_classes, once, twice);
}

static int repeated_fill(const struct repeat *r, Bop__Api__Repeated *answer)
{
	const struct richness all = richness(r);
	int err = 0;

	answer->of = r->of;
	answer->counted = r->h.runs;
	answer->as_before = r->as_before;
	answer->deterministic = r->n_runs && r->as_before == r->n_runs;
	answer->stable = is_stable(r);
	if (is_deaf(r) && asprintf(&answer->deaf, "the last %llu runs do not count (%s), so nobody can tell when nothing new comes any more",
				   (unsigned long long)r->deaf, r->why_deaf) < 0) {
		answer->deaf = NULL;
		return -ENOMEM;
	}
	answer->runs = malloc((r->n_runs + 1) * sizeof(*answer->runs));
	if (!answer->runs)
		return -ENOMEM;
	answer->n_runs = r->n_runs;
	if (r->n_runs)
		memcpy(answer->runs, r->runs, r->n_runs * sizeof(*r->runs));
	for (size_t i = 0; i < r->h.n_reasons && !err; i++)
		err = query_count_add(&answer->unclassed, &answer->n_unclassed, r->h.reasons[i].text, r->h.reasons[i].runs);
	for (size_t i = 0; i < r->h.n_classes && !err; i++)
		err = query_row_add(&answer->classes, &answer->n_classes, query_class(&r->h.classes[i], NULL));
	if (!err && r->h.runs && !(answer->estimate = query_estimate(&all)))
		err = -ENOMEM;
	return err;
}

static void finish(struct repeat *r)
{
	struct api_answer answer = { .id = r->again.id, .kind = API_REPEATED, .repeated = QUERY_MAKE(repeated) };
	int err = answer.repeated ? repeated_fill(r, answer.repeated) : -ENOMEM;

	if (!err) {
		serve_log("run %llu: made again %zu times: %zu classes", (unsigned long long)r->of, r->n_runs, r->h.n_classes);
		if (!r->left)
			api_answer(r->serve, &r->from.from, &answer);
		repeat_free(r);
	} else {
		give_up(r, err, "out of memory");
	}
	api_answer_fini(&answer);
}

static void on_end(struct act *act, const struct api_run_end *end);

static int begin(struct repeat *r, uint64_t now, struct error *e)
{
	int err = act_begin(r->serve, &r->from, &r->again, NULL, now, &r->act, e);

	if (err)
		return err;
	r->act->left = true; /* its end is for us */
	r->act->on_end = on_end;
	r->act->on_end_arg = r;
	act_waiter_add(r->act, &r->from.from, r->from.fd, r->again.id, false); /* without memory nobody hears how it goes */
	return 0;
}

static void go_on(struct repeat *r, uint64_t now)
{
	struct error e;
	int err;

	r->retry_at = UINT64_MAX;
	if (r->left || r->cancelled) {
		char text[80];

		snprintf(text, sizeof(text), "stopped after %zu of %llu runs", r->n_runs, (unsigned long long)r->times);
		give_up(r, -ECANCELED, text);
		return;
	}
	if (r->n_runs >= r->times || is_stable(r) || is_deaf(r)) {
		finish(r);
		return;
	}
	if (r->serve->stopping) {
		give_up(r, -EBUSY, "the server is ending");
		return;
	}
	err = begin(r, now, &e);
	if (err == -EBUSY)
		r->retry_at = now + RETRY_NS;
	else if (err)
		give_up(r, err, e.text);
}

/* text: static. */
static int reason_note(struct repeat *r, const char *text)
{
	struct history *h = &r->h;
	size_t i;

	h->unclassed++;
	r->deaf++;
	r->why_deaf = text;
	for (i = 0; i < h->n_reasons; i++)
		if (!strcmp(h->reasons[i].text, text)) {
			h->reasons[i].runs++;
			return 0;
		}
	if (grow(&h->reasons, &r->cap_reasons, i + 1, sizeof(*h->reasons)))
		return -ENOMEM;
	h->reasons[i] = (struct history_reason){ .text = strdup(text), .runs = 1 };
	if (!h->reasons[i].text)
		return -ENOMEM;
	h->n_reasons++;
	return 0;
}

/* The class of a print, which may be new. NULL without memory. */
static struct history_class *class_of(struct repeat *r, const struct print *print)
{
	struct history *h = &r->h;

	for (size_t i = 0; i < h->n_classes; i++)
		if (!print_compare(&h->classes[i].print, print))
			return &h->classes[i];
	if (grow(&h->classes, &r->cap_classes, h->n_classes + 1, sizeof(*h->classes)))
		return NULL;
	h->classes[h->n_classes] = (struct history_class){ .print = *print, .found_at = h->runs };
	return &h->classes[h->n_classes++];
}

/* 1: no run of these had that exact print before; 0; or -ENOMEM. */
static int exact_note(struct repeat *r, const struct print *print)
{
	for (size_t i = 0; i < r->n_exact; i++)
		if (!print_compare(&r->exact[i], print))
			return 0;
	if (grow(&r->exact, &r->cap_exact, r->n_exact + 1, sizeof(*r->exact)))
		return -ENOMEM;
	r->exact[r->n_exact++] = *print;
	return 1;
}

static int class_note(struct repeat *r, const struct store_run *row, const struct prints *prints, enum outcome outcome)
{
	const struct print *print = &(r->h.view == STORE_SYMMETRIC ? prints->symmetric : prints->own)[r->h.level];
	int is_exact = exact_note(r, &prints->own[PRINT_LEVEL_EXACT]);
	struct history_class *class;

	r->h.runs++;
	r->deaf = 0;
	class = is_exact < 0 ? NULL : class_of(r, print);
	if (!class)
		return -ENOMEM;
	if (!class->count) {
		class->id = row->class_id;
		class->first_run = row->id;
		class->first_ns = row->started_ns;
	}
	class->exact += (unsigned)is_exact;
	if (!class->kept_run)
		class->kept_run = row->kept;
	class->count++;
	class->last_run = row->id;
	class->last_ns = row->started_ns;
	class->outcomes[outcome]++;
	r->quiet = class->count == 1 ? 0 : r->quiet + 1;
	r->as_before += r->has_before && !print_compare(&r->before, print);
	return 0;
}

static int run_note(struct repeat *r, const struct course_result *result, uint64_t run)
{
	const struct prints *prints = result->has_prints && result->run ? &result->prints : NULL;

	if (grow(&r->runs, &r->cap_runs, r->n_runs + 1, sizeof(*r->runs)))
		return -ENOMEM;
	r->runs[r->n_runs++] = run;
	if (!prints)
		return reason_note(r, "it cannot be read");
	if (prints->why_not)
		return reason_note(r, prints->why_not);
	return class_note(r, result->run->row, prints, result->outcome);
}

static void on_end(struct act *act, const struct api_run_end *end)
{
	struct repeat *r = act->on_end_arg;
	int err = run_note(r, &act->result, end->run);
	char text[640];

	r->act = NULL;
	snprintf(text, sizeof(text), "run %llu: %s%s%s", (unsigned long long)end->run, end->outcome, *end->reason ? ": " : "",
		 end->reason);
	if (err)
		give_up(r, err, "out of memory");
	else if (act->result.outcome == OUTCOME_ERROR && !r->left && !r->cancelled)
		give_up(r, -EIO, text);
	else if (act->result.outcome == OUTCOME_INTERRUPTED && !r->left && !r->cancelled)
		give_up(r, -ECANCELED, text);
	else
		go_on(r, clock_monotonic_ns());
}

static int asked_take(struct repeat *r, const Bop__Api__Repeat *ask, struct error *e)
{
	int err = history_level_parse(ask->level, &r->h.level, e);

	if (err)
		return err;
	r->h.view = ask->symmetric ? STORE_SYMMETRIC : STORE_OWN;
	r->until_stable = ask->until_stable;
	r->times = ask->times ? ask->times : ask->until_stable ? SERVE_REPEAT_MAX : TIMES_DEFAULT;
	if (r->times > SERVE_REPEAT_MAX)
		return error_set(e, -EINVAL, "a run can be repeated %d times at once, not %llu", SERVE_REPEAT_MAX, (unsigned long long)r->times);
	return 0;
}

static int can_repeat(struct repeat *r, const struct store_run *row, struct error *e)
{
	if (row->running)
		return error_set(e, -EBUSY, "run %llu goes on", (unsigned long long)row->id);
	r->of = row->id;
	r->has_before = row->class_id && row->has_prints;
	r->before = row->prints[r->h.view][r->h.level];
	return 0;
}

void repeat_open(struct serve *serve, const struct door_frame *from, const struct api_request *request, uint64_t now)
{
	struct store_run *row = NULL;
	struct repeat *r, *other;
	struct error e;
	size_t n;
	int err;

	DL_COUNT(serve->repeats, other, n);
	r = n < REPEATS_MAX ? calloc(1, sizeof(*r)) : NULL;
	if (!r) {
		api_refuse(serve, &from->from, request->id, -EBUSY, "the server repeats too many runs, or has no memory");
		return;
	}
	r->serve = serve;
	r->from = (struct door_frame){ .from = from->from, .fd = from->fd, .user = "", .address = "" };
	DL_APPEND(serve->repeats, r);
	err = asked_take(r, request->repeat, &e);
	if (!err)
		err = again_make(serve, request->repeat->run, &r->again, &row, &e);
	r->again.id = request->id;
	if (!err)
		err = can_repeat(r, row, &e);
	store_run_free(row);
	if (err)
		give_up(r, err, e.text);
	else
		go_on(r, now);
}

bool repeat_cancel(struct serve *serve, const struct door_id *client, const struct api_request *request, uint64_t now)
{
	struct repeat *r;

	DL_FOREACH(serve->repeats, r)
	{
		if (r->again.id != request->cancel || !door_id_same(&r->from.from, client))
			continue;
		r->cancelled = true;
		if (r->act)
			act_end_by(r->act, request->at_once, now);
		else
			r->retry_at = now;
		return true;
	}
	return false;
}

void repeats_client_gone(struct serve *serve, const struct door *door, int fd, uint64_t now)
{
	struct repeat *r;

	DL_FOREACH(serve->repeats, r)
	{
		if (r->from.fd != fd || r->from.from.door != door)
			continue;
		r->left = true;
		if (r->act)
			act_end_by(r->act, false, now);
		else
			r->retry_at = now;
	}
}

void repeats_time(struct serve *serve, uint64_t now)
{
	struct repeat *r, *next;

	DL_FOREACH_SAFE(serve->repeats, r, next)
	if (r->retry_at <= now || (serve->stopping && !r->act))
		go_on(r, now);
}

uint64_t repeats_deadline(const struct serve *serve)
{
	const struct repeat *r;
	uint64_t at = UINT64_MAX;

	DL_FOREACH(serve->repeats, r)
	at = r->retry_at < at ? r->retry_at : at;
	return at;
}

void repeats_free(struct serve *serve)
{
	while (serve->repeats)
		repeat_free(serve->repeats);
}
